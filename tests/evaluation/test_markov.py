"""The Markov chain: probabilities that add up, by the formula of its smoothing, from what came before alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation import markov, token_files
from stream.evaluation.token_sequences import FIRST, TokenSequences, Vocabulary, distinct
from tests.evaluation.reference import roc_auc
from tests.evaluation.sequences import SHARED, sequences

SOME = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=12)


def p(chain: markov.MarkovChain, of: TokenSequences) -> list[float]:
    return [float(probability) for probability in np.exp(-chain.surprise(of))]


def continued(text: str, training: TokenSequences) -> TokenSequences:
    """A sequence that goes on with each of the codes there are, one of each."""
    begun = sequences(text).under(training.vocabulary) if text else None
    before = begun.tokens if begun else np.empty(0, np.int64)
    size = training.vocabulary.size
    tokens = np.concatenate([np.append(before, code) for code in range(size)])
    return TokenSequences(tokens, np.full(size, len(before) + 1), None, training.vocabulary)


@given(SOME, st.integers(0, 4), st.lists(st.sampled_from("abcdx"), max_size=5).map(" ".join))
def test_what_may_come_next_adds_up_to_one_after_any_beginning(some: list[str], order: int, begun: str) -> None:
    training = sequences(*some)
    of = continued(begun, training)
    after = np.cumsum(of.counts) - 1
    assert np.exp(-markov.learn(training, order=order).surprise(of))[after].sum() == pytest.approx(1)


def test_the_smoothing_is_witten_bells_by_hand() -> None:
    training = sequences("a b", "a b", "a c")  # codes: 2 of their own, and 3 words
    chain = markov.learn(training, order=1)
    even = 1 / 5
    unigram = {word: (n + 3 * even) / (6 + 3) for word, n in {"a": 3, "b": 2, "c": 1, "x": 0}.items()}
    at_start = (3 + 1 * unigram["a"]) / (3 + 1)  # always a
    assert p(chain, sequences("a b").under(training.vocabulary)) == pytest.approx(
        [at_start, (2 + 2 * unigram["b"]) / (3 + 2)]
    )
    assert p(chain, sequences("a x").under(training.vocabulary))[1] == pytest.approx(2 * unigram["x"] / (3 + 2))
    # b was never followed: what is known is how often each came at all
    assert p(chain, sequences("b c").under(training.vocabulary))[1] == pytest.approx(unigram["c"])


@given(SOME, SOME, st.integers(0, 3))
def test_a_token_is_judged_by_those_before_it_in_its_sequence_alone(
    some: list[str], others: list[str], order: int
) -> None:
    chain, vocabulary = markov.learn(training := sequences(*some), order=order), training.vocabulary
    together = chain.surprise(sequences(*others).under(vocabulary))
    alone = [chain.surprise(sequences(text).under(vocabulary)) for text in others]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    longer = [chain.surprise(sequences(f"{text} a").under(vocabulary)) for text in others]
    for short, long in zip(alone, longer, strict=True):
        np.testing.assert_array_equal(long[:-1], short)


def test_an_order_sees_so_many_tokens_back_and_no_further() -> None:
    training = sequences(*["a c c x"] * 20, *["b c c y"] * 20)
    nats = {
        order: markov.learn(training, order=order).surprise(sequences("a c c y").under(training.vocabulary))[3]
        for order in (0, 1, 2, 3)
    }
    assert nats[3] > 3 > nats[2] == pytest.approx(np.log(2), abs=0.1)
    assert nats[0] > nats[1]


def test_how_a_sequence_begins_is_learned_too() -> None:
    training = sequences(*["a b"] * 10)
    chain = markov.learn(training)
    usual, odd = (chain.surprise(sequences(text).under(training.vocabulary))[0] for text in ("a b", "b"))
    assert usual < 0.1
    assert odd > 3


def test_an_end_that_came_too_early_surprises_where_the_end_is_an_event() -> None:
    training = sequences(*["a b c"] * 10).with_end()
    chain = markov.learn(training)
    whole, cut = (chain.surprise(sequences(text).under(training.vocabulary).with_end()) for text in ("a b c", "a b"))
    assert whole.max() < 0.2
    assert cut[-1] > 3


@given(SOME, SOME, st.integers(0, 2))
def test_a_rank_is_how_many_tokens_were_likelier(some: list[str], others: list[str], order: int) -> None:
    training = sequences(*some)
    chain, of = markov.learn(training, order=order), sequences(*others).under(training.vocabulary)
    rank, nats = chain.rank(of), chain.surprise(of)
    at = 0
    for text in others:
        words = text.split()
        for place in range(len(words)):
            after = continued(" ".join(words[:place]), training)
            all_nats = chain.surprise(after)[np.cumsum(after.counts) - 1]
            assert rank[at] == (all_nats < nats[at]).sum()
            at += 1


def test_ranks_are_the_same_however_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    training = sequences(*(" ".join(rng.choice(list("abcdefgh"), 9)) for _ in range(30)))
    chain = markov.learn(training)
    at_once = chain.rank(training)
    monkeypatch.setattr(markov, "_CELLS", 1)
    np.testing.assert_array_equal(chain.rank(training), at_once)


def test_a_vocabulary_of_100_000_words_and_a_sequence_of_as_many_tokens_is_learned_and_scored() -> None:
    training = sequences_of_numbers(np.arange(100_000), 1)
    nats = markov.learn(training).surprise(training)
    assert nats.shape == (100_000,)
    assert np.isfinite(nats).all()
    assert np.median(nats) < 1


def sequences_of_numbers(tokens: np.ndarray, count: int) -> TokenSequences:
    words = tuple(str(i) for i in range(int(tokens.max()) + 1))
    return TokenSequences(tokens + FIRST, np.full(count, len(tokens) // count), None, Vocabulary(words))


def test_without_sequences_or_with_an_order_below_0_nothing_is_learned() -> None:
    with pytest.raises(ValueError, match="expected an order from 0 and sequences, got -1 and 1"):
        markov.learn(sequences("a"), order=-1)
    with pytest.raises(ValueError, match="got 2 and 0"):
        markov.learn(sequences("a").take(np.array([], np.int64)))


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the system logs are not here: {SHARED}")
def test_the_largest_surprise_finds_anomalies_of_system_logs_as_its_reference_does() -> None:
    """Reference: AUC .98 by an order-2 chain."""
    normal = token_files.read(SHARED / "hdfs_normal_train.parquet")
    once = distinct(token_files.read(SHARED / "hdfs_labelled_dev.parquet"))
    of = once.sequences.under(normal.vocabulary).with_end()
    nats = markov.learn(normal.with_end()).surprise(of)
    largest = np.maximum.reduceat(nats, of.starts)
    assert of.label is not None
    assert roc_auc(of.label, largest) > 0.99
    assert roc_auc(of.label[once.place], largest[once.place]) > 0.99
