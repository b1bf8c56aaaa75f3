"""`python -m tests.accuracy [--set NAME] [--seeds N] [--json]`: the README's figures, from the data beside the project.

One configuration for all sets: the recipe's defaults. Each line says on what, how good, and beside what.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tests.accuracy import cards, intent, logs, pooled, sets

_SETS = ("jdata", "jd", "cards", "logs")


@click.command()
@click.option("--set", "names", type=click.Choice(_SETS), multiple=True, help="[all]")
@click.option("--seeds", type=click.IntRange(1), default=3, help="[3]")
@click.option("--json", "as_json", is_flag=True)
def main(names: tuple[str, ...], seeds: int, as_json: bool) -> None:
    """Train and judge on each set."""
    if not sets.FOLDER.exists():
        click.echo(f"{sets.FOLDER}: the data sets are not here: they stay outside the project", err=True)
        sys.exit(2)
    found: dict[str, Any] = {}
    for name in names or _SETS:
        if name == "cards":
            found[name] = cards.judge(seeds, _say)
        elif name == "logs":
            found[name] = logs.judge(seeds, _say)
        else:
            found[name] = intent.judge(sets.intent(name), seeds, _say)
        if not as_json:
            click.echo(f"{name}: {json.dumps(found[name], indent=1)}")
    differences = {name: of for name in found if (of := _difference(name, found[name])) is not None}
    if len(differences) > 1:
        found["pooled"] = {"of": list(differences), **pooled.pooled(differences)._asdict()}
        click.echo(f"pooled: {found['pooled']}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=1))


def _difference(name: str, of: dict[str, Any]) -> pooled.Difference | None:
    """Of a set's first horizon, or of its fraud, to the best baseline; None of logs, which have no such."""
    if name == "logs":
        return None
    first = next(iter(of.values())) if name != "cards" else of
    return pooled.of_seeds([pooled.Difference(**each["auc"]) for each in first["difference"]])


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
