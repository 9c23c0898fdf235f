"""Requests about transactions that aiokafka does not have, as they are on the wire (KIP-664)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
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


class _ProducersResponse(Response):
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", TEXT),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp_ms", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start", Int64),
                                TAGS,
                            ),
                        ),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class _ProducersRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 61
    API_VERSION = 0
    RESPONSE_TYPE = _ProducersResponse
    SCHEMA = Schema(("topics", TOPIC_PARTITIONS), TAGS)


class ProducersRequest(Request[_ProducersRequest]):
    """The producers that partitions' leader knows, and where their open transactions start."""

    API_KEY: ClassVar[int] = 61

    def __init__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[_ProducersRequest]) -> _ProducersRequest:
        """The request on the wire."""
        return request_struct_class(topic_partitions(self._partitions), {})


class _TransactionsResponse(Response):
    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_states", CompactArray(TEXT)),
        (
            "transactions",
            CompactArray(("transactional_id", TEXT), ("producer_id", Int64), ("state", TEXT), TAGS),
        ),
        TAGS,
    )


class _TransactionsRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 66
    API_VERSION = 0
    RESPONSE_TYPE = _TransactionsResponse
    SCHEMA = Schema(("states", CompactArray(TEXT)), ("producer_ids", CompactArray(Int64)), TAGS)


class TransactionsRequest(Request[_TransactionsRequest]):
    """The transactional ids of some producer ids, as far as a broker coordinates them."""

    API_KEY: ClassVar[int] = 66

    def __init__(self, producer_ids: Sequence[int]) -> None:
        self._producer_ids = producer_ids

    def build(self, request_struct_class: type[_TransactionsRequest]) -> _TransactionsRequest:
        """The request on the wire."""
        return request_struct_class([], list(self._producer_ids), {})


class _TransactionResponse(Response):
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", TEXT),
                ("state", TEXT),
                ("timeout_ms", Int32),
                ("start_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("topics", TOPIC_PARTITIONS),
                TAGS,
            ),
        ),
        TAGS,
    )


class _TransactionRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 65
    API_VERSION = 0
    RESPONSE_TYPE = _TransactionResponse
    SCHEMA = Schema(("transactional_ids", CompactArray(TEXT)), TAGS)


class TransactionRequest(Request[_TransactionRequest]):
    """The transactions of some transactional ids, by their coordinator."""

    API_KEY: ClassVar[int] = 65

    def __init__(self, transactional_ids: Sequence[str]) -> None:
        self._transactional_ids = transactional_ids

    def build(self, request_struct_class: type[_TransactionRequest]) -> _TransactionRequest:
        """The request on the wire."""
        return request_struct_class(list(self._transactional_ids), {})


class _MarkersResponse(Response):
    API_KEY = 27
    API_VERSION = 1
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                (
                    "topics",
                    CompactArray(
                        ("topic", TEXT),
                        (
                            "partitions",
                            CompactArray(("partition", Int32), ("error_code", Int16), TAGS),
                        ),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class _MarkersRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 27
    API_VERSION = 1
    RESPONSE_TYPE = _MarkersResponse
    SCHEMA = Schema(
        (
            "markers",
            CompactArray(
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                ("commits", Boolean),
                ("topics", TOPIC_PARTITIONS),
                ("coordinator_epoch", Int32),
                TAGS,
            ),
        ),
        TAGS,
    )


class AbortMarkerRequest(Request[_MarkersRequest]):
    """WriteTxnMarkers: end one producer's transaction in one partition by an abort marker.

    It goes to the partition's leader. `coordinator_epoch` is the one that the partition last had:
    a lower one would be refused as a former coordinator's.
    """

    API_KEY: ClassVar[int] = 27

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
    ) -> None:
        self._producer_id = producer_id
        self._producer_epoch = producer_epoch
        self._coordinator_epoch = coordinator_epoch
        self._topics: list[tuple[Any, ...]] = [(topic, [partition], {})]

    def build(self, request_struct_class: type[_MarkersRequest]) -> _MarkersRequest:
        """The request on the wire."""
        marker: tuple[Any, ...] = (
            self._producer_id,
            self._producer_epoch,
            False,
            self._topics,
            self._coordinator_epoch,
            {},
        )
        return request_struct_class([marker], {})
