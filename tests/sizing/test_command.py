"""`behaviour-stream size`, as it is typed: its table, its JSON, and what it refuses, in a line each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import cli, run
from stream.errors import SettingsError
from stream.settings import ENV_PREFIX
from stream.sizing.constants import Constants

SMALL = ("--events-per-second=2k", "--users=500k")


def ended(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["size", *arguments], standalone_mode=False)


def refusal(*arguments: str) -> str:
    error = ended(*arguments).exception
    assert isinstance(error, SettingsError)
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_PREFIX + "MODEL", raising=False)


def test_the_table_has_every_figure_with_its_unit_and_ends_with_what_is_assumed() -> None:
    result = ended(*SMALL)
    assert (result.return_value, result.exception) == (0, None)
    figures = [line for line in result.stdout.splitlines() if line and not line.startswith(" ")]
    for name in ("workers", "partitions", "brokers", "a worker's memory", "a worker's disk", "changelog", "restore"):
        assert any(line.startswith(name) for line in figures), name
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    assumed = result.stdout.partition("Not measured:")[2]
    assert "broker_write_bytes_per_second = 200 MB a second" in assumed
    assert "decode_us" not in assumed


@pytest.mark.parametrize("spelt", ["250000", "250_000", "250,000", "250k", "0.25M", "2.5e5"])
def test_a_number_may_be_spelt_as_people_do(spelt: str) -> None:
    result = ended(f"--events-per-second={spelt}", "--users=1M", "--json")
    assert json.loads(result.stdout)["demands"]["events_per_second"] == 250_000


def test_json_has_every_constant_with_its_source_and_no_setting_that_was_not_asked_for() -> None:
    found = json.loads(ended(*SMALL, "--json", "--hidden=32", "--layers=2").stdout)
    assert {fact["name"]: fact["value"] for fact in found["constants"]} == json.loads(_json(Constants()))
    assert found["fits"] is True
    assert found["demands"]["model"]["layers"] == 2
    assert "bootstrap_servers" not in found["demands"]["settings"]
    assert found["breaks_first"][0]["then"]


def _json(constants: Constants) -> bytes:
    import msgspec

    return msgspec.json.encode(constants)


def test_a_limit_that_is_passed_ends_with_code_1_and_is_said() -> None:
    result = ended(*SMALL, "--worker-memory-bytes=1G")
    assert result.return_value == 1
    assert "a worker's memory: PASSED ALREADY" in result.stdout


def test_constants_of_ones_own_are_used_and_told(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"kafka_us": 100, "restore_secs_most": 7}')
    found = json.loads(ended("--events-per-second=20k", "--users=1M", "--json", f"--constants={own}").stdout)
    assert found["cost"]["stages_us"]["Kafka"] == 100
    assert [fact["name"] for fact in found["constants"] if fact["origin"] == "given"] == [
        "kafka_us",
        "restore_secs_most",
    ]
    assert "kafka_us = 100 us" in ended(*SMALL, f"--constants={own}").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"kafka_us": "fast"}', 'kafka_us: expected a number above 0, got "fast"'),
        ('{"kafka_us": 0}', "kafka_us: expected a number above 0, got 0"),
        ('{"kafka_us": -1.5}', "kafka_us: expected a number above 0, got -1.5"),
        ('{"kafka": 1}', "kafka: no such constant; did you mean kafka_us?"),
        ("[1]", "expected a JSON object, name to number"),
        ("{", "expected a JSON object, name to number"),
    ],
)
def test_constants_that_are_none_are_refused_by_file_and_name(text: str, said: str, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(text)
    assert said in (told := refusal(*SMALL, f"--constants={own}"))
    assert str(own) in told


def test_a_file_of_constants_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(*SMALL, f"--constants={tmp_path / 'none.json'}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--users=1M"], "--events-per-second: expected a number, got none"),
        (["--events-per-second=1k"], "--users: expected a number, got none"),
        (["--events-per-second=0", "--users=1M"], "--events-per-second=0: expected more than 0"),
        (["--events-per-second=-5", "--users=1M"], "--events-per-second=-5: expected a number"),
        (["--events-per-second=many", "--users=1M"], "--events-per-second=many: expected a number"),
        (["--events-per-second=nan", "--users=1M"], "--events-per-second=nan: expected a number"),
        (["--events-per-second=1k", "--users=0"], "--users=0: expected 1 or more"),
        (["--events-per-second=1k", "--users=1.5"], "--users=1.5: expected a whole number"),
        ([*SMALL, "--memory-max-users=600000"], "--memory-max-users=600000: expected 1 to --users=500000"),
        ([*SMALL, "--memory-max-users=5"], "--memory-max-users=5: at least --batch-max-events=8192"),
        ([*SMALL, "--headroom=1"], "--headroom=1: expected a share from 0 to 0.95"),
        ([*SMALL, "--cores-per-worker=0"], "--cores-per-worker=0: expected more than 0"),
        ([*SMALL, "--replication-factor=0"], "--replication-factor=0: expected 1 to 9"),
        ([*SMALL, "--zipf-exponent=0"], "--zipf-exponent=0: expected more than 0"),
        ([*SMALL, "--active-share=1.5"], "--active-share=1.5: expected more than 0, at most 1"),
        ([*SMALL, "--active-users-per-checkpoint=7000"], "--active-users-per-checkpoint=7000: expected 1 to 6000"),
        ([*SMALL, "--active-share=.5", "--active-users-per-checkpoint=9"], "expected one of them, got both"),
        ([*SMALL, "--active-share=.5", "--activity=zipf"], "--activity=zipf: expected it without --active-share"),
        (["--events-per-second=1M", "--users=1k"], "--events-per-second=1e+06: expected at most 1000"),
        ([*SMALL, "--model=none"], "model none: expected one of shoppers-h64"),
        ([*SMALL, "--model=shoppers-h64", "--hidden=32"], "expected one of them, got both"),
        ([*SMALL, "--layers=2"], "--layers=2: expected --hidden beside it, got none"),
        ([*SMALL, "--hidden=0"], "--hidden=0: expected 1 to 65535"),
        ([*SMALL, "--guarantee=twice"], "--guarantee=twice: "),
        ([*SMALL, "--sequence-events=2"], "--sequence-events=2: "),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


def test_a_refusal_is_told_as_the_other_commands_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["size", "--users=1"]) == 2
    assert capsys.readouterr().err == "behaviour-stream: --events-per-second: expected a number, got none\n"


@pytest.mark.broker
def test_a_small_demand_is_run_beside_its_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.commands.size._CHECK_EVENTS", 100_000)
    result = ended("--check", "--json", "--hidden=16", "--checkpoint-interval-ms=200")
    assert result.exception is None, result.stderr
    trial = json.loads(result.stdout)
    figures = {(figure["name"], figure["unit"]): figure for figure in trial["figures"]}
    assert all(figure["measured"] > 0 and figure["predicted"] > 0 for figure in figures.values())
    of_rows = figures["changelog", "rows an event"], figures["changelog", "bytes an event"]
    assert of_rows[1]["measured"] > 500 * of_rows[0]["measured"]  # a row of 16 units and more
