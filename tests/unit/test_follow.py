"""The reader's store: when records are applied and shown, its progress, and unfit files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import WriteBatch

from operations.simulation.traffic import Plan, traffic
from schemas import limits
from serving import follow, keys, lists
from serving.answers import NothingYet
from serving.exports import exported_rows
from serving.pages import BadCursor, cursor_of
from serving.progress import FOLLOWED, SALES_JOURNAL, PartitionProgress, ReaderProgress
from serving.reader import NotReady
from serving.store import MOST_UNUSED_MS, Identity, Store, StoreUnusable, with_readable
from serving.subjects import PRODUCT
from serving.top_lists import TopWanted, top_products
from streams.log import FollowStep
from streams.marks import MARK_KEY, decode_mark
from streams.rocks import is_damage
from tables import catalogue, sales
from tables.catalogue import PRODUCT_CYCLES, REPORT_LISTS, SHOP_CYCLES
from tables.report import sort_key
from tables.watermarks import SourceProgress
from tests.damage import flip_bits
from tests.flow import CYCLES
from tests.reading import Changelogs, FedReader, form_of, of_reports, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

from itertools import islice

JULY_MS = 1_783_123_200_000
EVENTS = [
    event
    for _, event in islice(traffic(Plan(7, "t", JULY_MS, 40_000_000, products=60, shops=9)), 1500)
]


def events(text: str) -> list[dict[str, Any]]:
    """The events of a story's lines."""
    return next(parse("== \n" + text)).events


SOLD = events("""
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
""")


@pytest.fixture
def logs(tmp_path: Path) -> Changelogs:
    """A pipeline with a few records per transaction, so that its changelogs have many marks."""
    rng = Random(3)
    return Changelogs(settings_in(tmp_path), chunk=lambda: rng.randint(1, 60))


@pytest.fixture
def reader(logs: Changelogs, tmp_path: Path) -> Iterator[FedReader]:
    """A reader of it that hasn't read anything."""
    reader = FedReader(settings_in(tmp_path), logs)
    yield reader
    reader.close()


def exported(reader: FedReader) -> dict[str, list[dict[str, Any]]]:
    """The reader's tables in the form of the report, in the report's order."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in REPORT_LISTS}
    for name, row in exported_rows(reader.answers()):
        found[name].append(row)
    for name, rows in found.items():
        rows.sort(key=sort_key(name))
    return found


@pytest.mark.parametrize("most", [1, 13, 10**9])
def test_the_store_has_the_rows_of_the_changelogs(
    logs: Changelogs, reader: FedReader, most: int
) -> None:
    """The rows are those of the tables, however records are split into steps.

    A restart between the steps changes nothing.
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


def test_a_partition_is_shown_as_it_was_at_a_mark(logs: Changelogs, reader: FedReader) -> None:
    """A complete store shows no half transaction, and never an older state than before."""
    logs.take(EVENTS[:100])
    reader.feed()
    logs.take(EVENTS[100:])
    topic = logs.topics[PRODUCT_CYCLES.name]
    shown_before = {0: -1, 1: -1}
    steps = 0
    while reader.feed(most=13):
        steps += 1
        snapshot = reader.store.snapshot()
        rows = {
            keys.split_row(key): state for key, state in snapshot.walk(keys.space(PRODUCT_CYCLES))
        }
        expected = {}
        for partition, progress in snapshot.progress.partitions[PRODUCT_CYCLES.name].items():
            for record in logs.changelogs[topic, partition]:
                if record.key == MARK_KEY:
                    if decode_mark(record.value or b"").offset == progress.offset:
                        break
                else:
                    id_, start_ms = catalogue.split_cycle_key(record.key or b"")
                    expected[id_.encode(), start_ms] = record.value
            assert progress.offset >= shown_before[partition]
            shown_before[partition] = progress.offset
        assert rows == expected
    assert steps > 20


def test_nothing_is_shown_until_the_first_filling_is_done(
    logs: Changelogs, reader: FedReader
) -> None:
    """A store that is being filled would report known products as unknown.

    The reader is not ready, and reports the number of records to read.
    """
    logs.take(EVENTS)
    reader.feed(most=10)
    with pytest.raises(NotReady, match=r"reading the tables: [\d,]+ records to go"):
        reader.answers()
    while reader.feed(most=10):
        assert reader.live == (reader.store.progress.complete)
    reader.answers()
    assert reader.live


def test_a_store_that_was_complete_answers_while_it_catches_up(
    logs: Changelogs, reader: FedReader
) -> None:
    """After a restart it shows the old tables, as restoring.

    It does so until the end of the log is read.
    """
    logs.take(EVENTS[:700])
    while reader.feed():
        pass
    before = reader.answers().progress.of(catalogue.ORDERS.name).applied
    logs.take(EVENTS[700:])
    reader.reopen()
    answers = reader.answers()
    assert not reader.live
    assert answers.freshness(answers.progress.of_all()).state == "restoring"
    assert answers.progress.of(catalogue.ORDERS.name).applied == before
    while reader.feed(most=50):
        reader.answers()
    assert reader.answers().freshness(reader.answers().progress.of_all()).state == "live"


def test_a_long_stretch_without_a_mark_is_not_kept_in_memory(
    logs: Changelogs, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction may leave many records without a mark.

    They are applied without it, and nothing is shown until the mark has arrived.
    """
    logs.take(EVENTS[:100])
    reader.feed()
    assert reader.store.progress.complete
    monkeypatch.setattr(limits, "WAITING_RECORDS", 20)
    at = (logs.topics[PRODUCT_CYCLES.name], 0)
    begin = len(logs.changelogs[at])
    logs.take(EVENTS[100:])
    end_marks = [record for record in logs.changelogs[at][begin:] if record.key == MARK_KEY][-1:]
    kept = [record for record in logs.changelogs[at][begin:] if record.key != MARK_KEY] + end_marks
    logs.changelogs[at][begin:] = [
        record._replace(offset=begin + index) for index, record in enumerate(kept)
    ]
    shown: list[bool] = []
    while reader.feed(most=15):
        shown.append(reader.store.progress.complete)
        if shown.count(False) == 1:
            reader.reopen()
            with pytest.raises(NotReady):
                reader.answers()
    assert False in shown
    assert shown[-1]
    assert exported(reader) == logs.report()


def test_positions_stop_before_pending_records(logs: Changelogs, reader: FedReader) -> None:
    """Records that wait for their mark are read again after a restart."""
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


def progress(**tables: list[PartitionProgress]) -> ReaderProgress:
    """A reader's progress with these partitions.

    Other tables have two partitions without progress.
    """
    nothing = [PartitionProgress(), PartitionProgress()]
    return ReaderProgress(
        {name: dict(enumerate(tables.get(name, nothing))) for name in FOLLOWED},
        complete=True,
        live=True,
    )


def test_applied_is_what_all_partitions_of_a_table_include() -> None:
    """It is the least offset and the least watermark of each source partition.

    A source that one partition doesn't know is left out.
    """
    found = progress(
        product_cycles=[
            PartitionProgress(
                9, {"orders-0": SourceProgress(10, 500), "orders-1": SourceProgress(7, 300)}
            ),
            PartitionProgress(9, {"orders-0": SourceProgress(12, 600)}),
        ]
    ).of("product_cycles")
    assert found.applied == {"orders-0": 10}
    assert found.through_ms is None
    assert found.earliest_ms == 300

    found = progress(
        product_cycles=[
            PartitionProgress(
                9, {"orders-0": SourceProgress(10, 500), "orders-1": SourceProgress(7, 300)}
            ),
            PartitionProgress(
                9, {"orders-0": SourceProgress(12, 600), "orders-1": SourceProgress(6, 200)}
            ),
        ]
    ).of("product_cycles")
    assert found.applied == {"orders-0": 10, "orders-1": 6}
    assert found.through_ms == 200


def test_a_partition_of_the_orders_table_has_one_source_partition() -> None:
    """Its applied offsets are those of its marks.

    Complete through is unknown while one partition has no event (C2).
    """
    found = progress(
        orders=[
            PartitionProgress(4, {"orders-0": SourceProgress(4, 900)}),
            PartitionProgress(-1, {"orders-1": SourceProgress(-1, None)}),
        ]
    ).of("orders")
    assert found.applied == {"orders-0": 4}
    assert found.through_ms is None
    assert found.earliest_ms == 900
    found = progress(
        orders=[
            PartitionProgress(4, {"orders-0": SourceProgress(4, 900)}),
            PartitionProgress(3, {"orders-1": SourceProgress(3, 800)}),
        ]
    ).of("orders")
    assert found.through_ms == 800


def test_the_whole_is_as_far_as_its_last_table() -> None:
    """Per source partition it is the least offset of all tables.

    It is unknown where one table has none.
    """
    both = [
        PartitionProgress(9, {"orders-0": SourceProgress(10, 500)}),
        PartitionProgress(9, {"orders-0": SourceProgress(11, 500)}),
    ]
    direct = [PartitionProgress(12, {"orders-0": SourceProgress(12, 700)}), PartitionProgress()]
    chats = [PartitionProgress(3, {"chats-0": SourceProgress(3, 600)}), PartitionProgress()]
    shops = [
        PartitionProgress(
            9, {"orders-0": SourceProgress(10, 500), "chats-0": SourceProgress(at, 550)}
        )
        for at in (2, 3)
    ]
    known = {
        table.name: shops if "chats" in catalogue.event_topics(table.stage) else both
        for table in catalogue.READER_TABLES
    }
    known |= {"journal": both, "orders": direct, "overdue": chats}
    found = progress(**known).of_all()
    assert found.applied == {"chats-0": 2, "orders-0": 10}
    assert found.through_ms is None
    assert progress(orders=direct, product_cycles=both).of_all().applied == {}


def test_the_current_cycle_contains_the_earliest_watermark(
    logs: Changelogs, reader: FedReader
) -> None:
    """C1, C2: a cycle is current until event time has left it in every partition.

    Before any event there is no current cycle.
    """
    reader.feed()
    with pytest.raises(NothingYet):
        reader.answers().current_cycle(PRODUCT_CYCLES.name)
    logs.take(SOLD)
    reader.feed()
    assert CYCLES.iso(reader.answers().current_cycle(PRODUCT_CYCLES.name)) == "2026-06-06T00:00:00Z"
    found = reader.answers().about(PRODUCT, "p-3", None)
    assert found is not None
    assert (found.sold_monthly, found.successfully_traded) == (2, 2)


# --- best sellers, journal


def test_the_best_sellers_are_those_of_the_table(logs: Changelogs, reader: FedReader) -> None:
    """Each cycle has all products with net units, sorted by units, then id.

    Pages have any size. A product whose units change is listed once.
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
                wanted = TopWanted(
                    start_ms=start_ms if cursor is None else None, limit=limit, cursor=cursor
                )
                page = form_of(top_products(reader.answers(), wanted))
                assert page.cycle.start == start
                found += [of_reports(item.model_dump()) for item in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert found == expected


def test_a_product_that_is_all_refunded_is_no_best_seller(
    logs: Changelogs, reader: FedReader
) -> None:
    """Its row has 0 net units.

    The list omits it until the refund is returned.
    """
    *before, refund, returned = events("""
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
    2026-07-02T08:00Z  received  o-1
    2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:2:2000
    2026-07-04T08:00Z  refund-returned  o-1  r-1
    """)
    logs.take([*before, refund])
    reader.feed()
    best = form_of(top_products(reader.answers(), TopWanted()))
    assert [item.product_id for item in best.items] == ["p-4"]
    found = reader.answers().about(PRODUCT, "p-3", None)
    assert found is not None
    assert found.units.model_dump() == {"gross": 2, "reversed": 2, "net": 0, "reversals_booked": 2}
    logs.take([returned])
    reader.feed()
    best = form_of(top_products(reader.answers(), TopWanted()))
    assert [(item.product_id, item.sold_monthly) for item in best.items] == [("p-4", 5), ("p-3", 2)]


def test_a_cursor_is_of_its_list_only(logs: Changelogs, reader: FedReader) -> None:
    """A cursor of another cycle, of another list, or of no list is refused."""
    logs.take(SOLD)
    reader.feed()
    cursor = top_products(reader.answers(), TopWanted(limit=1)).next_cursor
    with pytest.raises(BadCursor, match="another cycle"):
        top_products(
            reader.answers(), TopWanted(start_ms=CYCLES.start_of(0), limit=1, cursor=cursor)
        )
    for wrong in ("", "xyz", "!", "dA", "ééé", cursor and cursor[:-3], cursor):
        with pytest.raises(BadCursor):
            lists.journal(reader.answers(), "p-3", 1, wrong, newest=False)
    for wrong in ("", "xyz", "dA"):
        with pytest.raises(BadCursor):
            top_products(reader.answers(), TopWanted(limit=1, cursor=wrong))


def test_a_cursor_of_another_version_begins_the_list_again(
    logs: Changelogs, reader: FedReader
) -> None:
    """Its keys may be others: the cycles of that version, and offsets of its journal."""
    logs.take(SOLD)
    reader.feed()
    answers = reader.answers()
    first = top_products(answers, TopWanted(limit=1))
    journal = lists.journal(answers, "p-3", 1, None, newest=False)
    assert first.next_cursor is not None
    assert first.freshness.version == "netsold"
    other = answers.snapshot.version = "netsold.r1"
    foreign = top_products(answers, TopWanted(limit=1)).next_cursor
    foreign_journal = cursor_of(answers.snapshot, keys.subject(keys.JOURNAL, b"p-3") + bytes(9))
    assert foreign not in {None, first.next_cursor}
    answers = reader.answers()
    assert answers.snapshot.version != other
    assert top_products(answers, TopWanted(limit=1, cursor=foreign)) == first
    assert top_products(answers, TopWanted(limit=1, cursor=first.next_cursor)) != first
    assert journal is not None
    assert lists.journal(answers, "p-3", 1, foreign_journal, newest=False) == journal


def test_journal_entries_are_by_product_in_the_order_of_the_log(
    logs: Changelogs, reader: FedReader
) -> None:
    """All entries are of this product, and unchanged.

    Their sums are the table's row.
    """
    logs.take(EVENTS)
    while reader.feed(most=100):
        pass
    for product_id in {row["product_id"] for row in logs.report()["products"]}:
        found, cursor = [], None
        while True:
            page = lists.journal(reader.answers(), product_id, 3, cursor, newest=False)
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
        row = reader.answers().about(PRODUCT, product_id, None)
        assert row is not None
        sold = [entry for entry in found if entry["type"] == "entry"]
        assert (
            sum(entry["units_gross"] - entry["units_reversed"] for entry in sold)
            == row.successfully_traded
        )


# --- files


IDENTITY = Identity("c", "a", {"t": "1"}, 4, 1, 0, "r")


def _closed(directory: Path, identity: Identity = IDENTITY) -> None:
    store = Store(directory, identity)
    batch = WriteBatch(raw_mode=True)
    for number in range(5000):
        batch.put(b"x%d" % number, Random(number).randbytes(200))
    store.write(batch, ReaderProgress({}, complete=True, live=True))
    store._db.flush()
    store.close()


def test_a_store_that_was_unused_too_long_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changelog drops deletions after a day.

    Rows deleted since would stay in the store for ever.
    """
    _closed(tmp_path)
    hours = MOST_UNUSED_MS // 3_600_000
    monkeypatch.setattr(
        "serving.store.now_ms", lambda: int(time.time() * 1000) + MOST_UNUSED_MS - 60_000
    )
    store = Store(tmp_path, IDENTITY)
    assert store.snapshot().get(b"x1") is not None
    store.close()
    monkeypatch.setattr(
        "serving.store.now_ms", lambda: int(time.time() * 1000) + MOST_UNUSED_MS + 60_000
    )
    with structlog.testing.capture_logs() as lines:
        store = Store(tmp_path, IDENTITY)
    assert f"{hours} hours ago" in lines[0]["why"]
    assert store.snapshot().get(b"x1") is None
    store.close()


@pytest.mark.parametrize(
    "other",
    [
        Identity("c2", "a", {"t": "1"}, 4, 1, 0, "r"),
        Identity("c", "a", {"t": "2"}, 4, 1, 0, "r"),
        Identity("c", "a", {"t": "1"}, 6, 1, 0, "r"),
        Identity("c", "a", {"t": "1"}, 4, 2, 0, "r"),
        Identity("c", "a", {"t": "1"}, 4, 1, 0, "s"),
        Identity("c", "a", {"t": "1"}, 4, 1, 0, "r", rules=99),
        Identity("c", "a", {"t": "1"}, 4, 1, 0, "r", format=99),
    ],
)
def test_a_store_of_another_log_is_set_aside(tmp_path: Path, other: Identity) -> None:
    """One line is logged, one former store is kept, and a new one is filled.

    Another log has another cluster, topic, number of partitions, calendar, rules or format.
    """
    _closed(tmp_path, other)
    with structlog.testing.capture_logs() as lines:
        store = Store(tmp_path, IDENTITY)
    assert [line["event"] for line in lines] == ["store set aside, filling a new one from the log"]
    assert "it belongs to" in lines[0]["why"]
    assert store.snapshot().get(b"x1") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-1", "store-2"]
    store.set_aside("a reason")
    store.set_aside("a reason")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-3", "store-4"]
    store.close()
    with structlog.testing.capture_logs() as lines:
        Store(tmp_path, IDENTITY).close()
    assert lines == []


def test_a_store_with_a_missing_file_is_set_aside(tmp_path: Path) -> None:
    """A store that can't be opened is not repaired: the log fills a new one."""
    _closed(tmp_path)
    next(tmp_path.glob("store-1/*.sst")).unlink()
    with structlog.testing.capture_logs() as lines:
        Store(tmp_path, IDENTITY).close()
    assert "can't be opened: Corruption" in lines[0]["why"]


def test_a_damaged_block_is_never_read_as_an_end(tmp_path: Path) -> None:
    """A walk and a get raise at a block with a wrong checksum."""
    _closed(tmp_path)
    path = next(tmp_path.glob("store-1/*.sst"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    store = Store(tmp_path, IDENTITY)
    with pytest.raises(Exception, match="Corruption") as caught:
        list(store.snapshot().walk(b"x"))
    assert is_damage(caught.value)
    with pytest.raises(Exception, match="Corruption"):
        [store.snapshot().get(b"x%d" % number) for number in range(5000)]
    store.close()


def test_a_store_whose_first_block_is_damaged_is_set_aside(tmp_path: Path) -> None:
    """RocksDB's sentence about it names a "block": that is not a lock of another process."""
    _closed(tmp_path)
    path = next(tmp_path.glob("store-1/*.sst"))
    data = bytearray(path.read_bytes())
    data[10] ^= 0xFF
    path.write_bytes(data)
    with structlog.testing.capture_logs() as lines:
        Store(tmp_path, IDENTITY).close()
    assert "can't be opened: Corruption: block checksum mismatch" in lines[0]["why"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-1", "store-2"]


def _compact(store: Store) -> None:
    store._db.compact_range(None, None)
    batch = WriteBatch(raw_mode=True)
    batch.put(b"x", b"y")
    store.write(batch, ReaderProgress({}, complete=True, live=True))


FOUND_BY: dict[str, Callable[[Store], object]] = {
    "a walk": lambda store: list(store.snapshot().walk(b"x")),
    "a lookup": lambda store: [store.snapshot().get(b"x%d" % number) for number in range(5000)],
    "lookups": lambda store: store.get_many([b"x%d" % number for number in range(5000)]),
    "a compaction": _compact,
}


@pytest.mark.parametrize("found_by", FOUND_BY)
def test_a_store_with_a_flipped_bit_is_set_aside(tmp_path: Path, found_by: str) -> None:
    """Wherever it is found, and with rows in memory that can't be written any more.

    RocksDB may fail once more as it closes the files: the store is set aside all the same.
    """
    for _ in range(3):
        _closed(tmp_path)
    assert flip_bits(tmp_path / "store-1")
    store = Store(tmp_path, IDENTITY)
    batch = WriteBatch(raw_mode=True)
    batch.put(b"x-in-memory", b"y")
    store.write(batch, ReaderProgress({}, complete=True, live=True), logged=False)
    with pytest.raises(Exception, match="Corruption") as raised:
        FOUND_BY[found_by](store)
    assert is_damage(raised.value)
    with structlog.testing.capture_logs() as lines:
        store.set_aside(f"it is damaged: {raised.value}")
    assert [line["event"] for line in lines] == ["store set aside, filling a new one from the log"]
    assert store.snapshot().get(b"x1") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store-1", "store-2"]
    store.close()
    with structlog.testing.capture_logs() as lines:
        Store(tmp_path, IDENTITY).close()
    assert lines == []


def test_damage_that_is_found_right_after_opening_is_set_aside(tmp_path: Path) -> None:
    """An applier reads its positions: that they are damaged doesn't end the reader for good."""
    store, faults = Store(tmp_path, IDENTITY), ["Corruption: block checksum mismatch"]

    def make() -> str:
        if faults:
            raise OSError(faults.pop())
        return "made"

    with structlog.testing.capture_logs() as lines:
        assert with_readable(store, make) == "made"
    assert "it is damaged: Corruption" in lines[0]["why"]
    faults.append("another fault")
    with pytest.raises(OSError, match="another fault"):
        with_readable(store, make)
    store.close()


def test_a_store_that_another_process_has_open_is_left_alone(tmp_path: Path) -> None:
    """It is undamaged, so it is not set aside.

    The second reader ends.
    """
    store = Store(tmp_path, IDENTITY)
    with pytest.raises(StoreUnusable, match="can't be opened"):
        Store(tmp_path, IDENTITY)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["store-1"]


def test_no_store_is_created_on_a_full_disk(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    """One sentence has the place and the reason."""
    with full_disk(), pytest.raises(StoreUnusable, match=r"store-1 can't be created: .*"):
        Store(tmp_path, IDENTITY)


def test_a_directory_where_no_store_can_be_is_named(tmp_path: Path) -> None:
    """One sentence has the place; the reader doesn't wait for Kafka."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match=r"can't keep a store in .*file"):
        Store(tmp_path / "file", IDENTITY)


def test_a_snapshot_does_not_see_later_writes(tmp_path: Path) -> None:
    """Neither gets nor walks see them, and its progress doesn't change."""
    store = Store(tmp_path, IDENTITY)
    one, two = (
        ReaderProgress({}, complete=False, live=False),
        ReaderProgress({}, complete=True, live=True),
    )
    snapshots = []
    for value, progress_ in ((b"1", one), (b"2", two)):
        batch = WriteBatch(raw_mode=True)
        batch.put(b"x", value)
        batch.put(b"x" + value, value)
        store.write(batch, progress_)
        snapshots.append(store.snapshot())
    before, after = snapshots
    assert (before.get(b"x"), list(before.walk(b"x")), before.progress) == (
        b"1",
        [(b"x", b"1"), (b"x1", b"1")],
        one,
    )
    assert (after.get(b"x"), after.progress) == (b"2", two)
    store.close()


KILLED = """
import os, sys
from pathlib import Path
import msgspec
from rocksdict import WriteBatch
from serving.progress import NOT_FOLLOWING
from serving.store import Identity, Store

store = Store(Path(sys.argv[1]), msgspec.json.decode(sys.argv[3], type=Identity))
for number, kind in enumerate(sys.argv[2]):
    batch = WriteBatch(raw_mode=True)
    batch.put(b"last", b"%d" % number)
    batch.put(b"n%03d" % number, b"")
    store.write(batch, NOT_FOLLOWING, logged=kind == "l")
os._exit(0)
"""
"""A process that ends as by kill -9: without closing its store."""


@pytest.mark.parametrize(
    ("writes", "lost"),
    [("uuu", range(3)), ("uuul", ()), ("uuulluu", range(5, 7)), ("uululu", range(5, 6))],
)
def test_a_kill_loses_no_logged_write_and_no_part_of_another(
    tmp_path: Path, writes: str, lost: Iterable[int]
) -> None:
    """Only the last writes may be missing, and only those that were not logged (u)."""
    identity = msgspec.json.encode(IDENTITY)
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), writes, identity], check=True)
    store = Store(tmp_path, IDENTITY)
    snapshot = store.snapshot()
    kept = [number for number in range(len(writes)) if number not in lost]
    assert [int(key[1:]) for key, _ in snapshot.walk(b"n")] == kept
    assert snapshot.get(b"last") == (b"%d" % kept[-1] if kept else None)
    store.close()


IDS = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters="\x7f"),
    min_size=1,
    max_size=8,
)
NUMBERS = st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(IDS, NUMBERS), min_size=2, max_size=6, unique=True))
def test_rows_of_an_id_are_together_and_in_order(rows: list[tuple[str, int]]) -> None:
    """A walk over an id's prefix gives its rows by number, and no row of a longer id.

    A key can be split again.
    """
    stored = sorted(
        keys.row(keys.space(PRODUCT_CYCLES), id_.encode(), number) for id_, number in rows
    )
    for id_, _ in rows:
        found = [
            keys.split_row(key)
            for key in stored
            if key.startswith(keys.subject(keys.space(PRODUCT_CYCLES), id_.encode()))
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
def test_best_sellers_are_ordered_by_cycle_then_units_then_id(
    rows: list[tuple[int, int, str]],
) -> None:
    """The most units are first.

    Negative starts of cycles are before positive ones.
    """
    stored = sorted(
        keys.TOP["product_id"]["units"].key(start_ms, (net,), id_.encode())
        for start_ms, net, id_ in rows
    )
    assert [keys.TOP["product_id"]["units"].split(key) for key in stored] == [
        (start_ms, id_.encode())
        for start_ms, net, id_ in sorted(rows, key=lambda row: (row[0], -row[1], row[2].encode()))
    ]


def test_the_journal_has_its_progress_from_its_marks(logs: Changelogs, reader: FedReader) -> None:
    """After everything is read, its applied offsets are the source's."""
    logs.take(EVENTS)
    while reader.feed(most=100):
        pass
    names = (
        SALES_JOURNAL,
        catalogue.ORDERS.name,
        catalogue.OVERDUE_INQUIRIES.name,
        SHOP_CYCLES.name,
    )
    found = [reader.answers().progress.of(name) for name in names]
    assert found[0].applied == found[1].applied
    assert found[1].applied | found[2].applied == found[3].applied
    assert found[0].through_ms == found[1].through_ms is not None
    assert sales.decode(next(reader.store.snapshot().walk(keys.space(SHOP_CYCLES)))[1]).net > 0


async def test_a_live_reader_applies_steps_in_its_loop(
    logs: Changelogs, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, in another thread; both ways give the rows of the tables."""
    logs.take(EVENTS[:700])
    writers: list[int] = []
    write = reader.store.write

    def noted(*args: Any, **named: Any) -> None:  # noqa: ANN401 - as the store's
        writers.append(threading.get_ident())
        write(*args, **named)

    monkeypatch.setattr(reader.store, "write", noted)
    positions = dict(reader.applier.positions)
    ends = {at: len(log) for at, log in logs.changelogs.items()}
    all_of_it = {at: log for at, log in logs.changelogs.items() if log}
    half = {at: log[: len(log) // 2] for at, log in all_of_it.items()}
    rest = {at: log[len(log) // 2 :] for at, log in all_of_it.items()}
    middle = {at: position + len(half.get(at, [])) for at, position in positions.items()}
    logs.take(EVENTS[700:])
    more = {at: log[ends[at] :] for at, log in logs.changelogs.items() if len(log) > ends[at]}
    last = {at: len(log) for at, log in logs.changelogs.items()}
    steps = [
        FollowStep(half, middle, ends, frozenset(all_of_it)),
        FollowStep(rest, ends, ends, frozenset()),
        FollowStep(more, last, last, frozenset()),
    ]
    with ThreadPoolExecutor(1) as thread:
        applied = [await follow._apply(reader.applier, step, thread) for step in steps]
    assert sum(applied) == sum(last.values())
    assert reader.live
    assert [one == threading.get_ident() for one in writers] == [False, False, True]
    assert exported(reader) == logs.report()
