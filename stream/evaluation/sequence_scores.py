"""What methods that are compared on plain token sequences have in common: a type, and one number per sequence. Pure.

A method is a function: normal sequences -> what scores sequences of the same vocabulary. A high score is strange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from stream.evaluation.token_sequences import Floats, Ints, TokenSequences


class TokenScores(NamedTuple):
    """Of N tokens, each judged by those before it alone."""

    nats: Floats  # [N] surprise; of a method without probabilities any measure of its own, high is strange
    rank: Ints | None = None  # [N] how many tokens were likelier; None: the method cannot tell


Scores = TokenScores | Floats  # [S]: of sequences as a whole, judged at their end
Learn = Callable[[TokenSequences], Callable[[TokenSequences], Scores]]

# In the order in which they are shown; the first that a method has stands for it
STATISTICS = ("largest", "mean", "sum", "whole")


def by_sequence(scores: Scores, of: TokenSequences) -> Mapping[str, Floats]:
    """[S] of each statistic that there is. Raises ValueError for scores that are not those of these sequences."""
    if not isinstance(scores, TokenScores):
        return {"whole": _checked(scores, len(of), "sequences")}
    nats = _checked(scores.nats, len(of.tokens), "tokens")
    total = np.add.reduceat(nats, of.starts)
    return {"largest": np.maximum.reduceat(nats, of.starts), "mean": total / of.counts, "sum": total}


def largest_rank(scores: Scores, of: TokenSequences) -> Ints | None:
    """[S] of the token that was the least expected by rank."""
    if not isinstance(scores, TokenScores) or scores.rank is None:
        return None
    if len(scores.rank) != len(of.tokens):
        raise ValueError(f"scores: expected the ranks of {len(of.tokens)} tokens, got {len(scores.rank)}")
    largest: Ints = np.maximum.reduceat(scores.rank, of.starts)
    return largest


def _checked(scores: Floats, expected: int, what: str) -> Floats:
    if scores.shape != (expected,):
        raise ValueError(f"scores: expected those of {expected} {what}, got an array of shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"scores: expected numbers, got NaN for {int(np.isnan(scores).sum())} of {expected} {what}")
    return scores.astype(np.float64)
