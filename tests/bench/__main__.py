"""`python -m tests.bench [--json]`: this service and its peers, the same job side by side on this machine.

Each peer does what its own experts would have it do (`tests/bench/peers`): the same events from the same topics, the
same model, a state of the same size that is kept durably, one record of intent and one of anomaly for each event. What
it scores is compared with offline scoring, and a peer whose scores differ is void. What is not here (a JDK, say) is
said, and the others are compared.
"""

from __future__ import annotations

import click
import msgspec

from tests.bench.peers import systems
from tests.bench.peers.race import Plan, compare
from tests.bench.peers.result import table


def _names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    try:
        for name in names:
            systems.parsed(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return names


@click.command()
@click.option("--systems", "names", default=",".join(systems.USUAL), callback=_names, help="Which, SYSTEM or SYSTEM:N.")
@click.option("--rounds", type=click.IntRange(1), default=2, help="Of all systems in turns. [2]")
@click.option("--seconds", type=click.FloatRange(1), default=20.0, help="Measured of each run at most. [20]")
@click.option("--events", type=click.IntRange(1_000), default=3_000_000, help="On the topics. [3000000]")
@click.option("--checked", type=click.IntRange(100), default=20_000, help="Scores compared of each. [20000]")
@click.option(
    "--hidden", type=click.IntRange(1), help="An untaught model with so many hidden numbers. [the shipped one]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(
    *, names: tuple[str, ...], rounds: int, seconds: float, events: int, checked: int, hidden: int | None, as_json: bool
) -> None:
    """Compare."""
    plan = Plan(names=names, rounds=rounds, seconds=seconds, events=events, checked=checked, hidden=hidden)
    found = compare(plan, lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for line in table(found):
            click.echo(line)


if __name__ == "__main__":
    main()
