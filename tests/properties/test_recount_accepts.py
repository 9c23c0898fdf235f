"""The recount's check of events and the decoder of `schemas` accept the same events.

They share no code.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.events import Invalid, accept, parse
from schemas import envelope

_COMMON = {"id": "e-1", "source": "/s", "occurred_at": "2026-07-01T08:00:00Z"}
_OF_ORDER = {"order_id": "o-1"}
_MESSAGE = {"shop_id": "s", "buyer_id": "b", "message_id": "m"}
_LINE = {"line_id": "1", "product_id": "p-3", "quantity": 2, "unit_price": 1000, "discount": 5}
_PART = {"line_id": "1", "quantity": 1, "amount": 300}
VALID: list[dict[str, Any]] = [
    _COMMON | _OF_ORDER | fields
    for fields in (
        {"type": "order_placed", "shop_id": "s", "buyer_id": "b", "currency": "CNY",
         "group_id": "g", "lines": [_LINE, _LINE | {"line_id": "2"}]},
        {"type": "order_paid", "amount": 5},
        {"type": "order_shipped", "parcel_id": "x", "line_ids": ["1"], "carrier": "c",
         "tracking_no": "t"},
        {"type": "receipt_confirmed", "line_ids": ["1", "2"], "parcel_id": "x", "by": "buyer"},
        {"type": "order_cancelled", "reason": "unpaid"},
        {"type": "delivery_refused", "line_ids": ["1"], "reason": "quality"},
        {"type": "refund_requested", "refund_id": "r", "reason": "other", "lines": [_PART]},
        {"type": "refund_succeeded", "refund_id": "r", "reason": "other", "lines": [_PART, _PART]},
        {"type": "refund_failed", "refund_id": "r", "cause": "lapsed"},
        {"type": "refund_reversed", "refund_id": "r"},
        {"type": "reissue_shipped", "line_ids": ["1"], "reason": "quality", "parcel_id": "x"},
        {"type": "review_posted", "product_id": "p-3", "rating": 4},
        {"dataschema": "urn:netsold:receipt_confirmed:1", "type": "receipt_confirmed",
         "by": "buyer"},
        {"dataschema": "urn:netsold:receipt_confirmed:2", "type": "receipt_confirmed",
         "by": "buyer", "line_ids": "all"},
        {"dataschema": "urn:netsold:delivery_refused:2", "type": "delivery_refused",
         "line_ids": ["1"], "reason": "quality"},
        {"dataschema": "urn:netsold:refund_requested:2", "type": "refund_requested",
         "refund_id": "r", "reason": "other", "lines": "all"},
        {"dataschema": "urn:netsold:refund_succeeded:2", "type": "refund_succeeded",
         "refund_id": "r", "reason": "other", "lines": [_PART]},
    )
] + [
    _COMMON | _MESSAGE | fields
    for fields in (
        {"type": "buyer_messaged"},
        {"type": "buyer_messaged", "order_id": "o-1"},
        {"type": "seller_replied", "by": "person", "order_id": "o-1"},
        {"type": "seller_replied", "by": "robot"},
    )
]  # fmt: skip

_UNUSUAL: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([
        None, True, False, 0, 1, -1, 1.0, 0.5, 1e300,
        10**12, 10**12 + 1, 10**15, 10**15 + 1, 10**18, 10**18 + 1, 2**63, 2**64, 10**400,
        "", "1", "x" * 128, "x" * 129, "x" * 256, "x" * 257,
        "a\x00", "a\x1f", "a\x7f", "a\x80", "\u2028", "😀" * 128, "ÿ" * 129, "\ud800",
        [], {}, [None], [[]], ["1"], ["1"] * 1001, ["1"] * 40_000,
        "USD", "ZZZ", "quality", "buyer", "bank",
        "2026-07-01T08:00:00.123456789+08:00", "2026-07-01T08:00:00",
        "2200-01-01T00:00:00Z", "1899-12-31T23:59:59.9Z",
        "2026-06-30T23:59:60Z", "2026-06-29T23:59:60Z", "2026-07-01T00:59:60+01:00",
        "2026-07-01 08:00:00z", "2026-07-01T08:00Z", "2026-07-01T08:00:00-00:00",
        "order_placed", "order_hidden", "buyer_messaged", "seller_replied", "robot",
        "all", "urn:netsold:refund_succeeded:2", "urn:netsold:refund_succeeded:02",
        "urn:netsold:order_paid:2", "urn:netsold:", "https://a.example/schema",
    ]),
    st.integers(),
    st.text(max_size=3),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
)  # fmt: skip


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place within a JSON value."""
    inner: list[tuple[str | int, Any]] = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [
        place for name, each in inner for place in ((*path, name), *_places(each, (*path, name)))
    ]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event with up to three of its places changed, removed or added."""
    event: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(
            st.sampled_from(
                [*_places(event), ("lines",), ("line_ids",), ("dataschema",), ("extra",)]
            )
        )
        target: Any = event
        for name in path:
            target = target[name]
        if isinstance(target, dict) and draw(st.booleans()):
            target.pop(last, None)
        else:
            target[last] = copy.deepcopy(draw(_UNUSUAL))
        if not _places(event):
            break
    return event


@dataclass(frozen=True)
class Record:
    """A record of bare JSON under the right key."""

    value: bytes
    key: bytes
    topic: str = "orders"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def _by_recount(value: bytes) -> dict[str, Any] | None:
    try:
        return accept(parse(value))
    except Invalid:
        return None


def _by_schemas(record: Record) -> dict[str, Any] | None:
    """The event that the decoder of either topic accepts; never both accept one."""
    order, message = envelope.read(record), envelope.read_chat(record)
    found: dict[str, Any] | None = None
    if isinstance(order, envelope.Received):
        found = {
            "type": order.type,
            "id": order.id,
            "source": order.source,
            "order_id": order.order_id,
        } | msgspec.to_builtins(order.body)
        found["occurred_at"] = order.occurred_at_ms
    if isinstance(message, envelope.ChatMessage):
        assert found is None
        found = {"shop_id": message.shop_id, "buyer_id": message.buyer_id} | msgspec.structs.asdict(
            message.message
        )
        found["type"] = "seller_replied" if found.pop("side") == envelope.SHOP else "buyer_messaged"
        found["occurred_at"] = found.pop("at_ms")
    return found


def _without_null(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list | tuple) else value


def _key(event: object) -> bytes:
    """The key that a record of an event must have, if the event has one."""
    if not isinstance(event, dict):
        return b"o-1"
    names = (
        ("shop_id", "buyer_id")
        if event.get("type") in ("buyer_messaged", "seller_replied")
        else ("order_id",)
    )
    ids = [event.get(name) for name in names]
    return (
        "/".join(each for each in ids if isinstance(each, str)).encode(errors="surrogatepass")
        or b"o-1"
    )


def _agree(value: bytes, key: bytes) -> None:
    assert _by_recount(value) == _without_null(_by_schemas(Record(value, key)))


@given(event=events(), ascii_only=st.booleans())
@settings(max_examples=1500, deadline=None)
def test_both_accept_the_same_events(event: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001
    """Both refuse an event, or both accept it with the same content.

    Events are valid, changed or hostile.
    """
    _agree(json.dumps(event, ensure_ascii=ascii_only).encode(errors="surrogatepass"), _key(event))


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.sampled_from([b"null", b"[]", b"{}", b"1e999", b"NaN"])
)
@settings(max_examples=500, deadline=None)
def test_both_accept_the_same_bytes(noise: bytes) -> None:
    """They agree on noise in the place of an event or of an unknown field."""
    _agree(noise, b"o-1")
    _agree(json.dumps(VALID[1]).encode()[:-1] + b', "extra": ' + noise + b"}", b"o-1")


def test_the_valid_events_are_valid() -> None:
    """Otherwise the properties would show little."""
    assert all(accept(parse(json.dumps(event).encode())) for event in VALID)
