"""Exports: equal to the tables and to the recount, whole through every interruption."""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from operations.exporting import files, libraries, table_rows, verifying
from operations.exporting.forms import DATASETS, NumberTooLarge
from operations.exporting.libraries import ExtraMissing
from operations.exporting.manifest import COMPLETE, Complete, NoExport, OtherExport
from operations.exporting.places import ExportDamaged, ExportRuns, NoSuchPlace, Place, place_of
from operations.exporting.table_rows import LanesApart
from operations.exporting.verifying import verify
from operations.exporting.views import complete_of
from operations.oracle.recount import recount
from operations.recounting import recount_by
from operations.replaying.source_fold import LogCut
from schemas.times import DAY_MS
from tables import catalogue
from tests.exporting import (
    ExportedFlow,
    Killed,
    KilledPlace,
    content,
    copied,
    cycle_sums,
    day_sums,
    queried,
    sums_of,
)
from tests.replaying import ReplayedLogs
from tests.terms import changed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.exporting.verdicts import Verdict
    from streams.log import At


def verdict_of(place: Place) -> Verdict:
    """The result of the proof."""
    return verify(place, lambda _: None)


@pytest.fixture(autouse=True)
def _few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "WAIT_S", 0.001)
    monkeypatch.setattr(table_rows, "ATTEMPTS", 3)


async def test_an_export_is_the_tables_and_the_recount(tmp_path: Path) -> None:
    """By cycle and by day, on both bases, with restatements; products and shops."""
    one = ExportedFlow(tmp_path).take()
    await one.export()
    assert queried(one.place, "SELECT sum(entries) > 5 FROM restatements") == [(True,)]
    settings = one.settings
    counted = recount_by(settings.rules.values, one.events)
    daily = recount(one.events, DAY_MS, 0)
    for table, id_name, name in (
        ("product_cycles", "product_id", "products"),
        ("shop_cycles", "shop_id", "shops"),
    ):
        assert cycle_sums(one.place, table, id_name) == sums_of(counted[name], id_name)
        assert day_sums(one.place, id_name) == sums_of(daily[name], id_name)
    (total,) = queried(one.place, "SELECT sum(units_net), count(*) FROM cycles")
    assert total[0] == sum(row["sold_monthly"] for row in counted["products"])
    verdict = verdict_of(one.place)
    assert verdict.equal, verdict.differences
    assert set(verdict.compared) == {
        "product_cycles", "product_totals", "shop_cycles", "shop_totals", "product_service_cycles"
    }  # fmt: skip
    assert not verdict.in_part


async def test_the_bridge_leads_from_one_basis_to_the_other(tmp_path: Path) -> None:
    """Refunds in other cycles leave one and enter another; over all cycles nothing is left."""
    one = ExportedFlow(tmp_path).take()
    await one.export()
    rows = queried(
        one.place,
        "SELECT amount_reversed, amount_in_other_cycles, amount_of_other_cycles, amount_booked,"
        " amount_difference, units_difference FROM refund_bridge",
    )
    assert any(row[1] for row in rows)
    for reversed_, elsewhere, of_others, booked, *differences in rows:
        assert reversed_ - elsewhere + of_others == booked
        assert differences == [0, 0]
    assert sum(row[1] for row in rows) == sum(row[2] for row in rows)


async def test_two_exports_are_one(tmp_path: Path) -> None:
    """The second adds files, and replaces those of tables that changed; rows are those of one."""
    one, whole = ExportedFlow(tmp_path / "a"), ExportedFlow(tmp_path / "b")
    first = await one.take(300).export()
    second = await one.take().export()
    await whole.take(300).take().export()
    assert second.complete.datasets == complete_of(whole.place).datasets
    kept = {file.path for file in first.complete.files} & set(content(one.place))
    assert {path.partition("/")[0] for path in kept} >= {"entries", "service_changes"}
    assert all(file.path in kept for file in first.complete.files if file.dataset == "entries")
    assert set(content(one.place)) == {COMPLETE, *[file.path for file in second.complete.files]}
    assert verdict_of(one.place).equal
    third = await one.export()
    assert not third.new, "nothing is new"
    assert third.complete.number == 3


async def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that is killed at any change of a file, and run again, is one never interrupted.

    Until it is complete, the last export is there and proven.
    """
    monkeypatch.setattr(files, "FILE_ROWS", 40)
    monkeypatch.setattr("operations.exporting.journal_files.FILE_ROWS", 40)
    monkeypatch.setattr("operations.exporting.table_files.FILE_ROWS", 40)
    monkeypatch.setattr(Place, "_sync", lambda *_: None)  # no power is cut here
    one = ExportedFlow(tmp_path, events=120)
    await one.take(80).export()
    before = copied(one.place)
    one.take()
    await one.export()
    whole = content(one.place)
    kills = 0
    while True:
        place = place_of(str(tmp_path / f"killed-{kills}"))
        for path, data in before.items():
            place.write(path, data)
        try:
            await one.export(KilledPlace(place, kills + 1))
        except Killed:
            kills += 1
        else:
            break
        complete = complete_of(place)
        assert all(place.read(file.path) is not None for file in complete.files)
        if kills % 10 == 0:
            assert {difference.check for difference in verdict_of(place).differences} <= {"files"}
        await one.export(place)
        again = content(place)
        if again[COMPLETE].number == 3:  # it had been complete, and this was the next one
            again[COMPLETE] = msgspec.structs.replace(again[COMPLETE], number=2)
        assert again == whole, kills
    assert kills > 40, kills


async def test_continues_to_the_vector_of_its_plan(tmp_path: Path) -> None:
    """What was written since the interruption is the next export's."""
    one = ExportedFlow(tmp_path)
    one.take(300)
    with pytest.raises(Killed):
        await one.export(KilledPlace(one.place, 45))
    plan_of = one.place.read("_staged/plan.json")
    assert plan_of is not None
    one.take()
    continued = await one.export()
    assert continued.continued
    assert continued.complete.vector == msgspec.json.decode(plan_of)["ends"]
    assert verdict_of(one.place).equal
    last = await one.export()
    assert last.complete.datasets["entries"].rows > continued.complete.datasets["entries"].rows
    assert verdict_of(one.place).equal


def extra_row(data: bytes) -> bytes:
    """A Parquet file with its first row twice."""
    rows = pq.read_table(io.BytesIO(data))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


async def test_verify_names_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed byte, a lost file, a file and a row too many, each by its path."""
    monkeypatch.setattr(verifying, "GROUPED_IDS", 7)
    one = ExportedFlow(tmp_path).take()
    complete = (await one.export()).complete
    path = next(file.path for file in complete.files if file.dataset == "entries")
    data = one.place.read(path) or b""
    for at in (10, len(data) // 2, len(data) - 20):
        one.place.write(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        found = verdict_of(one.place)
        assert found.differences[0].where == path
        assert not found.equal
    one.place.write(path, extra_row(data))
    found = verdict_of(one.place)
    assert {"files", "rows of files", "datasets", "entries", "sums"} <= found.counts.keys()
    assert any(difference.found == "2 times" for difference in found.differences)
    one.place.remove(path)
    (lost,) = verdict_of(one.place).differences
    assert (lost.where, lost.found) == (path, "missing")
    one.place.write(path, data)
    one.place.write("entries/cycle=2026-07-06/more.parquet", data)
    (more,) = verdict_of(one.place).differences
    assert (more.where, more.recorded) == ("entries/cycle=2026-07-06/more.parquet", None)
    one.place.remove("entries/cycle=2026-07-06/more.parquet")
    assert verdict_of(one.place).equal


async def test_verify_compares_tables_with_the_journal(tmp_path: Path) -> None:
    """A wrong sum is found although bytes, rows and digests are those that are recorded."""
    one = ExportedFlow(tmp_path).take()
    for table in ("product_cycles", "product_totals", "shop_cycles", "shop_totals"):
        for partition in range(2):
            log = one.flow.changelogs[one.flow.topics[table], partition]
            keys = [n for n, record in enumerate(log) if record.value and b'"CNY"' in record.value]
            if keys:
                number = keys[-1]
                record = log[number]
                wrong = (record.value or b"").replace(b'"CNY":[', b'"CNY":[1', 1)
                log[number] = record._replace(value=wrong)
    await one.export()
    found = verdict_of(one.place)
    assert found.counts.keys() == {"sums"}
    assert {difference.where.partition(" ")[0] for difference in found.differences} == {
        "product_cycles", "product_totals", "shop_cycles", "shop_totals"
    }  # fmt: skip


class BehindLogs(ReplayedLogs):
    """Logs in which some topics end early, for some requests."""

    def __init__(self, flow: Any, topic: str, times: int) -> None:  # noqa: ANN401 - as its base
        super().__init__(flow)
        self._topic, self._times = topic, times

    async def bounds(self, names: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
        """Half of the topic at first."""
        beginnings, ends = await super().bounds(names)
        if self._topic in names and self._times > 0:
            self._times -= 1
            for at in ends:
                if at[0] == self._topic:
                    ends[at] //= 2
        return beginnings, ends


async def test_tables_of_a_lane_are_at_one_mark(tmp_path: Path) -> None:
    """A table that was read up to an earlier mark is read on to that of the others."""
    one = ExportedFlow(tmp_path).take()
    for table in ("product_totals", "product_cycles", "shop_service_totals"):
        place = place_of(str(tmp_path / table))
        await one.export(place, BehindLogs(one.flow, one.flow.topics[table], 4))
        assert verdict_of(place).equal, table


async def test_products_include_what_shops_include(tmp_path: Path) -> None:
    """Tables of products that stay behind those of shops are no export."""
    one = ExportedFlow(tmp_path).take()
    for table in catalogue.PRODUCT_STAGE.tables:
        for partition in range(2):
            log = one.flow.changelogs[one.flow.topics[table.name], partition]
            del log[len(log) // 3 :]
    with pytest.raises(LanesApart, match="tables of products are behind"):
        await one.export()
    assert complete_is_missing(one.place)


def complete_is_missing(place: Place) -> bool:
    """Whether there is no export."""
    with pytest.raises(NoExport):
        verdict_of(place)
    return True


async def test_a_lane_that_read_a_transaction_in_part_is_not_compared(tmp_path: Path) -> None:
    """The verdict names it, and compares the other lanes."""
    one = ExportedFlow(tmp_path).take()

    class InPart(ReplayedLogs):
        async def cuts(self, at: At, offset: int) -> list[Any]:
            return [offset] if at == ("shop-activity", 1) else []

    await one.export(logs=InPart(one.flow))
    found = verdict_of(one.place)
    assert found.in_part == ["shop-1"]
    assert found.equal


async def test_other_terms_are_refused(tmp_path: Path) -> None:
    """Another application or calendar, another topic of the name, and a journal that was cut."""
    one = ExportedFlow(tmp_path).take(300)
    await one.export()
    weekly = changed(one.settings.rules, cycle_days=7)
    cycles = r"cycles of 30 days from 1970-01-01T00:00:00Z instead of cycles of 7 days from .*"
    for change, sentence in (
        ({"app": "other"}, "app .* instead of app other"),
        ({"partitions": 3}, "partitions 2 instead of partitions 3"),
        ({"rules": weekly}, cycles),
    ):
        settings = one.settings.model_copy(update=change)
        kept, one.settings = one.settings, settings
        with pytest.raises(OtherExport, match=f"{sentence}: export to another directory"):
            await one.export()
        one.settings = kept

    class Cut(ReplayedLogs):
        async def bounds(self, names: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
            beginnings, ends = await super().bounds(names)
            return {at: 5 if at[0] == "sales" else 0 for at in beginnings}, ends

    with pytest.raises(LogCut, match="begins at offset 5, and rows from 0 on are needed"):
        await one.export(place_of(str(tmp_path / "cut")), Cut(one.flow))
    smaller = ExportedFlow(tmp_path / "smaller").take(20)
    with pytest.raises(OtherExport, match="created anew"):
        await smaller.export(one.place)


async def test_records_that_no_worker_wrote_are_counted(tmp_path: Path) -> None:
    """They are no entries, and an export says how many there were."""
    one = ExportedFlow(tmp_path).take()
    log = one.flow.logs["sales", 0]
    place = next(n for n, record in enumerate(log) if record.key is None)
    log[place] = log[place]._replace(value=b"not ours")
    assert (await one.export()).complete.unreadable == 1


async def test_another_file_system(tmp_path: Path) -> None:
    """A URI names a local directory; files of any other file system are read by pyarrow."""
    one = ExportedFlow(tmp_path).take()
    by_uri = place_of(f"file://{tmp_path}/uri")
    assert by_uri.is_local
    await one.export(by_uri)
    remote = Place(pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem()), "elsewhere")
    assert not remote.is_local
    await one.export(remote)
    assert complete_of(remote).datasets == complete_of(by_uri).datasets
    assert verdict_of(remote).equal
    with pytest.raises(NoSuchPlace, match="can't be opened"):
        place_of("nowhere://bucket")


async def test_one_export_at_a_time(tmp_path: Path) -> None:
    """A second one of the same machine is refused."""
    one = ExportedFlow(tmp_path).take(100)
    with one.place.locked(), pytest.raises(ExportRuns):
        await one.export(place_of(one.place.root))


async def test_a_place_with_other_files_is_refused(tmp_path: Path) -> None:
    """The first of them is named, and nothing is written there; a file is no directory."""
    one = ExportedFlow(tmp_path).take(100)
    one.place.write("photos/cat.png", b"x")
    with pytest.raises(OtherExport, match=r"1 other files, such as photos/cat\.png: name a new or"):
        await one.export()
    assert copied(one.place) == {"photos/cat.png": b"x"}
    with pytest.raises(NoSuchPlace, match=r"cat\.png is a file: name a directory"):
        place_of(f"{one.place.root}/photos/cat.png")
    one.place.remove("photos/cat.png")
    await one.export()
    one.place.write("notes.txt", b"x")  # beside an export, it is its owner's
    await one.export()
    assert verdict_of(one.place).equal


async def test_a_damaged_complete_is_named(tmp_path: Path) -> None:
    """What is no `_COMPLETE.json` of ours is an error with a remedy, and is never overwritten."""
    one = ExportedFlow(tmp_path).take(100)
    one.place.write(COMPLETE, b"{}")
    with pytest.raises(ExportDamaged, match="export to another directory"):
        await one.export()
    with pytest.raises(ExportDamaged):
        verdict_of(one.place)
    assert one.place.read(COMPLETE) == b"{}"


def test_a_missing_library_has_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence names the extra."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for load in (libraries.arrow, libraries.connected):
        with pytest.raises(ExtraMissing, match=r"run `pip install 'netsold\[export\]'`"):
            load()


async def test_files_have_types_order_and_statistics(tmp_path: Path) -> None:
    """Amounts are 64-bit integers, times are UTC in milliseconds; rows of a file are sorted."""
    one = ExportedFlow(tmp_path).take()
    complete: Complete = (await one.export()).complete
    for file in complete.files:
        found = pq.ParquetFile(one.place.full(file.path))
        dataset = DATASETS[file.dataset]
        assert found.schema_arrow.equals(dataset.schema())
        rows = found.read()
        keys = [(name, "ascending") for name in dataset.sorted_by]
        assert rows.equals(rows.sort_by(keys))
        group = found.metadata.row_group(0)
        assert all(group.column(n).is_stats_set for n in range(group.num_columns))
        assert (file.cycle is None) == ("cycle_start" not in rows.column_names)
        if file.cycle is not None:
            assert f"/cycle={file.cycle}/" in file.path
            assert {str(start)[:10] for start in rows["cycle_start"].to_pylist()} == {file.cycle}
    assert DATASETS["entries"].schema().field("amount_gross").type == pa.int64()
    assert DATASETS["entries"].schema().field("sold_at").type == pa.timestamp("ms", tz="UTC")


QUERIES = re.findall(
    r"^```sql\n(.*?)^```$",
    (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


async def test_queries_of_the_page_run(tmp_path: Path) -> None:
    """Each has rows; the last one is the digest that is recorded."""
    one = ExportedFlow(tmp_path).take()
    complete = (await one.export()).complete
    order_id = queried(one.place, "SELECT any_value(order_id) FROM entries")[0][0]
    found = [queried(one.place, query.replace("o-17", order_id)) for query in QUERIES]
    assert len(found) == 10
    assert all(found)
    assert {left for _, left in found[-2]} == {0}
    ((count, digest),) = found[-1]
    recorded = complete.datasets["product_totals"]
    assert (count, str(digest)) == (recorded.rows, recorded.digest)


def test_a_number_that_is_too_large_is_named() -> None:
    """It ends the export with a sentence."""
    row = ("p-1", "CNY", *[2**63] * 6, 0)
    with pytest.raises(NumberTooLarge, match="product_totals: a number in units_gross has more"):
        DATASETS["product_totals"].filled([row])
