"""`python -m tests.bench.growth [--what KIND,...] [--json] [--picture DIR]`: what growth does, beside the theory.

For each kind of growth a backlog is scored with each of some values, the base case before and after each of them, since
a busy machine is another from minute to minute: the figure is the ratio. `theory.py` says what it should be, from what
single things cost on this machine at the base case. With --latency each value is also met by an open-loop load whose
rate is the same for all, and below what they can do: there theory says that nothing changes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from stream.bench.by_rate import Steady
from tests.bench.growth.kinds import NAMES, parsed_values
from tests.bench.growth.measuring import Plan, measure
from tests.bench.growth.result import table

_WARM_UP_SECS = 5.0


def _what(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    if unknown := [name for name in names if name not in NAMES]:
        raise click.BadParameter(f"expected some of {', '.join(NAMES)}, got {unknown[0]!r}")
    return names


def _values(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Mapping[str, object]:
    try:
        return dict(map(parsed_values, given))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--what", default=",".join(NAMES), callback=_what, help="Kinds. [all]")
@click.option("--values", multiple=True, callback=_values, metavar="KIND=V,V", help="Not the usual ones; repeatable.")
@click.option("--events", type=click.IntRange(100_000), default=300_000, help="Of a backlog. [300000]")
@click.option("--rounds", type=click.IntRange(1), default=1, help="[1]")
@click.option("--in-memory", type=click.IntRange(8_192), default=100_000, help="Users that have room. [100000]")
@click.option("--latency", is_flag=True, help="At a steady rate too.")
@click.option("--rate-per-sec", type=click.FloatRange(1), default=2_000.0, help="Of --latency. [2000]")
@click.option("--seconds", type=click.FloatRange(1), default=10.0, help="Of --latency. [10]")
@click.option("--picture", type=click.Path(file_okay=False, path_type=Path), help="A folder for KIND.png.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(
    *,
    what: tuple[str, ...],
    values: Mapping[str, tuple[float, ...]],
    events: int,
    rounds: int,
    in_memory: int,
    latency: bool,
    rate_per_sec: float,
    seconds: float,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Measure."""
    if picture is not None and importlib.util.find_spec("matplotlib") is None:  # before minutes of work
        raise click.UsageError("--picture needs matplotlib: pip install 'behaviour-stream[report]'")
    steady = Steady(rate_per_sec, seconds, _WARM_UP_SECS, 1)
    found = measure(
        Plan(
            what=what,
            values=values,
            events=events,
            rounds=rounds,
            in_memory=in_memory,
            steady=steady if latency else None,
            say=lambda line: click.echo(line, err=True),
        )
    )
    if picture is not None:
        from tests.bench.growth import pictures

        pictures.draw(found, picture)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo("\n".join(table(found)))


if __name__ == "__main__":
    main()
