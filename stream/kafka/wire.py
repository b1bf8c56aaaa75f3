"""Requests that aiokafka lacks, or has in no version that tells enough; layouts as in Kafka's protocol guide."""

from __future__ import annotations

from io import BytesIO

from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest_v8
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)


class _Uuid(AbstractType[str]):  # type: ignore[misc]  # aiokafka has no types
    """16 bytes, in hex here; all 0 for none."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return bytes.fromhex(value)

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return data.read(16).hex()


NO_UUID = bytes(16).hex()

# Fields that both versions of the answer have.
_PARTITION = (("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32))
_COPIES = ("replicas", "isr", "offline_replicas")
_TAGS = ("tags", TaggedFields)


class _TopicsAnswer(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                ("partitions", Array(*_PARTITION, *((name, Array(Int32)) for name in _COPIES))),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class _TopicsQuestion(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicsAnswer
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class _TopicsAnswerWithIds(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", CompactString()), ("port", Int32), ("rack", CompactString()), _TAGS
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                ("partitions", CompactArray(*_PARTITION, *((name, CompactArray(Int32)) for name in _COPIES), _TAGS)),
                ("operations", Int32),
                _TAGS,
            ),
        ),
        ("cluster_operations", Int32),
        _TAGS,
    )


class _TopicsQuestionForIds(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _TopicsAnswerWithIds
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString()), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
        _TAGS,
    )


class DescribeTopics(Request[_TopicsQuestion | _TopicsQuestionForIds]):  # type: ignore[misc]
    """Metadata with our rights: Kafka 2.3 and newer; from 2.8 on with the ids of topics."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(
        self, request_struct_class: type[_TopicsQuestion | _TopicsQuestionForIds]
    ) -> _TopicsQuestion | _TopicsQuestionForIds:
        if request_struct_class is _TopicsQuestionForIds:
            return _TopicsQuestionForIds([(NO_UUID, name, {}) for name in self._names], False, False, True, {})
        return _TopicsQuestion(self._names, False, False, True)


class _GroupQuestion(RequestStruct):  # type: ignore[misc]
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka's own question of this version is read with the layout of v2
    SCHEMA = Schema(("groups", Array(String())), ("include_operations", Boolean))


class DescribeGroup(Request[_GroupQuestion]):  # type: ignore[misc]
    """A group with our rights: Kafka 2.3 and newer."""

    API_KEY = 15

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, request_struct_class: type[_GroupQuestion]) -> _GroupQuestion:
        return request_struct_class([self._name], True)


class ProduceAndBeToldErrors(Request[ProduceRequest_v8]):  # type: ignore[misc]
    """A batch for one partition, answered with an error for each record that is refused: Kafka 2.4 and newer."""

    API_KEY = 0

    def __init__(self, topic: str, partition: int, batch: bytes) -> None:
        self._topics = [(topic, [(partition, batch)])]

    def build(self, request_struct_class: type[ProduceRequest_v8]) -> ProduceRequest_v8:
        return request_struct_class(None, 1, 3_000, self._topics)
