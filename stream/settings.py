"""Settings: one frozen value, read from flags and from `BEHAVIOUR_*` in the environment (the only reader of it).

A flag beats the environment, the environment beats the default. A name that is not a setting is refused, so that a
misspelt one cannot be silently without effect.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stream.errors import SettingsError

ENV_PREFIX = "BEHAVIOUR_"

# Ends of ranges that have no natural limit: one that a typo crosses (a second written as a microsecond, say).
_DAY_MS = 86_400_000
_YEAR_MS = 366 * _DAY_MS
# A commit takes tens of milliseconds; so long on a broker that is busy with its own recovery.
_COMMIT_MS = 10_000

# What a broker accepts as a topic's name
_Name = Annotated[str, Meta(pattern=r"^(?!\.{1,2}\Z)[a-zA-Z0-9._-]{1,200}\Z")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. Units stand in the names; each description becomes the flag's help."""

    bootstrap_servers: Annotated[str, Meta(min_length=1, description="Kafka brokers, host:port,host:port")] = (
        "127.0.0.1:9092"
    )
    app_id: Annotated[_Name, Meta(description="consumer group, transactional ids and changelog are named after it")] = (
        "behaviour-stream"
    )
    clicks_topic: Annotated[_Name, Meta(description="source topic of clicks")] = "clicks"
    searches_topic: Annotated[_Name, Meta(description="source topic of searches")] = "searches"
    purchases_topic: Annotated[_Name, Meta(description="source topic of purchases")] = "purchases"
    purchase_intent_topic: Annotated[_Name, Meta(description="output topic of intent scores")] = "purchase-intent"
    anomaly_scores_topic: Annotated[_Name, Meta(description="output topic of anomaly scores")] = "anomaly-scores"
    dead_letters_topic: Annotated[_Name, Meta(description="where records go that cannot be scored")] = "dead-letters"
    models_topic: Annotated[_Name, Meta(description="where models are announced that running workers take up")] = (
        "models"
    )
    erasures_topic: Annotated[_Name, Meta(description="where it is asked that users be forgotten, key: user id")] = (
        "erasures"
    )

    partitions: Annotated[int, Meta(ge=1, le=10_000, description="partitions of topics that `topics` creates")] = 4
    replication_factor: Annotated[int, Meta(ge=1, le=9, description="replicas of topics that `topics` creates")] = 1
    min_insync_replicas: Annotated[int, Meta(ge=1, le=9, description="min.insync.replicas of created topics")] = 1
    retention_hours: Annotated[
        int, Meta(ge=-1, le=1_000_000, description="retention of created topics; -1 keeps for ever")
    ] = 168

    data_dir: Annotated[Path, Meta(description="local copies of the state; each worker needs its own")] = Path(
        ".behaviour-stream"
    )
    store_memory_bytes: Annotated[
        int,
        Meta(ge=32 << 20, le=1 << 40, description="memory of the local copies: blocks read, writes not yet on disk"),
    ] = 512 << 20
    model: Annotated[str, Meta(min_length=1, description="a shipped model's name, or a .safetensors file")] = (
        "shoppers-h64"
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Meta(description="where the LSTM runs; auto: cuda if there")] = (
        "auto"
    )
    kernels: Annotated[
        Literal["auto", "compiled", "reference"],
        Meta(description="machine code for bytes and columns, or Python; auto: the former where Numba is there"),
    ] = "auto"
    torch_threads: Annotated[int, Meta(ge=1, le=256, description="CPU threads of one LSTM step")] = 1

    sequence_events: Annotated[int, Meta(ge=8, le=1024, description="events kept raw per user")] = 16
    batch_max_events: Annotated[int, Meta(ge=1, le=1_000_000, description="events of a micro-batch at most")] = 8192
    batch_max_steps: Annotated[
        int,
        Meta(ge=1, le=100_000, description="events of one user in a micro-batch, or a quarter of it; the rest waits"),
    ] = 64
    memory_max_users: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="users in memory at most; the others are on disk")
    ] = 500_000
    user_expiry_days: Annotated[
        int, Meta(ge=0, le=36_500, description="a user silent for so long (event time) begins anew; 0: never")
    ] = 400
    buffer_max_events: Annotated[
        int, Meta(ge=1, le=10_000_000, description="events waiting per topic partition before it is paused")
    ] = 16_384
    poll_max_records: Annotated[
        int, Meta(ge=1, le=1_000_000, description="record batches of one poll at most, as their producers sent them")
    ] = 4096
    fetch_max_wait_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="how long the broker collects for a fetch at most")
    ] = 15
    fetch_min_bytes: Annotated[
        int, Meta(ge=1, le=1 << 30, description="bytes for which it ends collecting; 1: each record at once")
    ] = 1 << 20

    merge_hold_max_ms: Annotated[
        int, Meta(ge=0, le=_DAY_MS, description="how long a topic that cannot be read may hold back the other two")
    ] = 180_000
    event_time_max_ahead_ms: Annotated[
        int, Meta(ge=0, le=_YEAR_MS, description="event time this far after its record's timestamp is not believed")
    ] = 300_000
    event_time_max_behind_ms: Annotated[
        int, Meta(ge=0, le=100 * _YEAR_MS, description="event time this far before its record's timestamp neither")
    ] = _YEAR_MS
    dead_letter_max_bytes: Annotated[int, Meta(ge=0, le=700_000, description="bytes of a bad record that are kept")] = (
        65_536
    )

    guarantee: Annotated[
        Literal["at_least_once", "exactly_once"],
        Meta(description="outputs at once, some again after a crash; or each once, at its partition's checkpoint"),
    ] = "at_least_once"
    checkpoint_interval_ms: Annotated[
        int, Meta(ge=10, le=600_000, description="time between a partition's checkpoints; a crash repeats so much")
    ] = 3_000
    standby_replicas: Annotated[
        int, Meta(ge=0, le=8, description="other workers that keep a copy of each partition's state, to take it over")
    ] = 0
    session_timeout_ms: Annotated[
        int, Meta(ge=1_000, le=1_800_000, description="silence after which the group gives our partitions away")
    ] = 30_000
    transaction_timeout_ms: Annotated[
        int, Meta(ge=1_000, le=900_000, description="after which the broker aborts an open transaction")
    ] = 60_000

    metrics_host: Annotated[str, Meta(min_length=1, description="address of /metrics and /healthz")] = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65_535, description="port of them; 0: any free one")] = 9464
    health_stall_secs: Annotated[
        int, Meta(ge=1, le=86_400, description="lag without a commit for this long is unhealthy")
    ] = 60
    watchdog_secs: Annotated[
        int,
        Meta(ge=0, le=86_400, description="the same, though the broker answers, ends the worker (code 6); 0: never"),
    ] = 300
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="what is logged")] = "info"

    @property
    def source_topics(self) -> tuple[str, str, str]:
        """Clicks, searches, purchases: the index of each is its `source` in every batch and row."""
        return (self.clicks_topic, self.searches_topic, self.purchases_topic)

    @property
    def read_topics(self) -> tuple[str, str, str, str]:
        """The source topics, then that of erasures: the index of each is its place in a partition's row."""
        return (*self.source_topics, self.erasures_topic)

    @property
    def user_expiry_ms(self) -> int | None:
        """None: nobody expires."""
        return self.user_expiry_days * _DAY_MS or None

    @property
    def output_topics(self) -> tuple[str, str, str]:
        return (self.purchase_intent_topic, self.anomaly_scores_topic, self.dead_letters_topic)

    @property
    def changelog_topic(self) -> str:
        """The changelog of the user table, as Faust names it: `<app id>-<table>-changelog`."""
        return f"{self.app_id}-users-changelog"


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from flags (None: not given) over the environment over the defaults.

    Raises SettingsError naming the setting, where it came from, what was expected and what came.
    """
    settings, problems = look_through(flags, environ)
    if problems:
        raise problems[0]
    return settings


def look_through(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Settings, list[SettingsError]]:
    """As `load`, for whoever has to go on: all that is wrong, and settings as they are without it."""
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    origin: dict[str, str] = {}
    problems: list[SettingsError] = []
    for name, value, where in _given(flags or {}, environ):
        if name not in Settings.__struct_fields__:
            close = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f"; did you mean {_spelt(close[0], where)}?" if close else ""
            problems.append(
                SettingsError(f"{where}: no such setting{hint} (`behaviour-stream settings` lists them all)")
            )
            continue
        given[name], origin[name] = value, where
    for name, value in list(given.items()):
        try:
            msgspec.convert({name: value}, Settings, strict=False, dec_hook=_to_path)
        except msgspec.ValidationError as error:
            text = str(error).removesuffix(f" - at `$.{name}`")
            problems.append(SettingsError(f"{origin[name]}={value}: {text}"))
            del given[name]
    settings = msgspec.convert(given, Settings, strict=False, dec_hook=_to_path)
    return settings, problems + list(_problems_together(settings))


def in_force(settings: Settings) -> dict[str, Any]:
    """Every setting and its value, as plain JSON values, in the order of definition."""
    return {
        name: str(v) if isinstance(v := getattr(settings, name), Path) else v for name in settings.__struct_fields__
    }


def describe() -> Iterator[tuple[str, Any, str]]:
    """(name, default, description) of every setting."""
    for field in msgspec.inspect.type_info(Settings).fields:  # type: ignore[attr-defined]
        extra = getattr(field.type, "extra_json_schema", None) or {}
        yield field.name, field.default, str(extra.get("description", ""))


def _given(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    for variable, text in environ.items():
        if variable.startswith(ENV_PREFIX):
            yield variable.removeprefix(ENV_PREFIX).lower(), text, variable
    for name, value in flags.items():
        if value is not None:
            yield name, value, _spelt(name, "--")


def _spelt(name: str, like: str) -> str:
    return ENV_PREFIX + name.upper() if like.startswith(ENV_PREFIX) else "--" + name.replace("_", "-")


def _to_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    raise msgspec.ValidationError(f"Expected a path, got {value!r}")


def _problems_together(settings: Settings) -> Iterator[SettingsError]:
    topics = [*settings.read_topics, *settings.output_topics, settings.models_topic, settings.changelog_topic]
    twice = sorted({t for t in topics if topics.count(t) > 1})
    if twice:
        yield SettingsError(f"topics: each needs a name of its own, but {twice[0]!r} is used more than once")
    if settings.min_insync_replicas > settings.replication_factor:
        yield SettingsError(
            f"--min-insync-replicas={settings.min_insync_replicas}: at most --replication-factor="
            f"{settings.replication_factor}, or no record could ever be acknowledged"
        )
    # Under exactly_once a transaction is open from one checkpoint to the next, and a pause that the group forgives
    # (a virtual machine that is moved) must not be what ends it.
    needed_ms = settings.checkpoint_interval_ms + settings.session_timeout_ms + _COMMIT_MS
    if settings.guarantee == "exactly_once" and settings.transaction_timeout_ms < needed_ms:
        yield SettingsError(
            f"--transaction-timeout-ms={settings.transaction_timeout_ms}: with --guarantee=exactly_once at least "
            f"{needed_ms}: --checkpoint-interval-ms={settings.checkpoint_interval_ms}, "
            f"--session-timeout-ms={settings.session_timeout_ms} and {_COMMIT_MS} for the commit itself"
        )
    if settings.memory_max_users < settings.batch_max_events:
        yield SettingsError(
            f"--memory-max-users={settings.memory_max_users}: at least --batch-max-events="
            f"{settings.batch_max_events}, which may be of as many users"
        )
    # Else an event that comes so late would begin its user anew, and the next such again.
    believed_ms = settings.event_time_max_behind_ms + settings.event_time_max_ahead_ms
    if settings.user_expiry_ms is not None and settings.user_expiry_ms <= believed_ms:
        yield SettingsError(
            f"--user-expiry-days={settings.user_expiry_days}: expected 0, or more than "
            f"--event-time-max-behind-ms={settings.event_time_max_behind_ms} and "
            f"--event-time-max-ahead-ms={settings.event_time_max_ahead_ms} together"
        )
    if 0 < settings.watchdog_secs * 1000 <= settings.merge_hold_max_ms:
        yield SettingsError(
            f"--watchdog-secs={settings.watchdog_secs}: expected 0, or more than --merge-hold-max-ms="
            f"{settings.merge_hold_max_ms}: so long a topic that cannot be read may hold back the others"
        )
