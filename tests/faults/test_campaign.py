"""The campaign's short form: two rounds of each form and guarantee; and it goes on where it was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import psutil  # type: ignore[import-untyped]
import pytest

from tests.faults import campaign
from tests.faults.campaign import State
from tests.faults.faults import draw
from tests.faults.rounds import Form, Outcome, Plan
from tests.faults.verdict import Tally
from tests.running import lives

ROOT = Path(__file__).parents[2]
# Of this seed: kill -9 and SIGSTOP past the session, then a worker that leaves and kill -9 of the broker.
SEED, ROUNDS, FAULTS, EVENTS = 70, 2, 2, 2_500
FIRST_ROUND_SECS, GONE_SECS = 600.0, 30.0


def _plan(form: Form, guarantee: str, **other: Any) -> Plan:
    short = {"seed": SEED, "events": EVENTS, "rate_per_sec": 200.0, "faults": FAULTS, "small_disks": False}
    return Plan(form=form, guarantee=guarantee, **(short | other))


@pytest.mark.broker
@pytest.mark.parametrize("guarantee", campaign.guarantees())
@pytest.mark.parametrize("form", get_args(Form))
def test_nothing_is_lost_and_nothing_is_applied_twice(form: Form, guarantee: str, tmp_path: Path) -> None:
    said: list[str] = []
    plan = _plan(form, guarantee)
    outcomes = campaign.run(plan, ROUNDS, tmp_path, said.append)
    report = campaign.report(plan, outcomes)
    assert report["rounds_with_defects"] == {}, report
    assert set(report["faults"]) == {
        "worker kill -9",
        "worker SIGSTOP past its session",
        "worker leaves",
        "broker kill -9",
    }
    assert report["faults_under_load"] >= 2 and report["worker_restarts"] >= 1, report
    assert report["records"] >= (ROUNDS * EVENTS if form == "loaded" else 1_000) > 20 < report["hostile_records"]
    assert len(said) == ROUNDS  # a line each
    assert campaign.run(plan, ROUNDS, tmp_path, said.append) == outcomes  # all of them are finished
    assert len(said) == ROUNDS


def _command(folder: Path) -> list[str]:
    arguments = f"--rounds 2 --seed {SEED} --form loaded --faults 0 --events 300 --json".split()
    return [sys.executable, "-m", "tests.faults", *arguments, "--folder", str(folder)]


@pytest.mark.broker
def test_a_killed_campaign_leaves_no_process_and_goes_on_with_the_same_command(tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as err:
        first = subprocess.Popen(_command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=err)
    state, deadline = tmp_path / f"loaded-at_least_once-{SEED}.jsonl", time.monotonic() + FIRST_ROUND_SECS
    while not state.exists() or len(state.read_bytes().splitlines()) < 2:  # the plan, then a line for each round
        assert first.poll() is None, (tmp_path / "err").read_text()
        assert time.monotonic() < deadline, (tmp_path / "err").read_text()
        time.sleep(0.1)
    children = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert children
    deadline = time.monotonic() + GONE_SECS
    while any(lives(child) for child in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.1)

    done = subprocess.run(_command(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rounds"], report["lost"], report["rows_differ"], report["committed_past_work"]) == (2, 0, 0, 0)
    rounds = [line for line in (tmp_path / "campaign.log").read_text().splitlines() if " round " in line]
    assert ["round 1" in rounds[0], "round 2" in rounds[1], len(rounds)] == [True, True, 2]


@pytest.mark.parametrize("small_disks", [False, True])
def test_faults_are_drawn_by_seed_and_a_deck_has_every_kind(small_disks: bool) -> None:
    rounds = [draw(3, number, 4, small_disks=small_disks) for number in range(30)]
    assert rounds == [draw(3, number, 4, small_disks=small_disks) for number in range(30)]
    assert rounds != [draw(4, number, 4, small_disks=small_disks) for number in range(30)]
    kinds = Counter(fault.kind for of_round in rounds for fault in of_round)
    assert len(kinds) == (12 if small_disks else 11)
    assert min(kinds.values()) >= 9  # of 120, by a deck of 12 or 13 cards
    assert ("worker's disk is full" in kinds) == small_disks


def _outcome(number: int, **tally: int) -> Outcome:
    return Outcome(
        number=number, tally=Tally(**tally), finished=True, records=10, hostile=1, faults=("worker kill -9",),
        under_load=1, worker_restarts=1, exits={"kill -9: -9": 1}, seconds=1.0,
    )  # fmt: skip


def test_a_state_is_of_its_very_plan(tmp_path: Path) -> None:
    plan = _plan("live", "at_least_once")
    outcomes = [_outcome(1), _outcome(2, repeated=3)]
    assert State(tmp_path, plan).read() == []
    State(tmp_path, plan).write(outcomes)
    assert State(tmp_path, plan).read() == outcomes
    assert State(tmp_path, _plan("live", "at_least_once", events=1)).read() == []
    assert State(tmp_path, _plan("loaded", "at_least_once")).read() == []


def test_a_report_sums_up_and_names_the_rounds_with_defects() -> None:
    plan = _plan("loaded", "at_least_once")
    unfinished = Outcome(**{**_as_dict(_outcome(3)), "finished": False})
    report = campaign.report(plan, [_outcome(1, repeated=5), _outcome(2, lost=2, repeated=1), unfinished])
    assert (report["rounds"], report["lost"], report["repeated"], report["unfinished"]) == (3, 2, 6, 1)
    assert report["rounds_with_defects"] == {2: {"lost": 2}, 3: {"unfinished": 1}}
    assert (report["faults"], report["exits"]) == ({"worker kill -9": 3}, {"kill -9: -9": 3})


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in Outcome.__struct_fields__}
