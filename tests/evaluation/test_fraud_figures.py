"""Fraud among shopper-days: who counts as honest, when somebody is found, and what the threshold is set on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stream.errors import SettingsError
from stream.evaluation import fraud_words, markov
from stream.evaluation.fraud_figures import NONE, Found, FraudEvaluation, FraudHow, ShopRows, actions, evaluate
from stream.events import ACTIONS

DAY_MS = 86_400_000
KINDS = ("scraper", "take-over", "ring")
HOW = FraudHow(false_alarms_per_day=0.01, resamples=50)


def rows(*events: tuple[int, float, int], since: float = 0) -> ShopRows:
    """(user, day, kind) of each event; judged from a day on."""
    user, day, kind = (np.array(column) for column in zip(*events, strict=True))
    return ShopRows(user, (day * DAY_MS).astype(np.int64), kind, KINDS, day >= since)


# Normal traffic to set thresholds on: 100 users, a day each, scores 0 to 99; one of 100 may have an alarm: above 98
CALM = rows(*((user, 0.5, NONE) for user in range(100)))
CALM_SCORES = np.arange(100.0)


def evaluated(tested: ShopRows, score: list[float]) -> FraudEvaluation:
    return evaluate(CALM, {"model": CALM_SCORES}, tested, {"model": np.array(score)}, HOW)


def of_kind(found: FraudEvaluation, kind: str) -> Found:
    (one,) = (each for each in found.found if each.kind == kind)
    return one


HONEST = [(user, 0.5, NONE) for user in range(50)]
HONEST_SCORES = [10.0] * 49 + [98.5]


def test_a_threshold_is_set_on_shopper_days_of_held_out_traffic() -> None:
    found = evaluated(rows(*HONEST, (50, 0.1, 0)), [*HONEST_SCORES, 99])
    assert found.thresholds == {"model": 98}
    assert found.false_alarms_per_day["model"].mid == pytest.approx(1 / 50)
    assert found.honest_days == 50


def test_many_alarms_of_a_shopper_on_a_day_are_one_and_on_two_days_two() -> None:
    honest = [(0, 0.1, NONE), (0, 0.2, NONE), (0, 0.3, NONE), (0, 1.1, NONE), (1, 0.5, NONE)]
    found = evaluated(rows(*honest, (2, 0.1, 0)), [99, 99, 99, 99, 1, 99])
    assert found.honest_days == 3
    assert found.false_alarms_per_day["model"].mid == pytest.approx(2 / 3)


def test_a_fraudster_is_found_at_the_first_of_their_labelled_events_with_an_alarm() -> None:
    scraper = [(50, day, 0) for day in (0.1, 0.2, 1.1, 1.2)]
    others = [(51, 0.1, 0), (52, 0.1, 0), (52, 0.2, 0)]
    found = evaluated(rows(*HONEST, *scraper, *others), [*HONEST_SCORES, 1, 2, 99, 99, 5, 99, 1])
    kind = of_kind(found, "scraper")
    assert kind.fraudsters == 3
    assert kind.found.mid == pytest.approx(2 / 3)
    assert kind.events_until_found == 2  # the third event of one, the first of another
    assert kind.found.low < kind.found.mid < kind.found.high


def test_what_a_victim_did_before_is_neither_honest_nor_part_of_the_fraud() -> None:
    victim = [(50, 0.1, NONE), (50, 0.2, NONE), (50, 0.3, 1)]
    found = evaluated(rows(*HONEST, *victim), [*HONEST_SCORES, 99, 99, 99.5])
    assert found.honest_days == 50
    kind = of_kind(found, "take-over")
    assert (kind.fraudsters, kind.events_until_found, kind.found.mid) == (1, 1, 1)
    assert kind.roc_auc.mid == 1


def test_each_kind_is_set_against_honest_days_alone() -> None:
    found = evaluated(rows(*HONEST, (50, 0.1, 0), (51, 0.1, 1)), [*([10.0] * 25), *([20.0] * 25), 15, 30])
    assert [kind.kind for kind in found.found] == ["scraper", "take-over"]  # and no ring, which there is none of
    assert of_kind(found, "scraper").roc_auc.mid == pytest.approx(0.5)
    assert of_kind(found, "take-over").roc_auc.mid == 1


def test_events_that_are_not_judged_count_in_no_figure() -> None:
    before = [(50, 0.1, 0), (51, 0.1, NONE), (52, 0.1, 1)]
    judged = [(51, 1.1, NONE), (52, 1.1, 1), (52, 1.2, 1), (53, 1.1, NONE)]
    found = evaluated(rows(*sorted(before + judged), since=1), [99, 99, 5, 99, 1, 99, 99])
    assert (found.events, found.users, found.honest_days) == (4, 3, 2)
    assert found.false_alarms_per_day["model"].mid == 0.5
    (kind,) = found.found  # the scraper was there before
    assert (kind.kind, kind.fraudsters, kind.events_until_found) == ("take-over", 1, 2)
    (half,) = evaluate(
        rows(*((user, user / 100, NONE) for user in range(100)), since=0.5), {"model": CALM_SCORES[::-1]},
        rows(*HONEST, (50, 0.1, 0)), {"model": np.array([*HONEST_SCORES, 99])}, HOW,
    ).thresholds.values()  # fmt: skip
    assert half == 49  # of the judged ones, 0 to 49, none may have an alarm


def test_who_was_labelled_before_the_judged_part_is_not_honest_in_it() -> None:
    found = evaluated(rows(*HONEST, (50, 0.1, 1), (50, 1.1, NONE), (51, 1.1, 0), since=0.5), [*HONEST_SCORES, 5, 99, 9])
    assert found.honest_days == 50
    assert [kind.kind for kind in found.found] == ["scraper"]


def test_without_fraud_or_without_honest_shoppers_there_is_nothing_to_judge() -> None:
    with pytest.raises(
        SettingsError, match="got 0 kinds of fraud, 50 honest days to test on and 100 to set a threshold"
    ):
        evaluated(rows(*HONEST), HONEST_SCORES)
    with pytest.raises(SettingsError, match="got 1 kinds of fraud, 0 honest days to test on and 100"):
        evaluated(rows((0, 0.1, 0)), [1])
    with pytest.raises(SettingsError, match="got 0 kinds of fraud, 0 honest days to test on and 100"):
        evaluated(rows((0, 0.1, 0), since=1), [1])
    # What is no fault of whoever asks
    with pytest.raises(ValueError, match=r"expected a number for each of 51 events, got \(2,\) or NaN"):
        evaluated(rows(*HONEST, (50, 0.1, 0)), [1, 2])
    with pytest.raises(ValueError, match="expected one user after the other"):
        rows((1, 0.1, 0), (0, 0.1, 0))
    with pytest.raises(ValueError, match="expected columns of one length, got 2, 2, 2, 1"):
        ShopRows(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64), KINDS, np.ones(1, np.bool_))


def test_the_actions_of_users_are_sequences_for_a_chain() -> None:
    names = ["view_item", "add_to_cart", "view_item", "purchase"]
    codes = np.array([ACTIONS.index(name) for name in names])
    of = actions(codes, np.array([0, 0, 0, 1]))
    assert of.counts.tolist() == [3, 1]
    assert [of.vocabulary.word(code) for code in of.tokens.tolist()] == names
    assert markov.learn(of).surprise(of).shape == (4,)


def test_the_table_and_the_object_say_the_same() -> None:
    found = evaluated(rows(*HONEST, (50, 0.1, 0), (51, 0.1, 1)), [*HONEST_SCORES, 99, 3])
    lines = list(fraud_words.table(found))
    assert max(map(len, lines)) <= 110
    assert lines[1].startswith("Thresholds: at most 1 % of 100 held-out normal shopper-days have an alarm.")
    assert "model: alarms in 2 % [" in "\n".join(lines)
    assert next(line for line in lines if "scraper" in line).split()[:3] == ["scraper", "1", "100"]
    made = json.loads(json.dumps(fraud_words.as_object(found), allow_nan=False))
    assert made["methods"]["model"]["kinds"]["scraper"]["found"]["mid"] == 1
    assert made["methods"]["model"]["kinds"]["take-over"]["events_until_found"] is None
    assert (made["rows"], made["honest_days"], made["calm_days"]) == (52, 50, 100)
