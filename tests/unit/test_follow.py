"""The reader's store: what is applied when, what is shown meanwhile, how far it is, and what happens to files that don't fit."""

from __future__ import annotations

import json
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import WriteBatch

from operations.commands.tables import ORDER
from operations.simulation.traffic import Plan, traffic
from schemas import limits
from serving import keys
from serving.follow import NotReady
from serving.look import BadCursor, NothingYet
from serving.standing import FOLLOWED, JOURNAL, Reached, Standing
from serving.store import MOST_AWAY_MS, Identity, Store, StoreUnusable
from streams.marks import MARK_KEY, decode_mark
from streams.rocks import is_damage
from tables import catalogue, sales
from tests.flow import CYCLES
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from itertools import islice

JULY_MS = 1_783_123_200_000
EVENTS = [
    event
    for _, event in islice(traffic(Plan(7, "t", JULY_MS, 40_000_000, products=60, shops=9)), 1500)
]


def told(text: str) -> list[dict[str, Any]]:
    """The events of a story's lines."""
    return next(parse("== \n" + text)).events


SOLD = told("""
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
""")


@pytest.fixture
def logs(tmp_path: Path) -> Changelogs:
    """A pipeline whose transactions cover a few records each, so that its changelogs have many marks."""
    rng = Random(3)
    return Changelogs(settings_in(tmp_path), chunk=lambda: rng.randint(1, 60))


@pytest.fixture
def reader(logs: Changelogs, tmp_path: Path) -> Iterator[FedReader]:
    """A reader of it that hasn't read anything."""
    reader = FedReader(settings_in(tmp_path), logs)
    yield reader
    reader.close()


def exported(reader: FedReader) -> dict[str, list[dict[str, Any]]]:
    """The reader's tables in the form of the report, sorted as it is."""
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in ORDER}
    for part, row in reader.look().export():
        found[part].append(row)
    for part, order in ORDER.items():
        found[part].sort(key=order)
    return found


@pytest.mark.parametrize("most", [1, 13, 10**9])
def test_the_store_holds_what_the_changelogs_hold(
    logs: Changelogs, reader: FedReader, most: int
) -> None:
    """However the records are cut into steps, the rows are those of the tables.

    Ended and begun again in between, too.
    """
    logs.take(EVENTS[:700])
    while reader.feed(most=most):
        pass
    logs.take(EVENTS[700:])
    reader.feed(most=most)
    reader.reopen()
    while reader.feed(most=most):
        pass
    assert exported(reader) == logs.report()
    assert len(logs.report()["products"]) > 100
    assert reader.live
    assert reader.remaining() == 0


def test_what_is_shown_of_a_partition_is_what_it_was_at_a_mark(
    logs: Changelogs, reader: FedReader
) -> None:
    """Once complete, a store shows no half transaction, and never one that is older than what it showed before."""
    logs.take(EVENTS[:100])
    reader.feed()
    logs.take(EVENTS[100:])
    topic = logs.topics[catalogue.PRODUCT_CYCLES.name]
    shown_before = {0: -1, 1: -1}
    steps = 0
    while reader.feed(most=17):
        steps += 1
        moment = reader.store.moment()
        rows = {keys.split_row(key): state for key, state in moment.walk(keys.PRODUCT)}
        expected = {}
        for partition, reached in moment.standing.reached[catalogue.PRODUCT_CYCLES.name].items():
            for record in logs.changelogs[topic, partition]:
                if record.key == MARK_KEY:
                    if decode_mark(record.value or b"").offset == reached.offset:
                        break
                else:
                    id_, start_ms = catalogue.split_cycle_key(record.key or b"")
                    expected[id_.encode(), start_ms] = record.value
            assert reached.offset >= shown_before[partition]
            shown_before[partition] = reached.offset
        assert rows == expected
    assert steps > 20


def test_nothing_is_shown_until_the_first_filling_is_done(
    logs: Changelogs, reader: FedReader
) -> None:
    """A store that is being filled would call known products unknown, so it says how much is left instead."""
    logs.take(EVENTS)
    reader.feed(most=10)
    with pytest.raises(NotReady, match=r"reading the tables: [\d,]+ records to go"):
        reader.look()
    while reader.feed(most=10):
        assert reader.live == (reader.store.standing.complete)
    reader.look()
    assert reader.live


def test_a_store_that_was_complete_answers_while_it_catches_up(
    logs: Changelogs, reader: FedReader
) -> None:
    """After a restart the old tables are shown, as restoring, until the log's end is reached."""
    logs.take(EVENTS[:700])
    while reader.feed():
        pass
    before = reader.look().standing.extent(catalogue.ORDERS.name).applied
    logs.take(EVENTS[700:])
    reader.reopen()
    look = reader.look()
    assert not reader.live
    assert look.freshness(look.standing.least()).state == "restoring"
    assert look.standing.extent(catalogue.ORDERS.name).applied == before
    while reader.feed(most=50):
        reader.look()
    assert reader.look().freshness(reader.look().standing.least()).state == "live"


def test_a_long_stretch_without_a_mark_is_not_kept_in_memory(
    logs: Changelogs, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction may leave one.

    It is applied without its mark, and nothing is shown until that has come.
    """
    logs.take(EVENTS[:100])
    reader.feed()
    assert reader.store.standing.complete
    monkeypatch.setattr(limits, "WAITING_RECORDS", 20)
    at = (logs.topics[catalogue.PRODUCT_CYCLES.name], 0)
    begin = len(logs.changelogs[at])
    logs.take(EVENTS[100:])
    end_marks = [record for record in logs.changelogs[at][begin:] if record.key == MARK_KEY][-1:]
    kept = [record for record in logs.changelogs[at][begin:] if record.key != MARK_KEY] + end_marks
    logs.changelogs[at][begin:] = [
        record._replace(offset=begin + index) for index, record in enumerate(kept)
    ]
    shown: list[bool] = []
    while reader.feed(most=15):
        shown.append(reader.store.standing.complete)
        if shown.count(False) == 1:
            reader.reopen()
            with pytest.raises(NotReady):
                reader.look()
    assert False in shown
    assert shown[-1]
    assert exported(reader) == logs.report()


def test_positions_stop_before_what_is_held(logs: Changelogs, reader: FedReader) -> None:
    """What waits for its mark is read again after a restart."""
    logs.take(EVENTS[:50])
    reader.feed()
    at = (logs.topics[catalogue.ORDERS.name], 0)
    begin = reader.applier.positions[at]
    logs.take(EVENTS[50:60])
    size = next(i for i, record in enumerate(logs.changelogs[at][begin:]) if record.key == MARK_KEY)
    assert size > 0
    reader.feed(most=size, only=[at])
    assert reader.applier.positions[at] == begin
    reader.feed(most=1, only=[at])
    assert reader.applier.positions[at] == begin + size + 1


# --- how far
# -------------------------------------------------------------------------------------------------------------------


def standing(**tables: list[Reached]) -> Standing:
    """A standing with these partitions.

    The tables that aren't named have two that heard of nothing.
    """
    nothing = [Reached(), Reached()]
    return Standing(
        {name: dict(enumerate(tables.get(name, nothing))) for name in FOLLOWED},
        complete=True,
        live=True,
    )


def test_applied_is_what_all_partitions_of_a_table_hold() -> None:
    """The least offset, and the least watermark, of each source partition.

    What one partition hasn't heard of isn't named.
    """
    found = standing(
        product_cycles=[
            Reached(9, {"orders-0": (10, 500), "orders-1": (7, 300)}),
            Reached(9, {"orders-0": (12, 600)}),
        ]
    ).extent("product_cycles")
    assert found.applied == {"orders-0": 10}
    assert found.through_ms is None
    assert found.earliest_ms == 300

    found = standing(
        product_cycles=[
            Reached(9, {"orders-0": (10, 500), "orders-1": (7, 300)}),
            Reached(9, {"orders-0": (12, 600), "orders-1": (6, 200)}),
        ]
    ).extent("product_cycles")
    assert found.applied == {"orders-0": 10, "orders-1": 6}
    assert found.through_ms == 200


def test_the_orders_table_holds_one_source_partition_each() -> None:
    """Its applied offsets are those of its marks.

    Complete through is unknown while one has no event (C2).
    """
    found = standing(
        orders=[Reached(4, {"orders-0": (4, 900)}), Reached(-1, {"orders-1": (-1, None)})]
    ).extent("orders")
    assert found.applied == {"orders-0": 4}
    assert found.through_ms is None
    assert found.earliest_ms == 900
    found = standing(
        orders=[Reached(4, {"orders-0": (4, 900)}), Reached(3, {"orders-1": (3, 800)})]
    ).extent("orders")
    assert found.through_ms == 800


def test_the_whole_is_as_far_as_its_last_table() -> None:
    """Per source partition the least of all tables; unknown where one table knows nothing."""
    both = [Reached(9, {"orders-0": (10, 500)}), Reached(9, {"orders-0": (11, 500)})]
    direct = [Reached(12, {"orders-0": (12, 700)}), Reached()]
    chats = [Reached(3, {"chats-0": (3, 600)}), Reached()]
    heard = [Reached(9, {"orders-0": (10, 500), "chats-0": (at, 550)}) for at in (2, 3)]
    known = dict.fromkeys(("product_cycles", "product_service_cycles", "journal"), both)
    known |= dict.fromkeys(("shop_cycles", "shop_service_cycles", "shop_service_totals"), heard)
    found = standing(orders=direct, overdue=chats, **known).least()
    assert found.applied == {"chats-0": 2, "orders-0": 10}
    assert found.through_ms is None
    assert standing(orders=direct, product_cycles=both).least().applied == {}


def test_a_tag_changes_with_the_table_and_only_then() -> None:
    """So that an ETag made of it can be trusted.

    Also when only entries were added and no source offset moved.
    """
    one = (
        standing(product_cycles=[Reached(9, {"orders-0": (10, 500)}), Reached()])
        .extent("product_cycles")
        .tag
    )
    same = (
        standing(
            product_cycles=[Reached(9, {"orders-0": (10, 500)}), Reached()], orders=[Reached(5)] * 2
        )
        .extent("product_cycles")
        .tag
    )
    other = (
        standing(product_cycles=[Reached(10, {"orders-0": (10, 500)}), Reached()])
        .extent("product_cycles")
        .tag
    )
    assert one == same != other


def test_the_current_cycle_holds_the_earliest_watermark(
    logs: Changelogs, reader: FedReader
) -> None:
    """C1, C2: a cycle is current until event time has left it everywhere.

    Before any event there is none.
    """
    reader.feed()
    with pytest.raises(NothingYet):
        reader.look().cycle(catalogue.PRODUCT_CYCLES.name)
    logs.take(SOLD)
    reader.feed()
    assert CYCLES.iso(reader.look().cycle(catalogue.PRODUCT_CYCLES.name)) == "2026-06-06T00:00:00Z"
    found = reader.look().product("p-3", None)
    assert found is not None
    assert (found.sold_monthly, found.successfully_traded) == (2, 2)


# --- best sellers, journal
# ---------------------------------------------------------------------------------------------------------


def test_the_best_sellers_are_those_of_the_table(logs: Changelogs, reader: FedReader) -> None:
    """In each cycle: all with net units, most first, then by id, on pages of any size.

    None is left where it was before.
    """
    logs.take(EVENTS[:600])
    while reader.feed(most=29):
        pass
    logs.take(EVENTS[600:])
    while reader.feed(most=29):
        pass
    rows = logs.report()["products"]
    starts = {row["cycle"]["start"] for row in rows}
    assert len(starts) > 3
    for start in starts:
        expected = [row for row in rows if row["cycle"]["start"] == start and row["units"]["net"]]
        expected.sort(key=lambda row: (-row["units"]["net"], row["product_id"]))
        start_ms = CYCLES.start_of_iso(start)
        for limit in (1, 7, 1000):
            found: list[dict[str, Any]] = []
            cursor = None
            while True:
                page = reader.look().top(start_ms if cursor is None else None, limit, cursor)
                assert page.cycle.start == start
                found += [item.model_dump() for item in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert found == expected


def test_a_product_that_is_all_refunded_is_no_best_seller(
    logs: Changelogs, reader: FedReader
) -> None:
    """Its row says 0 net, and the list doesn't name it; it comes back when the refund does."""
    *before, refund, returned = told("""
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
    2026-07-02T08:00Z  received  o-1
    2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:2:2000
    2026-07-04T08:00Z  refund-returned  o-1  r-1
    """)
    logs.take([*before, refund])
    reader.feed()
    assert [item.product_id for item in reader.look().top(None, 10, None).items] == ["p-4"]
    found = reader.look().product("p-3", None)
    assert found is not None
    assert found.units.model_dump() == {"gross": 2, "reversed": 2, "net": 0, "reversals_booked": 2}
    logs.take([returned])
    reader.feed()
    assert [
        (item.product_id, item.sold_monthly) for item in reader.look().top(None, 10, None).items
    ] == [("p-4", 5), ("p-3", 2)]


def test_a_cursor_is_of_its_list_only(logs: Changelogs, reader: FedReader) -> None:
    """A cursor of another cycle, of another list, or of none at all is refused."""
    logs.take(SOLD)
    reader.feed()
    look = reader.look
    cursor = look().top(None, 1, None).next_cursor
    with pytest.raises(BadCursor, match="another cycle"):
        look().top(CYCLES.start_of(0), 1, cursor)
    for wrong in ("", "xyz", "!", "dA", "ééé", cursor and cursor[:-3]):
        with pytest.raises(BadCursor):
            look().journal("p-3", 1, wrong)
    for wrong in ("", "xyz", "dA"):
        with pytest.raises(BadCursor):
            look().top(None, 1, wrong)


def test_journal_entries_come_by_product_in_the_order_of_the_log(
    logs: Changelogs, reader: FedReader
) -> None:
    """All of them, as they are, and of this product only; their sums are the table's row."""
    logs.take(EVENTS)
    while reader.feed(most=100):
        pass
    for product_id in {row["product_id"] for row in logs.report()["products"]}:
        found, cursor = [], None
        while True:
            page = reader.look().journal(product_id, 3, cursor)
            assert page is not None
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        rows = [
            record.value
            for at in (("sales", 0), ("sales", 1))
            for record in logs.logs[at]
            if record.key == product_id.encode()
        ]
        assert found == [json.loads(value or b"") for value in rows]
        row = reader.look().product(product_id, None)
        assert row is not None
        sold = [entry for entry in found if entry["type"] == "entry"]
        assert (
            sum(entry["units_gross"] - entry["units_reversed"] for entry in sold)
            == row.successfully_traded
        )


# --- files
# -----------------------------------------------------------------------------------------------------------------------


IDENTITY = Identity("c", "a", {"t": "1"}, 4, 1, 0, "r")


def _closed(directory: Path, identity: Identity = IDENTITY) -> None:
    store = Store(directory, identity)
    batch = WriteBatch(raw_mode=True)
    for number in range(5000):
        batch.put(b"x%d" % number, Random(number).randbytes(200))
    store.write(batch, Standing({}, complete=True, live=True))
    store._db.flush()
    store.close()


def test_a_store_that_was_away_too_long_is_laid_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changelog forgets deletions after a day.

    What was deleted since would stay in the store for ever.
    """
    _closed(tmp_path)
    hours = MOST_AWAY_MS // 3_600_000
    monkeypatch.setattr(
        "serving.store.now_ms", lambda: int(time.time() * 1000) + MOST_AWAY_MS - 60_000
    )
    store = Store(tmp_path, IDENTITY)
    assert store.moment().get(b"x1") is not None
    store.close()
    monkeypatch.setattr(
        "serving.store.now_ms", lambda: int(time.time() * 1000) + MOST_AWAY_MS + 60_000
    )
    with structlog.testing.capture_logs() as told_:
        store = Store(tmp_path, IDENTITY)
    assert f"{hours} hours ago" in told_[0]["why"]
    assert store.moment().get(b"x1") is None
    store.close()


@pytest.mark.parametrize(
    "other",
    [
        Identity("c2", "a", {"t": "1"}, 4, 1, 0, "r"),
        Identity("c", "a", {"t": "2"}, 4, 1, 0, "r"),
        Identity("c", "a", {"t": "1"}, 6, 1, 0, "r"),
        Identity("c", "a", {"t": "1"}, 4, 2, 0, "r"),
        Identity("c", "a", {"t": "1"}, 4, 1, 0, "s"),
        Identity("c", "a", {"t": "1"}, 4, 1, 0, "r", format=99),
    ],
)
def test_a_store_of_another_log_is_laid_aside(tmp_path: Path, other: Identity) -> None:
    """Another cluster, topic, number of partitions, calendar or format.

    Told in one line, kept once, and begun anew.
    """
    _closed(tmp_path, other)
    with structlog.testing.capture_logs() as told_:
        store = Store(tmp_path, IDENTITY)
    assert [line["event"] for line in told_] == ["store laid aside, filling a new one from the log"]
    assert "it belongs to" in told_[0]["why"]
    assert store.moment().get(b"x1") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-1", "store-2"]
    store.lay_aside("a reason")
    store.lay_aside("a reason")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-3", "store-4"]
    store.close()
    with structlog.testing.capture_logs() as told_:
        Store(tmp_path, IDENTITY).close()
    assert told_ == []


def test_a_store_with_a_missing_file_is_laid_aside(tmp_path: Path) -> None:
    """What doesn't open is not repaired: the log fills a new one."""
    _closed(tmp_path)
    next(tmp_path.glob("store-1/*.sst")).unlink()
    with structlog.testing.capture_logs() as told_:
        Store(tmp_path, IDENTITY).close()
    assert "can't be opened: Corruption" in told_[0]["why"]


def test_a_damaged_block_is_never_read_as_an_end(tmp_path: Path) -> None:
    """A walk and a get raise where a block's checksum is wrong."""
    _closed(tmp_path)
    path = next(tmp_path.glob("store-1/*.sst"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    store = Store(tmp_path, IDENTITY)
    with pytest.raises(Exception, match="Corruption") as caught:
        list(store.moment().walk(b"x"))
    assert is_damage(caught.value)
    with pytest.raises(Exception, match="Corruption"):
        [store.moment().get(b"x%d" % number) for number in range(5000)]
    store.close()


def test_a_store_that_another_process_has_open_is_left_alone(tmp_path: Path) -> None:
    """It is sound, so it is not laid aside: the second reader ends."""
    store = Store(tmp_path, IDENTITY)
    with pytest.raises(StoreUnusable, match="can't be opened"):
        Store(tmp_path, IDENTITY)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["store-1"]


def test_a_place_where_no_store_can_be_is_told(tmp_path: Path) -> None:
    """One sentence with the place, instead of waiting for Kafka."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match=r"can't keep a store in .*file"):
        Store(tmp_path / "file", IDENTITY)


def test_a_moment_does_not_see_what_is_written_after_it(tmp_path: Path) -> None:
    """Neither by get nor by walk, and neither does its standing move on."""
    store = Store(tmp_path, IDENTITY)
    one, two = Standing({}, complete=False, live=False), Standing({}, complete=True, live=True)
    moments = []
    for value, standing_ in ((b"1", one), (b"2", two)):
        batch = WriteBatch(raw_mode=True)
        batch.put(b"x", value)
        batch.put(b"x" + value, value)
        store.write(batch, standing_)
        moments.append(store.moment())
    before, after = moments
    assert (before.get(b"x"), list(before.walk(b"x")), before.standing) == (
        b"1",
        [(b"x", b"1"), (b"x1", b"1")],
        one,
    )
    assert (after.get(b"x"), after.standing) == (b"2", two)
    store.close()


IDS = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\x7f"),
    min_size=1,
    max_size=8,
)
NUMBERS = st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(IDS, NUMBERS), min_size=2, max_size=6, unique=True))
def test_rows_of_an_id_stand_together_and_in_order(rows: list[tuple[str, int]]) -> None:
    """A walk over an id's prefix gives its rows by number and no row of an id that begins with it.

    Keys can be taken apart.
    """
    stored = sorted(keys.row(keys.PRODUCT, id_.encode(), number) for id_, number in rows)
    for id_, _ in rows:
        found = [
            keys.split_row(key)
            for key in stored
            if key.startswith(keys.subject(keys.PRODUCT, id_.encode()))
        ]
        assert found == [
            (id_.encode(), number)
            for number in sorted(number for one, number in rows if one == id_)
        ]


@given(
    st.lists(
        st.tuples(NUMBERS, st.integers(1, 2**63 - 1), IDS), min_size=2, max_size=6, unique=True
    )
)
def test_best_sellers_stand_by_cycle_then_units_then_id(rows: list[tuple[int, int, str]]) -> None:
    """Most first; negative cycle starts before positive ones."""
    stored = sorted(keys.top(start_ms, net, id_.encode()) for start_ms, net, id_ in rows)
    assert [keys.split_top(key) for key in stored] == [
        (start_ms, net, id_.encode())
        for start_ms, net, id_ in sorted(rows, key=lambda row: (row[0], -row[1], row[2].encode()))
    ]


def test_the_journal_says_how_far_it_is_by_its_marks(logs: Changelogs, reader: FedReader) -> None:
    """After everything is read its applied offsets are the source's own."""
    logs.take(EVENTS)
    while reader.feed(most=100):
        pass
    names = (
        JOURNAL,
        catalogue.ORDERS.name,
        catalogue.OVERDUE_INQUIRIES.name,
        catalogue.SHOP_CYCLES.name,
    )
    extents = [reader.look().standing.extent(name) for name in names]
    assert extents[0].applied == extents[1].applied
    assert extents[1].applied | extents[2].applied == extents[3].applied
    assert extents[0].through_ms == extents[1].through_ms is not None
    assert sales.decode(next(reader.store.moment().walk(keys.SHOP))[1]).gross > 0
