"""Scored events are evaluated, and what cannot be is said."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from stream.errors import SettingsError
from stream.evaluation import evaluate as module
from stream.evaluation import metrics, words
from stream.evaluation.evaluate import EVENTS_SEEN, evaluate
from stream.evaluation.result import MODEL, Evaluation
from stream.evaluation.scored import ScoredEvents
from tests.evaluation.shop import CART, shop

pytest.importorskip("sklearn")
pytest.importorskip("lightgbm")
ALL = ["model", "base_rate", "logistic_regression", "lightgbm"]


def quick(of: ScoredEvents, **how: object) -> Evaluation:
    """Without what takes long to learn."""
    return evaluate([of], only_base_rate=True, resamples=50, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate([shop(400)], resamples=200)


def test_every_scorer_has_every_figure_on_the_same_rows(found: Evaluation) -> None:
    of = shop(400)
    assert (found.rows, found.users) == (of.evaluated.sum(), 200)
    for horizon in found.horizons:
        assert list(horizon.whole.scorers) == list(horizon.curves) == ALL
        for figures in horizon.whole.scorers.values():
            assert list(figures) == list(words.TITLES)
        y, p = of.bought[of.evaluated, 0], of.intent[of.evaluated, 0]
        auc = horizon.whole.scorers[MODEL]["auc"]
        assert auc.value == metrics.roc_auc(metrics.ladder(y, p))
        assert auc.interval is not None
        assert auc.interval[0] < auc.value < auc.interval[1]


def test_baselines_find_what_the_model_finds_and_the_difference_says_so(found: Evaluation) -> None:
    """The model knows of a cart; so do the baselines, and of how long a user has been here."""
    whole = found.horizons[0].whole
    assert whole.scorers["logistic_regression"]["auc"].value > 0.7
    assert whole.best_baseline in ("logistic_regression", "lightgbm")
    low, high = whole.differences["base_rate"]["auc"].interval or (0, 0)
    assert 0.15 < low < high
    assert -0.15 < whole.differences["logistic_regression"]["auc"].value < 0.03


def test_a_model_that_is_wrong_is_seen_to_be_worse_with_an_interval_that_leaves_no_doubt() -> None:
    of = shop(200)
    wrong = evaluate([dataclasses.replace(of, intent=1 - of.intent)], resamples=200).horizons[0].whole
    _, high = wrong.differences["logistic_regression"]["auc"].interval or (0, 0)
    assert high < -0.2
    low, _ = wrong.differences["logistic_regression"]["log_loss"].interval or (0, 0)
    assert low > 0.2


def test_parts_by_events_seen_are_all_rows_once_and_count_every_event_of_the_user(found: Evaluation) -> None:
    of = shop(400)
    place = np.arange(len(of)) - np.searchsorted(of.user, of.user) + 1
    for horizon in found.horizons:
        assert [part.name for part in horizon.by_events_seen] == list(EVENTS_SEEN)
        assert sum(part.rows for part in horizon.by_events_seen) == horizon.whole.rows
        assert horizon.by_events_seen[0].rows == (of.evaluated & (place == 1)).sum()
        assert horizon.by_events_seen[1].rows == (of.evaluated & (place >= 2) & (place <= 5)).sum()
    assert found.horizons[0].by_events_seen[3].why == "no event whose horizon was watched to its end"


def test_events_whose_horizon_was_not_watched_count_in_no_figure() -> None:
    of = shop(100)
    known = of.known.copy()
    known[::3, 0] = False
    masked = dataclasses.replace(of, known=known)
    flipped = dataclasses.replace(masked, bought=of.bought ^ (~known & of.evaluated[:, None]))
    one, other = quick(masked), quick(flipped)
    assert one.horizons[0].whole.rows == (of.evaluated & known[:, 0]).sum()
    assert words.as_object(one) == words.as_object(other)


def test_the_threshold_is_the_base_rate_that_was_learned_unless_one_is_stated() -> None:
    of = shop(100)
    rate = of.bought[of.learnable, 0].mean()
    assert quick(of).horizons[0].threshold == pytest.approx(rate)
    stated = quick(of, threshold=0.7).horizons[0]
    assert stated.threshold == 0.7
    said = of.intent[of.evaluated, 0] >= 0.7
    assert stated.whole.scorers[MODEL]["precision"].value == of.bought[of.evaluated, 0][said].mean()


@pytest.mark.parametrize(("value", "quantity"), [(False, "none"), (True, "all")])
def test_a_horizon_of_one_class_says_so_and_the_other_goes_on(value: bool, quantity: str) -> None:
    of = shop(100)
    bought = of.bought.copy()
    bought[of.evaluated, 0] = value
    one = quick(dataclasses.replace(of, bought=bought))
    rows = of.evaluated.sum()
    why = f"{quantity} of {rows:,} events have a purchase to come: nothing to tell apart"
    assert one.horizons[0].whole.why == why
    assert f"  no figures: {why}" in list(words.table(one))
    made = json.loads(json.dumps(words.as_object(one), allow_nan=False))["horizons"]
    assert made["30m"]["why"] == why
    assert made["30m"]["auc"] is made["30m"]["log_loss"] is made["30m"]["base_log_loss"] is None
    assert made["30m"]["baselines"] == made["30m"]["difference"] == {}
    assert made["24h"]["auc"] > 0.6
    assert made["24h"]["why"] is None


def test_nothing_to_evaluate_is_an_error_in_words() -> None:
    of = shop(20)
    with pytest.raises(
        SettingsError, match=rf"expected events in the part that is evaluated, got none among {len(of)}"
    ):
        evaluate([dataclasses.replace(of, evaluated=np.zeros(len(of), bool))])
    with pytest.raises(SettingsError, match="got none among 0 events"):
        evaluate([shop(0)])


def test_of_one_user_there_are_figures_without_intervals() -> None:
    of = shop(20)
    buyer = of.user[np.flatnonzero(of.evaluated & of.bought[:, 0])[-1]]
    bought = of.bought.copy()
    mine = np.flatnonzero(of.evaluated & (of.user == buyer))
    bought[mine[0]] = False
    said: list[str] = []
    one = quick(dataclasses.replace(of, evaluated=of.evaluated & (of.user == buyer), bought=bought), say=said.append)
    assert not any(line.startswith("Drawing") for line in said)
    auc = one.horizons[0].whole.scorers[MODEL]["auc"]
    assert auc.interval is None
    assert 0 <= auc.value <= 1
    assert any(note.startswith("Of one user there are no intervals") for note in one.notes)
    assert words.as_object(one)["horizons"]["30m"]["intervals"]["auc"] is None
    assert "users drawn again" not in "\n".join(words.table(one))


def test_held_out_folds_are_judged_together() -> None:
    of = shop(200, horizons=("24h",))
    halves = [of, dataclasses.replace(of, training=~of.training, evaluated=of.learnable, intent=of.intent / 2)]
    both = evaluate(halves, only_base_rate=True, resamples=20)
    assert (both.rows, both.users) == (sum(half.evaluated.sum() for half in halves), 200)
    y = np.concatenate([half.bought[half.evaluated, 0] for half in halves])
    p = np.concatenate([half.intent[half.evaluated, 0] for half in halves])
    assert both.horizons[0].whole.scorers[MODEL]["auc"].value == metrics.roc_auc(metrics.ladder(y, p))
    assert any("2 folds are judged together" in note for note in both.notes)
    with pytest.raises(ValueError, match="expected each event evaluated once"):
        evaluate([of, of])


def test_more_events_than_the_limit_are_drawn_by_user_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    of = shop(200)
    monkeypatch.setattr(module, "_MOST_ROWS", 100)
    some = quick(of)
    assert 80 < some.rows <= 100
    assert some.notes[0] == (
        f"Figures are over {some.rows} of {of.evaluated.sum()} events, those of users drawn by chance."
    )


def test_the_object_has_what_programs_look_for(found: Evaluation) -> None:
    made = json.loads(json.dumps(words.as_object(found), allow_nan=False))
    assert made["rows"] == found.rows
    assert words.as_object(found, {"model": "mine"}) == {"model": "mine", **words.as_object(found)}
    for of in made["horizons"].values():
        whole = {"auc", "pr_auc", "log_loss", "base_log_loss", "ece", "brier", "f1", "lift_1", "rows", "threshold"}
        assert whole <= of.keys()
        assert of["base_log_loss"] == of["baselines"]["base_rate"]["log_loss"]
        assert list(of["baselines"]) == ALL[1:]
        for baseline in of["baselines"].values():
            assert {"auc", "pr_auc", "log_loss", "ece"} <= baseline.keys()
        for name, differences in of["difference"].items():
            for figure in ("auc", "log_loss"):
                low, mid, high = (differences[figure][end] for end in ("low", "mid", "high"))
                assert low <= mid <= high
                assert mid == pytest.approx(of[figure] - of["baselines"][name][figure], abs=2e-6)
        assert list(of["by_events_seen"]) == list(EVENTS_SEEN)


def test_the_table_fits_a_terminal(found: Evaluation) -> None:
    lines = list(words.table(found))
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("  ROC-AUC ") and line.count("[") == 3 for line in lines)
    assert "Purchase within 30m" in lines


def test_sessions_to_look_at_are_real_and_those_with_a_purchase_come_first(found: Evaluation) -> None:
    of = shop(400)
    assert len(found.sessions) == 6
    purchase = [11 in session.action for session in found.sessions]
    assert purchase == [True, True, True, False, False, False]
    for session in found.sessions:
        (user,) = {int(u) for u in of.user[np.isin(of.intent[:, 0], session.intent[:, 0])]}
        np.testing.assert_array_equal(session.action, of.raw["action"][of.user == user])
        assert session.minutes[0] == 0
    assert any(CART in session.action for session in found.sessions)
