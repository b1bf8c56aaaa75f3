"""What is compared on labelled shop events: who is learned from, who sets thresholds, who is judged, and by what."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream import cli, model_file
from stream.errors import SettingsError
from stream.evaluation import fraud_methods, isolation
from stream.evaluation.assembly import Part
from stream.evaluation.behaviour import Floats
from stream.evaluation.fraud_methods import Scored, Shoppers, methods, rows
from stream.training import splits
from stream.training.runs import Runs
from tests.shop import NORMAL, STATISTICS, small_model
from tests.training.shops import DAY_MS, START_MS, simulated

pytest.importorskip("sklearn")

HEAD = "fraud head (has learned from labels)"
SHOP = ["--simulated", "1", "--scenario", "demo", "--users", "200", "--days", "10", "--no-progress"]


def shop() -> Runs:
    """Of 112 users, some of whom are fraudsters."""
    return simulated(users=100, days=4, honest=False)


@cache
def shoppers() -> Shoppers:
    return Shoppers.of(shop(), Part(), seed=1)


@cache
def scored() -> dict[str, Scored]:
    return methods(shoppers(), model_file.load("shoppers-h64"), seed=1)


def fraudsters(of: Runs) -> set[int]:
    return set(of.user[np.unique(of.owner[np.asarray(of.fraud) == 1])].tolist())


def users(of: Runs) -> set[int]:
    return set(of.user.tolist())


def test_every_event_has_a_score_by_every_method() -> None:
    assert list(scored())[:3] == ["anomaly", "strain alone", "one event alone"]
    assert len(scored()) == 5
    for name, score in scored().items():
        assert len(score.calm) == len(shoppers().calm) and len(score.tested) == len(shoppers().tested), name
        assert np.isfinite(score.tested).all(), name


def test_no_score_knows_a_label() -> None:
    tested = shoppers().tested
    unlabelled = dataclasses.replace(tested, fraud=np.zeros_like(tested.fraud), kind=np.zeros_like(tested.kind))
    again = methods(shoppers()._replace(tested=unlabelled), model_file.load("shoppers-h64"), seed=1)
    for name, score in scored().items():
        np.testing.assert_array_equal(score.tested, again[name].tested)


def test_everybody_is_there_for_one_thing_and_whoever_is_labelled_is_tested() -> None:
    learning, calm, tested = (users(of) for of in shoppers())
    assert len(learning) + len(calm) + len(tested) == len(learning | calm | tested) == len(users(shop()))
    assert fraudsters(shop()) <= tested and tested - fraudsters(shop())
    assert 1 / 3 < len(learning) / len(calm) < 3
    assert 1 / 3 < (len(learning) + len(calm)) / len(tested - fraudsters(shop())) < 3


def test_nothing_learns_from_those_by_whom_thresholds_are_set() -> None:
    few = shoppers().calm.of_users(np.arange(len(shoppers().calm.counts)) < 3)
    again = methods(shoppers()._replace(calm=few), model_file.load("shoppers-h64"), seed=1)
    for name, score in scored().items():
        np.testing.assert_array_equal(score.tested, again[name].tested, name)
        np.testing.assert_allclose(score.calm[: len(few)], again[name].calm, atol=1e-5, err_msg=name)


def test_of_a_part_everyone_in_it_has_all_of_their_past() -> None:
    of, middle = shop(), START_MS + 2 * DAY_MS
    fold = splits.folds(of.user, 2) == 0
    since, held = (Shoppers.of(of, part, seed=1) for part in (Part(since_ms=middle), Part(users=fold)))
    later = set(of.user[np.unique(of.owner[of.raw["time_ms"] >= middle])].tolist())
    for parts, expected in ((since, later), (held, set(of.user[fold].tolist()))):
        assert users(parts.learning) | users(parts.calm) | users(parts.tested) == expected
        for there in parts:
            assert len(there) == of.counts[np.isin(of.user, there.user)].sum()
    assert (since.tested.raw["time_ms"] < middle).any()
    judged = rows(since.tested, middle).judged
    np.testing.assert_array_equal(judged, since.tested.raw["time_ms"] >= middle)
    assert rows(since.tested).judged.all()


def test_who_was_labelled_before_the_part_is_not_calm_in_it() -> None:
    of = shop()
    first = np.zeros(len(of), np.int8)
    first[np.cumsum(of.counts) - of.counts] = np.arange(len(of.counts)) % 2  # each second user's first event
    parts = Shoppers.of(dataclasses.replace(of, fraud=first), Part(since_ms=START_MS + 2 * DAY_MS), seed=1)
    assert not fraudsters(parts.learning) and not fraudsters(parts.calm)


def test_a_part_without_fraud_or_without_honest_users_is_refused() -> None:
    of = shop()
    with pytest.raises(SettingsError, match=rf"with and without labels.*got 0 and 0 of {len(of.counts)}; see --labels"):
        Shoppers.of(of, Part(since_ms=START_MS + 100 * DAY_MS), seed=1)
    honest = dataclasses.replace(of, fraud=np.full_like(of.fraud, -1))
    with pytest.raises(SettingsError, match=rf"got 0 and {len(of.counts)} of {len(of.counts)}"):
        Shoppers.of(honest, Part(), seed=1)
    with pytest.raises(SettingsError, match=rf"got {len(of.counts)} and 0 of {len(of.counts)}"):
        Shoppers.of(dataclasses.replace(of, fraud=np.ones_like(of.fraud)), Part(), seed=1)


def test_a_fraud_head_is_told_as_one_that_has_seen_labels(tmp_path: Path) -> None:
    loaded = fraud_model(tmp_path, {})
    assert methods(shoppers(), loaded, seed=1).keys() - scored().keys() == {HEAD}
    assert methods(shoppers(), loaded, seed=1, fraud_head=False).keys() == scored().keys()


def test_rows_are_labelled_by_kind() -> None:
    tested = shoppers().tested
    told = rows(tested)
    assert (told.kind >= 0).sum() == (np.asarray(tested.fraud) == 1).sum() > 0
    assert told.kinds == (*tested.kinds[1:], "fraud")


def test_fraud_of_no_kind_is_a_kind_of_its_own() -> None:
    of = dataclasses.replace(
        shop().of_users(np.arange(len(shop().counts)) == 0),
        kinds=("", "scraper", "ring"),
    )
    fraud, kind = np.zeros(len(of), np.int8), np.zeros(len(of), np.uint8)
    fraud[:4], kind[1], kind[2] = [1, 1, 1, -1], 1, 2
    told = rows(dataclasses.replace(of, fraud=fraud, kind=kind))
    assert told.kinds == ("scraper", "ring", "fraud")
    assert told.kind[:5].tolist() == [2, 0, 1, -1, -1]
    named = rows(dataclasses.replace(of, fraud=fraud, kind=kind, kinds=("", "fraud", "ring")))
    assert (named.kinds, named.kind[:4].tolist()) == (("fraud", "ring"), [0, 0, 1, -1])


def test_the_forest_learns_once_from_few_rows_and_scores_some_users_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    of = shoppers()
    tested = dataclasses.replace(of.tested, session=np.where(of.tested.owner < 10, 0, of.tested.session))
    of = of._replace(tested=tested)  # a block without a session is not one with pauses for sessions
    learned: list[int] = []
    scored_at_once: list[int] = []
    fitted = isolation.fitted

    def watched(normal: Floats, seed: int) -> Any:
        learned.append(len(normal))
        score = fitted(normal, seed)

        def watched_score(x: Floats) -> Floats:
            scored_at_once.append(len(x))
            return score(x)

        return watched_score

    monkeypatch.setattr(isolation, "fitted", watched)
    monkeypatch.setattr(fraud_methods, "_FOREST_ROWS", 200)
    whole = fraud_methods._forest(of, 1)
    assert learned == [200]
    assert scored_at_once == [len(of.calm), len(tested)]
    scored_at_once.clear()
    monkeypatch.setattr(fraud_methods, "_FOREST_EVENTS", 100)
    blocks = fraud_methods._forest(of, 1)
    assert learned == [200, 200]
    assert max(scored_at_once) <= max(100, of.calm.counts.max(), tested.counts.max())
    np.testing.assert_allclose(blocks.calm, whole.calm, atol=1e-6)
    np.testing.assert_allclose(blocks.tested, whole.tested, atol=1e-6)


def fraud_model(folder: Path, made: dict[str, Any]) -> model_file.LoadedModel:
    model_file.save(small_model(fraud=True), folder / "judge", statistics=STATISTICS, normal=NORMAL, made=made)
    return model_file.load(f"{folder}/judge.safetensors")


def test_the_command_judges_what_the_model_has_left_out_or_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def judged(made: dict[str, Any], *asked: str) -> tuple[dict[str, Any], str]:
        fraud_model(tmp_path, made)
        assert (
            cli.run(["evaluate", "anomaly", *SHOP, "--model", f"{tmp_path}/judge.safetensors", "--json", *asked]) == 0
        )
        printed = capsys.readouterr()
        return json.loads(printed.out), printed.err

    everything, told = judged({"before_ms": None, "hold_out": None})
    (line,) = (line for line in told.splitlines() if "fraud head" in line)
    assert line.startswith("The fraud head is left out: it may have learned these labels")
    assert HEAD not in everything["methods"]
    for made, asked, words in (
        ({"before_ms": START_MS + 6 * DAY_MS}, ("--split-time", "2026-01-07"), "Judged is what is from 2026-01-07"),
        ({"hold_out": [1, 2]}, ("--hold-out", "1/2"), "Judged are the users of fold 1/2."),
    ):
        by_card, told = judged(made)
        assert words in told and "left out" not in told
        assert HEAD in by_card["methods"]
        for count in ("rows", "honest_days", "calm_days"):
            assert by_card[count] < 0.8 * everything[count], count
        assert judged({"hold_out": [2, 2]}, *asked)[0] == by_card  # flags before the card


def test_the_command_tells_how_many_of_each_kind_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "anomaly", *SHOP, "--model", "shoppers-h64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"].keys() == scored().keys()
    assert cli.run(["evaluate", "anomaly", *SHOP, "--honest", "--model", "shoppers-h64"]) == 2
    assert "expected users with and without labels of fraud" in capsys.readouterr().err


def test_an_error_of_a_method_is_no_error_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(fraud_methods, "methods", broken)
    with pytest.raises(ValueError, match="shapes do not match"):
        cli.run(["evaluate", "anomaly", *SHOP, "--model", "shoppers-h64"])
