"""What is compared on labelled shop events: no score knows a label, and a fraud head shows where there is one."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stream import cli, model_file
from stream.evaluation.fraud_methods import Scored, methods, rows
from stream.training.runs import Runs
from tests.shop import NORMAL, STATISTICS, small_model
from tests.training.shops import simulated

pytest.importorskip("sklearn")


@cache
def halves() -> tuple[Runs, Runs]:
    """(calm users, others), of whom some are fraudsters."""
    of = simulated(users=100, days=4, honest=False)
    labelled = np.maximum.reduceat(np.asarray(of.fraud) == 1, np.cumsum(of.counts) - of.counts)
    assert labelled.any()
    calm = ~labelled & (np.arange(len(labelled)) % 2 == 0)
    return of.of_users(calm), of.of_users(~calm)


@cache
def scored() -> dict[str, Scored]:
    calm, tested = halves()
    return methods(calm, tested, model_file.load("shoppers-h64"), seed=1)


def test_every_event_has_a_score_by_every_method() -> None:
    calm, tested = halves()
    assert list(scored())[:3] == ["anomaly", "strain alone", "one event alone"]
    assert len(scored()) == 5
    for name, score in scored().items():
        assert len(score.calm) == len(calm) and len(score.tested) == len(tested), name
        assert np.isfinite(score.tested).all(), name


def test_no_score_knows_a_label() -> None:
    calm, tested = halves()
    unlabelled = dataclasses.replace(tested, fraud=np.zeros_like(tested.fraud), kind=np.zeros_like(tested.kind))
    again = methods(calm, unlabelled, model_file.load("shoppers-h64"), seed=1)
    for name, score in scored().items():
        np.testing.assert_array_equal(score.tested, again[name].tested)


def test_a_fraud_head_is_told_as_one_that_has_seen_labels(tmp_path: Path) -> None:
    model_file.save(small_model(fraud=True), tmp_path / "judge", statistics=STATISTICS, normal=NORMAL, made={})
    found = methods(*halves(), model_file.load(f"{tmp_path}/judge.safetensors"), seed=1)
    assert found.keys() - scored().keys() == {"fraud head (has learned from labels)"}


def test_rows_are_labelled_by_kind() -> None:
    _, tested = halves()
    told = rows(tested)
    assert (told.kind >= 0).sum() == (np.asarray(tested.fraud) == 1).sum() > 0
    assert set(told.kinds) == set(tested.kinds[1:])


def test_the_command_tells_how_many_of_each_kind_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    shop = ["--simulated", "1", "--scenario", "demo", "--users", "300", "--days", "10", "--no-progress"]
    assert cli.run(["evaluate", "anomaly", *shop, "--model", "shoppers-h64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"].keys() == scored().keys()
    assert cli.run(["evaluate", "anomaly", *shop, "--honest", "--model", "shoppers-h64"]) == 2
    assert "expected labelled and honest shopper-days, got 0 kinds of fraud" in capsys.readouterr().err
