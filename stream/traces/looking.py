"""Reads all topics back for what they have of a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from stream.encode import DeadLetter, short_key
from stream.events import Record
from stream.kafka.stretch import Isolation, Stretch
from stream.settings import Settings
from stream.traces.asking import key_of
from stream.traces.lasting import Lasting, of_deletion, of_older_rows, of_record

Configs = Mapping[str, Mapping[str, str]]  # the settings of each topic
# What is read, records so far, and the share of them that is read.
Progress = Callable[[str, int, float | None], None]


class Traces(msgspec.Struct, frozen=True):
    """Records of a user on a topic; `last_ms` and `lasting` are of the last, None where there is none."""

    topic: str
    what: str
    records: int
    last_ms: int | None
    lasting: Lasting | None


class Found(msgspec.Struct, frozen=True):
    """What all topics have. `erased`: the state has nothing of the user."""

    user_id: str
    erased: bool
    traces: Sequence[Traces]


async def look(settings: Settings, user: str, configs: Configs, progress: Progress) -> Found:
    """Read every topic from its first record to its last. What was never committed is a trace too, but no state."""
    key, reader = key_of(user), _Reader(settings, progress)
    changelog = settings.changelog_topic

    def is_row(record: Record) -> bool:
        return record.key == key

    state = {partition: record.value for partition, record in await reader.those(changelog, is_row, "read_committed")}
    erased = not any(value is not None for value in state.values())
    everywhere = {changelog: await reader.those(changelog, is_row)}
    for topic in (*settings.read_topics, *settings.output_topics):
        of_user = _is_letter_of(key, user) if topic == settings.dead_letters_topic else _is_record_of(key, user)
        everywhere[topic] = await reader.those(topic, of_user)
    records = {topic: [record for _, record in found] for topic, found in everywhere.items()}
    return Found(user, erased, list(_traces(settings, erased, records, configs)))


def _traces(
    settings: Settings, erased: bool, records: Mapping[str, Sequence[Record]], configs: Configs
) -> Iterator[Traces]:
    changelog = settings.changelog_topic
    rows = [record for record in records[changelog] if record.value is not None]
    deletions = [record for record in records[changelog] if record.value is None]
    deleted_ms = max((record.timestamp for record in deletions), default=0)
    lasting = of_older_rows(configs[changelog], deleted_ms) if erased else Lasting(None, "it is the user's state")
    yield _of(changelog, "rows", rows, lambda _: lasting)
    yield _of(changelog, "deletions of them: the id", deletions, lambda ms: of_deletion(configs[changelog], ms))
    whats = dict.fromkeys(settings.source_topics, "events")
    whats |= {settings.purchase_intent_topic: "scores", settings.anomaly_scores_topic: "scores"}
    whats |= {settings.dead_letters_topic: "records that were refused", settings.erasures_topic: "requests: the id"}
    for topic, what in whats.items():
        yield _of(topic, what, records[topic], lambda ms, of=configs[topic]: of_record(of, ms))  # type: ignore[misc]


def _of(topic: str, what: str, records: Sequence[Record], lasting: Callable[[int], Lasting]) -> Traces:
    last_ms = max((record.timestamp for record in records), default=None)
    return Traces(topic, what, len(records), last_ms, None if last_ms is None else lasting(last_ms))


class _Reader:
    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._servers, self._progress = settings.bootstrap_servers, progress

    async def those(
        self, topic: str, wanted: Callable[[Record], bool], isolation: Isolation = "read_uncommitted"
    ) -> list[tuple[int, Record]]:
        """(partition, record) of the records that are wanted, in the order of each partition."""
        stretch = await Stretch.find(self._servers, [topic], None, None, isolation)
        found: list[tuple[int, Record]] = []
        read, share = 0, 0.0
        try:
            while share < 1.0:
                frames, _, share = await stretch.fetch()
                for frame in frames:
                    read += len(frame.records)
                    found += [(frame.partition, record) for record in frame.records if wanted(record)]
                self._progress(topic, read, share)
        finally:
            await stretch.close()
        return found


class _Named(msgspec.Struct):
    user_id: str | None = None


def _is_record_of(key: bytes, user: str) -> Callable[[Record], bool]:
    """Whether a record has the user's key, or names them."""
    names = _names(user)
    return lambda record: record.key == key or names(record.value or b"")


def _names(user: str) -> Callable[[bytes], bool]:
    """Whether JSON is of that user, however their id is written."""
    named, decode = msgspec.json.encode(user), msgspec.json.Decoder(_Named).decode

    def names(value: bytes) -> bool:
        if named not in value and b"\\" not in value:  # nearly always: it is not decoded for nothing
            return False
        try:
            return decode(value).user_id == user
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    return names


def _is_letter_of(key: bytes, user: str) -> Callable[[Record], bool]:
    """Whether a dead letter is of a record that has the user's key, or their id anywhere in what is kept of it."""
    named, decode = msgspec.json.encode(user), msgspec.json.Decoder(DeadLetter).decode
    short, names = short_key(key), _names(user)

    def holds(value: bytes | None) -> bool:
        try:
            original = decode(value or b"").value
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return original is not None and (named in original or names(original))

    return lambda record: record.key == short or holds(record.value)
