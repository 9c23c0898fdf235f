"""How one line of a file becomes a record for the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from operations.writing.event_lines import Outgoing, event_of
from schemas import envelope
from schemas.refusals import Reason, Refusal

EVENT = {
    "type": "receipt_confirmed",
    "id": "e-4",
    "source": "/logistics/sf",
    "occurred_at": "2026-07-02T10:00:00+08:00",
    "order_id": "o-ü",
    "by": "logistics",
    "remark": {"kept": [1, 2**70, 1.5, None]},
}


@dataclass(frozen=True)
class Record:
    """A record in the form that the decoder reads."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    topic: str = "orders"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def test_an_event_becomes_a_cloudevent() -> None:
    """Common fields are headers as written; all others are the value.

    Unknown fields are in the value, too. The key is the order's id.
    """
    record = event_of(json.dumps(EVENT).encode())
    assert not isinstance(record, Refusal)
    topic, key, value, headers = record.topic, record.key, record.value, record.headers
    assert value is not None
    assert topic == "orders"
    assert key == "o-ü".encode()
    assert json.loads(value) == {"by": "logistics", "remark": EVENT["remark"]}
    assert (
        dict(headers).items()
        >= {
            "ce_type": b"receipt_confirmed",
            "ce_id": b"e-4",
            "ce_source": b"/logistics/sf",
            "ce_subject": "o-ü".encode(),
            "ce_time": b"2026-07-02T10:00:00+08:00",
            "content-type": b"application/json",
        }.items()
    )
    assert isinstance(envelope.read(Record(key, value, headers)), envelope.Received)


MESSAGE = {
    "type": "seller_replied",
    "id": "e-1",
    "source": "/chat",
    "occurred_at": "2026-07-02T10:00:00Z",
    "message_id": "m-1",
}
SENT = {"shop_id": "s/7", "buyer_id": "b-9", "by": "robot", "order_id": "o-1"}


@pytest.mark.parametrize(
    "fields",
    [
        MESSAGE | SENT,
        {
            "specversion": "1.0",
            "type": "seller_replied",
            "id": "e-1",
            "source": "/chat",
            "time": "2026-07-02T10:00:00Z",
            "subject": "s/7/b-9",
            "data": {"message_id": "m-1"} | SENT,
        },
    ],
)
def test_a_message_goes_to_the_topic_of_chats(fields: dict[str, object]) -> None:
    """The key is its conversation, in either form."""
    record = event_of(json.dumps(fields).encode())
    assert not isinstance(record, Refusal)
    topic, key, value, headers = record.topic, record.key, record.value, record.headers
    assert value is not None
    assert (topic, key) == ("chats", b"s/7/b-9")
    sent = envelope.read_chat(Record(key, value, headers))
    assert isinstance(sent, envelope.ChatMessage)
    assert (sent.shop_id, sent.buyer_id, sent.message.by, sent.message.order_id) == (
        "s/7",
        "b-9",
        "robot",
        "o-1",
    )


@pytest.mark.parametrize("within", [True, False])
def test_a_structured_cloudevent_is_not_changed(within: bool) -> None:  # noqa: FBT001
    """The order's id from the subject or the data is the key."""
    line = json.dumps(
        {
            "specversion": "1.0",
            "id": "e-1",
            "source": "/s",
            "type": "receipt_confirmed",
            "time": "2026-07-02T10:00:00Z",
            "data": {"by": "buyer"} | ({"order_id": "o-1"} if within else {}),
        }
        | ({} if within else {"subject": "o-1"})
    ).encode()
    record = event_of(line)
    assert record == Outgoing(
        "orders",
        b"o-1",
        line,
        [("content-type", b"application/cloudevents+json")],
        1_782_986_400_000,
    )
    received = envelope.read(
        Record(b"o-1", line, [("content-type", b"application/cloudevents+json")])
    )
    assert isinstance(received, envelope.Received)
    assert received.order_id == "o-1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", Reason.NOT_JSON),
        (b"\xff", Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b"{}", Reason.MISSING_FIELD),
        (json.dumps(EVENT | {"order_id": 5}).encode(), Reason.INVALID_FIELD),
        (json.dumps(EVENT | {"order_id": ""}).encode(), Reason.INVALID_FIELD),
        (json.dumps(EVENT | {"by": "robot"}).encode(), Reason.INVALID_FIELD),
        (json.dumps(EVENT | {"type": "order_hidden"}).encode(), Reason.UNKNOWN_TYPE),
        (json.dumps(EVENT | {"type": "time_tick"}).encode(), Reason.UNKNOWN_TYPE),
        (json.dumps(EVENT | {"remark": "x" * 262_144}).encode(), Reason.TOO_LARGE),
        (b'{"specversion":"1.0","data":3}', Reason.NOT_AN_OBJECT),
        (b'{"specversion":"1.0","subject":7,"data":{}}', Reason.MISSING_FIELD),
    ],
    ids=range(13),
)
def test_what_is_no_event_is_refused_as_in_the_log(line: bytes, reason: Reason) -> None:
    """The same decoder gives the same reason."""
    refusal = event_of(line)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
