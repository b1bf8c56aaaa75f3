"""Methods side by side on sequences: what each view is made of, and what figures say of a method."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isnan

import numpy as np
import pytest

from stream.evaluation import markov, sequence_words
from stream.evaluation.sequence_figures import Evaluation, How, Judged, Rows, evaluate
from stream.evaluation.sequence_scores import Learn, Scores, TokenScores
from stream.evaluation.token_sequences import END, UNKNOWN, TokenSequences
from tests.evaluation.sequences import sequences

TRAINING = sequences(*["a b c"] * 40, *["a b b c"] * 20, "a c")
HELD_OUT = sequences(*["a b c"] * 60, *["a b b c"] * 30, "a c", *["a b b b c"] * 9)
# One with a strange step, one with an unknown token, one that is cut short; normal ones that training had and had not
TESTED = sequences(
    *["a b c"] * 50, *["a b b b c"] * 5, "b a c", "a x c", *["a b"] * 8, label=[False] * 55 + [True] * 10
)  # fmt: skip
QUICK = How(resamples=40)


def view(of: Evaluation, rows: str, *, end_event: bool) -> Rows:
    (found,) = (r for r in of.rows if (r.rows, r.end_event) == (rows, end_event))
    return found


def judged(of: Rows, method: str, statistic: str) -> Judged:
    (found,) = (j for j in of.judged if (j.method, j.statistic) == (method, statistic))
    return found


def mid(of: Judged, figure: str) -> float:
    return of.figures[figure].mid


def by_tokens(score: Callable[[TokenSequences], np.ndarray]) -> Learn:
    """A method that learns nothing."""

    def learn(_: TokenSequences) -> Callable[[TokenSequences], Scores]:
        return lambda of: TokenScores(score(of))

    return learn


@pytest.fixture(scope="module")
def found() -> Evaluation:
    methods = {
        "chain": markov.method(),
        "the same": markov.method(),
        "unknown tokens": by_tokens(lambda of: (of.tokens == UNKNOWN) * 1.0),
        "length": lambda _: lambda of: of.counts * 1.0,
    }
    return evaluate(TRAINING, HELD_OUT, TESTED, methods, QUICK)


def test_what_was_trained_and_tested_on_is_counted(found: Evaluation) -> None:
    counts = found.counts
    assert (counts.trained, counts.held_out, counts.tested, counts.anomalous) == (61, 100, 65, 10)
    assert (counts.distinct, counts.distinct_normal, counts.distinct_normal_in_training) == (5, 2, 1)
    assert counts.normal_in_training == 50
    assert counts.with_unknown_tokens == 1
    assert counts.vocabulary == 3


def test_a_view_has_all_rows_or_each_different_one_once_or_those_that_training_never_had(found: Evaluation) -> None:
    sizes = {(r.rows, r.end_event): (r.sequences, r.anomalous) for r in found.rows}
    expected = {"all": (65, 10), "distinct": (5, 3), "unseen": (4, 3)}
    assert sizes == {(rows, end): size for rows, size in expected.items() for end in (True, False)}


def test_a_sequence_that_is_cut_short_shows_only_where_the_end_is_an_event(found: Evaluation) -> None:
    with_end, without = (judged(view(found, "all", end_event=end), "chain", "largest") for end in (True, False))
    assert mid(with_end, "roc_auc") == pytest.approx(1)
    assert mid(with_end, "recall") == 1
    assert mid(without, "recall") == pytest.approx(0.2)  # the strange step and the unknown token
    assert mid(without, "roc_auc") < 0.6


def test_all_rows_weigh_what_is_frequent_and_distinct_rows_do_not(found: Evaluation) -> None:
    figures = [judged(view(found, rows, end_event=False), "chain", "largest") for rows in ("all", "distinct")]
    assert [mid(j, "recall") for j in figures] == pytest.approx([2 / 10, 2 / 3])


def test_an_alarm_by_candidates_is_any_token_that_is_not_among_the_likeliest() -> None:
    found = evaluate(TRAINING, HELD_OUT, TESTED, {"chain": markov.method()}, QUICK._replace(candidates=2))
    by_candidates = judged(view(found, "distinct", end_event=True), "chain", "candidates")
    assert set(by_candidates.figures) == {"precision", "recall", "f1", "false_positive_rate"}
    assert mid(by_candidates, "recall") == 1
    assert mid(by_candidates, "false_positive_rate") == 0
    assert by_candidates.threshold == 2


def test_a_method_without_ranks_or_without_tokens_has_the_figures_that_it_can_have(found: Evaluation) -> None:
    rows = view(found, "all", end_event=True)
    statistics = {j.method: [k.statistic for k in rows.judged if k.method == j.method] for j in rows.judged}
    assert statistics == {
        "chain": ["largest", "mean", "sum", "candidates"],
        "the same": ["largest", "mean", "sum", "candidates"],
        "unknown tokens": ["largest", "mean", "sum"],
        "length": ["whole"],
    }


def test_the_first_method_is_set_against_each_other_on_the_same_draws(found: Evaluation) -> None:
    for rows in found.rows:
        assert [d.other for d in rows.differences] == ["the same", "unknown tokens", "length"]
        assert rows.differences[0].roc_auc == (0, 0, 0)
    better = view(found, "all", end_event=True).differences[1].roc_auc
    assert better.mid == pytest.approx(0.45)
    assert 0.2 < better.low < better.mid < better.high <= 0.5


def test_methods_see_what_was_learned_held_out_and_tested_in_the_same_codes_and_each_different_sequence_once() -> None:
    seen: list[TokenSequences] = []

    def learn(normal: TokenSequences) -> Callable[[TokenSequences], Scores]:
        seen.append(normal)

        def score(of: TokenSequences) -> Scores:
            seen.append(of)
            return np.zeros(len(of))

        return score

    evaluate(TRAINING, HELD_OUT, TESTED, {"spy": learn}, QUICK)
    assert [len(of) for of in seen] == [61, 100, 5] * 2
    assert {of.vocabulary for of in seen} == {TRAINING.vocabulary}
    assert [bool((of.tokens == END).any()) for of in seen] == [True] * 3 + [False] * 3


def test_a_method_that_gives_other_scores_than_were_asked_for_is_refused() -> None:
    def evaluated(learn: Learn) -> Evaluation:
        return evaluate(TRAINING, HELD_OUT, TESTED, {"odd": learn}, QUICK)

    with pytest.raises(ValueError, match=r"expected those of \d+ tokens, got an array of shape"):
        evaluated(by_tokens(lambda of: np.zeros(len(of))))
    with pytest.raises(ValueError, match=r"expected numbers, got NaN for \d+ of \d+ tokens"):
        evaluated(by_tokens(lambda of: np.full(len(of.tokens), np.nan)))
    with pytest.raises(ValueError, match=r"expected those of 5 sequences, got an array of shape \(6,\)"):
        evaluated(lambda _: lambda of: np.zeros(len(of) + 1 if len(of) == 5 else len(of)))


@pytest.mark.parametrize(
    ("label", "words"),
    [(None, "got none"), ([True] * 2, "got 2 of 2 anomalous"), ([False] * 2, "got 0 of 2 anomalous")],
)
def test_without_labels_of_both_kinds_there_is_nothing_to_judge(label: list[bool] | None, words: str) -> None:
    with pytest.raises(ValueError, match=f"expected labels of both kinds, normal and anomalous, to test on, {words}"):
        evaluate(TRAINING, HELD_OUT, sequences("a b", "b", label=label), {"chain": markov.method()}, QUICK)


def test_the_table_has_a_line_per_method_and_statistic_in_every_view(found: Evaluation) -> None:
    lines = list(sequence_words.table(found))
    assert max(map(len, lines)) <= 110
    assert sum(line.startswith("  chain, largest") for line in lines) == 6
    assert sum(line.startswith("  chain, top 9") for line in lines) == 6
    assert sum(line.startswith("  less the same") for line in lines) == 6
    assert any("1 of 2 different sequences (50 of 55 rows) occur in training" in line for line in lines)
    (line,) = (line for line in lines[6:8] if line.startswith("  chain, largest"))
    assert line.split()[2] == "1.0000"


def test_the_object_is_json_without_nan_and_has_all_figures(found: Evaluation) -> None:
    made = json.loads(json.dumps(sequence_words.as_object(found), allow_nan=False))
    assert made["rows"] == 65
    assert made["counts"]["distinct_normal_in_training"] == 1
    first = made["views"][0]
    assert (first["rows"], first["end_event"]) == ("all", True)
    assert first["methods"]["chain"]["largest"]["roc_auc"]["mid"] == pytest.approx(1)
    assert set(first["difference"]) == {"the same", "unknown tokens", "length"}
    never = judged(found.rows[0], "length", "whole").figures["precision"].mid
    assert isnan(never)
    assert first["methods"]["length"]["whole"]["precision"]["mid"] is None
