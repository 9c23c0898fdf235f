"""Reasons: each one occurs, has a text, and has its place in one order of precedence."""

from typing import Any

import msgspec
import pytest

from schemas import envelope, limits
from schemas.refusals import Reason, Refusal
from schemas.times import parse_ms
from streams.admission import of_events
from streams.partitioning import partition_of
from streams.settings import Settings
from tests.flow import Record

PAID: dict[str, Any] = {
    "type": "order_paid",
    "id": "e-1",
    "source": "/payments",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "amount": 2000,
}
_KEYS = {Reason.MISSING_KEY: None, Reason.KEY_MISMATCH: b"o-2"}
_VALUES = {
    Reason.EMPTY_VALUE: b"",
    Reason.TOO_LARGE: b" " * (limits.VALUE_BYTES + 1),
    Reason.NOT_JSON: b"{",
    Reason.NOT_AN_OBJECT: b"[]",
}
_FIELDS: dict[Reason, dict[str, Any]] = {
    Reason.UNKNOWN_TYPE: {"type": "order_sung"},
    Reason.UNKNOWN_VERSION: {"dataschema": "urn:netsold:order_paid:9"},
    Reason.MISSING_FIELD: {"id": ...},
    Reason.INVALID_FIELD: {"amount": -1},
    Reason.IN_THE_FUTURE: {"occurred_at": "2126-07-01T08:00:00Z"},
}
RIGHT = partition_of(b"o-1", 4)
WRITTEN_MS = parse_ms("2026-07-01T08:00:01Z")


def read(record: Record) -> object:
    """The reading of a record by a lane of the partition that the record is in."""
    return of_events(
        envelope.read, record.topic, record.partition, Settings(_env_file=None, partitions=4)
    )(record)


def faulty(*faults: Reason) -> Record:
    """A record with all of these faults."""
    event = dict(PAID)
    for fault in faults:
        event |= _FIELDS.get(fault, {})
    value = msgspec.json.encode({name: field for name, field in event.items() if field is not ...})
    for fault in reversed(faults):
        value = _VALUES.get(fault, value)
    key: bytes | None = b"o-1"
    for fault in reversed(faults):
        key = _KEYS.get(fault, key)
    partition = (RIGHT + 1) % 4 if Reason.WRONG_PARTITION in faults else RIGHT
    return Record("orders", partition, 0, WRITTEN_MS, key, value, [])


OF_A_RECORD = [
    reason
    for reason in Reason
    if reason not in {Reason.ORDER_FULL, Reason.CONVERSATION_FULL, Reason.NOT_MAPPED}
]
"""The reasons that the record alone decides.

A stage decides about full orders (`test_stages`), a mapping about its rows (`test_mapping`)."""


@pytest.mark.parametrize("reason", OF_A_RECORD)
def test_every_reason_occurs_and_is_explained(reason: Reason) -> None:
    """Each has a record that it refuses, a sentence and a remedy."""
    found = read(faulty(reason))
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert 0 < len(found.detail) <= limits.DETAIL_CHARS
    assert reason.sentence.endswith(".")
    assert reason.remedy


@pytest.mark.parametrize("second", OF_A_RECORD)
@pytest.mark.parametrize("first", OF_A_RECORD)
def test_of_two_faults_the_first_reason_is_given(first: Reason, second: Reason) -> None:
    """A record with two faults has one fixed reason: the first one of the list."""
    order = list(Reason)
    found = read(faulty(*sorted((first, second), key=order.index)))
    assert isinstance(found, Refusal)
    assert found.reason == min(first, second, key=order.index)


def test_detail_names_the_field() -> None:
    """Absent fields are named before wrong ones, also in lines."""
    lines = [{"line_id": "1", "quantity": -1, "amount": 1}, {"line_id": "2", "amount": 1}]
    refund = PAID | {
        "type": "refund_succeeded",
        "refund_id": "r-1",
        "reason": "quality",
        "lines": lines,
    }
    found = read(Record("orders", 0, 0, 0, b"o-1", msgspec.json.encode(refund), []))
    assert found == Refusal(Reason.MISSING_FIELD, "lines.1.quantity: absent")
    found = read(
        Record("orders", 0, 0, 0, b"o-1", msgspec.json.encode(refund | {"lines": lines[:1]}), [])
    )
    assert found == Refusal(Reason.INVALID_FIELD, "lines.0.quantity: -1 is less than 0")


def test_detail_is_bounded_and_printable() -> None:
    """Texts of a hostile record can't flood or garble a header or a log."""
    for name in ("x" * 10_000, "\x1b[31m", "\u202e" * 200):
        found = read(
            Record("orders", 0, 0, 0, b"k" * 10_000, msgspec.json.encode(PAID | {"type": name}), [])
        )
        assert isinstance(found, Refusal)
        assert len(found.detail) <= limits.DETAIL_CHARS
        assert found.detail.isascii()
        assert found.detail.isprintable()
    found = read(Record("orders", 0, 0, 0, b"\x1b" * 10_000, msgspec.json.encode(PAID), []))
    assert isinstance(found, Refusal)
    assert found.reason == Reason.KEY_MISMATCH
    assert len(found.detail) <= limits.DETAIL_CHARS
    assert found.detail.isprintable()
