"""`evaluate`: how good a model is, beside what a team would use instead."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.evaluate_anomaly import anomaly
from stream.commands.judged_part import judged_part
from stream.commands.learning_events import Events, Moment, events_flags
from stream.commands.learning_task import Fold
from stream.commands.options import json_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

if TYPE_CHECKING:
    from stream.evaluation.assembly import Doubles, Part
    from stream.evaluation.scored import ScoredEvents
    from stream.model_file import Card, LoadedModel
    from stream.training.runs import Runs

_EVALUATED_SHARE = 1 / 3  # of the events, the last ones, where nobody says which part


class _IntentFirst(click.Group):
    """`evaluate FILE` is `evaluate intent FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["intent", *args]
        return super().parse_args(ctx, args)


@click.group("evaluate", cls=_IntentFirst, short_help="how good a model is, beside others")
def evaluate() -> None:
    """How good a model is: `evaluate FILE...` for purchases to come, `evaluate anomaly` for what is strange."""


evaluate.add_command(anomaly)


@evaluate.command("intent", short_help="purchases to come: figures, baselines on the same rows, a page")
@events_flags
@click.option("--model", required=True, metavar="NAME|FILE", help="A shipped model, or a .safetensors file.")
@click.option("--split-time", type=Moment(), help="Judge what is from then on. [where `train --before` ended]")
@click.option("--hold-out", type=Fold(), metavar="K/N", help="Judge the users of this fold. [as `train --hold-out`]")
@click.option(
    "--published", is_flag=True, help="Of --topics: judge what the service published, not what the model says now."
)
@setting_flags("purchase_intent_topic")
@click.option("--threshold", type=click.FloatRange(0, 1), help="For precision and recall. [the base rate]")
@click.option("--without-baselines", is_flag=True, help="Only the base rate: they take minutes.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="[report.html; none with --json]")
@json_flag("all figures, as one object")
def intent(
    *,
    events: Events,
    flags: dict[str, Any],
    model: str,
    purchase_intent_topic: str | None,
    out: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Judge purchase intent on events that the model has not learned from.

    Beside it, on the same rows: the base rate, logistic regression and LightGBM on running features, which learn from
    the other part of the same events. Intervals are of 95 %, by drawing users again.

    \b
      behaviour-stream train shop.parquet --before 2026-10-01 --out shop
      behaviour-stream evaluate intent shop.parquet --model shop.safetensors
      behaviour-stream evaluate --topics --published --model shop.safetensors
    """
    if asked["published"] and not events.topics:
        raise click.UsageError("expected --topics with --published: they say what came of the events")
    out = out or (None if as_json else Path("report.html"))
    if out is not None and importlib.util.find_spec("matplotlib") is None:  # before minutes of work
        raise SettingsError(f"{out}: pictures need matplotlib: pip install 'behaviour-stream[evaluate]'")
    if out is not None and not out.parent.is_dir():
        raise SettingsError(f"--out {out}: expected a folder to write it to, got {out.parent}, which is none")
    from stream import model_file
    from stream.evaluation import pictures, report, words
    from stream.evaluation.assembly import scored_events
    from stream.evaluation.evaluate import evaluate as judge

    loaded = model_file.load(model)
    runs = events.gather(flags).runs
    part = _part(runs, loaded.card, asked["split_time"], asked["hold_out"])
    published = None
    if asked["published"]:
        published = _published(runs, loaded, events, {**flags, "purchase_intent_topic": purchase_intent_topic})
    scored = scored_events(runs, loaded.model, loaded.card.statistics, part, published=published)
    found = judge([scored], threshold=asked["threshold"], only_base_rate=asked["without_baselines"], say=_say)
    note = _may_have_learned(loaded.card, scored, part, events)
    found = dataclasses.replace(found, notes=(*note, *found.notes))
    name, recording = _printable(loaded.name), _printable(events.name)
    if as_json:
        judged = {
            "model": name,
            "model_hash": loaded.hash,
            "events": recording,
            "since_ms": part.since_ms,
            "hold_out": part.hold_out,
        }
        click.echo(json.dumps(words.as_object(found, judged), indent=1))
    else:
        click.echo("\n".join(words.table(found)))
    if out is not None:
        drawn = pictures.draw(found)
        model = f"{name} ({loaded.hash})"
        page = report.page(found, drawn.by_horizon, drawn.sessions, recording=recording, model=model)
        out.write_text(page, encoding="utf-8")
        _say(f"Wrote {out}.")
    return 0


def _published(runs: Runs, model: LoadedModel, events: Events, flags: dict[str, Any]) -> Doubles:
    """[N, K] what the service said of these events."""
    import numpy as np

    from stream.commands.client import with_broker
    from stream.commands.learning_progress import reading_shown
    from stream.parity import intents

    settings = load(flags)
    with reading_shown(events.progress) as shown:
        found = with_broker(settings, lambda: intents.read(settings, model, shown)).of(runs)
    _say(f"{int((~np.isnan(found[:, 0])).sum()):,} of {len(runs):,} events have a published score by this model.")
    return found


def _part(runs: Runs, card: Card, split_ms: int | None, hold_out: tuple[int, int] | None) -> Part:
    """What is judged: as asked for, else what the model has left out, else the last of the events."""
    part = judged_part(runs, card, split_ms, hold_out)
    if part is not None:
        return part
    import numpy as np

    from stream.evaluation.assembly import Part
    from stream.training.reading import moment

    split_ms = int(np.quantile(runs.raw["time_ms"], 1 - _EVALUATED_SHARE, method="higher"))
    _say(f"Judged is what is from {moment(split_ms)} on.")
    return Part(split_ms)


def _may_have_learned(card: Card, scored: ScoredEvents, part: Part, events: Events) -> list[str]:
    """The note that the model may know these events, if it may."""
    from stream.evaluation.in_sample import Judged, may_have_learned

    time_ms = scored.raw["time_ms"][scored.evaluated]
    judged = Judged(events.described(), int(time_ms.min()), int(time_ms.max()), part.hold_out)
    note = may_have_learned(card.made, judged)
    return [] if note is None else [_printable(note)]


def _printable(name: str) -> str:
    """The same, with a mark for each byte of a file's name that is no UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _say(what: str) -> None:
    click.echo(what, err=True)
