"""Small files of exports become larger ones, and another version replaces them all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from operations.exporting import merging
from operations.exporting.files import GROUP_ROWS
from operations.exporting.manifest import COMPLETE, ExportFile, OtherExport
from operations.exporting.merging import merges_of
from operations.exporting.places import ExportDamaged, Place, place_of
from operations.exporting.verifying import verify
from operations.exporting.views import complete_of
from tests.exporting import ExportedFlow, Killed, KilledPlace, content, copied, queried

if TYPE_CHECKING:
    from pathlib import Path

STRIDE = 7
"""Changes of files between two kills."""


def file(number: int, rows: int, cycle: str = "2026-07-06", dataset: str = "entries") -> ExportFile:
    """A file as a manifest has it."""
    return ExportFile(f"{dataset}/{cycle}/{number:04}", dataset, cycle, rows, 1, "", "0")


def test_files_of_one_size_are_merged() -> None:
    """Ten of a cycle whose numbers of rows have as many digits; never more rows than the most."""
    nine = [file(number, 200) for number in range(9)]
    others = [file(10, 1000), file(11, 200, "2026-08-05"), file(12, 200, dataset="service_changes")]
    tables = [file(number, 200, dataset="product_cycles") for number in range(20, 40)]
    assert merges_of([*nine, *others, *tables], 7) == []
    (one,) = merges_of([*nine, *others, file(13, 999)], 7)
    assert one.path == "entries/cycle=2026-07-06/000007-m3-000.parquet"
    assert [each.rows for each in one.files] == [200] * 9 + [999]
    large = [file(number, 450_000) for number in range(10)]
    found = merges_of(large, 8)
    assert [len(each.files) for each in found] == [4, 4, 2]
    assert len({each.path for each in found}) == 3
    assert merges_of([file(number, 1_500_000) for number in range(50)], 9) == []


def test_a_row_is_written_again_a_few_times() -> None:
    """A year of exports every five minutes: the number of files, and how often a row is written."""
    files: list[ExportFile] = []
    written = 0
    exports = 365 * 288 // 12
    for number in range(exports):
        merges = merges_of(files, number)
        replaced = {one.path for merge in merges for one in merge.files}
        files = [one for one in files if one.path not in replaced]
        for merge in merges:
            rows = sum(one.rows for one in merge.files)
            written += rows
            files.append(ExportFile(merge.path, "entries", merge.cycle, rows, 1, "", "0"))
        files.append(file(number, 400))
    assert sum(one.rows for one in files) == exports * 400
    assert written / (exports * 400) < 5
    assert max(Counter(len(str(one.rows)) for one in files if one.rows < 10**6).values()) <= 10
    assert len(files) < 40


@pytest.fixture
def _merges_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_FILES", 2)
    monkeypatch.setattr(Place, "_sync", lambda *_: None)  # no power is cut here


@pytest.mark.usefixtures("_merges_early")
async def test_merged_files_have_the_same_rows(tmp_path: Path) -> None:
    """They are sorted, typed and proven; those that they replaced are gone."""
    one, whole = ExportedFlow(tmp_path / "a"), ExportedFlow(tmp_path / "b")
    merged = 0
    for _ in range(6):
        whole.take(80)
        found = await one.take(80).export()
        merged += len(found.merged)
        assert verify(one.place, lambda _: None).equal
    assert merged > 3
    found = await one.take().export()
    await whole.take().export()
    assert found.complete.datasets == complete_of(whole.place).datasets
    assert set(content(one.place)) == {COMPLETE, *[each.path for each in found.complete.files]}
    order = "cycle_start, product_id, sold_at, journal_partition, journal_offset"
    path = next(each for each in sorted(found.merged) if each.startswith("entries"))
    rows = queried(one.place, f"SELECT {order} FROM '{one.place.full(path)}'")
    assert rows == sorted(rows)


@pytest.mark.usefixtures("_merges_early")
async def test_a_merge_that_was_killed_is_completed(tmp_path: Path) -> None:
    """At many changes of files; the result is that of one never interrupted."""
    one = ExportedFlow(tmp_path, events=60)
    for number in (20, 20):
        await one.take(number).export()
    before = copied(one.place)
    one.take(20)
    merged = (await one.export()).merged
    assert merged
    whole, kills = content(one.place), 0
    while True:
        place = place_of(str(tmp_path / f"killed-{kills}"))
        for path, data in before.items():
            place.write(path, data)
        try:
            await one.export(KilledPlace(place, 1 + kills * STRIDE))
        except Killed:
            kills += 1
        else:
            break
        place.require(complete_of(place).files)
        found = await one.export(place)
        again = content(place)
        if found.complete.number == 4:  # it had been complete, and this was the next one
            assert found.complete.datasets == whole[COMPLETE].datasets
        else:
            assert again == whole, kills
    assert kills > 5, kills


@pytest.mark.usefixtures("_merges_early")
async def test_damaged_rows_are_never_merged(tmp_path: Path) -> None:
    """The sum of the digests finds them, although the file has its size."""
    one = ExportedFlow(tmp_path)
    for _ in range(2):
        await one.take(100).export()
    cycle = merges_of(complete_of(one.place).files, 3)[0].files
    first = one.place.read(cycle[0].path) or b""
    complete = complete_of(one.place)
    other = msgspec.structs.replace(cycle[1], bytes=len(first))
    files = [other if each.path == other.path else each for each in complete.files]
    one.place.write(other.path, first)
    one.place.write(COMPLETE, msgspec.json.encode(msgspec.structs.replace(complete, files=files)))
    with pytest.raises(ExportDamaged, match="have other rows than were exported"):
        await one.take().export()


def test_row_groups_have_one_size() -> None:
    """Whatever the sizes of DuckDB's batches are."""
    import pyarrow as pa

    batches = [pa.record_batch({"a": list(range(size))}) for size in (30_000, 1, 60_000, 9)]
    sizes = [len(group) for group in merging.row_groups(batches, GROUP_ROWS)]
    assert sizes == [GROUP_ROWS, GROUP_ROWS, GROUP_ROWS, 90_010 - 3 * GROUP_ROWS]


async def test_a_promoted_version_replaces_all_files_at_once(tmp_path: Path) -> None:
    """Killed at many changes, the export is one of either version, and whole."""
    one = ExportedFlow(tmp_path / "a", events=60)
    weekly = ExportedFlow(tmp_path / "b", events=60, app="netsold.r1", cycle_days=7)
    await one.take(30).export()
    await one.take().export()
    before = copied(one.place)
    weekly.take()
    family = {one.settings.app, weekly.settings.app}
    with pytest.raises(OtherExport, match="app netsold"):
        await weekly.export(one.place)
    found = await weekly.export(one.place, family=family)
    assert (found.complete.number, found.complete.first) == (3, 3)
    assert found.complete.terms.app == weekly.settings.app
    assert verify(one.place, lambda _: None).equal
    whole, kills = content(one.place), 0
    assert set(whole) == {COMPLETE, *[each.path for each in found.complete.files]}
    while True:
        place = place_of(str(tmp_path / f"killed-{kills}"))
        for path, data in before.items():
            place.write(path, data)
        try:
            await weekly.export(KilledPlace(place, 1 + kills * STRIDE), family=family)
        except Killed:
            kills += 1
        else:
            break
        complete = complete_of(place)
        place.require(complete.files)
        if kills % 4 == 0 and complete.number == 2:  # it was rolled back meanwhile
            await one.export(place, family=family)
            assert set(content(place)) == {COMPLETE, *[f.path for f in complete_of(place).files]}
            assert verify(place, lambda _: None).equal
            continue
        again = await weekly.export(place, family=family)
        if again.complete.number == 3:
            assert content(place) == whole, kills
        assert again.complete.datasets == found.complete.datasets
    assert kills > 5, kills
    last = await one.export(one.place, family=family)
    assert last.complete.first == 4, "and back"
