"""The network and its heads: what they say before they have learned, and that surprise is -ln of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stream import features, sequences, structured
from stream.features import ACTION, CONTEXT, GAP, ITEM, NOTHING, PART_CLASSES, PARTS, PRICE, RHYTHM, Past, Seen
from stream.model import BehaviourModel, Cell, Sizes
from stream.sequences import Packing
from stream.table import raw_events
from tests.shop import STATISTICS, random_events, small_model


def _seen(n: int = 60, users: int = 5) -> tuple[Seen, Packing]:
    events = random_events(0, n=n, users=users)
    packing = sequences.pack(np.unique(events.key.astype(str), return_inverse=True)[1])
    raw = structured.take(raw_events(events), packing.arrival)
    return features.build(raw, packing, Past.none(len(packing.users)), STATISTICS), packing


def _embedded(model: BehaviourModel, seen: Seen) -> torch.Tensor:
    return model.embed(*map(torch.from_numpy, seen.features))


def _classes(**parts: int) -> torch.Tensor:
    """[1, len(PARTS)] what came; class 0 where not told."""
    return torch.tensor([[parts.get(part, 0) for part in PARTS]])


@torch.no_grad()
def _of(model: BehaviourModel, classes: torch.Tensor) -> list[float]:
    states = torch.linspace(-1, 1, model.sizes.hidden).expand(len(classes), -1)
    return [float(nats) for nats in model.surprise(states, classes).sum(dim=1)]


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_of_every_part_the_probabilities_of_what_may_come_add_up_to_1(part: int) -> None:
    model = small_model()
    classes = _classes(action=3, item=2, gap=5).repeat(PART_CLASSES[part], 1)
    classes[:, part] = torch.arange(PART_CLASSES[part])
    with torch.no_grad():
        nats = model.surprise(torch.zeros(len(classes), model.sizes.hidden), classes)[:, part]
    assert float(torch.exp(-nats).sum()) == pytest.approx(1, abs=1e-5)
    assert nats.std() > 0


@pytest.mark.parametrize("part", [GAP, RHYTHM, CONTEXT])
def test_what_an_event_says_nothing_about_is_no_surprise(part: int) -> None:
    model, classes = small_model(), _classes(action=3, item=2, gap=5)
    classes[0, part] = NOTHING
    with torch.no_grad():
        nats = model.surprise(torch.ones(1, model.sizes.hidden), classes)[0]
    assert nats[part] == 0
    assert all(nats[other] > 0 for other in range(len(PARTS)) if other != part)
    assert torch.isfinite(nats).all()


@pytest.mark.parametrize(
    ("known", "changes"),
    [("action", {"action", "item", "category", "price"}), ("item", {"item", "category", "price"}),
     ("gap", {"gap", "rhythm", "action"}), ("context", {"context"}), ("rhythm", {"rhythm"}), ("price", {"price"}),
     ("category", {"category"})],
)  # fmt: skip
def test_a_part_is_judged_by_what_the_parts_before_it_have_said_and_by_no_other(known: str, changes: set[str]) -> None:
    model = small_model()
    states = torch.ones(1, model.sizes.hidden)
    with torch.no_grad():
        here, there = (model.surprise(states, _classes(**{known: value}))[0] for value in (0, 1))
    assert {part for part, a, b in zip(PARTS, here, there, strict=True) if a != b} == changes


def test_before_it_has_learned_a_part_knows_nothing_of_the_others_and_intent_nothing_of_the_event_itself() -> None:
    torch.manual_seed(0)
    model = BehaviourModel(Sizes(hidden=8))
    states = torch.ones(2, 8)
    with torch.no_grad():
        nats = model.surprise(states, torch.cat([_classes(action=1, item=2, gap=3), _classes(action=4, item=5, gap=6)]))
        assert (nats[0, [PRICE, CONTEXT]] == nats[1, [PRICE, CONTEXT]]).all()
        assert (nats[0, [ACTION, ITEM, GAP]] != nats[1, [ACTION, ITEM, GAP]]).all()
        intents = model.heads(states, torch.randn(2, model.sizes.width)).intent
    assert torch.equal(intents[0], intents[1])


def test_nats_are_finite_and_never_below_0_however_sure_a_model_is() -> None:
    model = small_model()
    with torch.no_grad():
        model.next_event.weight.mul_(1e4)
    seen, packing = _seen()
    states = torch.cat([torch.zeros(len(packing.users), 8), torch.ones(60, 8)])[torch.from_numpy(packing.before)]
    with torch.no_grad():
        nats = model.surprise(states, torch.from_numpy(seen.classes))
    assert torch.isfinite(nats).all()
    assert (nats >= 0).all()
    assert not torch.signbit(nats).any()


@pytest.mark.parametrize(("items", "categories"), [(0, 0), (4, 0), (0, 3), (4, 3)])
def test_hashed_items_and_categories_are_part_of_x_only_if_asked_for(items: int, categories: int) -> None:
    torch.manual_seed(0)
    model = BehaviourModel(Sizes(hidden=8, item_numbers=items, category_numbers=categories))
    seen, _ = _seen()
    x = _embedded(model, seen)
    assert x.shape == (60, model.sizes.width)
    assert model.sizes.width == 8 + items + categories + len(features.REAL)
    others = seen.features._replace(item=seen.features.item[::-1].copy(), category=seen.features.category[::-1].copy())
    assert torch.equal(x, model.embed(*map(torch.from_numpy, others))) == (not items and not categories)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@torch.no_grad()
def test_every_cell_carries_on_from_where_it_was(cell: Cell, layers: int) -> None:
    model = small_model(cell=cell, layers=layers)
    seen, packing = _seen()
    x, sizes = _embedded(model, seen), model.sizes
    carry = torch.zeros(len(packing.users), sizes.parts, layers, sizes.hidden)
    assert sizes.parts == (2 if cell == "lstm" else 1)
    out, after = model.advance(x, torch.from_numpy(packing.batch_sizes), carry)
    assert after.shape == carry.shape
    # Step by step, each user's state put back in between.
    steps = []
    for step in packing.steps():
        n = step.stop - step.start
        stepped, carry[:n] = model.advance(x[step], torch.tensor([n]), carry[:n].clone())
        steps.append(stepped)
        assert torch.equal(stepped, carry[:n, 0, -1])  # h of the last layer: the output before the next event
    torch.testing.assert_close(torch.cat(steps), out, atol=1e-6, rtol=0)
    torch.testing.assert_close(carry, after, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_fraud_head_looks_at_the_carry_and_at_the_event_and_is_there_only_if_asked_for() -> None:
    model, states = small_model(fraud=True), torch.ones(3, 8)
    x = torch.zeros(3, model.sizes.width)
    x[1, -1], states[2, 0] = 1, -1
    fraud = model.heads(states, x).fraud
    assert fraud is not None
    assert fraud.shape == (3,)
    assert len({*fraud.tolist()}) == 3
    assert small_model().heads(states, x).fraud is None
