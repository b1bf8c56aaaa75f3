"""`train`: a model from a shop's own events."""

from __future__ import annotations

import gc
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from stream.commands.learning_events import Events, events_flags
from stream.commands.learning_task import TASK_FLAGS, ModelPath, asked_task, task_flags
from stream.commands.options import json_flag
from stream.errors import SettingsError


@click.command("train", short_help="a model from your own events")
@events_flags
@click.option("--out", type=ModelPath(), required=True, help="PATH of PATH.safetensors and PATH.json.")
@click.option("--model", "start", metavar="NAME|FILE", help="Go on from this one: fine-tuning.")
@task_flags(*TASK_FLAGS)
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Curves for TensorBoard.")
@click.option("--anew", is_flag=True, help="Begin again, even if an interrupted run is kept.")
@json_flag("the model's card, as one object")
def train(*, events: Events, flags: dict[str, Any], out: Path, as_json: bool, **asked: Any) -> int:
    """Train a model, and write it with a card that says how it came about.

    Events come from FILEs (what `replay` reads), from the topics, or from simulated shops. Interrupted, the same
    command goes on where it was; what it needs for that is in PATH.run.

    \b
      behaviour-stream train events.parquet --out shop
      behaviour-stream train events.csv.gz --map shop.toml --out shop
      behaviour-stream train new.parquet --model shop.safetensors --out shop-2
      behaviour-stream train --topics --since 2026-10-01 --out shop
      behaviour-stream worker --model shop.safetensors
    """
    from stream import model_file
    from stream.commands.learning_progress import Watching
    from stream.training.fit import fit
    from stream.training.keeping import Folder

    gc.set_threshold(100_000, 50, 50)  # reading makes many objects and no rings of them: a fifth of its time
    command = shlex.join(["behaviour-stream", *sys.argv[1:]])
    folder = Folder(out.with_name(f"{out.name}.run"))
    start = model_file.load(asked["start"]) if asked["start"] else None
    kept = {} if asked["anew"] else folder.read()
    # Topics go on while it learns: an interrupted run goes on with what it began with
    begun_ms = kept.get("begun_ms", time.time_ns() // 1_000_000)
    events = msgspec.structs.replace(events, begun_ms=begun_ms)
    task, described = asked_task(events, flags, asked, start)
    if asked["anew"]:  # only now: a slip of the pen costs no hours
        folder.clear()
    folder.write({**kept, "begun_ms": begun_ms})
    watching = Watching(events.progress, asked["log_dir"])
    try:
        fitted = fit(task, folder, watching)
    except SettingsError:
        if "of" not in folder.read():  # it has not begun
            folder.clear()
        raise
    finally:
        watching.close()
    import torch

    made = {**described, "command": command, "torch": str(torch.__version__), **fitted.story}
    card = model_file.save(fitted.model, out, statistics=fitted.statistics, normal=fitted.normal, made=made)
    folder.clear()
    if as_json:
        click.echo(msgspec.json.encode(card))
    else:
        click.echo(f"wrote {out}.safetensors and {out}.json, hash {card.weights_sha256[:12]}")
    return 0
