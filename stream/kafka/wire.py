"""Requests that aiokafka lacks, or has in no version that tells enough; layouts as in Kafka's protocol guide."""

from __future__ import annotations

from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.produce import ProduceRequest_v8
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String


class _TopicsAnswer(Response):  # type: ignore[misc]  # aiokafka has no types
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
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
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


class DescribeTopics(Request[_TopicsQuestion]):  # type: ignore[misc]
    """Metadata with our rights: Kafka 2.3 and newer."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_TopicsQuestion]) -> _TopicsQuestion:
        return request_struct_class(self._names, False, False, True)


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
