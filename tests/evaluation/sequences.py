"""Token sequences by hand, for the tests of what judges them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stream.evaluation.token_sequences import FIRST, TokenSequences, Vocabulary

SHARED = Path(__file__).parents[3] / "shared" / "data"


def sequences(*texts: str, label: Sequence[bool] | None = None) -> TokenSequences:
    """Tokens apart by spaces, under a vocabulary of their own."""
    words = list(dict.fromkeys(word for text in texts for word in text.split()))
    return TokenSequences(
        np.array([FIRST + words.index(word) for text in texts for word in text.split()], np.int64),
        np.array([len(text.split()) for text in texts], np.int64),
        None if label is None else np.array(label, np.bool_),
        Vocabulary(tuple(words)),
    )


def texts(of: TokenSequences) -> list[str]:
    """The same back."""
    return [
        " ".join(of.vocabulary.word(code) for code in of.tokens[start : start + count].tolist())
        for start, count in zip(of.starts, of.counts, strict=True)
    ]
