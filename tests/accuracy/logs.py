"""System logs, trained on normal ones alone: the largest surprise, beside a Markov chain on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream.evaluation import markov, recurrent, sequence_figures, sequence_words, token_files
from stream.evaluation.token_sequences import TokenSequences, split
from stream.training.recipe import Recipe
from tests.accuracy import sets

_HELD_OUT = 0.2


def judge(seeds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Of each seed, all that `evaluate anomaly` tells."""
    normal = token_files.read(sets.FOLDER / "hdfs_normal_train.parquet", label=False)
    tested = token_files.read(sets.FOLDER / "hdfs_labelled_dev.parquet")
    learned, calm = split(normal, share=_HELD_OUT, seed=1)
    found = {}
    for seed in range(1, seeds + 1):
        say(f"seed {seed}")
        methods = {
            "this network": recurrent.method(Recipe(seed=seed, intent_weight=0.0)),
            "Markov chain of order 2": markov.method(order=2),
        }
        figures = sequence_figures.evaluate(
            learned.relearned(), calm, TokenSequences.concat([tested]), methods, sequence_figures.How()
        )
        found[f"seed {seed}"] = sequence_words.as_object(figures)
    return found
