"""An isolation forest on running features: how few random cuts set an event, or a sequence, apart from normal ones.

Liu, Ting and Zhou, "Isolation forest", ICDM 2008; scikit-learn's, from the extra `evaluate`. Learned on normal alone.

Fails where a single step is out of order among features that are all usual: it sees counts, not what followed what,
but for the steps that training never had. A value beyond all of training is no stranger than the largest there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from stream.errors import SettingsError
from stream.evaluation.sequence_scores import Learn, Scores, TokenScores
from stream.evaluation.token_sequences import END, Floats, Ints, TokenSequences

_TREES = 200  # twice scikit-learn's: AUC by seed still spreads by .01
# Rows that a tree is made of; the paper's 256 are too few where normal is often the same and seldom something else. On
# system logs, mean AUC of four seeds: 256 .933, 1,024 .981, 3,884 (all) .997. Chosen there, in the forest's favour.
_SAMPLES_MAX = 4096
_ROWS_MAX = 200_000  # a tree takes few of them
_COLUMNS_MAX = 64  # tokens with a count of their own: the most frequent ones
_CELLS = 1 << 22  # features that are held at once: 32 MB


def forest(normal: Floats, scored: Floats, *, seed: int) -> Floats:
    """[N] in (0, 1), high is strange: the rows of `scored` [N, F] among those of `normal` [M, F].

    For shop events: a row per event with the running features of its user. NaN, "there is nothing that it could be
    of", is a value of its own, below all others of its column, with a column beside it that says so.
    """
    return fitted(normal, seed)(scored)


def sequences(*, seed: int = 1) -> Learn:
    """As one of several methods that are compared: of each sequence as a whole, at its end."""

    def fit(normal: TokenSequences) -> Callable[[TokenSequences], Scores]:
        features = RunningFeatures.of(normal)
        score = fitted(features.but_its_own(normal).at_end(normal), seed)
        return lambda of: score(features.at_end(of))

    return fit


def running(*, seed: int = 1) -> Learn:
    """The same at each token, by those up to it: what a live stream can have, whose sequences have no end."""

    def fit(normal: TokenSequences) -> Callable[[TokenSequences], Scores]:
        features = RunningFeatures.of(normal)
        score = fitted(_drawn(features.but_its_own(normal), normal, seed), seed)
        return lambda of: TokenScores(np.concatenate([score(features.at_tokens(part)) for part in features.parts(of)]))

    return fit


@dataclass(frozen=True, slots=True)
class RunningFeatures:
    """What is counted along a sequence, and what training knew."""

    counted: Ints  # [K] codes with a count of their own
    tokens: Ints  # sorted: codes that training had
    steps: Ints  # sorted: pairs of tokens that followed each other in training
    size: int  # V

    @classmethod
    def of(cls, normal: TokenSequences) -> RunningFeatures:
        """Learned on the training part."""
        often = np.bincount(normal.tokens, minlength=normal.vocabulary.size)
        often[END] = 0  # each has one
        counted = np.argsort(-often, kind="stable")[: min(_COLUMNS_MAX, np.count_nonzero(often))]
        return cls(counted, np.unique(normal.tokens), np.unique(_steps(normal)), normal.vocabulary.size)

    def but_its_own(self, normal: TokenSequences) -> RunningFeatures:
        """For the training sequences themselves: known is what another one of them has too.

        Else nothing in training is ever new, and a forest, which cuts only where values differ, never looks at newness:
        AUC .864 instead of .986 on distinct system logs.
        """
        return replace(self, tokens=_of_several(normal.tokens, normal), steps=_of_several(_steps(normal), normal))

    @property
    def width(self) -> int:
        """F."""
        return len(self.counted) + 6

    def at_end(self, of: TokenSequences) -> Floats:
        """[S, F] at each sequence's last token."""
        return np.concatenate([self.at_tokens(part)[np.cumsum(part.counts) - 1] for part in self.parts(of)])

    def parts(self, of: TokenSequences) -> Iterator[TokenSequences]:
        """Some sequences at a time, so that their features are never all in memory."""
        part = np.cumsum(of.counts) * self.width // _CELLS
        ends = np.cumsum(np.unique(part, return_counts=True)[1]).tolist()
        for start, end in pairwise([0, *ends]):
            yield of.take(np.arange(start, end))

    def at_tokens(self, of: TokenSequences) -> Floats:
        """[N, F] at each token, it included."""
        place = np.arange(len(of.tokens)) - np.repeat(of.starts, of.counts)
        unseen = ~np.isin(_steps(of), self.steps)
        key = of.sequence * self.size + of.tokens
        first = np.zeros(len(key), np.bool_)
        first[np.unique(key, return_index=True)[1]] = True  # of its token in its sequence
        again = np.append(False, of.tokens[1:] == of.tokens[:-1]) & (place > 0)
        flags = [~np.isin(of.tokens, self.tokens), unseen, first, again, *(of.tokens == code for code in self.counted)]
        columns = [place + 1.0, *(_so_far(flag, of) for flag in flags)]
        columns.append(unseen.astype(np.float64))  # this very step
        return np.log1p(np.stack(columns, axis=1))  # a forest cuts evenly: 3 is to 2 as 300 is to 200


def _steps(of: TokenSequences) -> Ints:
    """[N] each token with the one before it, or with none, as a number."""
    before = np.append(END, of.tokens[:-1])  # END never comes before a token: here it is the start
    before[of.starts] = END
    return before * of.vocabulary.size + of.tokens


def _drawn(features: RunningFeatures, normal: TokenSequences, seed: int) -> Floats:
    """Rows of all training tokens, or of as many, drawn at random, as a forest can use."""
    rng, share = np.random.default_rng(seed), _ROWS_MAX / len(normal.tokens)
    rows = (features.at_tokens(part) for part in features.parts(normal))
    return np.concatenate([part[rng.random(len(part)) < share] for part in rows])


def _of_several(values: Ints, of: TokenSequences) -> Ints:
    """Those of the values [N] that more than one sequence has, sorted."""
    different, code = np.unique(values, return_inverse=True)
    pairs = np.unique(code * len(of) + of.sequence)
    return different[np.bincount(pairs // len(of)) > 1]


def _so_far(flag: Floats, of: TokenSequences) -> Floats:
    """[N] how many of the sequence's tokens up to this one have it."""
    total = np.cumsum(flag, dtype=np.float64)
    return total - np.repeat((total - flag)[of.starts], of.counts)


def fitted(normal: Floats, seed: int) -> Callable[[Floats], Floats]:
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError:
        raise SettingsError(
            "the isolation forest needs scikit-learn: pip install 'behaviour-stream[evaluate]'"
        ) from None
    gaps = np.isnan(normal).any(axis=0)
    least = np.nan_to_num(np.nanmin(np.where(np.isnan(normal), np.inf, normal), axis=0), posinf=0.0) - 1.0

    def filled(x: Floats) -> Floats:
        return np.column_stack([np.where(np.isnan(x), least, x), np.isnan(x[:, gaps])])

    model = IsolationForest(
        n_estimators=_TREES, max_samples=min(_SAMPLES_MAX, len(normal)), random_state=seed, n_jobs=1
    ).fit(filled(normal))
    return lambda x: -np.asarray(model.score_samples(filled(x)), np.float64)
