"""`doctor`: what a worker needs, looked at one by one, and what to do about what is wrong."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from stream.commands.options import ALL, json_flag, setting_flags
from stream.settings import look_through

if TYPE_CHECKING:
    from stream.doctor.finding import Finding

_NAME, _STATUS = 12, 9  # columns
_COLORS = {"ok": "green", "warning": "yellow", "error": "red", "skipped": "bright_black"}
_WIDTH = 80  # columns where there is no terminal


@click.command("doctor", short_help="what a worker needs, and what is wrong with it")
@json_flag("one JSON object, with ok and findings")
@click.option("--strict", is_flag=True, help="A warning ends with exit code 1 too.")
@click.option(
    "--timeout-secs", type=click.FloatRange(0, min_open=True), default=15.0, help="For all of it together. [15]"
)
@setting_flags(*ALL)
def doctor(as_json: bool, strict: bool, timeout_secs: float, **flags: str | None) -> int:
    """Check everything that a worker with these settings needs.

    Settings, brokers, topics, lag, rights, clocks, disk, memory, open files, CPUs, the metrics port, GPU and model. A
    check that fails stops no other. Nothing is changed: no record is left, no running worker is disturbed. To read the
    broker's clock a batch is sent that it must refuse, which it logs. A Kafka that has never had a consumer group makes
    its internal topics, as it would for a worker.

    Exit codes: 0 no error, 1 an error (with --strict: or a warning).

    \b
      behaviour-stream doctor
      behaviour-stream doctor --device cuda --data-dir /var/lib/behaviour-stream
      behaviour-stream doctor --json | jq -c '.findings[] | [.status, .name]'
    """
    import asyncio
    import logging

    import msgspec

    settings, problems = look_through(flags)
    from stream.doctor.examine import examine
    from stream.doctor.finding import is_ok

    logging.disable(logging.CRITICAL)  # libraries would log what the findings say in words
    findings = asyncio.run(examine(settings, problems, timeout_secs))
    ok = is_ok(findings, strict=strict)
    if as_json:
        click.echo(msgspec.json.encode({"ok": ok, "findings": findings}))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
        for line in _lines(findings, max(width, 40)):
            click.echo(line)
    return 0 if ok else 1


def _lines(findings: Sequence[Finding], width: int) -> Iterator[str]:
    for finding in findings:
        status = click.style(f"{finding.status:<{_STATUS}}", fg=_COLORS[finding.status])
        first, *more = _wrapped(finding.found, width - _STATUS - _NAME)
        yield f"{status}{finding.name:<{_NAME}}{first}"
        if finding.status != "ok" and finding.to_do:
            more += _wrapped(f"-> {finding.to_do}", width - _STATUS - _NAME)
        yield from (" " * (_STATUS + _NAME) + line for line in more)
    yield ""
    yield from _summary(findings, width)


def _summary(findings: Sequence[Finding], width: int) -> Iterator[str]:
    by_status = {status: [f for f in findings if f.status == status] for status in _COLORS}
    several = {"warning": "warnings", "error": "errors"}
    counts = ", ".join(
        f"{len(found)} {several.get(status, status) if len(found) > 1 else status}"
        for status, found in by_status.items()
        if found
    )
    if not by_status["error"]:
        yield click.style(f"A worker can start: {counts}.", bold=True)
        return
    yield click.style(f"A worker cannot run as it should: {counts}. First:", bold=True)
    first = by_status["error"][0]
    for text in filter(None, (f"{first.name}: {first.found}", first.to_do and f"-> {first.to_do}")):
        yield from (f"  {line}" for line in _wrapped(text, width - 2))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
