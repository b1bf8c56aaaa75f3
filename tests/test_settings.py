"""Flags over environment over defaults, and what is refused."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.errors import SettingsError
from stream.features import RECENT
from stream.settings import Settings, describe, in_force, load, look_through

DEFAULTS = in_force(Settings())
NUMBERS = [name for name, value in DEFAULTS.items() if isinstance(value, int)]
TOPICS = [name for name in DEFAULTS if name.endswith("_topic")]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return "BEHAVIOUR_" + name.upper()


def _refused(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as refused:
        load(flags, environ or {})
    return str(refused.value)


def test_without_a_word_every_setting_is_its_default() -> None:
    assert load(environ={}) == load({}, {}) == Settings()
    assert load(dict.fromkeys(DEFAULTS), {}) == Settings()  # flags that were not given are None


def test_a_flag_beats_the_environment_and_the_environment_the_default() -> None:
    environ = {"BEHAVIOUR_PARTITIONS": "7", "BEHAVIOUR_APP_ID": "mine", "BEHAVIOUR_DATA_DIR": "/var/lib/mine"}
    settings = load({"partitions": 9, "app_id": None}, environ)
    assert (settings.partitions, settings.app_id, settings.data_dir) == (9, "mine", Path("/var/lib/mine"))
    assert settings.batch_max_events == DEFAULTS["batch_max_events"]


def test_a_flag_of_0_or_nothing_is_a_flag() -> None:
    assert load({"metrics_port": 0}, {"BEHAVIOUR_METRICS_PORT": "1"}).metrics_port == 0
    assert "--model=: " in _refused({"model": ""}, {"BEHAVIOUR_MODEL": "mine"})


def test_the_environment_is_read_where_none_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHAVIOUR_PARTITIONS", "11")
    assert load().partitions == 11


def test_what_is_not_ours_in_the_environment_is_let_be() -> None:
    assert load(environ={"PATH": "/bin", "BEHAVIOURS": "many", "behaviour_partitions": "9"}) == Settings()


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_every_setting_can_be_given_as_a_flag_and_as_text_in_the_environment(name: str) -> None:
    value = DEFAULTS[name]
    other = {"partitions": 5, "replication_factor": 2}.get(name, value)
    assert in_force(load({name: other}, {}))[name] == other
    assert in_force(load({}, {_variable(name): str(other)}))[name] == other


def test_an_unknown_flag_is_refused_with_a_suggestion() -> None:
    message = _refused({"partitons": 4})
    assert message.startswith("--partitons: no such setting; did you mean --partitions?")
    assert "did you mean --batch-max-events?" in _refused({"batch_max_event": 4})
    message = _refused({"zzz": 1})
    assert message.startswith("--zzz: no such setting (")
    assert "did you mean" not in message


def test_an_unknown_variable_is_refused_with_a_suggestion() -> None:
    message = _refused(environ={"BEHAVIOUR_BATCH_MAX_EVENT": "4"})
    assert message.startswith("BEHAVIOUR_BATCH_MAX_EVENT: no such setting; did you mean BEHAVIOUR_BATCH_MAX_EVENTS?")
    assert _refused(environ={"BEHAVIOUR_": "4"}).startswith("BEHAVIOUR_: no such setting")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["many", "", "1.5", "0x10", "4 4", "1_000", "null", "true", "nan"])
def test_a_number_that_is_none_names_the_setting_its_origin_and_the_value(name: str, value: str) -> None:
    assert _refused({name: value}).startswith(f"{_flag(name)}={value}: Expected `int`")
    assert _refused(environ={_variable(name): value}).startswith(f"{_variable(name)}={value}: Expected `int`")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_range_names_the_limit(name: str) -> None:
    assert _refused({name: -2}).startswith(f"{_flag(name)}=-2: Expected `int` >= ")
    if name != "retention_hours":  # the broker's own, in which for ever is a choice
        huge = str(10**13)
        assert _refused(environ={_variable(name): huge}).startswith(f"{_variable(name)}={huge}: Expected `int` <= ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guarantee", "at_most_once"),
        ("device", "tpu"),
        ("log_level", "loud"),
        ("model", ""),
        ("bootstrap_servers", ""),
        ("metrics_host", ""),
        ("app_id", "with space"),
        ("clicks_topic", ""),
        ("clicks_topic", "a/b"),
        ("clicks_topic", "clicks\nmore"),
        ("clicks_topic", "c" * 201),
        ("clicks_topic", "klické"),
        ("clicks_topic", "clicks\n"),
        ("clicks_topic", "."),
        ("clicks_topic", ".."),
        ("data_dir", ""),
    ],
)
def test_a_text_that_does_not_fit_names_the_setting_its_origin_and_the_value(name: str, value: str) -> None:
    assert _refused({name: value}).startswith(f"{_flag(name)}={value}: ")
    assert _refused(environ={_variable(name): value}).startswith(f"{_variable(name)}={value}: ")


def test_an_open_transaction_outlives_the_interval_and_a_silence_that_the_group_forgives() -> None:
    flags = {"checkpoint_interval_ms": 5_000, "session_timeout_ms": 20_000, "transaction_timeout_ms": 34_999}
    assert _refused(flags | {"guarantee": "exactly_once"}).startswith(
        "--transaction-timeout-ms=34999: with --guarantee=exactly_once at least 35000"
    )
    load(flags, environ={})  # at least once, transactions last as long as a commit
    load(flags | {"guarantee": "exactly_once", "transaction_timeout_ms": 35_000}, environ={})


def test_no_event_that_is_believed_comes_after_its_user_has_expired() -> None:
    assert "--user-expiry-days=366: expected 0, or more than --event-time-max-behind-ms=31622400000 and" in _refused(
        {"user_expiry_days": 366}
    )
    assert load({"user_expiry_days": 0}, {}).user_expiry_ms is None
    assert load({"user_expiry_days": 30, "event_time_max_behind_ms": 29 * 86_400_000}, {}).user_expiry_days == 30


def test_the_origin_told_is_the_one_that_counts() -> None:
    assert _refused({"partitions": 0}, {"BEHAVIOUR_PARTITIONS": "-5"}).startswith("--partitions=0: ")
    assert load({"partitions": 3}, {"BEHAVIOUR_PARTITIONS": "rubbish"}).partitions == 3


@pytest.mark.parametrize(("one", "other"), list(combinations(TOPICS, 2)))
def test_two_topics_of_one_name_are_refused(one: str, other: str) -> None:
    message = _refused({one: "same"}, {_variable(other): "same"})
    assert message == "topics: each needs a name of its own, but 'same' is used more than once"


@pytest.mark.parametrize("name", TOPICS)
def test_no_topic_may_be_the_changelog(name: str) -> None:
    changelog = load({"app_id": "mine"}, {}).changelog_topic
    assert changelog == "mine-users-changelog"
    assert repr(changelog) in _refused({"app_id": "mine", name: changelog})


def test_more_in_sync_replicas_than_replicas_are_refused() -> None:
    assert load({"min_insync_replicas": 2, "replication_factor": 2}, {}).min_insync_replicas == 2
    message = _refused({"min_insync_replicas": 3, "replication_factor": 2})
    assert "--min-insync-replicas=3" in message
    assert "--replication-factor=2" in message


def test_looking_through_tells_all_that_is_wrong_and_goes_on_with_the_rest() -> None:
    flags = {"partitions": "8", "device": "abacus", "min_insync_replicas": 3}
    settings, problems = look_through(flags, {"BEHAVIOUR_PARTITION": "9", "BEHAVIOUR_APP_ID": "mine"})
    assert settings == Settings(partitions=8, app_id="mine", min_insync_replicas=3)
    words = ("BEHAVIOUR_PARTITION: no such", "--device=abacus", "--min-insync-replicas=3")
    assert all(word in str(problem) for word, problem in zip(words, problems, strict=True))
    assert look_through({}, {}) == (Settings(), [])


def test_in_force_has_every_setting_as_plain_json_and_makes_the_same_again() -> None:
    settings = load({"partitions": 9, "data_dir": Path("here")}, {"BEHAVIOUR_DEVICE": "cpu"})
    shown = in_force(settings)
    assert list(shown) == list(Settings.__struct_fields__)
    assert orjson.loads(orjson.dumps(shown)) == shown
    assert (shown["data_dir"], shown["partitions"], shown["device"]) == ("here", 9, "cpu")
    assert load(shown, {}) == settings
    assert load({}, {_variable(name): str(value) for name, value in shown.items()}) == settings


def test_every_setting_is_described_with_its_default() -> None:
    described = list(describe())
    assert [name for name, _, _ in described] == list(DEFAULTS)
    for name, default, text in described:
        assert text.strip() == text != ""
        assert default == getattr(Settings(), name)
    texts = [text for _, _, text in described]
    assert len(set(texts)) == len(texts)


def test_a_rolling_sequence_is_never_shorter_than_what_features_look_back_on() -> None:
    assert load({"sequence_events": RECENT}, {}).sequence_events == RECENT
    assert _refused({"sequence_events": RECENT - 1}) == f"--sequence-events={RECENT - 1}: Expected `int` >= {RECENT}"


def test_the_topics_of_a_worker_are_in_the_order_of_their_sources() -> None:
    settings = load({"clicks_topic": "c", "searches_topic": "s", "purchases_topic": "p"}, {})
    assert settings.source_topics == ("c", "s", "p")
    assert settings.output_topics == ("purchase-intent", "anomaly-scores", "dead-letters")
