"""`parity`: what the service published, beside the same events scored offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from stream.commands.learning_events import Moment
from stream.commands.options import SOURCES, json_flag, progress_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

if TYPE_CHECKING:
    from stream.parity.differences import Largest
    from stream.parity.examine import Report

_FLAGS = (
    *SOURCES,
    "purchase_intent_topic",
    "anomaly_scores_topic",
    "model",
    "device",
    "event_time_max_ahead_ms",
    "event_time_max_behind_ms",
)


@click.command("parity", short_help="whether what was published is what offline scoring gives")
@click.option("--since", type=Moment(), help="Events from then on.  [the oldest]")
@click.option("--until", type=Moment(), help="Events before then.  [the newest]")
@progress_flag
@json_flag("one JSON object, with ok and the largest difference of each figure")
@setting_flags(*_FLAGS)
def parity(since: int | None, until: int | None, progress: bool | None, as_json: bool, **flags: str | None) -> int:
    """Score a stretch of the topics offline, and compare it with what the service published.

    Every user's events are taken in the order in which the service says that it applied them (`events_seen`; of ids
    that came again, the last), and scored by what trains and evaluates, with the model that the worker had. Users whose
    first event lies before the stretch are left out, since what they carry is not known.

    Times are those of the events' records. Nothing is changed on the broker, no group is joined. It takes about 1 kB of
    memory for each event.

    Exit codes: 0 the largest difference is at most 0.0001, 1 it is not.

    \b
      behaviour-stream parity --model shop.safetensors
      behaviour-stream parity --model shop.safetensors --since 2026-10-01
      behaviour-stream parity --model shop.safetensors --json | jq .largest
    """
    if since is not None and until is not None and since >= until:
        raise SettingsError("expected --since to be before --until")
    settings = load(flags)
    from stream import model_file
    from stream.commands.client import with_broker
    from stream.commands.learning_progress import reading_shown
    from stream.parity.examine import examine
    from stream.scorer import pick_device

    model, device = model_file.load(settings.model), pick_device(settings.device)
    with reading_shown(progress) as shown:
        report = with_broker(
            settings,
            lambda: examine(settings, model, since_ms=since, until_ms=until, device=device, progress=shown),
        )
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        click.echo("\n".join(_lines(report)))
    return 0 if report.ok else 1


def _lines(report: Report) -> Iterator[str]:
    yield f"{'figure':<24}{'largest':>9}{'published':>11}{'offline':>11}  of"
    yield from map(_line, report.largest)
    yield ""
    yield (
        f"compared {report.compared:,} events of {report.users:,} users, of {report.events:,} on the source topics; "
        f"model {report.model}, hash {report.model_hash}"
    )
    told = (
        (report.without_score, "events have no score"),
        (report.without_event, "published scores have no event"),
        (report.single, "events have one score whose other one is not there, or of another application"),
        (report.repeated, "score records have an id that came again: the last one counts"),
        (report.former, "score records are of events of a topic that was deleted and made anew since"),
        (report.begun_events, f"events of {report.begun_users:,} users are left out: their first event is not there"),
        (
            report.cut_events,
            f"events of {report.cut_users:,} users are left out, from where an event is missing or the carry was made "
            "anew",
        ),
        (report.refused, "records on the source topics are no events"),
        (report.unreadable, f"records on the score topics are no scores, the first: {report.unreadable_first}"),
        *((records, f"score records are by another model, hash {h}") for h, records in report.other_models.items()),
    )  # fmt: skip
    yield from (f"{number:,} {words}" for number, words in told if number)
    most = max(figure.difference for figure in report.largest)
    verdict = "at most" if report.ok else "more than"
    yield click.style(f"the largest difference is {most:.2g}, {verdict} {report.tolerance:g}", bold=True)


def _line(of: Largest) -> str:
    from stream.commands.score_lines import readable

    where = f"{of.topic}[{of.partition}]@{of.offset}, event {of.event} of {readable(of.user, 60)}"
    more = f" (and {of.above - 1:,} more)" if of.above > 1 else ""
    return f"{of.figure:<24}{of.difference:>9.2g}{of.published:>11.6f}{of.offline:>11.6f}  {where}{more}"
