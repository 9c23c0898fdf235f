"""Local stores against the changelogs: equal rows, a changed one, and those of a later position."""

from __future__ import annotations

from itertools import islice
from tempfile import gettempdir
from typing import TYPE_CHECKING

from operations.commands.audit_view import print_findings
from operations.replaying.findings import findings_of
from operations.replaying.store_check import check_workers
from operations.replaying.work import Work
from streams.marks import MARK_KEY
from streams.stores import Identity, PartitionStore
from tables import catalogue
from tests.faults.runner import made
from tests.flow import PARTITIONS
from tests.replaying import AllChangelogs, ReplayedLogs, replayed, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from operations.replaying.store_check import StoreResult
    from tables.catalogue import Table

    Capture = pytest.CaptureFixture[str]


def store(
    flow: AllChangelogs, table: Table, position: int, changes: dict[bytes, bytes | None]
) -> None:
    """Write a worker's store of partition 0: the rows of the table, and these changes."""
    path = flow.settings.data_dir / flow.settings.app / "worker-a" / table.name / "0"
    identity = Identity("cluster", flow.settings.app, table.name, 0, PARTITIONS)
    log = flow.changelogs[flow.topics[table.name], 0]
    written = PartitionStore(path, identity)
    mark = {MARK_KEY: next(one.value for one in reversed(log) if one.key == MARK_KEY)}
    written.write((flow.rows[table.name, 0] | mark | changes).items(), position)
    written.close()


async def compared(work: Work) -> list[StoreResult]:
    """The comparisons of all workers' stores."""
    return [
        one
        for stage in catalogue.STAGES
        for number in range(PARTITIONS)
        for one in await check_workers(work, stage.name, number, lambda _more: None)
    ]


async def test_stores_are_compared_up_to_their_own_position(tmp_path: Path) -> None:
    """A changed row is named; what was written after the position of the files is left out."""
    flow = AllChangelogs(settings_of(tmp_path)).begin()
    flow.take(islice((item for item in made(5, 200) if isinstance(item, dict)), 200))
    await replayed(flow, tmp_path / "r")
    work = Work(flow.settings, tmp_path / "r", ReplayedLogs(flow))
    assert await compared(work) == []
    ends = {table: len(flow.changelogs[flow.topics[table.name], 0]) for table in catalogue.TABLES}
    totals = flow.rows[catalogue.PRODUCT_TOTALS.name, 0]
    wrong = next(iter(totals))
    store(flow, catalogue.ORDERS, ends[catalogue.ORDERS], {})
    store(flow, catalogue.PRODUCT_TOTALS, ends[catalogue.PRODUCT_TOTALS], {wrong: b"[1,0,{}]"})
    store(flow, catalogue.SHOP_TOTALS, 0, {b"s-of-nowhere": b"[1,0,{}]"})
    found = {one.table: one for one in await compared(work)}
    assert found.keys() == {"orders", "product_totals", "shop_totals"}
    assert (found["orders"].differing, found["orders"].unreadable) == (0, None)
    assert found["orders"].rows == len(flow.rows["orders", 0]) > 10
    (row,) = found["product_totals"].shown
    assert (row.key, row.live, row.replayed) == (wrong.decode(), totals[wrong].decode(), "[1,0,{}]")
    shops = found["shop_totals"]
    assert [one.key for one in shops.shown] == ["s-of-nowhere"]
    assert shops.left_out == len(flow.rows["shop_totals", 0]) + 1  # and the mark
    assert shops.rows == 1
    audited = findings_of((await replayed(flow, tmp_path / "audit", stores=True)).values())
    assert {one.table: one.differing for one in audited.stores} == {
        "orders": 0,
        "product_totals": 1,
        "shop_totals": 1,
    }
    assert audited.differing == 2


def totals_store(flow: AllChangelogs) -> Path:
    """The directory of the worker's store of product_totals-0."""
    name = catalogue.PRODUCT_TOTALS.name
    return flow.settings.data_dir / flow.settings.app / "worker-a" / name / "0"


async def stores_printed(flow: AllChangelogs, directory: Path, capsys: Capture) -> list[str]:
    """What an audit prints of stores."""
    found = findings_of((await replayed(flow, directory, stores=True)).values())
    print_findings(flow.settings, found, stores=True)
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "store" in line]


async def test_stores_have_a_line_each_and_a_damaged_one_its_remedy(
    tmp_path: Path, capsys: Capture
) -> None:
    """By its own path: the files are opened elsewhere, by links."""
    flow = AllChangelogs(settings_of(tmp_path)).begin()
    flow.take(islice((item for item in made(5, 200) if isinstance(item, dict)), 200))
    of_workers, of_reader = await stores_printed(flow, tmp_path / "none", capsys)
    assert of_workers == f"no stores of workers in {tmp_path / flow.settings.app}"
    assert of_reader == f"no store of its reader in {tmp_path / 'reader'}"
    end = len(flow.changelogs[flow.topics[catalogue.PRODUCT_TOTALS.name], 0])
    rows = len(flow.rows[catalogue.PRODUCT_TOTALS.name, 0])
    store(flow, catalogue.PRODUCT_TOTALS, end, {})
    line, _ = await stores_printed(flow, tmp_path / "equal", capsys)
    assert line.split() == ["stores", "of", "workers", str(rows), "rows", "equal"]
    store(flow, catalogue.SHOP_TOTALS, 0, {})
    line, _ = await stores_printed(flow, tmp_path / "behind", capsys)
    shops = len(flow.rows[catalogue.SHOP_TOTALS.name, 0])
    assert line.endswith(f"{rows} rows  equal, {shops + 1} written meanwhile")
    path = totals_store(flow)
    for file in path.glob("*.sst"):
        data = bytearray(file.read_bytes())
        data[10:40] = bytes(30)
        file.write_bytes(data)
    line, _, damaged = await stores_printed(flow, tmp_path / "damaged", capsys)
    assert line.endswith(", 1 can't be read")
    assert damaged.startswith(f"store {path}, table product_totals: Corruption: ")
    assert f" in {path}/0" in damaged
    assert gettempdir() + "/netsold-" not in damaged
    path.rename(path.with_name("0.aside"))  # as the remedy says
    line, _ = await stores_printed(flow, tmp_path / "aside", capsys)
    assert line.endswith(f" 0 rows  equal, {shops + 1} written meanwhile")
    assert damaged.endswith(
        ": stop its worker, move this directory aside, start it: it fills from the changelog"
        " (docs/runbook.md, Tables differ from the log)"
    )


async def test_a_store_ahead_of_its_changelog(tmp_path: Path, capsys: Capture) -> None:
    """What its changelog does not have never comes."""
    flow = AllChangelogs(settings_of(tmp_path)).begin()
    flow.take(islice((item for item in made(5, 50) if isinstance(item, dict)), 50))
    store(flow, catalogue.PRODUCT_TOTALS, 10**9, {})
    _, _, ahead = await stores_printed(flow, tmp_path / "r", capsys)
    assert "-0 up to offset 1000000000, and that ends before " in ahead
    assert ": stop its worker, move this directory aside" in ahead
