"""A Markov chain over tokens, of any order, learned on normal sequences: what a team tries before any network. Pure.

Interpolated Witten-Bell smoothing: of a context h that came n(h) times and was followed by t(h) different tokens,

    p(w | h) = (n(h, w) + t(h) p(w | h')) / (n(h) + t(h))

where h' is h without its oldest token; below the empty context every code of the vocabulary is as likely as another.
Witten and Bell, "The zero-frequency problem", IEEE Trans. Inf. Theory 37(4), 1991, method C; interpolated as in Chen
and Goodman, "An empirical study of smoothing techniques for language modeling", 1999, section 2. It has no constant to
tune, and the oftener a context was followed by one and the same token, the more that is trusted.

A sequence's first tokens have the start in their context, and as many starts before it as the order asks for.

Fails where order is not what matters: it sees `order` tokens back and no further, neither counts nor lengths. Costs
O(N order) to learn and to score, and memory for every different context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.evaluation.sequence_scores import Learn, TokenScores
from stream.evaluation.token_sequences import Bools, Floats, Ints, TokenSequences

_NONE = -1  # the number of a context that never came
_CELLS = 1 << 22  # probabilities that are held at once where candidates are ranked: 32 MB


class _Level(NamedTuple):
    """Contexts of one length, numbered from 0, and what followed them. C contexts, P pairs of context and token."""

    contexts: Ints  # [C] sorted: number of the context without its oldest token * (V + 1) + that oldest token
    pairs: Ints  # [P] sorted: number of the context * V + the token that followed
    times: Floats  # [P] how often that came
    total: Floats  # [C] n(h)
    different: Floats  # [C] t(h)


@dataclass(frozen=True, slots=True)
class MarkovChain:
    """What was learned: a level for each length of context, from 0 to the order."""

    levels: tuple[_Level, ...]
    vocabulary_size: int  # V

    @property
    def order(self) -> int:
        return len(self.levels) - 1

    def surprise(self, of: TokenSequences) -> Floats:
        """[N] nats, -ln p of each token after those before it."""
        return -np.log(self._probability(self._contexts(of), of.tokens))

    def rank(self, of: TokenSequences) -> Ints:
        """[N] how many tokens were likelier than the one that came; 0: none was. Costs O(V) a context and token."""
        columns = np.stack([*self._contexts(of), of.tokens], axis=1)
        different, place = np.unique(columns, axis=0, return_inverse=True)
        rank = np.empty(len(different), np.int64)
        step = max(1, _CELLS // self.vocabulary_size)
        for start in range(0, len(different), step):
            contexts, token = different[start : start + step, :-1], different[start : start + step, -1]
            likely = self._distribution(contexts)
            came = likely[np.arange(len(token)), token]
            rank[start : start + step] = (likely > came[:, None]).sum(axis=1)
        return rank[place.reshape(-1)]

    def _contexts(self, of: TokenSequences) -> list[Ints]:
        """By length from 0: [N] the number of each token's context, or _NONE."""
        found = [np.zeros(len(of.tokens), np.int64)]
        for length, level in enumerate(self.levels[1:], 1):
            found.append(_find(level.contexts, _context_keys(of, found[-1], length)))
        return found

    def _probability(self, contexts: list[Ints], token: Ints) -> Floats:
        """[N] of each token in its context."""
        p = np.full(len(token), 1 / self.vocabulary_size)
        for level, context in zip(self.levels, contexts, strict=True):
            pair = _find(level.pairs, np.where(context == _NONE, _NONE, context * self.vocabulary_size + token))
            times = np.where(pair == _NONE, 0.0, level.times[pair])
            p = np.where(context == _NONE, p, (times + level.different[context] * p) / _mass(level, context))
        return p

    def _distribution(self, contexts: Ints) -> Floats:
        """[C, V] of every token in contexts [C, order + 1]."""
        tokens = np.arange(self.vocabulary_size)
        spread = [np.repeat(column, len(tokens)) for column in contexts.T]
        return self._probability(spread, np.tile(tokens, len(contexts))).reshape(len(contexts), -1)


def learn(normal: TokenSequences, *, order: int = 2) -> MarkovChain:
    """Of normal sequences alone."""
    if order < 0 or not len(normal):
        raise ValueError(f"Markov chain: expected an order from 0 and sequences, got {order} and {len(normal)}")
    size, tokens = normal.vocabulary.size, normal.tokens
    context, levels = np.zeros(len(tokens), np.int64), []
    contexts = np.zeros(1, np.int64)
    for length in range(order + 1):
        if length:
            contexts, context = np.unique(_context_keys(normal, context, length), return_inverse=True)
        pairs, times = np.unique(context * size + tokens, return_counts=True)
        followed = pairs // size
        levels.append(
            _Level(
                contexts,
                pairs,
                times.astype(np.float64),
                np.bincount(followed, times, minlength=len(contexts)).astype(np.float64),
                np.bincount(followed, minlength=len(contexts)).astype(np.float64),
            )
        )
    return MarkovChain(tuple(levels), size)


def method(*, order: int = 2) -> Learn:
    """As one of several that are compared."""

    def fit(normal: TokenSequences) -> Callable[[TokenSequences], TokenScores]:
        chain = learn(normal, order=order)
        return lambda of: TokenScores(chain.surprise(of), chain.rank(of))

    return fit


def _context_keys(of: TokenSequences, shorter: Ints, length: int) -> Ints:
    """[N] each token's context of `length`, as the shorter one's number and the token before that; or _NONE."""
    start = of.vocabulary.size  # a code of its own: nothing but a context has it
    places = np.arange(len(of.tokens))
    inside: Bools = places - np.repeat(of.starts, of.counts) >= length
    oldest = np.where(inside, of.tokens[np.maximum(places - length, 0)], start)
    return np.where(shorter == _NONE, _NONE, shorter * (start + 1) + oldest)


def _find(known: Ints, wanted: Ints) -> Ints:
    """[N] where in `known`, sorted, each is; or _NONE."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, _NONE)


def _mass(level: _Level, context: Ints) -> Floats:
    return level.total[context] + level.different[context]
