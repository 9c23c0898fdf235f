"""The events that the recount accepts, and those that it skips."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operations.oracle.events import Invalid, NotJson, UnknownType, accept, parse, time_ms

PLACED: dict[str, Any] = {
    "type": "order_placed",
    "id": "e-1",
    "source": "/shops/7/till",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "shop_id": "s-7",
    "buyer_id": "b-9",
    "currency": "CNY",
    "lines": [{"line_id": "1", "product_id": "p-3", "quantity": 2, "unit_price": 1000}],
}
MESSAGE: dict[str, Any] = {
    "type": "buyer_messaged",
    "id": "m-1",
    "source": "/chat",
    "occurred_at": "2026-07-01T08:00:00Z",
    "shop_id": "s-7",
    "buyer_id": "b-9",
    "message_id": "x-1",
}
RECEIVED: dict[str, Any] = {
    **{name: PLACED[name] for name in ("id", "source", "occurred_at", "order_id")},
    "type": "receipt_confirmed",
    "by": "buyer",
}


def test_known_fields_are_kept_and_others_dropped() -> None:
    """Null is absent, and the time is in milliseconds."""
    event = accept(PLACED | {"group_id": None, "colour": "red", "by": 3})
    assert event == PLACED | {"occurred_at": 1_782_892_800_000}


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.0019z", 1),
        ("1970-01-01 00:00:00.5+00:00", 500),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2026-07-02T10:00:00+08:00", 1_782_957_600_000),
        ("2026-07-01T22:00:00-04:00", 1_782_957_600_000),
        ("1900-01-01T00:00:00Z", -2_208_988_800_000),
        ("2199-12-31T23:59:59.999Z", 7_258_118_399_999),
        ("2199-12-31T23:59:60Z", 7_258_118_399_999),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999),
        ("2017-01-01T07:59:60.25+08:00", 1_483_228_799_999),
    ],
)
def test_times_are_cut_to_milliseconds(text: str, at_ms: int) -> None:
    """They are RFC 3339 with zone, also before the epoch."""
    assert time_ms(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T08:00:00",
        "2026-07-01",
        "20260701T080000Z",
        "2026-02-30T00:00:00Z",
        "2026-07-01T24:00:00Z",
        "2026-06-29T23:59:60Z",
        "2026-07-01T07:59:60Z",
        "2026-06-30T23:59:60+08:00",
        "2026-07-01T08:00:00.Z",
        "2026-07-01T08:00:00+24:00",
        "\uff12026-07-01T08:00:00Z",
        "1899-12-31T23:59:59.999Z",
        "2200-01-01T00:00:00Z",
        "1900-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+01:00",
        1_782_892_800,
        None,
    ],
)
def test_other_times_are_refused(text: object) -> None:
    """They have no zone, no such day, other digits, a year out of bounds, or no text."""
    with pytest.raises(Invalid):
        time_ms(text)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("order_id", ""),
        ("order_id", "x" * 129),
        ("order_id", 5),
        ("id", "a\x00b"),
        ("id", "a\x7f"),
        ("source", "x" * 257),
        ("shop_id", None),
        ("currency", "XXY"),
        ("currency", "cny"),
        ("group_id", ""),
        ("lines", []),
        ("lines", {}),
        ("lines", [PLACED["lines"][0]] * 2),
        (
            "lines",
            [
                PLACED["lines"][0]
                | {"line_id": str(number), "quantity": 1000, "unit_price": 10**12}
                for number in range(1001)
            ],
        ),
        ("lines", [3]),
        ("lines.quantity", 0),
        ("lines.quantity", 1_000_001),
        ("lines.quantity", True),
        ("lines.quantity", 1.0),
        ("lines.quantity", "1"),
        ("lines.unit_price", -1),
        ("lines.unit_price", 10**12 + 1),
        ("lines.unit_price", 2**64),
        ("lines.discount", -1),
        ("lines.discount", 2001),
        ("lines.product_id", None),
    ],
)
def test_a_placed_order_out_of_bounds_is_refused(where: str, value: object) -> None:
    """Each field has its bounds; a boolean or a float is no integer."""
    event = json.loads(json.dumps(PLACED))
    outer, _, inner = where.partition(".")
    if inner:
        event["lines"][0][inner] = value
    else:
        event[outer] = value
    with pytest.raises(Invalid, match=outer):
        accept(event)


def test_a_line_at_its_bounds_is_accepted() -> None:
    """It has a million units, 10^15 minor units of revenue and a full discount.

    One more is refused.
    """
    line = {
        "line_id": "1",
        "product_id": "p",
        "quantity": 1_000_000,
        "unit_price": 10**9,
        "discount": 10**15,
    }
    assert accept(PLACED | {"lines": [line]})["lines"] == [line]
    with pytest.raises(Invalid):
        accept(PLACED | {"lines": [line | {"unit_price": 10**9 + 1}]})


@pytest.mark.parametrize(
    "fields",
    [
        {
            "type": "refund_succeeded",
            "refund_id": "r",
            "reason": "quality",
            "lines": [{"line_id": "1", "quantity": 0, "amount": 10**15}],
        },
        {"type": "refund_requested", "refund_id": "r", "reason": "other"},
        {"type": "refund_failed", "refund_id": "r", "cause": "bank"},
        {"type": "refund_reversed", "refund_id": "r"},
        {"type": "receipt_confirmed", "by": "timeout", "line_ids": ["1"], "parcel_id": "x"},
        {"type": "order_paid", "amount": 10**18},
        {"type": "order_shipped"},
        {"type": "order_cancelled", "reason": "group_not_filled"},
        {"type": "delivery_refused", "reason": "late_delivery"},
        {"type": "reissue_shipped", "reason": "wrong_goods", "line_ids": ["1", "1"]},
        {"type": "review_posted", "product_id": "p-3", "rating": 1},
        {"type": "review_posted", "product_id": "p-3", "rating": 5},
    ],
)
def test_each_type_is_accepted_with_its_fields(fields: dict[str, Any]) -> None:
    """All fields are kept."""
    common = {name: PLACED[name] for name in ("id", "source", "occurred_at", "order_id")}
    assert accept(common | fields).items() >= fields.items()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "refund_succeeded", "refund_id": "r", "reason": "quality", "lines": []},
        {
            "type": "refund_succeeded",
            "refund_id": "r",
            "reason": "quality",
            "lines": [{"line_id": "1", "quantity": -1, "amount": 0}],
        },
        {"type": "refund_succeeded", "refund_id": "r", "reason": "because"},
        {"type": "refund_succeeded", "reason": "quality"},
        {"type": "refund_failed", "refund_id": "r", "cause": "quality"},
        {"type": "receipt_confirmed", "by": "robot"},
        {"type": "receipt_confirmed", "by": "buyer", "line_ids": []},
        {"type": "order_paid", "amount": 10**18 + 1},
        {"type": "order_cancelled", "reason": "quality"},
        {"type": "review_posted", "product_id": "p-3", "rating": 0},
        {"type": "review_posted", "product_id": "p-3", "rating": 6},
        {"type": "review_posted", "product_id": "p-3", "rating": True},
        {"type": "review_posted", "product_id": "p-3", "rating": 4.0},
        {"type": "review_posted", "rating": 4},
    ],
)
def test_values_that_a_type_does_not_know_are_refused(fields: dict[str, Any]) -> None:
    """Enums are closed, lists aren't empty, and required fields are there."""
    with pytest.raises(Invalid):
        accept(RECEIVED | {"by": None} | fields)


def test_messages_are_of_a_shop_and_a_buyer() -> None:
    """They may name an order.

    A seller's reply has `by`, and a buyer's message hasn't.
    """
    event = MESSAGE | {"occurred_at": 1_782_892_800_000}
    assert accept(MESSAGE | {"order_id": None, "by": "person"}) == event
    assert accept(MESSAGE | {"order_id": "o-1"}) == event | {"order_id": "o-1"}
    for by in ("person", "robot"):
        assert accept(MESSAGE | {"type": "seller_replied", "by": by}) == event | {
            "type": "seller_replied",
            "by": by,
        }


@pytest.mark.parametrize(
    "fields",
    [
        {"shop_id": None},
        {"buyer_id": ""},
        {"message_id": "a\x1f"},
        {"message_id": 3},
        {"order_id": "x" * 129},
        {"type": "seller_replied"},
        {"type": "seller_replied", "by": "buyer"},
        {"type": "review_posted", "product_id": "p-3", "rating": 3},
    ],
)
def test_messages_out_of_bounds_are_refused(fields: dict[str, Any]) -> None:
    """Ids have bounds; a message's fields don't make an order's event."""
    with pytest.raises(Invalid):
        accept(MESSAGE | fields)


def test_an_unknown_type_has_its_own_error() -> None:
    """The event may be of a newer version."""
    with pytest.raises(UnknownType):
        accept(RECEIVED | {"type": "order_hidden"})
    for other in (None, 5, ["order_placed"]):
        with pytest.raises(Invalid):
            accept(RECEIVED | {"type": other})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'\xff{"a": 1}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\x01"}',
        b'{"a": 1} {"b": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 201 + b"]" * 201,
        b"[" * 100_000,
        b'{"a": "' + b"x" * 262_144 + b'"}',
    ],
    ids=range(14),
)
def test_lines_that_are_no_json_are_refused(line: bytes) -> None:
    """They are cut off, not UTF-8, too large or too deep.

    Or they have half a surrogate pair, or JavaScript's constants.
    """
    with pytest.raises(NotJson):
        parse(line)


def test_json_is_read_strictly() -> None:
    """The last of two equal names counts; a surrogate pair is one character.

    Nesting is bounded by 200.
    """
    assert parse(b'{"a": 1, "a": "\\ud83d\\ude00"}') == {"a": "😀"}
    assert parse(b"[" * 200 + b"]" * 200)
    for other in (b"[]", b"3", b'"x"', b"null"):
        with pytest.raises(Invalid):
            accept(parse(other))
