"""The audit against the recount: both name the same rows that do not follow from the log.

They share no code. Histories have duplicates, disorder, conflicts and poison, and rows of the
changelogs are changed or deleted at random.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from operations.oracle.recount import recount
from operations.simulation.faults import Faults, Poison
from schemas.events import topic_of
from schemas.times import DAY_MS, parse_ms
from streams.marks import MARK_KEY
from tables import catalogue, sales, service
from tables.report import anomalies, report, span
from tests.faults.runner import made
from tests.flow import PARTITIONS, binary
from tests.replaying import AllChangelogs, differences_of, replayed, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from operations.replaying.differences import RowDifference
    from tables.catalogue import Table
    from tables.cycles import Calendar

Report = dict[str, list[dict[str, Any]]]
Cell = tuple[str, str, str]
"""What a report says of an id: its list, the id, and the cycle's start, empty without a cycle."""

LISTS = {table.name: name for name, table in catalogue.REPORT_LISTS.items()}
TOTALS = {catalogue.PRODUCT_TOTALS.name: "products", catalogue.SHOP_TOTALS.name: "shops"}
WRONG = Faults(duplicates=0.05, out_of_order=0.2, late=3 * DAY_MS, poison=0.02, conflicts=0.03)
PLANTED = 6


def history(directory: Path, seed: int) -> tuple[AllChangelogs, Report]:
    """A pipeline that has applied a history in random chunks, and the recount of its events."""
    chance = Random(seed)
    flow = AllChangelogs(settings_of(directory), lambda: chance.randint(1, 90)).begin()
    events = []
    for item in made(seed, 300, WRONG):
        if isinstance(item, Poison):
            flow.send(item.topic, item.key, item.value or b"", item.headers)
        else:
            events.append(item)
            flow.send(topic_of(item["type"]), *binary(item))
    at_ms = max(parse_ms(event["occurred_at"]) for event in events) + DAY_MS
    flow.run()
    flow.tick(at_ms)
    assert flow.parked
    calendar = flow.calendar
    return flow, recount(
        events, cycle_ms=calendar.length_ms, anchor_ms=calendar.anchor_ms, as_of_ms=at_ms
    )


def live_rows(flow: AllChangelogs, table: Table) -> dict[bytes, tuple[int, int]]:
    """Where the changelogs of a table have the last record of each key: partition and index."""
    return {
        record.key or b"": (partition, at)
        for partition in range(PARTITIONS)
        for at, record in enumerate(flow.changelogs[flow.topics[table.name], partition])
        if record.key != MARK_KEY
    }


def reported(flow: AllChangelogs) -> Report:
    """The tables as the changelogs have them, in the form of the recount."""
    states = {}
    for table in catalogue.TABLES:
        rows = [
            (key, flow.changelogs[flow.topics[table.name], partition][at].value)
            for key, (partition, at) in live_rows(flow, table).items()
        ]
        states[table.name] = [(key, value) for key, value in rows if value is not None]
    return report(flow.terms, states)


def changed(table: Table, key: bytes, value: bytes, chance: Random) -> bytes | None:
    """Another row, or None for a deleted one; the same one where nothing can be planted."""
    if table.form == "sales":
        tally = sales.decode(value)
        if tally.net and chance.random() < 0.3:
            return None
        for sums in tally.currencies.values():
            sums.units_gross += 1
        return sales.encode(tally)
    if table.form == "service":
        row = service.decode(value)
        if row.columns and chance.random() < 0.3:
            return None
        row.columns = {name: number + 1 for name, number in row.columns.items()}
        return service.encode(row)
    if table.form == "order" and not anomalies(key.decode(), value):
        return value  # the recount lists anomalies alone
    return None


def plant(flow: AllChangelogs, chance: Random) -> int:
    """Change some last rows of the tables that a recount has; how many."""
    planted = 0
    tables = [table for table in catalogue.TABLES if table.name in LISTS.keys() | TOTALS.keys()]
    while planted < PLANTED:
        table = chance.choice(tables)
        rows = live_rows(flow, table)
        if not rows:
            continue
        key = chance.choice(sorted(rows))
        partition, at = rows[key]
        log = flow.changelogs[flow.topics[table.name], partition]
        value = log[at].value
        other = None if value is None else changed(table, key, value, chance)
        if other != value:
            log[at] = log[at]._replace(value=other)
            planted += 1
    return planted


def cells(found: Report) -> dict[Cell, list[Any]]:
    """A report by list, id and cycle."""
    by_cell: dict[Cell, list[Any]] = {}
    for name, rows in found.items():
        table = catalogue.REPORT_LISTS[name]
        for row in rows:
            id_ = row["order_id"] if name == "anomalies" else row.get(table.keyed_by, "")
            if name == "overdue":
                id_ = catalogue.conversation_key(row["shop_id"], row["buyer_id"]).decode()
            start = row["cycle"]["start"] if "cycle" in row else ""
            by_cell.setdefault((name, id_, start), []).append(row)
    return by_cell


def cells_of(row: RowDifference, known: set[Cell], calendar: Calendar) -> Iterator[Cell]:
    """What a report says by a row; a total is in all cycles of its id."""
    if row.table in TOTALS:
        yield from (cell for cell in known if cell[:2] == (TOTALS[row.table], row.key))
        return
    table = next(one for one in catalogue.TABLES if one.name == row.table)
    id_, start = row.key, ""
    if table.windowed:
        id_, start_ms = catalogue.split_cycle_key(row.key.encode())
        start = span(calendar, start_ms)["start"]
    yield LISTS[row.table], id_, start


@pytest.mark.parametrize("seed", range(4))
async def test_the_audit_and_the_recount_name_the_same_rows(tmp_path: Path, seed: int) -> None:
    """None where nothing is planted; else exactly what a report of the tables has otherwise."""
    flow, true = history(tmp_path, seed)
    assert reported(flow) == true
    assert not differences_of(await replayed(flow, tmp_path / "before"))
    planted = plant(flow, Random(-seed - 1))
    live, recounted = cells(reported(flow)), cells(true)
    known = live.keys() | recounted.keys()
    differing = {cell for cell in known if live.get(cell) != recounted.get(cell)}
    found = differences_of(await replayed(flow, tmp_path / "after"))
    assert 0 < len(found) <= planted
    assert {cell for row in found for cell in cells_of(row, known, flow.calendar)} == differing
