"""`model`: another model for running workers, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.shell_completion import CompletionItem

from stream.commands.options import SOURCES, json_flag, setting_flags, shipped_models
from stream.settings import Settings, load

if TYPE_CHECKING:
    from stream.changing.announcing import Listing, Result

_FLAGS = ("bootstrap_servers", "models_topic", "app_id")


@click.group("model", short_help="another model for running workers, and back")
def model() -> None:
    """Announce a model on the models topic: running workers take it up, and no event is scored by two.

    Each partition changes over at a point of its topics that is in its log: what lies before it is the former model's,
    also where a worker is killed and does it again. What users carry is made anew from their last events. A model that
    a worker cannot use is refused by it, and the former one goes on.

    \b
      behaviour-stream model use shop.safetensors --wait
      behaviour-stream model list
      behaviour-stream model back
    """


def _waiting(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--timeout-secs", type=click.FloatRange(0), default=600.0, help="How long --wait waits at most. [600]"
    )(command)
    return click.option("--wait", is_flag=True, help="Return once all partitions are scored by it.")(command)


def _models(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    known = [CompletionItem(name) for name in shipped_models() if name.startswith(begun)]
    return known or [CompletionItem(begun, type="file")]


@model.command("use", short_help="announce a model")
@click.argument("wanted", metavar="FILE|NAME", shell_complete=_models)
@_waiting
@json_flag("one JSON object, with the version")
@setting_flags(*_FLAGS)
def use(wanted: str, wait: bool, timeout_secs: float, as_json: bool, **flags: str | None) -> None:
    """Announce a .safetensors file with its card beside it, or a shipped model's name.

    It is checked as a worker will check it. Weights of up to about 700 kB go into the record; of larger ones the path
    does, and every worker must have the same file there.

    \b
      behaviour-stream model use shop.safetensors
      behaviour-stream model use shoppers-h64 --wait --json | jq .version
    """
    from stream.changing import announcing

    _announced(load(flags), lambda settings: announcing.use(settings, wanted), wait, timeout_secs, as_json)


@model.command("back", short_help="announce the model before again")
@_waiting
@json_flag("one JSON object, with the version")
@setting_flags(*_FLAGS, "model")
def back(wait: bool, timeout_secs: float, as_json: bool, **flags: str | None) -> None:
    """Announce the model before the latest again, as a new version.

    Where only one was ever announced, that is the one of --model, with which workers were started.

    \b
      behaviour-stream model back --wait
    """
    from stream.changing import announcing

    _announced(load(flags), announcing.back, wait, timeout_secs, as_json)


@model.command("list", short_help="versions, and which partitions are scored by which")
@json_flag("one JSON object, with models and partitions")
@setting_flags(*SOURCES, "models_topic", "app_id")
def list_(as_json: bool, **flags: str | None) -> None:
    """Show the versions that were announced, and by which each partition is scored.

    Version 0 is what workers were started with. What partitions say comes from their own log.

    \b
      behaviour-stream model list
      behaviour-stream model list --json | jq '.partitions[] | [.partition, .version]'
    """
    settings = load(flags)
    from stream.changing import announcing
    from stream.commands.client import with_broker

    found = with_broker(settings, lambda: announcing.listing(settings))
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(_lines(found)))


def _announced(
    settings: Settings, announce: Callable[[Settings], Any], wait: bool, timeout_secs: float, as_json: bool
) -> None:
    from stream.changing import announcing
    from stream.commands.client import with_broker

    result: Result = with_broker(settings, lambda: announce(settings))
    how = "announced as" if result.announced else "is already"
    click.echo(f"{result.model}, hash {result.model_hash}: {how} version {result.version}", err=as_json)
    if result.file:
        click.echo(f"too large for a record: every worker must have it as {result.file}", err=True)
    if wait:
        shown = with_broker(
            settings,
            lambda: announcing.taken_up(
                settings, result, timeout_secs=timeout_secs, say=lambda text: click.echo(text, err=True)
            ),
        )
        result = shown
    if as_json:
        click.echo(msgspec.json.encode(result))


def _lines(found: Listing) -> Iterator[str]:
    yield f"{'version':<9}{'announced':<22}{'hash':<14}{'model':<28}partitions"
    for of in found.models:
        when = "started with" if not of.version else "no longer there"
        if of.announced_ms is not None:
            when = datetime.fromtimestamp(of.announced_ms / 1000, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
        numbers = " ".join(map(str, of.partitions)) or "none"
        yield f"{of.version:<9}{when:<22}{of.model_hash:<14}{of.model:<28}{numbers}"
    if unknown := [of.partition for of in found.partitions if of.version is None]:
        yield f"never scored: partitions {' '.join(map(str, unknown))}"
