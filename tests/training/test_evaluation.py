import numpy as np
import pytest

from stream.model import BehaviourLSTM, Sizes
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import dataset, evaluation, train
from stream.training.dataset import Examples
from stream.training.evaluation import Baseline, figures, log_loss, roc_auc
from tests.training.shops import gathered

NORMAL = scenario.honest_and_orderly(scenario.load())

SIZES = Sizes(hidden=8)


@pytest.fixture(scope="module")
def some() -> Examples:
    end_ms = train.START_MS + 3 * 86_400_000
    runs = gathered(simulate(NORMAL, seed=2, users=150, start_ms=train.START_MS, end_ms=end_ms), end_ms=end_ms).runs
    return dataset.examples(runs, dataset.statistics(runs), horizons_secs=SIZES.horizons_secs)


def test_roc_auc_is_the_share_of_pairs_in_the_right_order_and_a_tie_is_half_a_pair() -> None:
    bought = np.array([True, False, True, False])
    assert roc_auc(bought, np.array([0.9, 0.9, 0.1, 0.05])) == 2.5 / 4
    assert roc_auc(bought, np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    assert roc_auc(bought, np.full(4, 0.3)) == 0.5


def test_log_loss_is_the_mean_of_minus_log_p_and_finite_even_where_the_model_was_sure_and_wrong() -> None:
    assert log_loss(np.array([True, False]), np.array([0.5, 0.25])) == pytest.approx(-np.log([0.5, 0.75]).mean())
    assert log_loss(np.array([True]), np.array([0.0])) == pytest.approx(-np.log(1e-7))


def test_events_that_are_masked_count_in_no_figure_of_purchase_intent(some: Examples) -> None:
    known = some.labels.known
    assert not known.all()
    nats = np.zeros(some.outcome.classes.shape, np.float32)
    found = [
        figures(Baseline.of(some), some, np.where(known, 0.25, masked).astype(np.float32), nats)
        for masked in (0.01, 0.99)
    ]
    assert found[0] == found[1]
    rates = [h["base_rate"] for h in found[0]["purchase_intent"]]
    assert rates == pytest.approx([some.labels.bought[known[:, k], k].mean() for k in range(len(rates))], abs=1e-5)


def test_the_baseline_is_a_distribution_over_the_classes_of_each_part(some: Examples) -> None:
    for nats in Baseline.of(some).nats:
        assert np.exp(-nats).sum() == pytest.approx(1.0)


def test_scores_do_not_depend_on_how_many_users_are_scored_side_by_side(some: Examples) -> None:
    model = BehaviourLSTM(SIZES)
    one = evaluation.score(model, some, lanes=40, steps=5)
    other = evaluation.score(model, some, lanes=500, steps=1000)
    for few, many in zip(one, other, strict=True):
        np.testing.assert_allclose(few, many, atol=1e-5)
