"""Iceberg tables of an export: the same rows, once, through every interruption."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pyiceberg.catalog import load_catalog

from operations.exporting import iceberg as tables_of_iceberg
from operations.exporting import libraries
from operations.exporting.forms import DATASETS, cycle_name, start_of_name
from operations.exporting.iceberg import STATE, CatalogueFailed, IcebergTables, NoCatalogue, State
from operations.exporting.libraries import ExtraMissing
from operations.exporting.manifest import OtherExport
from operations.exporting.places import place_of
from operations.exporting.verifying import verify
from operations.exporting.views import complete_of
from tests.exporting import ExportedFlow, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyiceberg.catalog import Catalog

    from operations.exporting.places import Place


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """A catalogue `lake` in SQLite, with its tables in a directory, named by the environment."""
    (tmp_path / "lake").mkdir()
    settings = {"URI": f"sqlite:///{tmp_path}/lake.db", "WAREHOUSE": f"file://{tmp_path}/lake"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", importlib.import_module(
        "pyiceberg.utils.config"
    ).Config())  # fmt: skip
    found = load_catalog("lake")
    yield found
    found.close()


def written(place: Place, named: str = "lake") -> int:
    """Bring the tables to an export; how many rows that wrote."""
    return IcebergTables(named).write(place, complete_of(place), lambda _: None)


def differences(place: Place, named: str = "lake") -> list[Any]:
    """What the proof finds."""
    return verify(place, lambda _: None, IcebergTables(named)).differences


def states(catalogue: Catalog, namespace: str = "netsold") -> list[State]:
    """The states of all tables that there are."""
    return [
        msgspec.json.decode(catalogue.load_table(name).properties[STATE], type=State)
        for name in catalogue.list_tables(namespace)
    ]


async def test_tables_have_the_rows_of_each_export(tmp_path: Path, catalogue: Catalog) -> None:
    """Entries are appended, cycles written anew where they changed; types and partitions."""
    one = ExportedFlow(tmp_path)
    for number in (150, 200, None):
        await one.take(number).export()
        assert written(one.place) > 0
        assert not differences(one.place)
    assert written(one.place) == 0, "nothing is new"
    entries = catalogue.load_table("netsold.entries")
    summaries = [snapshot.summary for snapshot in entries.snapshots()]
    assert {one and one.operation.value for one in summaries} == {"append"}
    assert {field.name for field in entries.spec().fields} == {"cycle_start"}
    assert summaries[-1] is not None
    summary = summaries[-1].additional_properties
    complete = complete_of(one.place)
    assert msgspec.json.decode(summary[STATE])["vector"] == complete.vector
    assert msgspec.json.decode(summary[STATE])["complete_through"] == complete.complete_through
    types = {field.name: str(field.field_type) for field in entries.schema().fields}
    assert (types["sold_at"], types["amount_gross"]) == ("timestamptz", "long")
    rows = entries.scan(row_filter="restates = true").to_arrow()
    assert len(rows), "restatements are rows of their own"


async def test_only_cycles_that_changed_are_written(tmp_path: Path, catalogue: Catalog) -> None:
    """Files of the others are those of before."""
    one = ExportedFlow(tmp_path)
    await one.take(500).export()
    written(one.place)

    def files() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for task in catalogue.load_table("netsold.product_cycles").scan().plan_files():
            found.setdefault(str(task.file.partition[0]), set()).add(task.file.file_path)
        return found

    before = files()
    await one.take(20).export()
    written(one.place)
    after = files()
    same = [cycle for cycle in before if after[cycle] == before[cycle]]
    assert same
    assert after != before
    assert not differences(one.place)


async def test_killed_around_every_commit(
    tmp_path: Path, catalogue: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a commit nothing of it is there; after it, it is there once."""
    one = ExportedFlow(tmp_path, events=200)
    await one.take(100).export()
    kind = type(catalogue)
    commit = kind.commit_table

    def place_kill(at: int, *, after: bool) -> None:
        left = [at]

        def commit_or_die(self: Any, *arguments: Any) -> Any:  # noqa: ANN401 - as pyiceberg's
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Killed
            found = commit(self, *arguments)
            if left[0] == 0:
                raise Killed
            return found

        monkeypatch.setattr(kind, "commit_table", commit_or_die)

    for at, after in ((1, False), (1, True), (4, False), (len(DATASETS), True)):
        await one.take(30).export()
        place_kill(at, after=after)
        with pytest.raises(Killed):
            written(one.place)
        monkeypatch.setattr(kind, "commit_table", commit)
        written(one.place)
        assert not differences(one.place)
    assert {state.number for state in states(catalogue)} == {complete_of(one.place).number}


async def test_rows_go_through_memory_in_batches(
    tmp_path: Path, catalogue: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit has several, and the last snapshot is the whole export."""
    monkeypatch.setattr(tables_of_iceberg, "BATCH_ROWS", 50)
    one = ExportedFlow(tmp_path).take()
    await one.export()
    written(one.place)
    assert not differences(one.place)
    assert len(catalogue.load_table("netsold.entries").snapshots()) > 3


async def test_the_proof_names_what_differs(tmp_path: Path, catalogue: Catalog) -> None:
    """Rows that someone removed."""
    one = ExportedFlow(tmp_path).take()
    await one.export()
    written(one.place)
    catalogue.load_table("netsold.entries").delete("units_reversed > 0")
    (found,) = differences(one.place)
    assert (found.check, found.where) == ("iceberg", "lake table entries")


async def test_a_version_that_was_promoted_replaces_all_rows(
    tmp_path: Path, catalogue: Catalog
) -> None:
    """As it does all files; a directory of another application does not."""
    one = ExportedFlow(tmp_path / "a").take()
    weekly = ExportedFlow(tmp_path / "b", app="netsold.r1", cycle_days=7).take()
    await one.export()
    written(one.place)
    await weekly.export()
    with pytest.raises(OtherExport, match="app netsold"):
        written(weekly.place)
    await weekly.export(one.place, family={"netsold", "netsold.r1"})
    written(one.place)
    assert not differences(one.place)
    assert {state.terms.app for state in states(catalogue)} == {"netsold.r1"}


async def test_what_cannot_be_written(
    tmp_path: Path, catalogue: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one sentence with its remedy."""
    one = ExportedFlow(tmp_path).take(100)
    await one.export()
    with pytest.raises(NoCatalogue, match=r"no Iceberg catalogue nowhere .* set PYICEBERG_CATALOG"):
        IcebergTables("nowhere")
    earlier = place_of(str(tmp_path / "earlier"))
    await one.export(earlier)
    await one.take().export()
    written(one.place, "lake.mine")
    with pytest.raises(OtherExport, match="rows that this export has not yet"):
        written(earlier, "lake.mine")
    catalogue.create_namespace("other")
    table = catalogue.create_table("other.entries", DATASETS["entries"].schema())
    table.append(DATASETS["entries"].schema().empty_table())
    with pytest.raises(OtherExport, match="is not netsold's: name another namespace"):
        written(one.place, "lake.other")

    def refuse(*_: Any) -> None:  # noqa: ANN401 - as pyiceberg's
        raise OSError("the disk is full")

    monkeypatch.setattr(type(catalogue), "commit_table", refuse)
    with pytest.raises(CatalogueFailed, match="Iceberg catalogue lake: the disk is full"):
        written(one.place)


def test_a_missing_library_has_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence names the extra."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ExtraMissing, match=r"run `pip install 'netsold\[iceberg\]'`"):
        libraries.iceberg("pyiceberg.catalog")


@pytest.mark.parametrize("start_ms", [0, 1_783_296_000_000, 1_783_296_000_000 + 5_400_500])
def test_the_name_of_a_cycle_leads_back_to_it(start_ms: int) -> None:
    """Also where it begins within a day."""
    assert start_of_name(cycle_name(start_ms)) == start_ms
