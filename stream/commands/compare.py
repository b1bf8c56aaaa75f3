"""`compare`: simulated shoppers beside recorded ones, as a table and as a page with pictures."""

from __future__ import annotations

import importlib.util
import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.commands.options import format_flag, json_flag, scenario_flag
from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.replay import Recording
    from stream.replay.formats import Format

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("compare", short_help="how near simulated shoppers are to recorded ones")
@click.argument("file", type=_FILE)
@format_flag
@scenario_flag
@click.option(
    "--simulated", type=_FILE, multiple=True, help="Events as JSON lines, instead of a simulation; repeatable."
)
@click.option("--labels", type=_FILE, help="Fraud labels as JSON lines, for --simulated.")
@click.option("--seed", type=int, default=1, help="Of the simulation. [1]")
@click.option("--users", type=click.IntRange(1), default=20_000, help="Of the simulation. [20000]")
@click.option("--warm-up-days", type=click.FloatRange(0), default=14.0, help="Simulated before what is compared. [14]")
@click.option("--utc-offset", type=float, default=0.0, metavar="HOURS", help="Local time of FILE less UTC. [0]")
@click.option("--simulated-utc-offset", type=float, metavar="HOURS", help="And of --simulated. [the scenario's]")
@click.option("--with-fraud", is_flag=True, help="Compare the behaviour of users with fraud labels too.")
@click.option("--figures-only", is_flag=True, help="Leave out buyers and fraud, which take the longest.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="[report.html; none with --json]")
@json_flag("one JSON object instead of the table")
def compare(
    *,
    file: Path,
    format_name: Format | None,
    name_or_path: str,
    simulated: tuple[Path, ...],
    labels: Path | None,
    seed: int,
    users: int,
    warm_up_days: float,
    utc_offset: float,
    simulated_utc_offset: float | None,
    with_fraud: bool,
    figures_only: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Compare simulated shoppers with those recorded in FILE.

    The simulation is cut to what the recording has: its event names, its length, its weekday and hour, users and
    sessions of as many events. Prints figures with their distances and aims, and writes a page with pictures.

    \b
      behaviour-stream compare recording.parquet
      behaviour-stream compare recording.parquet --scenario jdata --out shop.html
      behaviour-stream compare recording.parquet --simulated events.jsonl --json
    """
    out = out or (None if as_json else Path("report.html"))
    if out is not None and importlib.util.find_spec("matplotlib") is None:  # before minutes of work
        raise SettingsError(f"{out}: pictures need matplotlib: pip install 'behaviour-stream[report]'")
    from stream.comparison import behaviour, streams, words
    from stream.simulator import scenario

    shop = scenario.load(name_or_path)
    if simulated_utc_offset is None:
        simulated_utc_offset = shop.shop.utc_offset_hours
    _say(f"Reading {file}.")
    recording = _opened(file, format_name)
    how = streams.How(
        clock=recording.format != "jd",  # whose sessions have neither users nor a clock
        warm_up_ms=round(warm_up_days * _DAY_MS),
        real_utc_offset_ms=round(utc_offset * _HOUR_MS),
        simulated_utc_offset_ms=round(simulated_utc_offset * _HOUR_MS),
        with_fraud=with_fraud,
        buyers=not figures_only,
        fraud=not figures_only,
    )
    recorded = behaviour.read(recording)
    if not len(recorded.behaviour):
        raise SettingsError(f"{file}: expected shop events, got none that can be read")
    if simulated:
        from stream.comparison.labels import with_labels

        made_by = ", ".join(path.name for path in simulated)
        read = chain.from_iterable(_opened(path, "ga4") for path in simulated)
        events = list(read if labels is None else with_labels(read, labels))
    else:
        made_by = f"scenario {name_or_path}, seed {seed}, {users:,} users"
        from stream.simulator.simulate import simulate

        time_ms = recorded.behaviour.time_ms + how.shift_ms
        start_ms, end_ms = int(time_ms.min()) - how.warm_up_ms, int(time_ms.max()) + 1
        _say(f"Simulating {(end_ms - start_ms) / _DAY_MS:.1f} days of {users:,} users.")
        events = list(simulate(shop, seed=seed, users=users, start_ms=start_ms, end_ms=end_ms))
    try:
        compared = streams.compare(recorded, events, how, _say)
    except ValueError as error:
        raise SettingsError(f"compare: {error}") from None
    if as_json:
        click.echo(json.dumps(words.as_object(compared, real_name=file.name, simulated_name=made_by), indent=1))
    else:
        click.echo("\n".join(words.table(compared)))
    if out is not None:
        from stream.comparison import pictures, report

        page = report.page(compared, pictures.draw(compared), real_name=file.name, simulated_name=made_by)
        out.write_text(page, encoding="utf-8")
        _say(f"Wrote {out}.")
    return 0


def _opened(file: Path, format_name: Format | None) -> Recording:
    """A file of events, once it is said what it holds. Raises SettingsError where most of its rows are refused."""
    from stream.commands.replay_report import totals
    from stream.replay import open_recording, why_not

    recording = open_recording(file, format_name)
    for line in totals(file, recording.format, recording.tally):
        _say(line)
    problem = why_not(file, recording.tally)
    if problem:
        raise SettingsError(f"{problem}; nothing was compared")
    return recording


def _say(what: str) -> None:
    click.echo(what, err=True)
