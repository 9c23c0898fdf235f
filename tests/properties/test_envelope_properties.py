"""The decoder on valid, damaged and hostile records.

It never raises, and its fast path reads what the pydantic models read.
"""

# ruff: noqa: ANN401 - a test hands in anything, also what is wrong

from typing import Any

import msgspec
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas import envelope, events, times
from schemas.envelope import ChatMessage, Received, read, read_chat, read_chat_plainly, read_plainly
from schemas.event_versions import newest_class, version_of
from schemas.refusals import Refusal
from tests.flow import Record, bare, binary
from tests.properties.strategies import any_version, messages

EVENT: TypeAdapter[Any] = TypeAdapter(events.Event)

hostile = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            -1,
            1.0,
            1e300,
            2**63,
            2**64,
            -(2**63),
            10**15,
            10**15 + 1,
            10**18 + 1,
            "",
            "1",
            "é",
            "a" * 128,
            "a" * 129,
        ]
    ),
    st.sampled_from(
        [
            "a\x00",
            "a\x1f",
            "a\x7f",
            "a\x80",
            "\u2028",
            "a\u200b",
            "😀" * 128,
            "😀" * 129,
            "CNY",
            "XYZ",
            "buyer",
            "1e1000000",
            "all",
            "urn:netsold:refund_succeeded:2",
            "urn:netsold:refund_succeeded:3",
        ]
    ),
    st.sampled_from(
        [
            [],
            {},
            [[]],
            [None],
            ["1"],
            ["1", "1"],
            ["a\x00"],
            [1],
            ["1"] * 1000,
            ["1"] * 1001,
            {"line_id": "1"},
        ]
    ),
    st.sampled_from(
        [
            "2026-07-01T08:00:00",
            "2026-07-01",
            "1899-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            "2026-06-31T00:00:00Z",
        ]
    ),
    st.text(max_size=5),
    st.integers(),
    st.lists(
        st.fixed_dictionaries(
            {"line_id": st.just("1"), "quantity": st.integers(-1, 2), "amount": st.integers(-1, 2)}
        ),
        max_size=2,
    ),
)


@st.composite
def damaged_events(draw: st.DrawFn, drawn: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """One of these events with up to three fields removed, added or replaced, also in a line."""
    event: dict[str, Any] = draw(drawn)
    for _ in range(draw(st.integers(0, 3))):
        where: dict[str, Any] = event
        inner = event.get("lines")
        if isinstance(inner, list) and inner and isinstance(inner[0], dict) and draw(st.booleans()):
            where = draw(st.sampled_from([line for line in inner if isinstance(line, dict)]))
        name = draw(
            st.sampled_from(
                [
                    *where,
                    "extra",
                    "by",
                    "reason",
                    "line_ids",
                    "lines",
                    "data",
                    "specversion",
                    "discount",
                    "group_id",
                    "dataschema",
                ]
            )
        )
        if draw(st.booleans()):
            where[name] = draw(hostile)
        else:
            where.pop(name, None)
    return event


@st.composite
def records(draw: st.DrawFn, drawn: st.SearchStrategy[dict[str, Any]]) -> Record:
    """A record in any of the three forms of a damaged event, with damaged headers and key."""
    event = draw(damaged_events(drawn))
    form = draw(st.sampled_from(["bare", "binary", "structured"]))
    common = events.common_of("buyer_messaged" if "message_id" in event else "order_paid")
    subject = (
        f"{event.get('shop_id')}/{event.get('buyer_id')}"
        if "message_id" in event
        else str(event.get("order_id"))
    )
    right_key = subject.encode("utf-8", "replace")
    whole = {
        "type": None,
        "id": "e",
        "source": "s",
        "occurred_at": "t",
        "order_id": "o",
        "shop_id": "s-1",
        "buyer_id": "b-1",
    } | event
    value, headers = msgspec.json.encode(event), list[Any]()
    if form == "binary":
        _, value, headers = binary({name: _plain(field) for name, field in whole.items()})
    if form == "structured":
        data = {name: field for name, field in event.items() if name not in common}
        names = {
            "type": "type",
            "id": "id",
            "source": "source",
            "occurred_at": "time",
            "order_id": "subject",
        }
        attributes = {
            names[name]: field for name, field in event.items() if name in names and name in common
        }
        value, headers = msgspec.json.encode({"specversion": "1.0", **attributes, "data": data}), []
    for _ in range(draw(st.integers(0, 2))):
        headers = _damaged(draw, headers)
    if draw(st.integers(0, 4)) == 0:  # the same name again: the last one counts
        again = draw(st.sampled_from([*event, "extra"]))
        value = b"".join(
            (
                value[:-1],
                b"," if len(value) > 2 else b"",
                msgspec.json.encode({again: draw(hostile)})[1:],
            )
        )
    if draw(st.integers(0, 9)) == 0:
        value = _damaged_bytes(draw, value)
    key = draw(
        st.sampled_from([right_key, right_key, right_key, right_key, None, b"", b"\xff", b"o-3"])
    )
    return Record("orders", 0, 7, 0, key, value, headers)


def _plain(field: Any) -> Any:
    return field.encode("utf-8", "replace").decode() if isinstance(field, str) else field


def _damaged(draw: st.DrawFn, headers: list[Any]) -> list[Any]:
    names = st.sampled_from(
        [
            "ce_type",
            "ce_id",
            "ce_source",
            "ce_time",
            "ce_subject",
            "ce_specversion",
            "content-type",
            "trace",
            "ce_dataschema",
        ]
    )
    values: st.SearchStrategy[Any] = st.one_of(
        st.sampled_from(
            [
                *(b"", b"\xff", None, 5, "text", b"x", b"a\x00", b"a\x7f", b"order_paid", b"o-1"),
                *(b"urn:netsold:receipt_confirmed:2", b"urn:netsold:order_paid:9"),
                b"urn:netsold:\xff",
            ]
        ),
        st.sampled_from([b"application/cloudevents+json", b"application/json"]),
    )
    name = draw(names)
    if draw(st.booleans()) and headers:
        return [header for header in headers if header[0] != name]
    return [*headers, (name, draw(values))]


def _damaged_bytes(draw: st.DrawFn, value: bytes) -> bytes:
    at = draw(st.integers(0, len(value)))
    return value[:at] + draw(st.binary(max_size=3)) + value[at + draw(st.integers(0, 3)) :]


@settings(max_examples=1000)
@given(records(any_version()))
def test_the_fast_path_agrees_with_the_models(record: Record) -> None:
    """Both accept a record with the same values, or refuse it for the same reason.

    Neither raises.
    """
    assert read(record) == read_plainly(record)
    assert read_chat(record) == read_chat_plainly(record)


@settings(max_examples=1000)
@given(records(messages()))
def test_the_fast_path_of_messages_agrees_with_the_models(record: Record) -> None:
    """Both readings of a message agree.

    No record is an event in both topics.
    """
    assert read_chat(record) == read_chat_plainly(record)
    assert read(record) == read_plainly(record)
    assert not (isinstance(read_chat(record), ChatMessage) and isinstance(read(record), Received))


@given(damaged_events(any_version()))
def test_bare_events_are_accepted_exactly_when_pydantic_accepts_them(event: dict[str, Any]) -> None:
    """The model of an event's version accepts exactly the JSON that the decoder accepts."""
    assume(isinstance(event.get("order_id"), str) and "specversion" not in event)
    value = msgspec.json.encode(event)
    reading = read(Record("orders", 0, 0, 0, event["order_id"].encode(), value, []))
    name, schema = event.get("type"), event.get("dataschema")
    version = version_of(str(name), schema)
    assume(version is not None)
    is_newest = version != 1 and name in [*events.MODELS]
    try:
        model = (
            newest_class(str(name)).model_validate_json(value)
            if is_newest
            else EVENT.validate_json(value)
        )
    except ValidationError:
        assert isinstance(reading, Refusal)
    else:
        assert isinstance(reading, Received)
        assert {
            name: getattr(reading, name)
            for name in ("id", "source", "occurred_at_ms", "order_id", "type")
        } == {
            name: getattr(model, name)
            for name in ("id", "source", "occurred_at_ms", "order_id", "type")
        }
        for name in reading.body.__struct_fields__:
            assert msgspec.to_builtins(getattr(reading.body, name)) == _without_none(
                model.model_dump()[name]
            )


def _without_none(value: Any) -> Any:
    """Lines as the structs write them, without absent optional fields."""
    if isinstance(value, tuple):
        return tuple(_without_none(one) for one in value)
    return (
        {name: one for name, one in value.items() if one is not None}
        if isinstance(value, dict)
        else value
    )


@given(any_version(), st.sampled_from([binary, bare]))
def test_valid_events_take_the_fast_path(event: dict[str, Any], form: Any) -> None:
    """Usual events, in binary mode and as bare JSON, need no second reading.

    Both paths read them alike.
    """
    record = Record("orders", 0, 0, 0, *form(event))
    assert (
        envelope._read_fast(record)
        == read_plainly(record)
        == read(Record("orders", 0, 0, 0, *binary(event)))
    )


@given(messages(), st.sampled_from([binary, bare]))
def test_valid_messages_take_the_fast_path(event: dict[str, Any], form: Any) -> None:
    """Usual messages need no second reading."""
    record = Record("chats", 0, 0, 0, *form(event))
    assert (
        envelope._read_chat_fast(record)
        == read_chat_plainly(record)
        == read_chat(Record("chats", 0, 0, 0, *binary(event)))
    )


@given(
    st.binary(max_size=60),
    st.one_of(st.none(), st.binary(max_size=8)),
    st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=4),
)
def test_any_bytes_at_all_are_refused_and_never_raise(
    value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Noise is a Refusal on both routes."""
    record = Record("orders", 0, 0, 0, key, value, headers)
    assert isinstance(read(record), Refusal)
    assert read(record) == read_plainly(record)


@given(st.integers(-2_208_988_800_000, 7_258_118_399_999))
def test_instants_are_read_as_they_were_written(at_ms: int) -> None:
    """An instant that is written and read is the same, in both forms."""
    assert times.parse_ms(times.format_ms(at_ms)) == at_ms
    assert times.parse_ms(times.format_short(at_ms)) == at_ms


@given(
    st.one_of(
        st.from_regex(
            r"\A[12]\d{3}-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,9})?"
            r"([Zz]|[+-][0-2]\d:[0-6]\d)?\Z"
        ),
        st.text(max_size=30),
    )
)
@example("2026-07-01T08:00:00.0009Z")
@example("2026-07-01T08:00:60Z")
@example("2026-02-29T00:00:00Z")
@example("٢٠٢٦-07-01T08:00:00Z")
def test_the_quick_reading_of_instants_is_the_plain_one(text: str) -> None:
    """Both readings accept the same texts as the same milliseconds."""
    assert _outcome(times.parse_ms, text) == _outcome(times.parse_ms_plainly, text)


def _outcome(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        return "refused"
