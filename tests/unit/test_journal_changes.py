"""What rows of the journal changed, and which builds wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from schemas import journal, limits
from schemas.journal import Entry, ProgressMark, Service
from schemas.positions import Position
from tables.journal_changes import (
    COLUMNS,
    Attribution,
    JournalSums,
    RowFilter,
    TooManyGroups,
    WrittenRow,
)
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_MS = 86_400_000
AT = Position("sales", 0, 1)
CYCLE = "2026-07-06T00:00:00Z"
ENTRY = Entry(
    product_id="p-1", currency="CNY", cycle=CYCLE, restates=False, id="orders-0@5#0",
    shop_id="s-1", buyer_id="b-1", order_id="o-1", line_id="1", sold_at="2026-07-08T08:00:00.000Z",
    event_type="receipt_confirmed", event_id="e-1", event_source="/shop",
    occurred_at="2026-07-08T08:00:00.000Z", rules=7,
    units_gross=2, units_reversed=0, units_booked=0, amount_gross=2000, amount_reversed=0,
    amount_booked=0, orders=1,
)  # fmt: skip
SERVICE = Service(
    id="orders-0@6#s0", event_type="refund_succeeded", event_id="e-2", event_source="/shop",
    occurred_at="2026-07-09T08:00:00.000Z", shop_id="s-1", product_id="p-1", rules=7, cycle=CYCLE,
    columns={"reviews": 1, "difference.short_weight": 1}, restates=True,
)  # fmt: skip


def written(at_ms: int = 0, build: str = "a", **fields: object) -> WrittenRow:
    """The entry with other fields, by a build."""
    return WrittenRow(msgspec.structs.replace(ENTRY, **fields), AT, at_ms, build)


def sums(rows: Iterable[WrittenRow], *by: str) -> JournalSums:
    """The sums of rows."""
    found = JournalSums(by)
    for row in rows:
        found.add(row)
    return found


def record(offset: int, what: Entry | Service | ProgressMark | bytes) -> Record:
    """A record of partition 0 of the journal."""
    value = what if isinstance(what, bytes) else journal.encode(what)
    key = None if isinstance(what, ProgressMark) else b"p-1"
    return Record("x.sales", 0, offset, 1000 + offset, key, value, [])


def test_a_row_is_of_the_build_in_the_next_mark_of_its_source() -> None:
    """Marks of other sources lie between them, and another worker's rows."""
    found = Attribution("x.sales")
    other = msgspec.structs.replace(ENTRY, id="orders-1@9#0")
    read = [
        record(0, ENTRY),
        record(1, other),
        record(2, SERVICE),
        record(3, ProgressMark("orders", 1, 9, None, build="new")),
        record(4, ProgressMark("orders", 0, 6, None, build="old")),
        record(6, ENTRY),
        record(7, ProgressMark("orders", 0, 7, None)),
    ]
    rows = [row for one in read for row in found.add(0, one)]
    assert [(row.row, str(row.position), row.written_ms, row.build) for row in rows] == [
        (other, "x.sales-0@1", 1001, "new"),
        (ENTRY, "x.sales-0@0", 1000, "old"),
        (SERVICE, "x.sales-0@2", 1002, "old"),
        (ENTRY, "x.sales-0@6", 1006, ""),
    ]
    assert not found.waiting
    assert found.unreadable == 0


def test_a_transaction_across_the_end_waits_for_its_mark() -> None:
    """A row of the same source in another partition has its mark there."""
    found = Attribution("x.sales")
    assert found.add(0, record(0, ENTRY)) == []
    assert found.add(1, record(0, ProgressMark("orders", 0, 6, None, build="b"))) == []
    assert found.waiting == {0}
    assert [row.build for row in found.unattributed()] == [""]
    assert [row.build for row in found.add(0, record(1, ProgressMark("orders", 0, 6, 1, 1, "b")))]
    assert not found.waiting


def test_a_record_that_is_no_row_is_counted() -> None:
    """Whatever another writer put into the topic."""
    found = Attribution("sales")
    for offset, value in enumerate(
        (b"", b"{", b'{"type":"shop_activity","shop_id":"s","rules":7}')
    ):
        assert found.add(0, record(offset, value)) == []
    assert (found.unreadable, str(found.first_unreadable)) == (3, "sales-0@0")


def test_rows_add_up_by_columns_and_by_their_builds() -> None:
    """Units and money of entries, columns of service rows, restatements of both."""
    refund = written(
        5000, "b", id="orders-0@6#0", restates=True, units_gross=0, amount_gross=0,
        units_reversed=1, units_booked=1, amount_reversed=1000, amount_booked=1000, orders=0,
    )  # fmt: skip
    service = WrittenRow(SERVICE, AT, 7000, "b")
    yen = written(1000, product_id="p-2", currency="JPY", amount_gross=7)
    found = sums([written(), refund, service, yen], "product")
    (first, of_first), (second, of_second) = found.largest(10)
    assert (first, second) == (("p-2",), ("p-1",))
    assert (of_first.sales.net, of_second.sales.net) == (2, 1)
    assert of_second.sales.units.answer() == {
        "gross": 2, "reversed": 1, "net": 1, "reversals_booked": 1,
    }  # fmt: skip
    assert of_second.sales.amounts["CNY"].net == 1000
    assert of_first.sales.amounts["JPY"].gross == 7
    assert (of_second.entries, of_second.service_rows, of_second.restatements) == (2, 1, 2)
    assert of_second.service == {"reviews": 1, "difference.short_weight": 1}
    assert {key: (one.rows, one.first_ms, one.last_ms) for key, one in found.writers.items()} == {
        ("a", 7): (2, 0, 1000),
        ("b", 7): (2, 5000, 7000),
    }
    assert found.total.rows == 4


def test_every_column_has_a_value() -> None:
    """A service row names no order."""
    row = written(3 * DAY_MS - 1, "b", restates=True)
    ((values, _),) = sums([row], *COLUMNS).largest(1)
    assert dict(zip(COLUMNS, values, strict=True)) == {
        "product": "p-1",
        "shop": "s-1",
        "order": "o-1",
        "cycle": "2026-07-06T00:00:00Z",
        "event_type": "receipt_confirmed",
        "rules": 7,
        "terms": "",
        "build": "b",
        "day": "1970-01-03",
        "restates": True,
    }
    assert COLUMNS["order"](WrittenRow(SERVICE, AT, 0)) is None


def test_the_largest_change_is_first() -> None:
    """By net units, then by money as people read it, then by rows; equal ones by their names."""
    rows = [
        written(product_id="money", units_gross=0, amount_gross=900),
        written(product_id="yen", units_gross=0, amount_gross=10, currency="JPY"),
        written(product_id="less", units_gross=-3, amount_gross=-1),
        *[written(product_id=name, units_gross=0, amount_gross=0) for name in ("b", "a", "c", "c")],
    ]
    order = [values[0] for values, _ in sums(rows, "product").largest(9)]
    assert order == ["less", "yen", "money", "c", "a", "b"]
    assert len(sums(rows, "product").largest(2)) == 2


def test_more_groups_than_memory_is_meant_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to do; rows of known groups are still added."""
    monkeypatch.setattr(limits, "JOURNAL_GROUPS", 2)
    found = sums([written(), written(product_id="p-2"), written()], "product", "cycle")
    with pytest.raises(TooManyGroups, match="more than 2 groups by product, cycle: choose fewer"):
        found.add(written(product_id="p-3"))
    assert (found.count, found.total.rows) == (2, 3)


@pytest.mark.parametrize(
    ("wanted", "entries", "services"),
    [
        (RowFilter(10), [10, 20, 30], [10]),
        (RowFilter(10, 30), [10, 20], [10]),
        (RowFilter(0, None, product="p-1", shop="s-1"), [9, 10, 20, 30], [10]),
        (RowFilter(0, None, order="o-1"), [9, 10, 20, 30], []),
        (RowFilter(0, None, shop="s-2"), [], []),
        (RowFilter(0, None, product=""), [], []),
    ],
)
def test_rows_are_chosen_by_their_own_time_and_ids(
    wanted: RowFilter, entries: list[int], services: list[int]
) -> None:
    """From the first instant on, before the second; a service row is of no order."""
    assert [one for one in (9, 10, 20, 30) if wanted.selects(written(one))] == entries
    assert [at for at in (10,) if wanted.selects(WrittenRow(SERVICE, AT, at))] == services
