"""The decoder by example: three forms, hostile payloads, and precedence."""

# ruff: noqa: ANN401 - a test hands in anything, also what is wrong

from typing import Any

import msgspec
import pytest

from schemas import envelope, limits, times
from schemas.envelope import Received, Tick, encode, read, read_plainly, tick
from schemas.handover_records import handover
from schemas.refusals import Reason, Refusal
from tests.flow import Record, bare, binary

PAID: dict[str, Any] = {
    "type": "order_paid",
    "id": "e-1",
    "source": "/payments",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "amount": 2000,
}
PLACED: dict[str, Any] = {
    "type": "order_placed",
    "id": "e-1",
    "source": "/till",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "shop_id": "s-7",
    "buyer_id": "b-9",
    "currency": "CNY",
    "lines": [{"line_id": "1", "product_id": "p-3", "quantity": 2, "unit_price": 1000}],
}


def record(key: bytes | None, value: bytes | None, headers: Any = ()) -> Record:
    """A record of `orders`."""
    return Record("orders", 3, 1841, 0, key, value, headers)


def reading(
    value: bytes | None, headers: Any = (), key: bytes | None = b"o-1"
) -> Received | Tick | Refusal:
    """The reading of a record, asserted to be the same by the fast path and by the models."""
    one = record(key, value, headers)
    assert read(one) == read_plainly(one)
    return read(one)


def reason(value: bytes | None, headers: Any = (), key: bytes | None = b"o-1") -> Reason | None:
    """Why a record is refused; None if it is accepted."""
    found = reading(value, headers, key)
    return found.reason if isinstance(found, Refusal) else None


def structured(event: dict[str, Any]) -> bytes:
    """An event as a CloudEvents object."""
    names = {
        "id": "id",
        "source": "source",
        "type": "type",
        "occurred_at": "time",
        "order_id": "subject",
    }
    attributes = {names[name]: value for name, value in event.items() if name in names}
    data = {name: value for name, value in event.items() if name not in names}
    return msgspec.json.encode({"specversion": "1.0", **attributes, "data": data})


def test_three_forms_are_read_alike() -> None:
    """Binary, structured (by content type, or by itself) and bare JSON give the same event."""
    expected = read(record(*binary(PLACED)))
    assert isinstance(expected, Received)
    assert expected.occurred_at_ms == 1_782_892_800_000
    assert reading(msgspec.json.encode(PLACED)) == expected
    assert reading(structured(PLACED)) == expected
    assert (
        reading(
            structured(PLACED), [("content-type", b"application/cloudevents+json; charset=utf-8")]
        )
        == expected
    )


def test_records_are_written_by_the_conventions() -> None:
    """Binary mode: key and subject are the order's id; there are eight headers."""
    key, value, headers = encode(PAID)
    assert key == b"o-1"
    assert msgspec.json.decode(value) == {"amount": 2000}
    assert [name for name, _ in headers] == [
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_subject",
        "ce_time",
        "ce_dataschema",
        "content-type",
    ]


def test_an_object_with_specversion_is_structured_whatever_else_it_has() -> None:
    """Fields beside the attributes are then extensions.

    Time and data count; occurred_at and amount at the top don't.
    """
    value = msgspec.json.encode(
        PAID
        | {
            "specversion": "1.0",
            "time": "2026-08-01T00:00:00Z",
            "subject": "o-1",
            "data": {"amount": 7},
        }
    )
    found = reading(value)
    assert isinstance(found, Received)
    assert (found.occurred_at_ms, found.body.amount) == (times.parse_ms("2026-08-01T00:00:00Z"), 7)
    assert reason(msgspec.json.encode({"specversion": "1.0", "data": [1]})) == Reason.NOT_AN_OBJECT
    assert reason(msgspec.json.encode({"specversion": "1.0"})) == Reason.MISSING_FIELD


def test_headers_win_over_the_value() -> None:
    """Attributes in headers override fields of the same meaning in the value, in every form."""
    headers = [("ce_id", b"from-header"), ("ce_time", b"2026-08-01T00:00:00Z")]
    for value in (msgspec.json.encode(PAID | {"id": 5}), structured(PAID)):
        content_type = (
            [("content-type", b"application/cloudevents+json")] if b"specversion" in value else []
        )
        found = reading(value, headers + content_type)
        assert isinstance(found, Received)
        assert (found.id, found.occurred_at_ms) == (
            "from-header",
            times.parse_ms("2026-08-01T00:00:00Z"),
        )


def test_the_last_header_of_a_name_wins() -> None:
    """JSON has the same rule for repeated names."""
    key, value, headers = binary(PAID)
    found = reading(value, [*headers, ("ce_id", b"last")], key)
    assert isinstance(found, Received)
    assert found.id == "last"


def test_a_common_field_may_be_in_the_value() -> None:
    """A field that the headers lack is read from the value."""
    key, _, headers = binary(PAID)
    without = [(name, raw) for name, raw in headers if name not in {"ce_source", "ce_time"}]
    assert reading(msgspec.json.encode(PAID), without, key) == read(record(*binary(PAID)))


def test_unknown_fields_pass_and_null_is_absent() -> None:
    """The content model is open; null means that an optional field is absent."""
    lines = [PLACED["lines"][0] | {"discount": None, "colour": "red"}]
    found = reading(
        msgspec.json.encode(PLACED | {"group_id": None, "extra": {"deep": [1]}, "lines": lines})
    )
    assert found == read(record(*binary(PLACED)))


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("9" * 5000, Reason.NOT_JSON),
        ("18446744073709551616", Reason.INVALID_FIELD),
        ("NaN", Reason.NOT_JSON),
        ("Infinity", Reason.NOT_JSON),
        ("1e400", Reason.INVALID_FIELD),
        ("1.0", Reason.INVALID_FIELD),
        ("1e0", Reason.INVALID_FIELD),
        ("true", Reason.INVALID_FIELD),
        ('"1"', Reason.INVALID_FIELD),
        ('"1e1000000"', Reason.INVALID_FIELD),
        ("null", Reason.INVALID_FIELD),
        ("-1", Reason.INVALID_FIELD),
        ("1000000000000000001", Reason.INVALID_FIELD),
        ("1000000000000000000", None),
        ("01", Reason.NOT_JSON),
        ("-0", None),
        ('"x","amount":5', None),  # duplicate key: the last wins
        ('5,"amount":"x"', Reason.INVALID_FIELD),
        ("[" * 100_000 + "]" * 100_000, Reason.NOT_JSON),
    ],
)
def test_hostile_numbers(amount: str, expected: Reason | None) -> None:
    """Integers are integers within bounds; no value is converted to another number."""
    for event in (binary(PAID), bare(PAID)):
        key, value, headers = event
        assert reason(value.replace(b"2000", amount.encode()), headers, key) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\\ud800", Reason.NOT_JSON),
        (b"\xff", Reason.NOT_JSON),
        (b"a\\u0000", Reason.INVALID_FIELD),
        (b"a\x01", Reason.NOT_JSON),
        (b"a\\u001f", Reason.INVALID_FIELD),
        (b"a\x7f", Reason.INVALID_FIELD),
        (b"a\\u007f", Reason.INVALID_FIELD),
        (b"", Reason.INVALID_FIELD),
        (b"x" * 129, Reason.INVALID_FIELD),
        ("😀".encode() * 128, None),
        ("😀".encode() * 129, Reason.INVALID_FIELD),
        (b"\\u00e9", None),
        ("顺丰".encode(), None),
    ],
)
def test_hostile_texts(text: bytes, expected: Reason | None) -> None:
    """Texts have 1 to 128 characters, no half characters and no control characters.

    Escaped control characters are refused, too.
    """
    shipped = {name: value for name, value in PAID.items() if name != "amount"} | {
        "type": "order_shipped",
        "carrier": "CARRIER",
    }
    for key, value, headers in (binary(shipped), bare(shipped)):
        assert reason(value.replace(b"CARRIER", text), headers, key) == expected


@pytest.mark.parametrize("junk", [b'"\xff"', b"[" * 300 + b"]" * 300, b"9" * 4400, b"NaN"])
def test_fields_that_nobody_reads_must_be_json_too(junk: bytes) -> None:
    """Unknown fields are ignored, but the value must be valid JSON.

    The depth of the stack doesn't matter.
    """
    for key, value, headers in (binary(PAID), bare(PAID)):
        assert reason(value[:-1] + b',"extra":' + junk + b"}", headers, key) == Reason.NOT_JSON


def test_the_depth_of_the_stack_decides_nothing() -> None:
    """A nested value is read alike from a shallow and from a deep stack.

    A replay must give the same tables.
    """
    key, value, headers = binary(PAID)
    for depth in (150, 190, 198, 250):
        nested = record(
            key, value[:-1] + b',"extra":' + b"[" * depth + b"]" * depth + b"}", headers
        )

        def deep(frames: int, nested: Record = nested) -> Received | Tick | Refusal:
            return read(nested) if frames == 0 else deep(frames - 1)

        assert deep(400) == read(nested)


def test_any_header_garbage_is_survived() -> None:
    """Headers that are None, not UTF-8, no pairs, or no list at all never raise.

    An unreadable header counts as absent or wrong.
    """
    key, value, headers = binary(PAID)
    assert reason(value, None, key) == Reason.MISSING_FIELD
    assert reason(value, 5, key) == Reason.MISSING_FIELD
    assert (
        reason(value, [*headers, None, (), ("a",), ("b", "c", "d"), (1, b"x"), ([], b"x")], key)
        is None
    )
    assert reason(value, [*headers, ("ce_id", b"\xff")], key) == Reason.INVALID_FIELD
    assert reason(value, [*headers, ("ce_type", b"\xff")], key) == Reason.INVALID_FIELD
    assert reason(value, [*headers, ("ce_source", b"x" * 257)], key) == Reason.INVALID_FIELD
    assert reason(value, [*headers, ("ce_id", b"a\x00")], key) == Reason.INVALID_FIELD
    assert (
        reason(value, [(name, None if name == "ce_id" else raw) for name, raw in headers], key)
        == Reason.MISSING_FIELD
    )
    assert reason(value, [*headers, ("trace", None)], key) is None


@pytest.mark.parametrize("key", [None, b"", b"o-2", b"o-1 ", b"\xff", "o-1"])
def test_the_key_must_be_the_order(key: Any) -> None:
    """Another key, or none, would write the order's events to other partitions."""
    _, value, headers = binary(PAID)
    assert reason(value, headers, key) == (Reason.KEY_MISMATCH if key else Reason.MISSING_KEY)


def test_limits_of_an_order() -> None:
    """Discounts are at most the price, prices within bounds, and line_ids differ.

    An order has at most as many lines as fit into a value.
    """
    line = PLACED["lines"][0]

    def outcome(*lines: dict[str, Any]) -> Reason | None:
        key, value, headers = binary(PLACED | {"lines": list(lines)})
        return reason(value, headers, key)

    assert outcome(line | {"discount": 2000}) is None
    assert outcome(line | {"discount": 2001}) == Reason.INVALID_FIELD
    assert outcome(line, line) == Reason.INVALID_FIELD
    assert outcome() == Reason.INVALID_FIELD
    assert outcome(line | {"quantity": 1000, "unit_price": 10**12}) is None
    assert outcome(line | {"quantity": 1001, "unit_price": 10**12}) == Reason.INVALID_FIELD
    dear = line | {"quantity": 1000, "unit_price": 10**12}
    assert outcome(*(dear | {"line_id": str(n)} for n in range(1000))) is None
    assert (
        outcome(*(dear | {"line_id": str(n)} for n in range(1000)), line | {"line_id": "x"})
        == Reason.INVALID_FIELD
    )
    assert outcome(*(line | {"line_id": str(n)} for n in range(3350))) is None
    assert outcome(*(line | {"line_id": str(n)} for n in range(4370))) == Reason.TOO_LARGE


def test_size_is_bounded_to_the_byte() -> None:
    """A value of exactly the largest size is read; with one byte more it is refused unread."""
    key, value, headers = binary(PAID)
    padded = value[:-1] + b" " * (limits.VALUE_BYTES - len(value)) + b"}"
    assert reason(padded, headers, key) is None
    assert reason(padded + b" ", headers, key) == Reason.TOO_LARGE


def test_ticks() -> None:
    """A tick has a time and needs no key; one without a readable time is refused."""
    value, headers = tick(1_782_892_800_123)
    assert reading(value, headers, None) == Tick(1_782_892_800_123)
    assert reason(value, [("ce_type", b"time_tick")], None) == Reason.MISSING_FIELD
    assert (
        reason(value, [("ce_type", b"time_tick"), ("ce_time", b"soon")], None)
        == Reason.INVALID_FIELD
    )
    assert (
        reason(value, [("ce_type", b"time_tick"), ("ce_time", b"\xff")], None)
        == Reason.INVALID_FIELD
    )


def test_no_list_lacks_an_event_type() -> None:
    """Every type of event has a decoder and becomes a fact of an order."""
    from schemas import decoders, events
    from tables import orders

    assert set(decoders.BODIES) == set(events.MODELS)
    assert set(orders._KIND_OF) == events.ORDER_TYPES
    assert (len(events.ORDER_TYPES), len(events.CHAT_TYPES)) == (12, 2)
    assert envelope.TICK not in events.MODELS


def test_handovers() -> None:
    """A handover names an application and needs no key; only `chats` has any."""
    value, headers = handover("netsold.r1", None)
    record = Record("chats", 0, 0, 0, None, value, headers)
    assert envelope.read_chat(record) == envelope.Handover("netsold.r1")
    assert envelope.read_chat_plainly(record) == envelope.Handover("netsold.r1")
    assert reason(value, headers, None) == Reason.UNKNOWN_TYPE
    timed = record._replace(headers=handover("netsold.r1", 1_782_900_000_000)[1])
    assert envelope.read_chat(timed) == envelope.Handover("netsold.r1", 1_782_900_000_000)
    found = envelope.read_chat(record._replace(headers=[*headers, ("ce_time", b"noon")]))
    assert isinstance(found, Refusal)
    assert (found.reason, found.detail[:11]) == (Reason.INVALID_FIELD, "occurred_at")
    for subject in (b"", b"a\x00", b"\xff", b"a" * 257):
        wrong = record._replace(headers=[("ce_type", b"handover"), ("ce_subject", subject)])
        found = envelope.read_chat(wrong)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.INVALID_FIELD
