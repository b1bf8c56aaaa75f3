"""`evaluate anomaly` on files, as whoever registers it will call it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream import cli
from stream.commands.evaluate_anomaly import TokenFile, evaluate_anomaly, plain_methods
from stream.errors import SettingsError
from stream.evaluation import markov, recurrent
from stream.evaluation.sequence_figures import How
from stream.evaluation.sequence_scores import Learn, Scores, TokenScores
from stream.evaluation.token_sequences import TokenSequences
from stream.training.recipe import Recipe
from tests.evaluation.sequences import SHARED

METHODS = {"chain": markov.method()}
QUICK = How(resamples=40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train").write_text("a b c\n" * 80 + "a b b c\n" * 20)
    (tmp_path / "normal").write_text("a b c\na b b c\na b b b c\n")
    (tmp_path / "abnormal").write_text("b a\na x\n")
    return tmp_path


def test_a_file_of_normal_and_one_of_anomalous_sequences_are_tested_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    tested = [TokenFile(folder / "normal", label=False), TokenFile(folder / "abnormal", label=True)]
    assert evaluate_anomaly(folder / "train", tested, plain_methods(), how=QUICK, as_json=False) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Trained on 80 normal sequences of 3 different tokens; thresholds from 20 others.\n")
    assert re.search(r"\n  Markov chain of order 2, largest +1\.0000 \[", printed.out)
    assert "\n  less isolation forest " in printed.out
    assert not printed.err


def test_in_json_it_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "both").write_text("a b c\nb a\n")
    (folder / "labels").write_text("normal\nanomaly\n")
    tested = [TokenFile(folder / "both", labels=folder / "labels")]
    evaluate_anomaly(folder / "train", tested, METHODS, how=QUICK, held_out=folder / "normal", as_json=True)
    made = json.loads(capsys.readouterr().out)
    assert made["rows"] == 2
    assert (made["counts"]["trained"], made["counts"]["held_out"]) == (100, 3)


def test_anomalous_sequences_are_never_learned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a b c,0"] * 80 + ["a b b c,0"] * 20 + ["b a,1"] * 50
    (folder / "mixed.csv").write_text("\n".join(["sequence,label", *lines]))
    tested = [TokenFile(folder / "normal", label=False), TokenFile(folder / "abnormal", label=True)]
    evaluate_anomaly(folder / "mixed.csv", tested, METHODS, how=QUICK, as_json=True)
    printed = capsys.readouterr()
    assert "50 of 150 sequences are anomalous; left out" in printed.err
    made = json.loads(printed.out)
    assert made["counts"]["trained"] + made["counts"]["held_out"] == 100
    assert made["views"][0]["methods"]["chain"]["largest"]["recall"]["mid"] == 1


def test_what_cannot_be_compared_is_refused_in_a_line(folder: Path) -> None:
    def evaluated(*tested: TokenFile, training: str = "train") -> None:
        evaluate_anomaly(folder / training, tested, METHODS, how=QUICK, as_json=True)

    with pytest.raises(
        SettingsError, match="normal: expected labels, in a column, in a file beside it, or one for all"
    ):
        evaluated(TokenFile(folder / "normal"))
    with pytest.raises(SettingsError, match=r"evaluate anomaly: expected labels of both kinds.*got 0 of 3 anomalous"):
        evaluated(TokenFile(folder / "normal", label=False))
    (folder / "one").write_text("a b\n")
    both = [TokenFile(folder / "normal", label=False), TokenFile(folder / "abnormal", label=True)]
    with pytest.raises(SettingsError, match=r"one: expected enough sequences to hold out 0\.2, got 1"):
        evaluated(*both, training="one")
    (folder / "bad.csv").write_text("sequence,label\na b,1\n")
    with pytest.raises(SettingsError, match=r"bad\.csv: expected normal sequences to learn from, got 1 that are anom"):
        evaluated(*both, training="bad.csv")


def test_an_error_of_a_method_is_no_error_of_the_settings(folder: Path) -> None:
    def broken(normal: TokenSequences) -> Callable[[TokenSequences], TokenScores]:
        raise ValueError("shapes do not match")

    tested = [TokenFile(folder / "normal", label=False), TokenFile(folder / "abnormal", label=True)]
    with pytest.raises(ValueError, match="shapes do not match"):
        evaluate_anomaly(folder / "train", tested, {"broken": broken}, how=QUICK, as_json=True)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("--normal train", "--normal: expected sequences to judge too: FILEs with labels, or"),
        ("normal --normal train --anomalous abnormal --labels labels", "--anomalous and --labels exclude each other"),
        ("normal --normal train --hold-out 1/2", "--hold-out is of shop events, and excludes --normal"),
        ("normal --normal train --split-time 2026-01-01", "--split-time is of shop events, and excludes --normal"),
        ("normal --normal train --model shoppers-h64", "--model is of shop events, and excludes --normal"),
        ("normal --model shoppers-h64 --anomalous abnormal", "--anomalous: expected --normal beside it"),
        ("normal", "expected --model, of shop events, or --normal, of token sequences"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: str, why: str
) -> None:
    (folder / "labels").write_text("0\n0\n1\n")
    monkeypatch.chdir(folder)
    assert cli.run(["evaluate", "anomaly", *asked.split()]) == 2
    printed = capsys.readouterr()
    assert "Usage: " in printed.err and why in printed.err
    assert not printed.out


def test_the_seed_reaches_the_network_the_split_and_the_bootstrap(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    recipes: list[Recipe | None] = []
    learned: list[bytes] = []

    def network(recipe: Recipe | None = None, **_: Any) -> Learn:
        recipes.append(recipe)

        def learn(normal: TokenSequences) -> Callable[[TokenSequences], Scores]:
            learned.append(normal.tokens.tobytes())
            return markov.method()(normal)

        return learn

    monkeypatch.setattr(recurrent, "method", network)
    files = [str(folder / "normal"), "--normal", str(folder / "train"), "--anomalous", str(folder / "abnormal")]
    for seed in ("1", "7"):
        assert cli.run(["evaluate", "anomaly", *files, "--seed", seed, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["how"]["seed"] == int(seed)
    assert recipes == [Recipe(seed=1, intent_weight=0.0), Recipe(seed=7, intent_weight=0.0)]
    assert learned[0] != learned[2]  # the first of each is with the end as an event


def test_the_help_says_who_counts_as_honest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "anomaly", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "counts as honest unless an event of theirs is labelled as fraud" in told


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the system logs are not here: {SHARED}")
def test_the_chain_reaches_its_reference_on_system_logs_with_an_end_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Reference: AUC .98. Without an end event the frequent anomalies, which are cut short, cannot be seen."""
    pytest.importorskip("pyarrow")
    tested = [TokenFile(SHARED / "hdfs_labelled_dev.parquet")]
    evaluate_anomaly(SHARED / "hdfs_normal_train.parquet", tested, METHODS, how=QUICK, as_json=True)
    made = json.loads(capsys.readouterr().out)
    auc = {
        (view["rows"], view["end_event"]): view["methods"]["chain"]["largest"]["roc_auc"]["mid"]
        for view in made["views"]
    }
    assert min(auc["all", True], auc["distinct", True], auc["unseen", True], auc["distinct", False]) > 0.985
    assert auc["all", False] < 0.75
    assert made["counts"]["distinct_normal"] == 918
