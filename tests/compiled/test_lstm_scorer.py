"""The compiled network: scores and carry of the reference, and of each user the same bits whoever shares the batch."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import sequences
from stream.compiled import lstm_scorer
from stream.compiled.lstm_scorer import LstmScorer
from stream.features import CATEGORY_BUCKETS, ITEM_BUCKETS, NOTHING, REAL, Features, Seen
from stream.model import BehaviourModel, Sizes
from stream.scorer import AnyScorer, Scorer
from tests.shop import CPU, small_model

_KINDS = (
    Sizes(hidden=1),
    Sizes(hidden=3, layers=2, fraud=True),
    Sizes(hidden=8, layers=3, horizons_secs=(60,), session=False),
    Sizes(hidden=16, fraud=True, item_numbers=5, category_numbers=3, actions=40),
    Sizes(hidden=64, item_numbers=8),
    Sizes(hidden=64, layers=2, fraud=True, horizons_secs=tuple(range(60, 1000, 60))),
)
_NAMES = [f"h{s.hidden}x{s.layers}{'-fraud' if s.fraud else ''}" for s in _KINDS]


def _model(sizes: Sizes, *, logits: float = 1.0) -> BehaviourModel:
    """All of its weights speak; those of the next event so many times as loud."""
    torch.manual_seed(sizes.hidden)
    model = BehaviourModel(sizes)
    for weight in (model.intent_direct.weight, *model.given.parameters()):
        torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():
        for weight in model.next_event.parameters():
            weight.mul_(logits)
    return model


class _Batch(NamedTuple):
    """N events in the order of arrival, and the carry of every slot."""

    slots: NDArray[np.int64]
    columns: tuple[NDArray[Any], ...]  # action, item, category, real, classes
    carry: torch.Tensor  # [S, P, L, H]

    def take(self, index: Any) -> _Batch:
        return _Batch(self.slots[index], tuple(column[index] for column in self.columns), self.carry)


def _drawn(sizes: Sizes, n: int, users: int, seed: int = 0) -> _Batch:
    rng = np.random.default_rng(seed)
    columns = (
        rng.integers(sizes.actions, size=n),
        rng.integers(ITEM_BUCKETS, size=n),
        rng.integers(CATEGORY_BUCKETS, size=n),
        rng.normal(size=(n, len(REAL))).astype(np.float32),
        np.stack([rng.integers(NOTHING, classes, size=n) for classes in sizes.part_classes], axis=1),
    )
    carry = rng.normal(size=(users, sizes.parts, sizes.layers, sizes.hidden)).astype(np.float32)
    return _Batch(rng.integers(users, size=n), columns, torch.from_numpy(carry))


class _Told(NamedTuple):
    """In the order of arrival; the carry of every slot, moved on."""

    intent: NDArray[np.float32]
    surprise: NDArray[np.float32]
    fraud: NDArray[np.float32] | None
    carry: NDArray[np.float32]


def _told(scorer: AnyScorer, batch: _Batch) -> _Told:
    packing = sequences.pack(batch.slots)
    *features, classes = (column[packing.arrival] for column in batch.columns)
    seen = Seen(Features(*features), classes, np.zeros(len(classes), np.int64), np.zeros(0, np.void))
    carry, before = batch.carry.clone(), batch.carry.clone()
    scores, moved = scorer.score(seen, packing, batch.carry[packing.users])
    alone = scorer.advance(seen.features, packing, batch.carry[packing.users])
    assert torch.equal(moved, alone) and torch.equal(batch.carry, before)
    carry[packing.users] = moved.to(carry.dtype)
    intent, surprise = packing.to_arrival(scores.intent), packing.to_arrival(scores.surprise)
    fraud = None if scores.fraud is None else packing.to_arrival(scores.fraud)
    return _Told(intent, surprise, fraud, carry.numpy())


def _assert_alike(found: _Told, expected: _Told, *, atol: float) -> None:
    assert (found.fraud is None) == (expected.fraud is None)
    for name, column in expected._asdict().items():
        if column is not None:
            assert getattr(found, name).shape == column.shape
            within = atol if name == "surprise" else 1e-5
            np.testing.assert_allclose(getattr(found, name), column, atol=within, rtol=0, err_msg=name)


@pytest.mark.parametrize("sizes", _KINDS, ids=_NAMES)
@pytest.mark.parametrize(("n", "users"), [(1, 1), (5, 1), (7, 7), (100, 3), (300, 60), (400, 400)])
def test_scores_and_carry_are_those_of_the_reference(sizes: Sizes, n: int, users: int) -> None:
    model, batch = _model(sizes), _drawn(sizes, n, users, n)
    _assert_alike(_told(LstmScorer(model), batch), _told(Scorer(model, CPU), batch), atol=1e-5)


@pytest.mark.parametrize("logits", [10.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("sizes", _KINDS[:4], ids=_NAMES[:4])
def test_surprise_by_large_logits_is_as_near_to_the_exact_one_as_floats_are(sizes: Sizes, logits: float) -> None:
    model, batch = _model(sizes, logits=logits), _drawn(sizes, 300, 60)
    exact = _told(Scorer(copy.deepcopy(model).double(), CPU), batch._replace(carry=batch.carry.double()))
    found = _told(LstmScorer(model), batch)
    _assert_alike(found, exact, atol=max(1e-5, 5e-7 * float(exact.surprise.max())))
    assert np.isfinite(found.surprise).all() and (found.surprise >= 0).all()


@pytest.mark.parametrize("sizes", _KINDS, ids=_NAMES)
def test_a_part_of_nothing_is_no_surprise_and_any_other_is_one(sizes: Sizes) -> None:
    model, batch = _model(sizes), _drawn(sizes, 200, 40)
    classes = batch.columns[-1]
    surprise = _told(LstmScorer(model), batch).surprise
    assert (surprise[classes == NOTHING] == 0).all() and (surprise[classes != NOTHING] > 0).all()
    assert (classes == NOTHING).any(axis=0).all()


def test_values_of_a_carry_that_no_model_makes_are_numbers_all_the_same() -> None:
    model, batch = _model(_KINDS[1]), _drawn(_KINDS[1], 100, 20)
    extreme = batch._replace(carry=batch.carry * 1e30)
    found, expected = _told(LstmScorer(model), extreme), _told(Scorer(model, CPU), extreme)
    for name in ("intent", "surprise", "fraud"):
        assert np.isfinite(getattr(found, name)).all()
    np.testing.assert_allclose(found.carry, expected.carry, rtol=1e-5, atol=1e-5)


def _assert_same_bits(found: _Told, whole: _Told, index: Any, slots: NDArray[np.int64]) -> None:
    for name in ("intent", "surprise", "fraud"):
        column, of_whole = getattr(found, name), getattr(whole, name)
        assert (column is None) == (of_whole is None)
        assert column is None or column.tobytes() == of_whole[index].tobytes()
    assert found.carry[slots].tobytes() == whole.carry[slots].tobytes()


@given(st.sampled_from(_KINDS), st.integers(1, 120), st.integers(1, 40), st.integers(0, 2**32), st.data())
@settings(max_examples=60)
def test_a_users_scores_and_carry_are_the_same_bits_whoever_shares_the_batch(
    sizes: Sizes, n: int, users: int, seed: int, data: st.DataObject
) -> None:
    scorer, batch = LstmScorer(_model(sizes, logits=30.0 if seed % 3 == 0 else 1.0)), _drawn(sizes, n, users, seed)
    whole = _told(scorer, batch)
    there = np.unique(batch.slots)
    kept = np.array(data.draw(st.lists(st.sampled_from(there.tolist()), min_size=1, unique=True)))
    index = np.flatnonzero(np.isin(batch.slots, kept))
    _assert_same_bits(_told(scorer, batch.take(index)), whole, index, kept)


@pytest.mark.parametrize("sizes", _KINDS, ids=_NAMES)
def test_every_user_alone_has_the_bits_that_they_have_in_the_batch(sizes: Sizes) -> None:
    scorer, batch = LstmScorer(_model(sizes)), _drawn(sizes, 150, 30, 1)
    whole = _told(scorer, batch)
    for user in np.unique(batch.slots):
        index = np.flatnonzero(batch.slots == user)
        _assert_same_bits(_told(scorer, batch.take(index)), whole, index, np.array([user]))


@given(st.sampled_from(_KINDS), st.integers(2, 120), st.integers(1, 10), st.integers(0, 2**32), st.data())
@settings(max_examples=40)
def test_cutting_a_batch_anywhere_changes_no_bit(
    sizes: Sizes, n: int, users: int, seed: int, data: st.DataObject
) -> None:
    scorer, batch = LstmScorer(_model(sizes)), _drawn(sizes, n, users, seed)
    whole, cut = _told(scorer, batch), data.draw(st.integers(1, n - 1))
    first = _told(scorer, batch.take(slice(0, cut)))
    rest = _told(scorer, batch.take(slice(cut, n))._replace(carry=torch.from_numpy(first.carry)))
    for name in ("intent", "surprise", "fraud"):
        if getattr(whole, name) is not None:
            parts = np.concatenate([getattr(first, name), getattr(rest, name)])
            assert parts.tobytes() == getattr(whole, name).tobytes()
    assert rest.carry.tobytes() == whole.carry.tobytes()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_model_of_another_cell_is_left_to_the_reference(cell: Any) -> None:
    assert isinstance(lstm_scorer.scorer(small_model(cell=cell), CPU), Scorer)
    assert isinstance(lstm_scorer.scorer(small_model(), CPU), LstmScorer)
