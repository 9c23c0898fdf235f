"""The replay: it finds no difference where there is none, and each one that is planted."""

from __future__ import annotations

import re
from functools import partial
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from operations.commands.audit_view import print_rows
from operations.commands.replay_view import json_of
from operations.replaying import row_fold
from operations.replaying.contributions import Contributions
from operations.replaying.findings import findings_of
from operations.replaying.first_events import add_first_events
from operations.replaying.plan import Plan
from operations.replaying.row_fold import RowFold
from operations.replaying.running import replay_terms
from operations.replaying.work import Work
from operations.simulation.faults import Faults
from schemas import journal, limits
from schemas.times import DAY_MS, parse_ms
from streams.marks import MARK_KEY
from tables import catalogue, entries, orders, sales
from tables.journal_stage import JournalStage
from tests.faults.runner import made
from tests.replaying import (
    AllChangelogs,
    ReplayedLogs,
    differences_of,
    replayed,
    settings_of,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
    from pathlib import Path

    from operations.replaying.row_files import JournalRow
    from operations.replaying.source_log import SpanStep
    from streams.log import At
    from tests.flow import Record


LATE = Faults(out_of_order=0.2, late=40 * DAY_MS)


def pipeline(directory: Path, seed: int = 7, events: int = 600) -> AllChangelogs:
    """A pipeline that has applied all of its events, in chunks of random sizes."""
    chance = Random(seed)
    flow = AllChangelogs(settings_of(directory), lambda: chance.randint(1, 90)).begin()
    written = [item for item in made(seed, events) if isinstance(item, dict)]
    for part in range(0, events, 200):
        flow.take(islice(written, part, part + 200))
    flow.tick(max(parse_ms(event["occurred_at"]) for event in written) + DAY_MS)
    return flow


def changelog(flow: AllChangelogs, table: catalogue.Table) -> list[Record]:
    """The changelog of a table's partition 0."""
    return flow.changelogs[flow.topics[table.name], 0]


def last_row(flow: AllChangelogs, table: catalogue.Table) -> int:
    """Where the changelog of a table's partition 0 has the last value of some key."""
    log = changelog(flow, table)
    return max(at for at, record in enumerate(log) if record.key != MARK_KEY and record.value)


async def test_equal_tables_have_no_difference(tmp_path: Path) -> None:
    """All tables of a pipeline, and its journal row by row, follow from its log."""
    flow = pipeline(tmp_path)
    results = await replayed(flow, tmp_path / "r")
    assert not differences_of(results)
    assert not findings_of(results.values()).differing
    found = tables_of(results)
    names = {table.name for table in catalogue.TABLES}
    assert {(one.table, one.partition) for one in found} == {
        (name, partition) for name in names for partition in (0, 1)
    }
    assert {one.table for one in found if one.rows} == names
    rows = sum(one.journal.rows for one in results.values() if one.journal)
    assert rows > len(flow.entries) > 100


async def test_long_rows_are_folded_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of a shop names all buyers of a chunk, so bytes are bounded beside the count."""
    flow, fold = pipeline(tmp_path), RowFold._fold
    folded: list[int] = []

    def counted(self: RowFold, rows: Sequence[JournalRow]) -> None:
        folded.append(len(rows))
        fold(self, rows)

    monkeypatch.setattr(RowFold, "_fold", counted)
    await replayed(flow, tmp_path / "together")
    together, folded = len(folded), []
    monkeypatch.setattr(row_fold, "CHUNK_BYTES", 1)
    results = await replayed(flow, tmp_path / "apart")
    assert not differences_of(results)
    assert len([rows for rows in folded if rows]) > together


async def test_each_table_is_compared_at_its_own_mark(tmp_path: Path) -> None:
    """Lanes are at different offsets, some within a transaction of the lane before them."""
    cuts = 0
    for seed in range(5):
        directory = tmp_path / str(seed)
        chance = Random(seed)
        flow = AllChangelogs(settings_of(directory), partial(chance.randint, 1, 25), chance).begin()
        written = [item for item in made(seed, 400) if isinstance(item, dict)]
        for part in range(0, 400, 80):
            flow.take(islice(written, part, part + 80))
        results = await replayed(flow, directory / "r")
        assert not findings_of(results.values()).differing, seed
        plan = msgspec.json.decode((directory / "r" / "plan.json").read_bytes(), type=Plan)
        cuts += sum(len(stop.cuts) for stops in plan.stops.values() for stop in stops)
    assert cuts > 3


async def test_shares_are_compared_while_cycles_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle ends in many steps, with restating entries and the last marks between them."""
    chance, must_end = Random(1), JournalStage.must_end_cycles
    monkeypatch.setattr(limits, "ENDED_ROWS", 2)
    monkeypatch.setattr(
        JournalStage,
        "must_end_cycles",
        lambda stage, progress: chance.random() < 0.8 and must_end(stage, progress),
    )
    ending = restated = 0
    for seed in range(4):
        directory = tmp_path / str(seed)
        flow = AllChangelogs(settings_of(directory), partial(chance.randint, 1, 25)).begin()
        written = [item for item in made(seed, 500, LATE) if isinstance(item, dict)]
        for part in range(0, 500, 25):
            flow.take(islice(written, part, part + 25))
        flow.tick(max(parse_ms(event["occurred_at"]) for event in written) + 40 * DAY_MS)
        results = await replayed(flow, directory / "r")
        assert not findings_of(results.values()).differing, seed
        plan = msgspec.json.decode((directory / "r" / "plan.json").read_bytes(), type=Plan)
        stops = [stop for stops in plan.stops.values() for stop in stops]
        ending += sum(stop.ends.ending_ms is not None for stop in stops)
        log = changelog(flow, catalogue.MARKETPLACE_SHARES)
        rows = [record.value for record in log if record.key != MARK_KEY]
        restated += sum(sales.decode(value or b"").restatements > 0 for value in rows)
    assert ending
    assert restated


async def test_changed_rows_are_named(tmp_path: Path) -> None:
    """In each table's changelog one digit of a row is another one: table and key are named."""
    flow = pipeline(tmp_path, events=300)
    planted = {}
    for table in catalogue.TABLES:
        log = changelog(flow, table)
        at = last_row(flow, table)
        value = log[at].value or b""
        changed = re.sub(rb"\d", lambda digit: b"%d" % (9 - int(digit[0])), value, count=1)
        wrong = value + b" " if changed == value else changed
        log[at] = log[at]._replace(value=wrong)
        planted[table.name, 0, log[at].key] = (wrong, value)
    found = differences_of(await replayed(flow, tmp_path / "r"))
    assert {
        (row.table, row.partition, row.key.encode()): (
            (row.live or "").encode(),
            (row.replayed or "").encode(),
        )
        for row in found
    } == planted


async def test_a_lost_row_and_a_surplus_row_are_named(tmp_path: Path) -> None:
    """One side has none of it."""
    flow = pipeline(tmp_path, events=300)
    table = catalogue.SHOP_TOTALS
    log = changelog(flow, table)
    lost = log[last_row(flow, table)].key
    log[:] = [record for record in log if record.key != lost]
    log.insert(0, log[0]._replace(key=b"s-of-nowhere", value=b"[1,0,{}]"))
    found = differences_of(await replayed(flow, tmp_path / "r"))
    assert {(row.key.encode(), row.live is None, row.replayed is None) for row in found} == {
        (lost, True, False),
        (b"s-of-nowhere", False, True),
    }


_PLANTED = [
    (catalogue.PRODUCT_CYCLES, b"nonsense", "nonsense"),
    (catalogue.PRODUCT_CYCLES, b"p-1@abc", "p-1@abc"),
    (catalogue.PRODUCT_CYCLES, b"p-9@999999999999999999999", "p-9@999999999999999999999"),
    (catalogue.PRODUCT_CYCLES, b"p-9@253402300799000", "p-9 9999-12-31T23:59:59Z"),
    (catalogue.SHOP_CYCLES, b"s-\xff@1782864000000", "s-\\xff 2026-07-01T00:00:00Z"),
    (catalogue.SHOP_TOTALS, b"s-\xff", "s-\\xff"),
    (catalogue.PRODUCT_TOTALS, b"p-\xff\x1b[2J", "p-\\xff\\x1b[2J"),
    (catalogue.MARKETPLACE_SHARES, b"zz", "zz"),
    (catalogue.ORDERS, b"\xff", "\\xff"),
    (catalogue.SHOP_BUYERS, b"\xff", "\\xff"),
    (catalogue.CHATS, b"\xff", "\\xff"),
]


@pytest.mark.parametrize("value", [b"garbage", b'"\xff"', b"[" * 100_000, b"[1,0,{}]"])
async def test_keys_and_rows_that_no_worker_wrote_are_named(
    tmp_path: Path, value: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any bytes in a changelog are rows that differ, also where sums of rows are shown."""
    flow = pipeline(tmp_path, events=300)
    for table, key, _ in _PLANTED:
        log = changelog(flow, table)
        log.insert(0, log[0]._replace(key=key, value=value))
    found = findings_of((await replayed(flow, tmp_path / "r")).values())
    plan = msgspec.json.decode((tmp_path / "r" / "plan.json").read_bytes(), type=Plan)
    work = Work(flow.settings, tmp_path / "r", ReplayedLogs(flow), plan)
    await add_first_events(work, found.rows, lambda _more: None)
    assert found.differing == len(_PLANTED)
    assert json_of(flow.settings, replay_terms(work, "replay", []), found, None, Contributions())
    print_rows(found)
    lines = capsys.readouterr().out.splitlines()
    for table, _, name in _PLANTED:
        assert f"{table.name}-0 {name} differs" in lines


async def test_the_first_event_that_an_order_lacks(tmp_path: Path) -> None:
    """An order without the fact of one event names that event's position."""
    flow = pipeline(tmp_path, events=300)
    log = changelog(flow, catalogue.ORDERS)
    at = last_row(flow, catalogue.ORDERS)
    order = orders.decode(log[at].value or b"")
    lacking = msgspec.structs.replace(order, others=order.others[1:])
    assert order.others
    log[at] = log[at]._replace(value=orders.encode(lacking))
    results = await replayed(flow, tmp_path / "r")
    plan = msgspec.json.decode((tmp_path / "r" / "plan.json").read_bytes(), type=Plan)
    work = Work(flow.settings, tmp_path / "r", ReplayedLogs(flow), plan)
    (row,) = findings_of(results.values()).rows
    await add_first_events(work, [row], lambda _more: None)
    assert row.first is not None
    offset = int(row.first.removeprefix("orders-0@"))
    headers = dict(flow.logs["orders", 0][offset].headers)
    assert headers["ce_id"].decode() == order.others[0].id


async def test_a_journal_row_of_another_amount_is_named(tmp_path: Path) -> None:
    """The journal's row and the tables that were made of it differ from the same cause on."""
    flow = pipeline(tmp_path, events=300)
    log = flow.logs["sales", 0]
    at = next(at for at, record in enumerate(log) if record.key is not None)
    entry = journal.decode(log[at].value or b"")
    assert isinstance(entry, journal.Entry)
    wrong = msgspec.structs.replace(entry, amount_gross=entry.amount_gross + 1)
    log[at] = log[at]._replace(value=journal.encode(wrong))
    totals = changelog(flow, catalogue.PRODUCT_TOTALS)
    last = max(at for at, one in enumerate(totals) if one.key == entry.product_id.encode())
    totals[last] = totals[last]._replace(value=b"[1,0,{}]")
    found = findings_of((await replayed(flow, tmp_path / "r")).values())
    (row,) = found.journal_rows
    assert row.id == entry.id
    assert row.position == f"sales-0@{at}"
    (table_row,) = found.rows
    assert table_row.first == entry.id.partition("#")[0]


async def test_journal_rows_that_are_lost_or_doubled_are_named(tmp_path: Path) -> None:
    """Both are named by their ids, and no other row is."""
    flow = pipeline(tmp_path, events=300)
    log = flow.logs["sales", 0]
    rows = [record for record in log if record.key is not None]
    lost, doubled = rows[3], rows[-4]
    without = [record for record in log if record is not lost]
    without.insert(without.index(doubled) + 1, doubled)
    log[:] = [record._replace(offset=at) for at, record in enumerate(without)]
    found = findings_of((await replayed(flow, tmp_path / "r")).values())
    ids = {row.id: (row.live is None, row.replayed is None) for row in found.journal_rows}
    assert ids == {
        msgspec.json.decode(lost.value or b"")["id"]: (True, False),
        msgspec.json.decode(doubled.value or b"")["id"]: (False, True),
    }
    assert not found.rows


async def test_a_replay_continues_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it ends: the runs that continue it end with the same result."""
    flow = pipeline(tmp_path, events=300)
    interruptions, results = 0, None
    spans = ReplayedLogs.spans
    left = 0

    async def interrupted(
        self: ReplayedLogs, starts: Mapping[At, int], ends: Mapping[At, int]
    ) -> AsyncGenerator[SpanStep, None]:
        nonlocal left
        async for step in spans(self, starts, ends):
            left -= 1
            if left < 0:
                raise InterruptedError
            yield step

    monkeypatch.setattr(ReplayedLogs, "spans", interrupted)
    while results is None:
        left = 1 + interruptions
        try:
            results = await replayed(flow, tmp_path / "r", most=60)
        except InterruptedError:
            interruptions += 1
    assert interruptions > 2
    assert not findings_of(results.values()).differing
    assert sum(one.rows for one in tables_of(results)) > 200


async def test_sums_that_another_rule_makes_impossible_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is refunded than was sold: the ids are named, and the others are compared as ever."""
    flow = pipeline(tmp_path)
    refunded = next(entry for entry in flow.entries if entry.amount_reversed)
    true_difference = entries.difference

    def too_much(*arguments: object) -> Iterator[journal.Entry]:
        for entry in true_difference(*arguments):  # type: ignore[arg-type]
            more = 1000 * (entry.product_id == refunded.product_id)
            yield msgspec.structs.replace(
                entry, amount_reversed=entry.amount_reversed + more * entry.amount_reversed
            )

    monkeypatch.setattr(entries, "difference", too_much)
    found = findings_of((await replayed(flow, tmp_path / "r")).values())
    ids = {(one.id_name, one.id) for one in found.impossible}
    assert ("product_id", refunded.product_id) in ids
    assert ids <= {("product_id", refunded.product_id)} | {
        ("shop_id", entry.shop_id)
        for entry in flow.entries
        if entry.product_id == refunded.product_id
    }
    assert found.impossible_ids == len(ids)
    assert all("0 <= reversed <= gross" in one.why for one in found.impossible)
    assert found.differing > len(ids)
    others = [row for row in found.rows if row.table.startswith("product_")]
    assert {row.key.partition("@")[0] for row in others} <= {refunded.product_id}
