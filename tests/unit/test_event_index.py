"""The event index: where an order's events are, what leads to orders, and what garbage does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import envelope, http_limits, limits
from schemas.named_orders import order_ids
from schemas.positions import Position
from serving import event_index, index_keys, keys
from serving.event_index import IndexBehind
from tests.flow import Record, binary
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JULY_MS = 1_783_123_200_000
EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
    2026-07-01T09:00Z  placed    o-2  1:p-3:1x1000 shop=s-8
    2026-07-02T08:00Z  received  o-1
    2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
    2026-07-06T08:00Z  placed    o  1:p-4:1x100
    """)
).events


@pytest.fixture
def logs(tmp_path: Path) -> Changelogs:
    """A pipeline that has applied the events."""
    logs = Changelogs(settings_in(tmp_path))
    logs.take(EVENTS)
    return logs


@pytest.fixture
def reader(logs: Changelogs, tmp_path: Path) -> Iterator[FedReader]:
    """A reader that has applied them, and indexed them two records at a time."""
    reader = FedReader(settings_in(tmp_path), logs)
    while reader.feed_index(most=2):
        pass
    reader.feed()
    yield reader
    reader.close()


def applied(reader: FedReader) -> dict[str, int]:
    """The applied offsets of the orders' source partitions."""
    return reader.answers().progress.of("orders").applied


async def types_of(
    reader: FedReader, order_id: str, most: int = 100, ends: dict[str, int] | None = None
) -> list[str]:
    """The types of the events of an order, in the order of the log."""
    index = await reader.index.snapshot(applied(reader))
    bounds = {at: offset + 1 for at, offset in applied(reader).items()} if ends is None else ends
    found = await reader.index.records_of_order(index, order_id, bounds, most)
    return [dict(one.record.headers)["ce_type"].decode() for one in found.records]


async def test_the_events_of_an_order_are_found(reader: FedReader) -> None:
    """All of them, in the order of the log, and none of an order whose id begins like it."""
    assert await types_of(reader, "o-1") == [
        "order_placed",
        "receipt_confirmed",
        "refund_succeeded",
    ]
    assert await types_of(reader, "o") == ["order_placed"]
    assert await types_of(reader, "o-3") == []


async def test_the_newest_events_are_read_and_the_others_counted(reader: FedReader) -> None:
    """An order with many events costs no more than `most` of them."""
    index = await reader.index.snapshot(applied(reader))
    ends = {at: offset + 1 for at, offset in applied(reader).items()}
    found = await reader.index.records_of_order(index, "o-1", ends, 2)
    assert [one.record.headers[3][1] for one in found.records] == [
        b"receipt_confirmed",
        b"refund_succeeded",
    ]
    assert (found.left_out, found.deleted) == (1, 0)


async def test_many_and_large_events_are_read_within_bounds(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes are counted from the newest on; what is left out is counted up to a bound."""
    index = await reader.index.snapshot(applied(reader))
    ends = {at: offset + 1 for at, offset in applied(reader).items()}
    monkeypatch.setattr(limits, "LOOKUP_RECORDS", 1)
    monkeypatch.setattr(limits, "LOOKUP_BYTES", 1)
    found = await reader.index.records_of_order(index, "o-1", ends, 100)
    assert [one.record.headers[3][1] for one in found.records] == [b"refund_succeeded"]
    assert found.left_out == 2
    monkeypatch.setattr(http_limits, "COUNTED_EVENTS", 1)
    assert index.places("o-1", ends, 1)[1] == 1


async def test_only_events_before_a_bound_are_found(reader: FedReader) -> None:
    """A bound is the first offset that is left out, by source partition."""
    index = await reader.index.snapshot(applied(reader))
    places, _ = index.places("o-1", {"orders-0": 10**9, "orders-1": 10**9}, 100)
    source = f"orders-{places[0].partition}"
    assert await types_of(reader, "o-1", ends={source: places[1].offset}) == ["order_placed"]
    assert await types_of(reader, "o-1", ends={source: 0, "chats-0": 9}) == []


async def test_events_that_the_log_lacks_are_counted(reader: FedReader) -> None:
    """Retention has deleted the first two."""
    index = await reader.index.snapshot(applied(reader))
    ends = {at: offset + 1 for at, offset in applied(reader).items()}
    places, _ = index.places("o-1", ends, 100)
    log: Any = reader.index.log
    log.deleted[places[0].topic, places[0].partition] = places[-1].offset
    found = await reader.index.records_of_order(index, "o-1", ends, 100)
    assert [one.position for one in found.records] == [places[-1]]
    assert found.deleted == 2


async def test_orders_are_at_what_names_them(reader: FedReader) -> None:
    """By refund, and by shop, product and alone with the instant of their placing."""
    rows = (await reader.index.snapshot(applied(reader))).rows
    prefix = index_keys.of_refund(b"r-1")
    assert [key[len(prefix) :] for key, _ in rows.walk(prefix)] == [b"o-1"]

    def by(space: bytes, id_: bytes) -> list[bytes]:
        prefix = keys.subject(space, id_)
        found = [index_keys.split_placed(prefix, key) for key, _ in rows.walk(prefix)]
        assert found == sorted(found)
        return [order_id for _, order_id in found]

    assert by(index_keys.BY_SHOP, b"s-8") == [b"o-2"]
    assert by(index_keys.BY_PRODUCT, b"p-3") == [b"o-1", b"o-2"]
    assert by(index_keys.BY_PRODUCT, b"p-4") == [b"o-1", b"o"]
    assert by(index_keys.BY_TIME, b"") == [b"o-1", b"o-2", b"o"]


async def test_refused_records_are_at_the_orders_that_they_name(
    logs: Changelogs, reader: FedReader
) -> None:
    """By key and by content; each with its dead letter."""
    key, value, headers = binary(EVENTS[0])
    logs.send("orders", key, b"{", headers, 0)
    logs.send("orders", b"o-9", value, headers, 0)
    logs.send("orders", b"\xff\x00", b"[]", [], 0)
    logs.send("orders", b"o-1\x00", b'{"order_id": "\\ud800"}', [], 0)
    logs.tick(JULY_MS)
    reader.feed()
    end = len(logs.logs["orders", 0]) - 1  # the last one is the tick
    index = await reader.index.snapshot(applied(reader))
    for order_id, offsets in (("o-1", [end - 4, end - 3]), ("o-9", [end - 3])):
        places, _ = index.places(order_id, {"orders-0": end}, 100)
        assert [place.offset for place in places][-len(offsets) :] == offsets
    letter = index.dead_letter(Position("orders", 0, end - 3))
    assert letter is not None
    assert (letter.partition, letter.offset, letter.reason) == (0, 1, "key_mismatch")
    assert index.dead_letter(Position("orders", 0, 0)) is None


async def test_an_index_behind_the_tables_is_waited_for(
    logs: Changelogs, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a sentence says how far it is."""
    monkeypatch.setattr("serving.event_index.FOLLOW_S", 0.05)
    logs.take([EVENTS[0] | {"id": "e-99", "order_id": "o-5"}])
    wanted = {
        f"orders-{partition}": len(logs.logs["orders", partition]) - 1 for partition in (0, 1)
    }
    with pytest.raises(IndexBehind, match=r"orders-\d is at [\d,]+, the tables are at [\d,]+;"):
        await reader.index.snapshot(wanted)
    reader.feed_index()
    index = await reader.index.snapshot(wanted)
    assert index.places("o-5", dict.fromkeys(wanted, 10**9), 9)[0]


def test_an_index_continues_where_it_was_closed(reader: FedReader) -> None:
    """It reads nothing twice."""
    before = dict(reader.indexing.positions)
    reader.reopen()
    assert dict(reader.indexing.positions) == before
    assert sum(before.values()) == len(EVENTS)


@given(
    st.one_of(st.none(), st.binary(max_size=8), st.just(b"o-1")),
    st.one_of(
        st.none(),
        st.binary(max_size=20),
        st.builds(
            lambda order_id: json.dumps({"order_id": order_id}).encode(),
            st.one_of(st.text(max_size=130), st.integers(), st.lists(st.text(max_size=3))),
        ),
    ),
    st.one_of(st.just([]), st.just([("ce_subject", b"o-2")]), st.just([("ce_subject", b"\xff")])),
)
def test_what_a_refused_record_names_can_be_an_id(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Whatever key and content are: only texts that an id may be, in UTF-8 without controls."""
    record = Record("orders", 0, 0, 0, key, value, headers)
    found = order_ids(record, envelope.read(record))
    for order_id in found:
        assert 0 < len(order_id) <= limits.ID_CHARS
        assert b"\x00" not in order_id.encode()
    assert key != b"o-1" or "o-1" in found


async def test_a_silent_log_is_waited_for_once_whatever_is_to_be_read(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many fetches that each answer late must not add up."""

    async def late(*_: object) -> list[object]:
        await asyncio.sleep(0.03)
        return []

    monkeypatch.setattr(event_index, "READ_S", 0.05)
    monkeypatch.setattr(limits, "LOOKUP_RECORDS", 1)
    monkeypatch.setattr(reader.index, "_read", late)
    with pytest.raises(TimeoutError):
        await types_of(reader, "o-1")
