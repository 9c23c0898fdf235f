"""Requests of administration that aiokafka does not have, as they are on the wire.

Each has one version: the oldest that current brokers still accept and that has the fields we read.
A broker without it raises aiokafka's NotImplementedError or IncompatibleBrokerVersion.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiokafka.protocol.api import (
    Request,
    RequestStruct,
    Response,
    ResponseHeader_v0,
    ResponseHeader_v1,
)
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    Int16,
    Int32,
    Int64,
    Schema,
)

from streams.wire_types import TAGS, TEXT, TOPIC_PARTITIONS, topic_partitions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# --- ApiVersions: what a broker supports, and which features the cluster has finalized


class _ApiVersionsResponseV3(Response):
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "api_keys",
            CompactArray(("key", Int16), ("least", Int16), ("most", Int16), TAGS),
        ),
        ("throttle_time_ms", Int32),
        TAGS,
    )


class _ApiVersionsRequestV3(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 18
    API_VERSION = 3
    RESPONSE_TYPE = _ApiVersionsResponseV3
    SCHEMA = Schema(("client_name", TEXT), ("client_version", TEXT), TAGS)

    def parse_response_header(
        self, read_buffer: BytesIO | bytes
    ) -> ResponseHeader_v0 | ResponseHeader_v1:
        """The first header's form, whatever the version: a client reads it before it knows one."""
        return ResponseHeader_v0.decode(read_buffer)


class FeaturesRequest(Request[_ApiVersionsRequestV3]):
    """ApiVersions with the features of broker and cluster: see `supported_features`."""

    API_KEY: ClassVar[int] = 18

    def build(self, request_struct_class: type[_ApiVersionsRequestV3]) -> _ApiVersionsRequestV3:
        """The request on the wire."""
        return request_struct_class("netsold", "1", {})


_SUPPORTED_TAG: Final = 0
_SUPPORTED: Final = CompactArray(("name", TEXT), ("least", Int16), ("most", Int16), TAGS)


def supported_features(response: Any) -> dict[str, int]:  # noqa: ANN401 - the schema's own form
    """The highest level of each feature that the answering broker supports."""
    data = response.tags.get(_SUPPORTED_TAG)
    decoded: Any = _SUPPORTED.decode(BytesIO(data)) if data else None
    return {name: most for name, _, most, _ in decoded or ()}


# --- DescribeLogDirs: sizes of partitions, and the disks they are on


class _LogDirsResponseV4(Response):
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("directory", TEXT),
                (
                    "topics",
                    CompactArray(
                        ("topic", TEXT),
                        (
                            "partitions",
                            CompactArray(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                                TAGS,
                            ),
                        ),
                        TAGS,
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                TAGS,
            ),
        ),
        TAGS,
    )


class _LogDirsRequestV4(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = _LogDirsResponseV4
    SCHEMA = Schema(("topics", TOPIC_PARTITIONS), TAGS)


class LogDirsRequest(Request[_LogDirsRequestV4]):
    """The log directories of one broker, with the sizes of some partitions."""

    API_KEY: ClassVar[int] = 35

    def __init__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[_LogDirsRequestV4]) -> _LogDirsRequestV4:
        """The request on the wire."""
        return request_struct_class(topic_partitions(self._partitions), {})


# --- DescribeQuorum: the controller's clock


_REPLICAS: Final = CompactArray(
    ("replica", Int32),
    ("log_end", Int64),
    ("last_fetch_ms", Int64),
    ("last_caught_up_ms", Int64),
    TAGS,
)


class _QuorumResponseV1(Response):
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class _QuorumRequestV1(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 1
    RESPONSE_TYPE = _QuorumResponseV1
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                ("partitions", CompactArray(("partition", Int32), TAGS)),
                TAGS,
            ),
        ),
        TAGS,
    )


class QuorumRequest(Request[_QuorumRequestV1]):
    """The quorum of the cluster's metadata: the leader's own entry has its clock."""

    API_KEY: ClassVar[int] = 55

    def build(self, request_struct_class: type[_QuorumRequestV1]) -> _QuorumRequestV1:
        """The request on the wire."""
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})
