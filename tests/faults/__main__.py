"""`python -m tests.faults --rounds N --seed S --guarantee G --json`: whether anything is lost or applied twice.

A round has topics and workers of its own; its load, its settings and the faults that are thrown at it are drawn by the
seed. In one form the topics are loaded beforehand, so that everything must equal an offline run; in the other they are
sent to meanwhile, and scores must be those of the order in which the service says that it applied them.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from tests.faults import campaign, disk
from tests.faults.rounds import Form, Plan
from tests.faults.verdict import Tally

_FORMS: tuple[Form, Form] = ("loaded", "live")


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=30, help="Of each form.  [30]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
@click.option("--guarantee", type=click.Choice(campaign.guarantees()), default="at_least_once", help="[at_least_once]")
@click.option("--form", type=click.Choice((*_FORMS, "both")), default="both", help="[both]")
@click.option("--faults", type=click.IntRange(0), default=4, help="Of a round.  [4]")
@click.option("--events", type=click.IntRange(1), default=8_000, help="Of a round that is loaded beforehand.  [8000]")
@click.option("--rate", type=click.FloatRange(1), default=300.0, help="Events per second of a live round.  [300]")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".behaviour-stream/faults"),
    help="State, logs, and what is left of rounds with defects.  [.behaviour-stream/faults]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(
    *,
    rounds: int,
    seed: int,
    guarantee: str,
    form: str,
    faults: int,
    events: int,
    rate: float,
    folder: Path,
    as_json: bool,
) -> None:
    """Play rounds and count what was wrong. Killed, it goes on with the same command after the last finished round.

    Exit code 1: there was a defect.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says at length what is done to its brokers
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "campaign.log"

    def say(line: str) -> None:
        line = f"{campaign.now()} {line}"
        click.echo(line, err=True)
        with log.open("a") as file:
            file.write(line + "\n")

    cannot = disk.why_not(folder / "disk")
    if cannot:
        say(f"no disk can be filled up here: {cannot}")
    reports = {}
    for one in _FORMS if form == "both" else (form,):
        plan = Plan(
            seed=seed,
            form="loaded" if one == "loaded" else "live",
            guarantee=guarantee,
            events=events,
            rate_per_sec=rate,
            faults=faults,
            small_disks=not cannot,
        )
        outcomes = campaign.run(plan, rounds, folder, say)
        reports[one] = campaign.report(plan, outcomes)
    told = next(iter(reports.values())) if len(reports) == 1 else _together(reports)
    told["cannot"] = [f"full disk: {cannot}"] if cannot else []
    click.echo(json.dumps(told, indent=None if as_json else 1))
    sys.exit(1 if any(report["rounds_with_defects"] for report in reports.values()) else 0)


def _together(reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Both forms: the sums first."""
    both = list(reports.values())
    summed = ("rounds", *Tally.__struct_fields__, "unfinished", "records", "worker_restarts", "seconds")
    same = ("guarantee", "seed", "machine")
    return {
        "form": "both",
        **{name: both[0][name] for name in same},
        **{name: sum(report[name] for report in both) for name in summed},
        "forms": reports,
    }


if __name__ == "__main__":
    main()
