"""Token sequences as columns: codes, ends, repeats and splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation.token_sequences import TokenSequences, Vocabulary, distinct, occurs_in, split
from tests.evaluation.sequences import sequences, texts

SOME = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=20)


def test_what_training_never_had_is_unknown_and_all_else_keeps_its_word() -> None:
    tested = sequences("a x b", "y")
    under = tested.under(sequences("b a").vocabulary)
    assert texts(under) == ["a (unknown) b", "(unknown)"]
    assert texts(tested) == ["a x b", "y"]


def test_an_end_event_follows_the_last_token_of_each() -> None:
    ended = sequences("a b", "c", label=[True, False]).with_end()
    assert texts(ended) == ["a b (end)", "c (end)"]
    assert ended.counts.tolist() == [3, 2]
    assert texts(ended.under(sequences("c").vocabulary)) == ["(unknown) (unknown) (end)", "c (end)"]


def test_a_vocabulary_that_is_learned_again_has_only_what_is_there() -> None:
    assert sequences("a b", "b c").take(np.array([1])).relearned().vocabulary.words == ("b", "c")


@given(SOME, st.data())
def test_taking_sequences_gives_those_in_that_order(some: list[str], data: st.DataObject) -> None:
    label = data.draw(st.lists(st.booleans(), min_size=len(some), max_size=len(some)))
    order = data.draw(st.lists(st.integers(0, len(some) - 1)))
    taken = sequences(*some, label=label).take(np.array(order, np.int64))
    assert texts(taken) == [some[i] for i in order]
    assert taken.label is not None
    assert taken.label.tolist() == [label[i] for i in order]


@given(SOME)
def test_each_different_sequence_is_kept_once_with_how_often_it_came(some: list[str]) -> None:
    once = distinct(sequences(*some))
    kept = texts(once.sequences)
    assert kept == list(dict.fromkeys(some))
    assert once.weight.tolist() == [some.count(text) for text in kept]
    assert [kept[place] for place in once.place.tolist()] == some


def test_a_sequence_that_came_with_both_labels_is_two() -> None:
    once = distinct(sequences("a b", "a b", "a b", label=[True, False, True]))
    assert texts(once.sequences) == ["a b", "a b"]
    assert once.weight.tolist() == [2, 1]


def test_a_sequence_occurs_in_training_as_a_whole_and_never_with_an_unknown_token() -> None:
    training = sequences("a b", "a b c", "b")
    tested = sequences("a b", "a", "b", "a x", "b a").under(training.vocabulary)
    assert occurs_in(tested, training).tolist() == [True, False, True, False, False]


def test_a_split_has_every_sequence_once_and_the_same_seed_makes_the_same() -> None:
    whole = sequences(*(f"t{i} end" for i in range(50)))
    training, held_out = split(whole, share=0.2, seed=3)
    assert len(held_out) == 10
    assert sorted(texts(training) + texts(held_out)) == sorted(texts(whole))
    assert texts(split(whole, share=0.2, seed=3)[1]) == texts(held_out) != texts(split(whole, share=0.2, seed=4)[1])
    with pytest.raises(ValueError, match=r"expected enough of them to hold out 0\.2, got 1"):
        split(sequences("a"), share=0.2, seed=1)


def test_files_one_after_the_other_share_a_vocabulary() -> None:
    normal, anomalous = sequences("a b", label=[False]), sequences("c a", "b", label=[True, True])
    joined = TokenSequences.concat([normal, anomalous])
    assert texts(joined) == ["a b", "c a", "b"]
    assert joined.label is not None
    assert joined.label.tolist() == [False, True, True]
    assert TokenSequences.concat([normal, sequences("c")]).label is None


def test_columns_that_do_not_fit_are_refused() -> None:
    codes, vocabulary = np.array([2, 3], np.int64), Vocabulary(("a", "b"))
    with pytest.raises(ValueError, match="counts of 1 or more that add up to 2 tokens, got 3"):
        TokenSequences(codes, np.array([3]), None, vocabulary)
    with pytest.raises(ValueError, match="with a least of 0"):
        TokenSequences(codes, np.array([2, 0]), None, vocabulary)
    with pytest.raises(ValueError, match="expected 1 labels, got 2"):
        TokenSequences(codes, np.array([2]), np.array([True, False]), vocabulary)
    with pytest.raises(ValueError, match="expected codes from 0 to 3, got 2 to 4"):
        TokenSequences(codes + np.array([0, 1]), np.array([2]), None, vocabulary)
