"""`size`: what so many events and users take, and what breaks first."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.options import json_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

if TYPE_CHECKING:
    from stream.model import Sizes
    from stream.settings import Settings
    from stream.sizing.constants import Constants
    from stream.sizing.demands import Demands
    from stream.sizing.sizing import Sizing

_SETTINGS = (
    "model", "sequence_events", "memory_max_users", "store_memory_bytes", "guarantee", "checkpoint_interval_ms",
    "transaction_timeout_ms", "standby_replicas", "retention_hours",
)  # fmt: skip
_NUMBER = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?(?:e[0-9]+)?|\.[0-9]+)([kMGT]?)")
_TIMES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_WIDTH = 100  # columns where there is no terminal
_CHECK_EVENTS = 300_000


@click.command("size", short_help="what so many events and users take, and what breaks first")
@click.option("--events-per-second", metavar="N", help="Of the whole, at its busiest: 200000, 200k, 1e6, 1M.")
@click.option("--users", metavar="N", help="Who have a row: all who came in --user-expiry-days.")
@click.option("--hidden", metavar="N", help="Units of a layer, of a model that there is not yet; else that of --model.")
@click.option("--layers", metavar="N", help="Of it. [1]")
@click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="Of it. [lstm]")
@click.option(
    "--activity",
    type=click.Choice(["zipf", "uniform"]),
    help="How users differ: few act often and many seldom, or all alike. [zipf]",
)
@click.option("--zipf-exponent", metavar="N", help="Of Zipf's law. [1.1]")
@click.option("--user-max-events-per-second", metavar="N", help="Oftener than that nobody acts. [1, a person]")
@click.option("--active-share", metavar="SHARE", help="Of users, who act at all, all alike; instead of --activity.")
@click.option(
    "--active-users-per-checkpoint",
    metavar="N",
    help="So many act between two checkpoints, all alike; instead of --activity.",
)
@click.option("--cores-per-worker", metavar="N", help="Beyond 1.2 a worker cannot use more. [1]")
@click.option("--headroom", metavar="SHARE", help="Of each worker and broker, left free. [0.5]")
@click.option("--replication-factor", metavar="N", help="Of all topics. [3]")
@click.option("--worker-memory-bytes", metavar="N", help="That a worker may have: 4G. [no limit]")
@click.option(
    "--constants",
    "constants_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help='JSON with your own measurements, {"kafka_us": 2.1}; --json lists all.',
)
@click.option("--check", "as_check", is_flag=True, help="Run a small demand on this machine beside its prediction.")
@json_flag("one JSON object")
@setting_flags(*_SETTINGS)
def size(
    *,
    constants_path: Path | None,
    as_check: bool,
    as_json: bool,
    hidden: str | None,
    layers: str | None,
    cell: str | None,
    activity: str | None,
    model: str | None,
    **flags: str | None,
) -> int:
    """Turn events per second, users and a model's size into workers, partitions, brokers, memory, disk and traffic.

    It is made of measured constants; those that could not be measured are told at the end, and all with the command
    that measures them again by --json. Then what breaks first: what of this deployment fills up as the shop grows, and
    what breaks however many machines there are. Settings of a worker are flags or BEHAVIOUR_* variables here too.

    Exit codes: 0 it fits, 1 a limit is passed at this demand.

    \b
      behaviour-stream size --events-per-second 200k --users 10M
      behaviour-stream size --events-per-second 1M --users 100M --hidden 128
      behaviour-stream size --events-per-second 1M --users 9M --json | jq .memory
      behaviour-stream size --check
    """
    import msgspec

    numbers = {name: _number(name, text) for name, text in flags.items() if name not in _SETTINGS}
    settings = load({name: text for name, text in flags.items() if name in _SETTINGS} | {"model": model})
    from stream.sizing import constants as constants_of
    from stream.sizing import words
    from stream.sizing.sizing import size as sized

    constants, given = (
        (constants_of.Constants(), frozenset[str]()) if constants_path is None else constants_of.read(constants_path)
    )
    sizes, name = _model(settings, model, hidden, layers, cell)
    if as_check:
        return _check(_demands(settings, sizes, activity, numbers, flags, check=True), constants, as_json)
    result = sized(_demands(settings, sizes, activity, numbers, flags), constants, given)
    if as_json:
        click.echo(msgspec.json.encode(_plain(result, name)))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
        click.echo("\n".join(words.lines(result, name, max(width, 60))))
    return 0 if result.fits else 1


def _number(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise SettingsError(f"--{name.replace('_', '-')}={text}: expected a number, such as 250000, 250k, 1e6 or 0.5")
    return float(found[1].replace("_", "").replace(",", "")) * _TIMES[found[2]]


def _whole(name: str, number: float) -> int:
    if number != int(number):
        raise SettingsError(f"--{name.replace('_', '-')}={number:g}: expected a whole number")
    return int(number)


def _demands(
    settings: Settings,
    sizes: Sizes,
    activity: str | None,
    numbers: dict[str, float | None],
    flags: dict[str, str | None],
    *,
    check: bool = False,
) -> Demands:
    from stream.sizing.demands import Demands

    wholes = ("users", "active_users_per_checkpoint", "replication_factor")
    asked: dict[str, Any] = {
        name: _whole(name, number) if name in wholes else number
        for name, number in numbers.items()
        if number is not None
    }
    for name in ("events_per_second", "users"):
        if check:
            asked.setdefault(name, 10**9)  # what they are is told by the run
        elif name not in asked:
            raise SettingsError(f"--{name.replace('_', '-')}: expected a number, got none")
    instead = [name for name in ("active_share", "active_users_per_checkpoint") if name in asked]
    if instead and activity is not None:
        raise SettingsError(f"--activity={activity}: expected it without --{instead[0].replace('_', '-')}, got both")
    if flags["memory_max_users"] is not None:
        asked["memory_max_users"] = settings.memory_max_users
    return Demands(model=sizes, settings=settings, law="uniform" if activity == "uniform" else "zipf", **asked)


def _model(
    settings: Settings, model: str | None, hidden: str | None, layers: str | None, cell: str | None
) -> tuple[Sizes, str]:
    """Its sizes and name: of a model that there is, or of one that could be."""
    from stream import model_file
    from stream.model import Sizes

    if hidden is None:
        for name, value in (("layers", layers), ("cell", cell)):
            if value is not None:
                raise SettingsError(f"--{name}={value}: expected --hidden beside it, got none")
        loaded = model_file.load(settings.model)
        return loaded.card.sizes, loaded.name
    if model is not None:
        raise SettingsError(f"--model={model} and --hidden={hidden}: expected one of them, got both")
    units, deep = (_dimension(name, text) for name, text in (("hidden", hidden), ("layers", layers or "1")))
    return Sizes(hidden=units, layers=deep, cell=cell or "lstm"), "a model to be"  # type: ignore[arg-type]


def _dimension(name: str, text: str) -> int:
    number = _whole(name, _number(name, text) or 0)
    if not 1 <= number <= 65_535:  # as rows have room for
        raise SettingsError(f"--{name}={text}: expected 1 to 65535")
    return number


def _check(demands: Demands, constants: Constants, as_json: bool) -> int:
    import msgspec

    from stream.sizing import words
    from stream.sizing.trial import try_out

    trial = try_out(demands, constants, _CHECK_EVENTS, lambda text: click.echo(text, err=True))
    click.echo(msgspec.json.encode(trial) if as_json else "\n".join(words.trial_lines(trial)))
    return 0


def _plain(result: Sizing, model: str) -> dict[str, Any]:
    """As JSON has it: of a worker's settings those that were asked for here."""
    import msgspec

    from stream.settings import in_force

    plain: dict[str, Any] = msgspec.to_builtins(result, enc_hook=str)
    settings = in_force(result.demands.settings)
    plain["demands"]["settings"] = {name: settings[name] for name in _SETTINGS if name != "memory_max_users"}
    plain["demands"] |= {"memory_max_users": result.demands.room, "model_name": model}
    return plain | {"fits": result.fits}
