"""Round after round of one form, with a file of what each came to: a campaign that is killed goes on after the last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import time
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.errors import BehaviourStreamError
from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from tests.faults import disk
from tests.faults.rounds import Outcome, Plan, Round
from tests.faults.verdict import Tally

Say = Callable[[str], None]


class State:
    """The finished rounds of a plan, a line each."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.name = f"{plan.form}-{plan.guarantee}-{plan.seed}"
        self.path = folder / f"{self.name}.jsonl"
        self._plan = msgspec.json.encode(plan)

    def read(self) -> list[Outcome]:
        """Those of this very plan; of another one (more events, say), none."""
        if not self.path.exists():
            return []
        plan, *outcomes = self.path.read_bytes().splitlines() or [b""]
        if plan != self._plan:
            return []
        return [msgspec.json.decode(line, type=Outcome) for line in outcomes if line.endswith(b"}")]

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """All or nothing: a kill in the middle leaves what was there."""
        lines = [self._plan, *(msgspec.json.encode(outcome) for outcome in outcomes)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        beside.write_bytes(b"\n".join([*lines, b""]))
        beside.replace(self.path)


def guarantees() -> tuple[str, ...]:
    """What the setting of that name may be."""
    hint = typing.get_type_hints(Settings)["guarantee"]
    return tuple(map(str, typing.get_args(hint)))


def run(plan: Plan, rounds: int, folder: Path, say: Say) -> list[Outcome]:
    """Play what is left of so many rounds -> the outcomes of all of them."""
    state = State(folder, plan)
    outcomes = state.read()[:rounds]
    if len(outcomes) == rounds:
        return outcomes
    work = (folder / state.name).absolute()
    _unmount(work)
    for begun in ("broker", f"round-{len(outcomes) + 1}"):  # by a run that was killed; rounds with defects are kept
        shutil.rmtree(work / begun, ignore_errors=True)
    with EmbeddedBroker(work / "broker") as broker:
        while len(outcomes) < rounds:
            number = len(outcomes) + 1
            outcome = _played(plan, number, broker, work / f"round-{number}")
            outcomes.append(outcome)
            state.write(outcomes)
            say(_line(plan, outcome))
    if not any(outcome.defects(plan) for outcome in outcomes):
        shutil.rmtree(work, ignore_errors=True)
    return outcomes


def _played(plan: Plan, number: int, broker: EmbeddedBroker, folder: Path) -> Outcome:
    """A round; what is left of it is kept where something was wrong."""
    round_ = Round(plan, number, broker, folder)
    outcome = asyncio.run(round_.play())
    if not outcome.defects(plan):
        with contextlib.suppress(BehaviourStreamError):  # they are in nobody's way
            asyncio.run(_delete_topics(round_.settings))
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def _delete_topics(settings: Settings) -> None:
    async with topics.admin_of(settings.bootstrap_servers) as admin:
        await admin.delete_topics([*settings.source_topics, *settings.output_topics, settings.changelog_topic])


def _unmount(work: Path) -> None:
    """What a campaign that was killed has left mounted."""
    for mounted in disk.left_behind(work):
        disk.unmount(mounted)


def _line(plan: Plan, outcome: Outcome) -> str:
    defects = outcome.defects(plan)
    verdict = ", ".join(f"{name} {n}" for name, n in defects.items()) or "nothing lost, nothing differs"
    return "; ".join(
        [
            f"{plan.form} {plan.guarantee} seed {plan.seed} round {outcome.number}: {verdict}",
            f"{outcome.records:,} records, {outcome.tally.repeated:,} repeated, {outcome.seconds:.0f} s",
            f"{outcome.worker_restarts} restarts, {outcome.under_load} of {len(outcome.faults)} faults under load",
            ", ".join(outcome.faults),
            *outcome.notes,
        ]
    )


def report(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The campaign as one JSON object."""
    tally = sum((outcome.tally for outcome in outcomes), Tally())
    exits: Counter[str] = Counter()
    for outcome in outcomes:
        exits.update(outcome.exits)
    return {
        "form": plan.form,
        "guarantee": plan.guarantee,
        "seed": plan.seed,
        "rounds": len(outcomes),
        **msgspec.to_builtins(tally),
        "unfinished": sum(not outcome.finished for outcome in outcomes),
        "rounds_with_defects": {o.number: found for o in outcomes if (found := o.defects(plan))},
        "records": sum(outcome.records for outcome in outcomes),
        "hostile_records": sum(outcome.hostile for outcome in outcomes),
        "faults": dict(Counter(kind for outcome in outcomes for kind in outcome.faults)),
        "faults_under_load": sum(outcome.under_load for outcome in outcomes),
        "worker_restarts": sum(outcome.worker_restarts for outcome in outcomes),
        "exits": dict(exits.most_common()),
        "notes": [f"round {o.number}: {note}" for o in outcomes for note in o.notes],
        "machine": machine(),
        "seconds": round(sum(outcome.seconds for outcome in outcomes)),
    }


def machine() -> str:
    """What the figures were measured on."""
    cpus = len(os.sched_getaffinity(0))
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{cpus} x {names[0] if names else platform.machine()}, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def now() -> str:
    return time.strftime("%H:%M:%S")
