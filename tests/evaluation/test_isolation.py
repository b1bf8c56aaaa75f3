"""The isolation forest: what its running features count, and that it finds what is alone."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.evaluation import isolation
from stream.evaluation.isolation import RunningFeatures
from stream.evaluation.sequence_scores import TokenScores
from tests.evaluation.sequences import sequences

pytest.importorskip("sklearn")

SOME = st.lists(st.lists(st.sampled_from("abcdx"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=8)
TRAINING = sequences("a b b c", "a b", "b c")


def test_features_count_tokens_lengths_and_steps_that_training_never_had() -> None:
    features = RunningFeatures.of(TRAINING)
    found = np.expm1(features.at_tokens(sequences("a b a x x").under(TRAINING.vocabulary)))
    length, unknown, unseen, different, again, b, a, c, this_step = found.T.round().astype(int).tolist()
    assert length == [1, 2, 3, 4, 5]
    assert unknown == [0, 0, 0, 1, 2]
    assert unseen == [0, 0, 1, 2, 3]  # b a, a x, x x
    assert different == [1, 2, 2, 3, 3]
    assert again == [0, 0, 0, 0, 1]
    assert (a, b, c) == ([1, 1, 2, 2, 2], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0])
    assert this_step == [0, 0, 1, 1, 1]
    assert features.width == found.shape[1]


@given(SOME)
def test_no_feature_looks_at_what_comes_later_or_at_another_sequence(some: list[str]) -> None:
    features, vocabulary = RunningFeatures.of(TRAINING), TRAINING.vocabulary
    together = features.at_tokens(sequences(*some).under(vocabulary))
    alone = [features.at_tokens(sequences(f"{text} a").under(vocabulary))[:-1] for text in some]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@given(SOME)
def test_a_sequence_as_a_whole_has_the_features_of_its_last_token(some: list[str]) -> None:
    features, of = RunningFeatures.of(TRAINING), sequences(*some).under(TRAINING.vocabulary)
    np.testing.assert_array_equal(features.at_end(of), features.at_tokens(of)[np.cumsum(of.counts) - 1])


def test_features_are_the_same_however_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features = RunningFeatures.of(TRAINING)
    at_once = features.at_end(TRAINING)
    monkeypatch.setattr(isolation, "_CELLS", 20)
    assert len(list(features.parts(TRAINING))) > 1
    np.testing.assert_array_equal(features.at_end(TRAINING), at_once)


def test_only_the_most_frequent_tokens_of_a_large_vocabulary_have_a_column() -> None:
    training = sequences(*(f"often w{i}" for i in range(500)))
    features = RunningFeatures.of(training)
    assert features.width == 64 + 6
    assert training.vocabulary.word(int(features.counted[0])) == "often"


def test_of_a_training_sequence_what_it_alone_has_is_new() -> None:
    features = RunningFeatures.of(TRAINING)
    own = features.but_its_own(TRAINING)
    assert [TRAINING.vocabulary.word(code) for code in own.tokens.tolist()] == ["a", "b", "c"]
    new_steps = np.expm1(own.at_end(TRAINING)[:, 2]).round()
    assert new_steps.tolist() == [1, 0, 1]  # b b, and c after nothing: of one sequence each
    assert features.at_end(TRAINING)[:, 2].tolist() == [0, 0, 0]


def test_a_sequence_unlike_all_others_is_stranger_by_token_and_as_a_whole() -> None:
    training = sequences(*["a b c"] * 60, *["a b b c"] * 60, "a c b", "c b a d", "b")
    tested = sequences("a b c", "c c c a a x x b").under(training.vocabulary)
    whole = isolation.sequences()(training)(tested)
    by_token = isolation.running()(training)(tested)
    assert isinstance(whole, np.ndarray)
    assert isinstance(by_token, TokenScores)
    assert whole[1] > whole[0] + 0.05
    assert by_token.nats[3:].max() > by_token.nats[:3].max() + 0.05


def test_an_event_of_a_shop_is_scored_by_its_row_of_features_and_a_gap_among_them_is_a_value() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(2000, 3))
    normal[rng.random(2000) < 0.5, 2] = np.nan
    usual, far = np.array([[0.0, 0.0, np.nan], [0.0, 0.0, 0.0]]), np.array([[6.0, -6.0, np.nan], [5.0, 5.0, 5.0]])
    score = isolation.forest(normal, np.concatenate([usual, far]), seed=1)
    assert score[2:].min() > score[:2].max() + 0.1
    unheard = isolation.forest(np.abs(rng.normal(size=(500, 2))), np.array([[1.0, np.nan]]), seed=1)
    assert np.isfinite(unheard).all()  # a gap that training never had


def test_the_same_seed_makes_the_same_forest() -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    np.testing.assert_array_equal(isolation.forest(x, x, seed=2), isolation.forest(x, x, seed=2))
    assert (isolation.forest(x, x, seed=2) != isolation.forest(x, x, seed=3)).any()


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(SettingsError, match=r"pip install 'behaviour-stream\[evaluate\]'"):
        isolation.sequences()(TRAINING)
