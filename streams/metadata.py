"""Topics by name, id and number of partitions: Kafka's Metadata request, version 12, on the wire.

aiokafka has Metadata up to version 5, which has no topic ids and may create the topics it names.
Version 12 (Kafka 2.8.1 and later) has topic ids, and a flag against creation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from aiokafka.errors import for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from streams.errors import KafkaUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BytesIO

    from aiokafka.client import AIOKafkaClient

_UNKNOWN_TOPIC = 3


@dataclass(frozen=True, slots=True)
class Metadata:
    """The cluster's id, and those of the named topics that exist."""

    cluster_id: str
    topics: dict[str, tuple[str, int]]
    """Name → (topic id, partitions), only of topics that exist."""


async def metadata(client: AIOKafkaClient, names: Sequence[str]) -> Metadata:
    """The cluster's id and those of the named topics that exist.

    Raises aiokafka's KafkaError where a topic can't be described.
    """
    response = await request_any(client, _MetadataRequest(names))
    topics = {}
    for code, name, topic_id, _, partitions, *_ in response.topics:
        if code == 0:
            topics[name] = (str(topic_id), len(partitions))
        elif code != _UNKNOWN_TOPIC:
            raise for_code(code)(f"topic {name} can't be described")
    return Metadata(response.cluster_id, topics)


async def request_any(client: AIOKafkaClient, request: Any) -> Any:  # noqa: ANN401 - each kind of request has its kind of response
    """The response of any one broker.

    Brokers that the cluster still lists but that are away are skipped. Raises KafkaUnreachable.
    """
    for broker in client.cluster.brokers():
        if await client.ready(broker.nodeId):
            return await client.send(broker.nodeId, request)
    raise KafkaUnreachable("no broker of the cluster answers any more")


async def described(client: AIOKafkaClient, broker: int, names: Sequence[str]) -> Any:  # noqa: ANN401 - the schema's own form
    """A broker's whole response, with brokers, leaders and replicas, as the schema below has it."""
    return await client.send(broker, _MetadataRequest(names))


class _Uuid(AbstractType[UUID]):
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponseV12(Response):
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestV12]):
    API_KEY: ClassVar[int] = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> _MetadataRequestV12:
        no_id = UUID(int=0)
        return request_struct_class([(no_id, name, {}) for name in self._names], False, False, {})  # noqa: FBT003 - the struct is positional
