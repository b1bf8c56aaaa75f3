"""Published purchase intent beside the events of runs: by user and id, repeats by the order of application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from stream.errors import SettingsError
from stream.model_file import LoadedModel
from stream.parity.intents import Intents
from stream.training.gathering import SEQUENCE_EVENTS
from tests.models import model_in
from tests.shop import FakeRecord
from tests.training.shops import MINUTE_MS, START_MS, gathered, shop_event

TWICE = ("u1", "view_item", 5 * MINUTE_MS)  # sent again, so much later that it is applied again
BETWEEN = [("u1", "view_cart", 8 * MINUTE_MS + n) for n in range(SEQUENCE_EVENTS)]
SENT = [("u1", "search", 0), TWICE, ("u2", "search", 7 * MINUTE_MS), *BETWEEN, TWICE]
RUNS = gathered(
    shop_event(user, name, START_MS + after)._replace(sent_ms=START_MS + n * MINUTE_MS)
    for n, (user, name, after) in enumerate(SENT)
).runs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return model_in(tmp_path_factory.mktemp("model"))


def record(
    model: LoadedModel, place: int, event: tuple[str, str, int], seen: int, p: float, **other: Any
) -> FakeRecord:
    user, name, after = event
    value = {
        "schema_version": 1,
        "id": f"clicks-0-{place}-{model.hash}",
        "event_id": f"{user}-{name}-{START_MS + after}",
        "user_id": user,
        "event_time_ms": START_MS + after,
        "scored_time_ms": START_MS,
        "events_seen": seen,
        "model": model.name,
        "model_hash": model.hash,
        "late": False,
        "time_bounded": False,
        "carry_rebuilt": False,
        "purchase_intent": dict.fromkeys(model.card.sizes.horizons, p),
    }
    return FakeRecord(user.encode(), orjson.dumps(value | other), place, START_MS)


def published(model: LoadedModel) -> list[FakeRecord]:
    """Each event's n-th hundredth."""
    seen = [1, 2, 1, *range(3, len(SENT))]
    return [record(model, n, event, seen[n], n / 100) for n, event in enumerate(SENT)]


def intents(model: LoadedModel, records: Sequence[FakeRecord]) -> Intents:
    found = Intents(model)
    found.add(records)
    return found


def by_user(user: str, of: np.ndarray) -> list[float]:
    place = int(np.flatnonzero(RUNS.counts == (len(SENT) - 1 if user == "u1" else 1))[0])
    return [round(float(p), 4) for p in of[RUNS.owner == place, 0]]


def test_each_event_has_its_own_score_and_one_that_was_applied_twice_has_two(model: LoadedModel) -> None:
    found = intents(model, published(model)).of(RUNS)
    assert found.shape == (len(SENT), len(model.card.sizes.horizons))
    assert by_user("u1", found) == [0.0, 0.01, *(n / 100 for n in range(3, len(SENT)))]
    assert by_user("u2", found) == [0.02]


def test_of_a_score_that_came_again_the_first_counts_as_for_subscribers(model: LoadedModel) -> None:
    again = record(model, 2, SENT[2], 1, 0.9)
    found = intents(model, [*published(model), again])
    assert len(found) == len(SENT)
    assert by_user("u2", found.of(RUNS)) == [0.02]


def test_what_was_not_published_is_not_known(model: LoadedModel) -> None:
    found = intents(model, published(model)[:2]).of(RUNS)
    assert np.isnan(found[:, 0]).tolist().count(True) == len(SENT) - 2


def test_scores_of_another_model_and_what_is_no_score_are_left_out_and_counted(model: LoadedModel) -> None:
    other = record(model, 9, SENT[0], 1, 0.5, model_hash="0" * 12)
    found = intents(model, [other, FakeRecord(b"u1", b"{", 10, 0), FakeRecord(b"u1", None, 11, 0)])
    assert found.others == 3
    none = f"expected scores of model {model.name}, hash {model.hash}, got none of {len(SENT)} "
    with pytest.raises(SettingsError, match=none):
        found.of(RUNS)


def test_without_topics_there_is_nothing_to_set_them_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stream import cli

    assert cli.run(["evaluate", "--simulated", "1", "--published", "--model", "shoppers-h64"]) == 2
    assert "expected --topics with --published" in capsys.readouterr().err
