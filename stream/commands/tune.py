"""`tune`: search for how a model is best learned."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stream.commands.learning_events import Events, Moment, events_flags
from stream.commands.learning_task import Duration, asked_task, task_flags
from stream.commands.options import json_flag

if TYPE_CHECKING:
    from stream.training.task import Task
    from stream.training.trainer import Moved
    from stream.tuning.judging import Part
    from stream.tuning.search import Search, Tried

_FLAGS = (
    "recipe_file",
    "horizons",
    "session",
    "fraud",
    "label_delay",
    "before",
    "hold_out",
    "seed",
    "epochs",
    "loss",
    "next_event_only",
    "drop",
    "device",
)


@click.command("tune", short_help="search for how a model is best learned")
@events_flags
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON for `train --recipe`."
)
@click.option("--trials", type=click.IntRange(1, 10_000), default=20, help="In all, those of before included. [20]")
@click.option("--timeout", type=Duration(), help="Stop after so long, such as 90m. [never]")
@click.option("--only", multiple=True, metavar="NAME", help="Search this alone; repeatable. [all that is named above]")
@click.option("--split-time", type=Moment(), help="Learn from before, judge by what came then. [judge by users]")
@task_flags(*_FLAGS)
@click.option("--anew", is_flag=True, help="Begin again, even if a search is kept.")
@json_flag("trials, best and gain, as one object")
def tune(*, events: Events, flags: dict[str, Any], out: Path, as_json: bool, **asked: Any) -> int:
    """Try configurations of a model and its training, and write the best one.

    Searched are hidden, layers, cell, learning_rate, weight_decay, next_event_weight (beside that of purchases), lanes,
    updates, steps, average, event_dropout, time_stretch and crop. A trial is judged by the log loss of users who are
    held out (folds in turn, or one share of many), or of a time (--split-time); with --next-event-only, by surprise. It
    is given up where half of the others were better at the same epoch. Trial 0 is the default, or --recipe.

    Keep what you test on away from it, by --before or --hold-out. Killed, the same command goes on: the search is kept
    in OUT.run, and a larger --trials goes on with it too.

    \b
      behaviour-stream tune events.parquet --hold-out 1/5 --out best.json
      behaviour-stream tune events.parquet --split-time 2026-09-01 \\
          --before 2026-10-01 --trials 50 --timeout 8h --out best.json
      behaviour-stream tune events.parquet --only hidden --out best.json
      behaviour-stream train events.parquet --recipe best.json --out shop
    """
    from stream.tuning import words
    from stream.tuning.gain import gain
    from stream.tuning.search import best_of, written

    began = time.monotonic()
    search = _search(events, flags, out, asked)
    shown = _Shown(events.progress)
    try:
        search.run(asked["trials"], began + (asked["timeout"] or float("inf")), shown)
    finally:
        shown.end()
    tried = search.tried
    if not tried:
        click.echo(f"not one trial was over in time; the same command goes on from {out}.run", err=True)
        return 1
    best = best_of(tried)
    gained = None
    if best.number:
        (default, rows), (nats, _) = search.losses(tried[0]), search.losses(best)
        gained = gain(default, nats, rows)
    command = shlex.join(["behaviour-stream", *sys.argv[1:]])
    out.write_bytes(written(best, tried, {"command": command, "gain": msgspec.to_builtins(gained)}))
    if as_json:
        click.echo(msgspec.json.encode({"best": best.number, "gain": gained, "trials": tried}))
    else:
        click.echo("\n".join(words.table(tried, gained)))
        click.echo(f"wrote {out}: `train --recipe {out}` takes it")
    return 0


def _search(events: Events, flags: dict[str, Any], out: Path, asked: dict[str, Any]) -> Search:
    from stream.training.keeping import Folder
    from stream.tuning.journal import Journal
    from stream.tuning.search import Search
    from stream.tuning.space import chosen

    knobs = chosen(asked["only"])
    Journal.needed()
    folder = out.with_name(f"{out.name}.run")
    task, _ = asked_task(events, flags, asked)
    parts, judged_by = _parts(task, asked["split_time"])
    if asked["anew"]:  # only now: a slip of the pen costs no hours
        Journal.clear(folder)
        Folder(folder).clear()
    return Search(task, parts, knobs, folder, judged_by)


def _parts(task: Task, split_ms: int | None) -> tuple[list[Part], str]:
    from stream.tuning.judging import by_time, by_users

    if split_ms is not None:
        return by_time(task, split_ms), f"split at {split_ms}"
    return by_users(task), "users"


class _Shown:
    """A bar for the epoch, a line per trial, and the time left for all of them."""

    def __init__(self, shown: bool | None) -> None:
        from stream.commands.learning_progress import Bar

        self._bar, self._events = Bar(shown), 0

    def begins(self, what: str, epoch: int, events: int) -> None:
        self._events = events
        self._bar.begin(f"{what}, epoch {epoch}")

    def moved(self, moved: Moved) -> None:
        self._bar.show(moved.events, min(1.0, moved.events / self._events), f"loss {float(moved.cost.sum()):.4f}")

    def tried(self, tried: Sequence[Tried], left: int) -> None:
        from stream.tuning import words
        from stream.tuning.search import best_of

        self._bar.end()
        last, best = tried[-1], best_of(tried)
        secs_left = left * sum(one.seconds for one in tried) / len(tried)
        given_up = f", given up after {last.epochs} epochs" if last.hopeless else ""
        click.echo(
            f"trial {last.number}: {words.objective(last)} {last.judged.objective:.4f}{given_up}, "
            f"{last.seconds:,.0f} s; best {best.judged.objective:.4f} (trial {best.number})"
            + (f"; {left} more, about {_duration(secs_left)} left" if left else ""),
            err=True,
        )

    def end(self) -> None:
        self._bar.end()


def _duration(secs: float) -> str:
    return f"{secs:.0f} s" if secs < 120 else f"{secs / 60:.0f} min" if secs < 7200 else f"{secs / 3600:.1f} h"
