from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stream import model_file
from stream.features import PARTS
from stream.model import BehaviourLSTM, Sizes
from stream.model_file import LoadedModel
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import dataset, evaluation, train
from stream.training.dataset import Examples
from stream.training.runs import Runs
from stream.training.train import Recipe
from tests.training.shops import gathered

NORMAL = scenario.honest_and_orderly(scenario.load())

TINY = Recipe(seed=5, shops=3, users=60, days=7, epochs=3, lanes=8, steps=16)
SIZES = Sizes(hidden=8)
DAYS = 28
# Far from every shop of the shipped model's recipe, and so another catalogue and other shoppers.
FRESH_SEED = 987_654_321

Scores = tuple[evaluation.Floats, evaluation.Floats]


@pytest.fixture(scope="module")
def tiny() -> Examples:
    training, _ = train.simulated(TINY)
    return train.examples(training, dataset.statistics(training), SIZES)


@pytest.fixture(scope="module")
def shipped() -> LoadedModel:
    return model_file.load("shoppers-h64")


@pytest.fixture(scope="module")
def fresh(shipped: LoadedModel) -> Examples:
    """Four weeks of 400 shoppers that no training saw, about 30,000 events."""
    end_ms = train.START_MS + DAYS * 86_400_000
    shoppers = simulate(NORMAL, seed=FRESH_SEED, users=400, start_ms=train.START_MS, end_ms=end_ms)
    runs = gathered(shoppers, end_ms=end_ms).runs
    card = shipped.card
    return dataset.examples(runs, card.statistics, horizons_secs=card.sizes.horizons_secs)


@pytest.fixture(scope="module")
def scores(shipped: LoadedModel, fresh: Examples) -> Scores:
    return evaluation.score(shipped.model, fresh)


def weights(model: BehaviourLSTM) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def test_training_lowers_the_loss_and_its_seed_repeats_it_bit_for_bit(tiny: Examples) -> None:
    lines: list[str] = []
    one = train.train(tiny, SIZES, TINY, lines.append)
    again = train.train(tiny, SIZES, TINY)
    other = train.train(tiny, SIZES, msgspec.structs.replace(TINY, seed=6))
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.95 * losses[0]
    assert weights(one) == weights(again)
    assert weights(one) != weights(other)


def test_training_leaves_the_random_numbers_and_threads_of_its_caller_alone(tiny: Examples) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train.train(tiny, SIZES, msgspec.structs.replace(TINY, epochs=1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_the_command_learns_scale_from_training_users_only_and_its_card_says_how_it_was_made(tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    numbers = {"hidden": 8, "seed": TINY.seed, "shops": TINY.shops, "users": TINY.users, "days": TINY.days, "epochs": 1}
    options = [f"--{name}={number}" for name, number in numbers.items()]
    result = CliRunner().invoke(train.main, [f"--out={out}", *options], catch_exceptions=False)
    assert result.exit_code == 0
    card = model_file.load(f"{out}.safetensors").card
    training, validation = train.simulated(TINY)
    assert card.statistics == dataset.statistics(training)
    assert card.statistics != dataset.statistics(Runs.concat([training, validation]))
    assert card.made["training"] == {"events": len(training.raw), "users": len(training.counts)}
    assert card.made["recipe"]["seed"] == TINY.seed
    assert "--shops 3" in card.made["command"]


def test_no_user_is_in_both_parts_and_validation_has_a_fifth_of_the_shops() -> None:
    training, validation = train.simulated(msgspec.structs.replace(TINY, shops=5, users=40, days=2))
    assert not set(training.raw["event_hash"].tolist()) & set(validation.raw["event_hash"].tolist())
    assert len(validation.counts) == pytest.approx(len(training.counts) / 4, rel=0.4)


def test_two_recipes_have_no_shop_in_common() -> None:
    one, other = (train.simulated(msgspec.structs.replace(TINY, seed=seed, users=20, days=2)) for seed in (1, 2))
    hashes = [set(np.concatenate([part.raw["event_hash"] for part in parts]).tolist()) for parts in (one, other)]
    assert not hashes[0] & hashes[1]


def test_the_shipped_model_is_small_and_its_card_says_how_it_was_made(shipped: LoadedModel) -> None:
    made = shipped.card.made
    assert made["simulated"] is True
    assert made["command"].startswith("python -m stream.training.train --out stream/models/shoppers-h64 ")
    assert made["recipe"] == msgspec.to_builtins(Recipe())
    for horizon in made["validation"]["reached"]["purchase_intent"]:
        assert horizon["roc_auc"] > 0.7
    folder = Path(model_file.__file__).parent / "models"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1 << 20


def test_the_shipped_model_beats_the_base_rate_on_shoppers_it_never_saw(fresh: Examples, scores: Scores) -> None:
    # The base rate of the sample itself, which no one knows beforehand: the best of all constants.
    found = evaluation.figures(evaluation.Baseline.of(fresh), fresh, *scores)
    for horizon in found["purchase_intent"]:
        assert horizon["log_loss"] < 0.95 * horizon["base_rate_log_loss"]
        assert horizon["roc_auc"] > 0.68
    for part in PARTS:
        assert found["surprise"][part]["nats"] < 0.97 * found["surprise"][part]["unigram_nats"]


def test_its_purchase_intent_is_about_as_high_as_purchases_are_frequent(fresh: Examples, scores: Scores) -> None:
    intent, _ = scores
    for k in range(intent.shape[1]):
        known = fresh.labels.known[:, k]
        # 400 shoppers of so uneven activity have a base rate that varies by some 10 % from sample to sample.
        assert intent[known, k].mean() == pytest.approx(fresh.labels.bought[known, k].mean(), rel=0.25)


def test_it_is_sane_from_a_users_first_event_on(fresh: Examples, scores: Scores) -> None:
    intent, nats = scores
    first = fresh.outcome.first
    known = first & fresh.labels.known[:, 0]
    assert known.sum() > 300
    # A first event comes as no greater surprise than an event does to who knows only how often each class comes.
    unigram = sum(part[fresh.outcome.classes[:, i]].mean() for i, part in enumerate(evaluation.Baseline.of(fresh).nats))
    assert nats[first].sum(axis=1).mean() < unigram
    assert intent[first].max() < 0.9
    assert intent[known, 0].mean() == pytest.approx(fresh.labels.bought[known, 0].mean(), abs=0.04)


def test_one_percent_of_normal_shoppers_events_are_in_the_tail_of_its_anomaly(
    shipped: LoadedModel, scores: Scores
) -> None:
    anomaly = shipped.card.normal_traffic.percentile(scores[1].sum(axis=1, dtype=np.float64))
    assert np.mean(anomaly > 0.99) == pytest.approx(0.01, abs=0.005)
    assert anomaly.mean() == pytest.approx(0.5, abs=0.05)
