"""Plain sequences of tokens as columns: codes by a vocabulary, sequences one after the other. Pure.

    S  sequences                V  words of the vocabulary, with the two that no file has

A vocabulary is learned on the training part. A token that is not in it has the code UNKNOWN, so that methods can give
it a probability; the end of a sequence, where it counts as an event, has the code END.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

UNKNOWN, END = 0, 1
FIRST = 2  # the code of a vocabulary's first word


@dataclass(frozen=True)
class Vocabulary:
    """Tokens that have a code of their own: that of `words[i]` is i + 2."""

    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """V: every code is below it."""
        return len(self.words) + FIRST

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """Word -> code."""
        return {word: code for code, word in enumerate(self.words, FIRST)}

    def word(self, code: int) -> str:
        """For people."""
        return {UNKNOWN: "(unknown)", END: "(end)"}.get(code) or self.words[code - FIRST]


@dataclass(frozen=True, slots=True)
class TokenSequences:
    """N tokens of S sequences, one sequence after the other, each in its order."""

    tokens: Ints  # [N] codes of `vocabulary`
    counts: Ints  # [S] tokens of each sequence, 1 or more
    label: Bools | None  # [S] the sequence is anomalous; None: nobody says
    vocabulary: Vocabulary

    def __post_init__(self) -> None:
        if self.counts.sum() != len(self.tokens) or self.counts.min(initial=1) < 1:
            raise ValueError(
                f"sequences: expected counts of 1 or more that add up to {len(self.tokens)} tokens, "
                f"got {self.counts.sum()} with a least of {self.counts.min(initial=1)}"
            )
        if self.label is not None and len(self.label) != len(self.counts):
            raise ValueError(f"sequences: expected {len(self.counts)} labels, got {len(self.label)}")
        if len(self.tokens) and not 0 <= self.tokens.min() <= self.tokens.max() < self.vocabulary.size:
            raise ValueError(
                f"sequences: expected codes from 0 to {self.vocabulary.size - 1}, "
                f"got {self.tokens.min()} to {self.tokens.max()}"
            )

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def starts(self) -> Ints:
        """[S] the place of each sequence's first token."""
        return np.cumsum(self.counts) - self.counts

    @property
    def sequence(self) -> Ints:
        """[N] the sequence of each token."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, index: Ints | Bools) -> Self:
        """The sequences at `index` (places or a mask), in that order."""
        chosen = np.flatnonzero(index) if index.dtype == np.bool_ else index
        counts = self.counts[chosen]
        places = np.repeat(self.starts[chosen] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        label = None if self.label is None else self.label[chosen]
        return replace(self, tokens=self.tokens[places], counts=counts, label=label)

    def under(self, vocabulary: Vocabulary) -> Self:
        """The same sequences in the codes of another vocabulary."""
        known = vocabulary.codes
        mapped = [UNKNOWN, END, *(known.get(word, UNKNOWN) for word in self.vocabulary.words)]
        return replace(self, tokens=np.array(mapped, np.int64)[self.tokens], vocabulary=vocabulary)

    def relearned(self) -> Self:
        """Under a vocabulary of the words that these sequences hold, and of no others."""
        there = np.unique(self.tokens[self.tokens >= FIRST]) - FIRST
        return self.under(Vocabulary(tuple(self.vocabulary.words[i] for i in there.tolist())))

    def with_end(self) -> Self:
        """Each with an event END after its last token; of a live stream that is a time-out."""
        return replace(self, tokens=np.insert(self.tokens, self.starts + self.counts, END), counts=self.counts + 1)

    @classmethod
    def concat(cls, parts: Sequence[TokenSequences]) -> TokenSequences:
        """One after the other; words in the order of the parts. Labels stay where all parts have some."""
        words = dict.fromkeys(word for part in parts for word in part.vocabulary.words)
        joint = Vocabulary(tuple(words))
        labels = [part.label for part in parts if part.label is not None]
        return cls(
            np.concatenate([part.under(joint).tokens for part in parts]),
            np.concatenate([part.counts for part in parts]),
            np.concatenate(labels) if labels and len(labels) == len(parts) else None,
            joint,
        )


class Distinct(NamedTuple):
    """Sequences without repeats: D of the S that there are."""

    sequences: TokenSequences  # D, in the order in which each came first
    weight: Ints  # [D] how often each came
    place: Ints  # [S] where in `sequences` each is


def distinct(of: TokenSequences) -> Distinct:
    """Each different sequence once. One that came with both labels is two.

    By codes: ask before `under` hides what is unknown, or sequences with different unknown tokens become one.
    """
    label = np.zeros(len(of), np.bool_) if of.label is None else of.label
    seen: dict[tuple[bytes, bool], int] = {}
    places = [seen.setdefault(key, len(seen)) for key in zip(_keys(of), label.tolist(), strict=True)]
    place = np.array(places, np.int64)
    first, weight = np.unique(place, return_index=True, return_counts=True)[1:]
    return Distinct(of.take(first), weight, place)


def occurs_in(of: TokenSequences, others: TokenSequences) -> Bools:
    """[S] the same sequence is among the others, which have the same vocabulary. What holds an unknown token is not."""
    known = set(_keys(others))
    unknown = np.add.reduceat(of.tokens == UNKNOWN, of.starts) > 0 if len(of) else np.empty(0, np.bool_)
    return np.array([key in known for key in _keys(of)], np.bool_) & ~unknown


def split(of: TokenSequences, *, share: float, seed: int) -> tuple[TokenSequences, TokenSequences]:
    """(the rest, `share` of the sequences), drawn at random, each in the order of the file.

    Raises ValueError where a part would be empty.
    """
    held_out = round(share * len(of))
    if not 0 < held_out < len(of):
        raise ValueError(f"sequences: expected enough of them to hold out {share:g}, got {len(of)}")
    mask = np.zeros(len(of), np.bool_)
    mask[np.random.default_rng(seed).permutation(len(of))[:held_out]] = True
    return of.take(~mask), of.take(mask)


def _keys(of: TokenSequences) -> list[bytes]:
    """[S] the same bytes for the same tokens."""
    whole, size = of.tokens.tobytes(), of.tokens.itemsize
    ends = size * np.cumsum(of.counts)
    return [whole[end - size * n : end] for end, n in zip(ends.tolist(), of.counts.tolist(), strict=True)]
