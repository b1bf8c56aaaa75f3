"""`erase`: have a user forgotten, and be told what is gone, what goes when, and what is still there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from stream.commands.options import SOURCES, json_flag, progress_flag, setting_flags
from stream.settings import Settings, load

if TYPE_CHECKING:
    from stream.traces.looking import Found
    from stream.traces.receipt import Receipt

_FLAGS = (
    *SOURCES,
    "purchase_intent_topic",
    "anomaly_scores_topic",
    "dead_letters_topic",
    "erasures_topic",
    "app_id",
)
_NOT_YET = 1


@click.command("erase", short_help="forget a user: the state now, topics by their retention")
@click.argument("user")
@click.option("--check", is_flag=True, help="Ask for nothing: read all topics back for what they have of the user.")
@click.option(
    "--wait-secs", type=click.FloatRange(0), default=60.0, help="For the workers to do it; the request stays. [60]"
)
@progress_flag
@json_flag("one JSON object, the receipt")
@setting_flags(*_FLAGS)
def erase(user: str, check: bool, wait_secs: float, progress: bool | None, as_json: bool, **flags: str | None) -> int:
    """Have the workers forget a user, and print a receipt.

    All that the state has of USER goes at once: their row in memory, on the device, in RocksDB, and in the changelog.
    Events that they sent before go with it; with an event that comes after, they begin anew, as a user never seen.

    What lies on topics, as events and scores do, is not touched: it goes by the retention of these. The receipt says
    when each is gone at the latest, from the settings that the topics have now.

    A request goes to every partition of the topic of erasures, and stays there until a worker has granted it. It may
    also be a record of your own: the user id as key, sent with the partitioner of the user's events.

    --check reads every topic, from its first record to its last, and counts what is still there. It may take long.

    Exit codes: 0 the state has nothing of the user, 1 it has, or the workers have not answered yet.

    \b
      behaviour-stream erase user-2734492
      behaviour-stream erase user-2734492 --check
      behaviour-stream erase user-2734492 --json | jq -c .remains
    """
    settings = load(flags)
    from stream.commands.client import with_broker
    from stream.commands.learning_progress import reading_shown
    from stream.traces.asking import key_of
    from stream.traces.looking import look
    from stream.traces.receipt import topic_configs

    key_of(user)  # refused before anybody is asked

    if not check:
        given = with_broker(settings, lambda: _ask(settings, user, wait_secs))
        click.echo(msgspec.json.encode(given) if as_json else "\n".join(_receipt_lines(given)))
        return 0 if given.granted else _NOT_YET

    with reading_shown(progress) as shown:

        async def read_back() -> Found:
            return await look(settings, user, await topic_configs(settings), shown)

        found = with_broker(settings, read_back)
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(_found_lines(found)))
    return 0 if found.erased else _NOT_YET


async def _ask(settings: Settings, user: str, wait_secs: float) -> Receipt:
    from stream.traces.asking import ask, until_granted
    from stream.traces.receipt import receipt, topic_configs

    configs = await topic_configs(settings)
    asked = await ask(settings, user)
    waiting = await until_granted(settings, asked, wait_secs=wait_secs, say=lambda text: click.echo(text, err=True))
    return receipt(settings, user, time.time_ns() // 1_000_000, waiting, configs)


def _receipt_lines(given: Receipt) -> Iterator[str]:
    from stream.commands.score_lines import readable

    user = readable(given.user_id, 60)
    if given.granted:
        yield click.style(f"{user}: forgotten. Gone now:", bold=True)
        yield from (f"  {what}" for what in given.gone)
    else:
        partitions = ", ".join(map(str, given.waiting))
        yield click.style(f"{user}: asked for, not done yet in partitions {partitions}.", bold=True)
        yield "  The request stays; a worker does it as soon as it can. `--check` tells whether it has."
    yield "Still there, and until when at the latest (UTC):"
    for remains in given.remains:
        yield f"  {_until(remains.lasting.until_ms)}  {remains.what}: {remains.where}"
        yield f"  {'':<19}  {remains.lasting.why}"


def _found_lines(found: Found) -> Iterator[str]:
    from stream.commands.score_lines import moment, readable

    width = max(len(traces.topic) for traces in found.traces)
    yield f"{'topic':<{width}}  {'records':>9}  {'the last (UTC)':<19}  {'gone at the latest':<19}  what"
    for traces in found.traces:
        last = "" if traces.last_ms is None else moment(traces.last_ms)
        until = "" if traces.lasting is None else _until(traces.lasting.until_ms)
        yield f"{traces.topic:<{width}}  {traces.records:>9,}  {last:<19}  {until:<19}  {traces.what}"
    why = dict.fromkeys(traces.lasting.why for traces in found.traces if traces.lasting)
    yield from why
    user = readable(found.user_id, 60)
    verdict = f"the state has nothing of {user}" if found.erased else f"the state has a row of {user}"
    yield click.style(verdict, bold=True)


def _until(until_ms: int | None) -> str:
    from stream.commands.score_lines import moment

    return f"{'no time can be told' if until_ms is None else moment(until_ms):<19}"
