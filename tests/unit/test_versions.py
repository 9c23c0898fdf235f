"""Versions compared while they are written, the pace of one, and which change is refused."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import journal_sums
from operations.journal_sums import JournalSums
from operations.versions import changing, registering
from operations.versions.changing import ChangeRefused
from operations.versions.comparing_sums import compare_sums
from operations.versions.comparison import Comparison, ListComparison, MovingRow, compare_rows
from operations.versions.disk_rows import DiskRows, in_order, row_stores
from operations.versions.progress import Pace, progress_line
from operations.versions.registering import Signature, Unregistrable
from operations.versions.settling import Settling, TablePartition, by_list, vector_of
from operations.versions.settling_copies import CopySettling, TableView, WrittenPartition
from schemas.columns import SaleColumns
from schemas.control import Act, CopiedLog, Pointer, Version
from schemas.journal import Entry, Service
from schemas.positions import Position
from schemas.times import DAY_MS, parse_ms
from streams import log
from streams.backlog import Backlog
from streams.copied import copy_layout
from streams.marks import Mark
from streams.settings import Settings
from streams.versions import NoSuchVersion, Versions, settings_of
from tables import service
from tables.cycles import Calendar
from tables.terms import Terms
from tables.watermarks import SourceProgress
from tests.terms import by_terms, changed
from tests.unit.test_control import FIRST, R1

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = msgspec.convert(
    {
        **dict.fromkeys(SaleColumns.__struct_fields__, 0),
        "type": "entry",
        "units_gross": 2,
        "amount_gross": 500,
        "currency": "CNY",
        "cycle": "",
        "sold_at": "",
        "occurred_at": "2026-07-02T10:00:00.000Z",
        "product_id": "p-1",
        "shop_id": "s-1",
        "buyer_id": "b-1",
        "order_id": "o-1",
        "line_id": "1",
        "id": "orders-0@1#0",
        "restates": False,
        "rules": 1,
        "event_type": "receipt_confirmed",
        "event_id": "e-1",
        "event_source": "/s",
    },
    Entry,
)
CYCLE = {"start": "2026-07-01T00:00:00Z", "end": "2026-07-31T00:00:00Z"}


def part(offset: int, **rows: bytes) -> TablePartition:
    """A table's partition at a mark of one source partition."""
    found = TablePartition()
    write(found, offset, **rows)
    return found


def write(table: TablePartition, offset: int, **rows: bytes) -> None:
    """Rows that a chunk wrote, and its mark."""
    for key, row in rows.items():
        table.put(key.encode(), row)
    table.mark({"orders-0": offset})


def test_rows_at_one_vector_differ_at_once() -> None:
    """And those that are the same, or that neither has, do not."""
    first, second = part(9, a=b"1", b=b"2", c=b"3"), part(9, a=b"1", b=b"0", c=b"3", d=b"")
    settling = Settling(first, second)
    assert settling.again()
    assert (settling.same, settling.moving) == (2, set())
    assert settling.different == {b"b": (b"2", b"0")}


def test_a_row_of_a_version_that_is_behind_is_compared_when_it_has_caught_up() -> None:
    """It isn't different because one version has not counted an event yet."""
    first, second = part(9, a=b"5", b=b"7"), part(4, a=b"4", b=b"6")
    settling = Settling(first, second)
    assert not settling.again()
    write(second, 7, a=b"5")
    assert not settling.again()
    write(second, 9, c=b"1")
    assert settling.again()
    assert (settling.same, settling.different) == (1, {b"b": (b"7", b"6")})


def test_a_row_that_is_written_again_and_again_is_moving() -> None:
    """Until both hold it at one vector."""
    first, second = part(9, a=b"5"), part(4, a=b"4")
    settling = Settling(first, second)
    for offset in range(10, 20):
        write(first, offset + 5, a=b"%d" % (offset + 5))
        write(second, offset, a=b"%d" % offset)
        assert not settling.again()
        assert settling.moving == {b"a"}
    write(second, 24, a=b"24")
    assert settling.again()
    assert (settling.same, settling.different) == (1, {})
    assert settling.writes(b"a") == 11


def test_a_row_of_much_traffic_is_compared_at_an_offset_that_both_have_passed() -> None:
    """Though one version is always ahead, and the row is written again before the other is there.

    The first two rows are those behind offset 12; the wrong one is found so, too.
    """
    first, second = part(9, a=b"1", w=b"1"), part(4, a=b"0", w=b"0")
    settling = Settling(first, second)
    for offset in (11, 12):
        write(first, offset)
    write(first, 15, a=b"2", w=b"2")
    for offset in (16, 17):
        write(first, offset)
    write(second, 9, a=b"1", w=b"7")
    assert not settling.again()
    write(second, 12)
    assert settling.again()
    assert (settling.same, settling.different) == (1, {b"w": (b"1", b"7")})


def test_a_part_of_what_is_behind_a_mark_is_no_difference() -> None:
    """A worker reads a journal record by record: a row may have a part of what is behind its mark.

    Here the first version's row has the events up to 12 at its mark of 9.
    """
    first, second = part(8, a=b"0"), part(8, a=b"1")
    first.mark({"orders-0": 7})
    second.mark({"orders-0": 6})
    settling = Settling(first, second)
    write(first, 9, a=b"12")
    write(second, 8, a=b"8")
    write(second, 10, b=b"1")
    assert not settling.again()
    write(first, 12)
    write(first, 14, a=b"14")
    write(second, 12, a=b"12")
    assert not settling.again()
    write(second, 13)
    assert not settling.again()
    write(first, 15)
    write(second, 15, a=b"14")
    assert settling.again()
    assert (settling.same, settling.different) == (1, {})


def test_rows_before_their_mark_do_not_count() -> None:
    """A chunk's rows are one with its mark: without it the vector would be wrong."""
    first, second = part(9, a=b"5"), part(9, a=b"5")
    first.put(b"a", b"6")
    assert first.rows == {b"a": b"5"}
    settling = Settling(first, second)
    assert settling.again()
    first.mark({"orders-0": 10})
    assert first.rows == {b"a": b"6"}


@given(st.data())
def test_only_what_differs_at_one_vector_is_reported(data: st.DataObject) -> None:
    """Two versions write one log in chunks of their own; the second has a wrong rule for one key.

    Whatever is decided is right: no other key differs, and that one is never the same. Some rows
    wait until others are decided.
    """
    watched = data.draw(st.sampled_from([1, 2, 10_000]))
    with patch("operations.versions.settling.MOST_WATCHED", watched):
        only_what_differs(data)


def only_what_differs(data: st.DataObject) -> None:
    """One example of it."""
    log = data.draw(st.lists(st.sampled_from("abcw"), min_size=1, max_size=40))

    def chunks() -> list[int]:
        cuts = data.draw(st.lists(st.integers(1, len(log)), max_size=8))
        return sorted({*cuts, len(log)})

    def state(key: str, end: int, *, wrong: bool) -> bytes:
        count = log[:end].count(key)
        return b"" if not count else b"%d" % (count + 100 * (wrong and key == "w"))

    tables, ends = (TablePartition(), TablePartition()), (chunks(), chunks())
    at = [0, 0]

    def advance(which: int) -> None:
        end = ends[which].pop(0)
        keys = set(log[at[which] : end])
        rows = {key: state(key, end, wrong=bool(which)) for key in keys}
        at[which] = end
        write(tables[which], end, **rows)

    for which in (0, 1):
        for _ in range(data.draw(st.integers(0, len(ends[which])))):
            advance(which)
    comparison = Settling(*tables)
    comparison.again()
    while any(ends):
        advance(data.draw(st.sampled_from([which for which in (0, 1) if ends[which]])))
        comparison.again()
        assert comparison.different.keys() <= {b"w"}
    comparison.again()
    assert comparison.again()
    assert comparison.moving == set()


def test_rows_that_differ_are_counted_and_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many differ, or are still written, memory has the first ones of a list alone."""
    monkeypatch.setattr("operations.versions.settling.MOST_ROWS", 3)
    monkeypatch.setattr("operations.versions.settling.MOST_WATCHED", 4)
    rows = {f"s-{number}": b'[{"shop_id":"s-%d"}]' % number for number in range(6)}
    others = {key: row.replace(b"}", b',"n":1}') for key, row in rows.items()}
    at_one, moving = ("shop_service_totals", 0), ("shop_service_totals", 1)
    firsts = {at_one: part(9, **rows), moving: part(9, **rows)}
    seconds = {at_one: part(9, **others), moving: part(4, **others)}
    found = {at: Settling(one, seconds[at]) for at, one in firsts.items()}
    assert [found[at].again() for at in found] == [True, False]
    assert len(found[moving].moving) == 6
    assert len(firsts[moving].stays) == len(seconds[moving].stays) == 4
    result = by_list(firsts, seconds, found)["shop_service_totals"]
    assert (result.same, result.differing, result.uncompared) == (0, 6, 6)
    assert [row.key for row in result.moving] == [{"shop_id": f"s-{number}"} for number in range(3)]
    assert len(result.different) == 3
    lines = list(Comparison("a", "b", lists={"shop_service_totals": result}).lines(2))
    assert lines[1] == "shop_service_totals: 0 rows are the same, 6 differ, 6 not compared"
    assert lines[-2] == "  and 8 more rows"


def test_a_mark_names_its_sources() -> None:
    """Of a stage behind others, the offsets of the events; of a first one, its own."""
    own = Mark(7, topic="orders", topic_id="t", partition=3)
    assert vector_of(own) == {"orders-3": 7}
    behind = msgspec.structs.replace(own, sources={"chats-1": SourceProgress(5, None)})
    assert vector_of(behind) == {"chats-1": 5}


def test_a_comparison_names_keys_and_fields() -> None:
    """For people and as JSON, with a bound on the rows."""
    first: list[dict[str, Any]] = [
        {
            "product_id": name,
            "cycle": CYCLE,
            "revenue": {"CNY": {"net": 123_450}, "JPY": {"net": 1_000}},
            "sold_monthly": 1_005,
        }
        for name in ("p-1", "p-2", "p-4")
    ]
    money = {"CNY": {"net": 123_550}, "JPY": {"net": 1_100}}
    more = {"revenue": money, "sold_monthly": 1_006, "share": None}
    second = [first[0], first[1] | more, first[2] | {"product_id": "p-3"}]
    found = Comparison("netsold", "netsold.r1", {"orders-0": 7}, waited_s=30.0)
    found.lists["products"] = compare_rows("products", first, second)
    found.lists["overdue"] = ListComparison(1, moving=[MovingRow({"shop_id": "s-1"}, 12)])
    found.left_out["shops"] = "no reason"
    assert found.differences() == {"products": 3}
    assert list(found.lines(2)) == [
        "from netsold to netsold.r1:",
        "sales of products and shops are compared before orders-0@7",
        "products: 1 rows are the same, 3 differ",
        (
            f"  p-2 {CYCLE['start']}: revenue.CNY.net 1,234.50 → 1,235.50, "
            "revenue.JPY.net 1,000 → 1,100, sold_monthly 1,005 → 1,006"
        ),
        f"  p-3 {CYCLE['start']}: only in netsold.r1",
        "  and 1 more rows",
        "overdue: 1 rows are the same, 0 differ, 1 not compared",
        "  s-1: not compared, written 12 times meanwhile",
        "shops: not compared: no reason",
        (
            "3 of 5 compared rows differ; not known of 1: in 30 s the versions never held them at "
            "one offset: see `netsold rebuild status`, or wait longer by --within"
        ),
    ]
    answer = found.as_json(1)
    assert answer["lists"]["products"]["rows"] == [
        {
            "key": {"product_id": "p-2", "cycle": CYCLE["start"]},
            "first": first[1],
            "second": second[1],
        }
    ]
    assert (answer["vector"], answer["lists"]["products"]["different"]) == ({"orders-0": 7}, 3)


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    """A version that stands still has no time left to name."""
    pace = Pace()
    pace.add(0.0, 0, 1500)
    assert (pace.records_s, pace.left_s) == (None, None)
    pace.add(10.0, 1000, 500)
    assert (pace.records_s, pace.left_s) == (100.0, 5.0)
    now = Backlog({("orders", 0): 1000}, {("orders", 0): 500})
    assert progress_line(pace, now) == "500 records behind, 100 events/s, about 5.0 s left"
    for second in range(11, 60):
        pace.add(float(second), 1000, 500)
    assert pace.left_s is None
    pace.add(60.0, 1500, 0)
    assert pace.left_s == 0.0


def test_a_version_that_keeps_up_with_a_growing_log_names_no_time_left() -> None:
    """Its pace is that of the traffic: what is left does not become less."""
    pace = Pace()
    for second in range(20):
        pace.add(float(second), 50 * second, 900)
    assert (pace.records_s, pace.left_s) == (50.0, None)
    now = Backlog({("orders", 0): 950}, {("orders", 0): 900})
    assert progress_line(pace, now) == "900 records behind, 50 events/s"


def test_a_backlog_has_reached_ends_without_their_control_records() -> None:
    """Where nothing is left, no offset behind it is a record."""
    found = Backlog({("orders", 0): 7, ("orders", 1): 3}, {("orders", 0): 0, ("orders", 1): 2})
    assert found.records == 2
    assert found.has_reached({("orders", 0): 8, ("orders", 1): 3})
    assert not found.has_reached({("orders", 1): 4})
    assert found.ends == {("orders", 0): 7, ("orders", 1): 5}


def test_versions_of_other_cycles_are_compared_by_sums_of_all_time() -> None:
    """A product's sales are the same whatever the cycles are; rows name no cycle."""
    found = []
    for days in (30, 7):
        calendar = Calendar(days * DAY_MS)
        sums = JournalSums(Terms(calendar), by_cycle=False)
        for sold_at in ("2026-07-02T10:00:00.000Z", "2026-09-02T10:00:00.000Z"):
            cycle = calendar.iso(calendar.start_of(parse_ms(sold_at)))
            sums.add(
                msgspec.structs.replace(
                    ENTRY, id=f"orders-0@{days}#0", cycle=cycle, sold_at=sold_at
                )
            )
        found.append(sums.report())
    (row,) = found[0]["products"]
    assert (row["product_id"], row["successfully_traded"]) == ("p-1", 4)
    assert "cycle" not in row
    assert compare_rows("products", found[0]["products"], found[1]["products"]).same == 1


@pytest.mark.parametrize("by_cycle", [True, False])
def test_sums_on_disk_differ_as_reports_in_memory_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_cycle: bool
) -> None:
    """In the same rows, whatever part of the sums is in memory."""
    monkeypatch.setattr(journal_sums, "MOST_ROWS", 7)
    chance, terms = Random(3), Terms()
    calendar = terms.calendar
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    with row_stores(settings, 2) as stores:
        both = [
            (
                JournalSums(terms, by_cycle=by_cycle),
                JournalSums(terms, one, by_cycle=by_cycle),
            )
            for one in stores
        ]
        for number in range(120):
            cycle = calendar.iso(
                calendar.start_of(parse_ms("2026-07-02T10:00:00.000Z"))
                + 86_400_000 * 30 * chance.randrange(3)
            )
            product, shop = f"p-{chance.randrange(9)}", f"s-{chance.randrange(4)}"
            entry = msgspec.structs.replace(
                ENTRY, id=f"orders-0@{number}#0", cycle=cycle, product_id=product, shop_id=shop
            )
            review = Service(
                entry.id,
                "order_rated",
                "e",
                "/s",
                entry.occurred_at,
                shop,
                product,
                1,
                cycle=cycle,
                columns={service.REVIEWS: 1},
                restates=False,
            )
            for side, sums in enumerate(both):
                if side and number in {40, 41}:
                    continue
                for one in sums:
                    one.add(entry)
                    if number % 3:
                        one.add(review)
        for _, on_disk in both:
            on_disk.write()
        first, second = (in_memory.report() for in_memory, _ in both)
        for name in journal_sums.JOURNAL_LISTS:
            expected = compare_rows(name, first[name], second[name])
            found = compare_sums(name, (terms, terms), (stores[0], stores[1]), by_cycle=by_cycle)
            assert found == expected
            assert 0 < len(expected.different) < expected.same + len(expected.different)
    assert list(tmp_path.iterdir()) == []


def test_rows_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    """Also of partitions whose numbers begin alike."""
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    with row_stores(settings, 1) as (store,):
        parts = [DiskRows(store, "orders", number) for number in (1, 11)]
        parts[0].update({b"b": b"2", b"a": b"1", b"c": b"3"})
        parts[1][b"aa"] = b"4"
        del parts[0][b"c"]
        assert parts[0].pop(b"d", None) is None
        assert (dict(parts[0]), parts[0].get(b"c"), len(parts[1])) == (
            {b"a": b"1", b"b": b"2"},
            None,
            1,
        )
        assert list(in_order(parts)) == [(b"a", b"1"), (b"aa", b"4"), (b"b", b"2")]


VERSIONS = Versions("netsold", {"netsold": FIRST, "netsold.r1": R1})


def test_which_version_may_be_promoted() -> None:
    """Another than the answered one; without a name, the only other one."""
    assert changing.promotable(VERSIONS, "r1") == "netsold.r1"
    assert changing.only_rebuild(VERSIONS) == "netsold.r1"
    with pytest.raises(ChangeRefused, match="netsold is promoted already"):
        changing.promotable(VERSIONS, "netsold")
    with pytest.raises(NoSuchVersion, match="no version r9"):
        changing.promotable(VERSIONS, "r9")
    with pytest.raises(ChangeRefused, match="there is no rebuild"):
        changing.only_rebuild(Versions("netsold"))
    r2 = msgspec.structs.replace(R1, app="netsold.r2")
    with pytest.raises(ChangeRefused, match=r"there are netsold.r1, netsold.r2: name one"):
        changing.only_rebuild(Versions("netsold", {**VERSIONS.registered, "netsold.r2": r2}))


def test_the_way_back_needs_a_former_version() -> None:
    """Which is not dropped."""
    with pytest.raises(ChangeRefused, match="nothing was promoted yet"):
        changing.former_of(VERSIONS)
    pointer = Pointer("netsold.r1", "2026-01-02T00:00:00Z", "netsold")
    moved = Versions("netsold", VERSIONS.registered, pointer)
    assert changing.former_of(moved) == "netsold"
    promoted = Act(act="promote", app="netsold.r1", at="2026-01-02T00:00:00Z", by="ann")
    back = msgspec.structs.replace(promoted, act="rollback", app="netsold", by="bea")
    moved = Versions("netsold", VERSIONS.registered, pointer, [promoted])
    assert changing.former_of(moved) == "netsold"
    again = Pointer("netsold", "2026-01-02T00:00:00Z", "netsold.r1")
    moved = Versions("netsold", VERSIONS.registered, again, [promoted, back])
    with pytest.raises(ChangeRefused, match="rolled back to netsold already, by bea at 2026"):
        changing.former_of(moved)
    with pytest.raises(ChangeRefused, match="former version netsold was dropped"):
        changing.former_of(Versions("netsold", {"netsold.r1": R1}, pointer))


SETTINGS = by_terms(Settings(_env_file=None, topic_prefix="shop."), cycle_days=7)
SIGN = Signature("ann", 1_767_225_600_000, "a fault")


async def test_a_rebuild_differs_in_the_terms_that_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are those of the version that is answered."""
    recorded = Versions("netsold")

    async def read(_settings: Settings) -> Versions:
        return recorded

    monkeypatch.setattr(registering, "read_versions", read)
    found = await registering.plan(
        SETTINGS, None, changed(SETTINGS.rules, service_hours="00:00-24:00"), SIGN
    )
    terms = msgspec.structs.replace(SETTINGS.rules.values.written(), service_hours="00:00-24:00")
    version = found.version
    assert (version.app, version.terms, version.by) == ("netsold.r1", terms, "ann")
    assert (version.base_app, version.base_prefix) == ("netsold", "shop.")
    assert version.topic_prefix == "shop.netsold.r1."
    assert (version.orders_topic, version.chats_topic) == ("shop.orders", "shop.chats")
    assert found.base is not None
    assert (found.base.app, found.base.topic_prefix) == ("netsold", "shop.")
    pointer = Pointer("netsold.r1", SIGN.at, "netsold")
    dropped = Act(act="drop", app="netsold.r2", at=SIGN.at, by="ann")
    recorded = Versions(
        "netsold", {"netsold": found.base, "netsold.r1": version}, pointer, [dropped]
    )
    monthly = changed(settings_of(version, SETTINGS).rules, cycle_days=30)
    found = await registering.plan(SETTINGS, None, monthly, SIGN)
    assert (found.version.app, found.base) == ("netsold.r3", None)
    assert found.version.topic_prefix == "shop.netsold.r3."
    assert found.version.terms == msgspec.structs.replace(terms, cycle_days=30)
    found = await registering.plan(SETTINGS, "r1", None, SIGN)
    assert (found.known, found.version) == (True, version)
    with pytest.raises(Unregistrable, match="registered with other terms"):
        await registering.plan(SETTINGS, "r1", monthly, SIGN)
    with pytest.raises(Unregistrable, match="'R 1' is no name"):
        await registering.plan(SETTINGS, "R 1", None, SIGN)


async def test_another_number_of_partitions_is_a_copy_of_the_written_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own number is that log itself; without a number, that of the answered version."""
    recorded = Versions("netsold")

    async def read(_settings: Settings) -> Versions:
        return recorded

    async def planned(partitions: int | None) -> Version:
        return (await registering.plan(SETTINGS, None, None, SIGN, partitions=partitions)).version

    async def ends(_settings: Settings, names: set[str]) -> dict[tuple[str, int], int]:
        return {(name, number): 8 for name in names for number in range(4)}

    monkeypatch.setattr(registering, "read_versions", read)
    monkeypatch.setattr(log, "ends", ends)
    assert (await planned(4)).copied is None
    r1 = await planned(6)
    assert (r1.orders_topic, r1.partitions) == ("shop.netsold.r1.orders", 6)
    assert r1.copied == CopiedLog("netsold.r1-copy", "shop.orders", "shop.chats", 4)
    of_r1 = settings_of(r1, SETTINGS)
    assert of_r1.partitions_of("shop.netsold.r1.sales") == 6
    assert of_r1.partitions_of("shop.netsold.r1.orders") == 6
    assert of_r1.partitions_of("shop.alerts") == 4
    base = registering._record(SETTINGS, SIGN)
    pointer = Pointer("netsold.r1", SIGN.at, "netsold")
    recorded = Versions("netsold", {"netsold": base, "netsold.r1": r1}, pointer)
    assert settings_of(base, of_r1).partitions_of("shop.alerts") == 4
    same = await planned(None)
    assert (same.app, same.orders_topic, same.copied) == ("netsold.r2", r1.orders_topic, r1.copied)
    back = await planned(4)
    assert (back.orders_topic, back.partitions, back.copied) == ("shop.orders", 4, None)
    again = await planned(8)
    assert again.orders_topic == "shop.netsold.r2.orders"
    assert again.copied == CopiedLog("netsold.r2-copy", "shop.orders", "shop.chats", 4)
    less = (await registering.plan(SETTINGS, None, None, SIGN, without=["shop.orders-3@7"])).version
    assert less.copied is not None
    assert (less.partitions, less.copied.without) == (6, ("shop.orders-3@7",))
    assert copy_layout(settings_of(less, SETTINGS)).without == {Position("shop.orders", 3, 7)}
    for wrong in ("shop.orders-4@7", "orders-0@1", "here"):
        with pytest.raises(Unregistrable, match=r"--without: .*position"):
            await registering.plan(SETTINGS, None, None, SIGN, without=[wrong])
    with pytest.raises(Unregistrable, match="registered with 6 partitions: give"):
        await registering.plan(SETTINGS, "r1", None, SIGN, without=["shop.orders-3@7"])
    with pytest.raises(Unregistrable, match="at most 200 partitions for each of the log's 4"):
        await planned(801)
    with pytest.raises(Unregistrable, match="registered with 6 partitions"):
        await registering.plan(SETTINGS, "r1", None, SIGN, partitions=8)
    assert changing.written_chats(recorded) == [("shop.chats", number) for number in range(4)]
    alone = Versions("netsold", {"netsold.r1": r1}, pointer)
    assert changing.written_chats(alone) == changing.written_chats(recorded)


def copied_parts(offset: int, other: int, **rows: bytes) -> TableView:
    """A table of two partitions, whose first has these rows by its mark at `offset`."""
    parts = [WrittenPartition(), WrittenPartition()]
    for key, row in rows.items():
        parts[0].put(key.encode(), row)
    for number, at in enumerate((offset, other)):
        parts[number].mark({f"orders-{number}": at})
    return TableView(parts, {"orders"}, is_first=True)


def test_tables_of_two_logs_are_compared_at_a_moment_of_both() -> None:
    """A row differs if neither version wrote it beyond the moment; else the next one decides."""
    first, second = copied_parts(9, 9, a=b"1", b=b"2"), copied_parts(19, 3, a=b"1", b=b"3")
    early = ({"orders-0": 8, "orders-1": 9, "chats-0": 50}, {"orders-0": 18, "orders-1": 3})
    settling = CopySettling(first, second, early)
    assert not settling.again(early)
    assert not settling.again(early)
    assert (settling.same, settling.moving, settling.writes(b"b")) == (1, {b"b"}, 1)
    late = ({"orders-0": 9, "orders-1": 9, "chats-0": 50}, {"orders-0": 19, "orders-1": 3})
    assert not settling.again(late)
    assert not settling.again(late)  # the first round at this moment: it may be a part of more
    assert settling.again(late)
    assert (settling.same, settling.different) == (1, {b"b": (b"2", b"3")})


def test_a_moment_that_a_table_has_not_passed_decides_nothing() -> None:
    """The copy is counted a little later than the log."""
    first, second = copied_parts(9, 9, a=b"2"), copied_parts(3, 3, a=b"1")
    moment = ({"orders-0": 9}, {"orders-0": 19})
    settling = CopySettling(first, second, moment)
    assert not settling.again(moment)
    assert not settling.again(moment)
    assert settling.moving == {b"a"}


def test_a_table_behind_others_has_reached_what_all_of_its_partitions_have() -> None:
    """Each of them follows all sources; of the first tables, each has one of its own."""
    parts = [WrittenPartition(), WrittenPartition()]
    parts[0].mark({"orders-0": 5, "orders-1": 7})
    parts[1].mark({"orders-0": 4})
    behind = TableView(parts, {"orders"}, is_first=False)
    assert behind.has_reached({"orders-0": 4})
    assert not behind.has_reached({"orders-0": 5})
    assert not behind.has_reached({"orders-1": 7})
    assert TableView(parts, {"orders"}, is_first=True).has_reached({"orders-0": 5, "orders-1": 7})
