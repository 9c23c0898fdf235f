"""`netsold sql`: rows that JSON has, and files that are damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from operations.commands.sql import QueryRefused, command
from operations.exporting.libraries import interruptible
from operations.exporting.places import ExportDamaged
from operations.exporting.views import complete_of
from tests.exporting import ExportedFlow

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def exported(tmp_path: Path) -> ExportedFlow:
    """A small export."""
    one = ExportedFlow(tmp_path).take(100)
    await one.export()
    return one


async def test_values_are_those_that_json_has(
    exported: ExportedFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers without end are null, bytes are hexadecimal, times have a zone."""
    query = "SELECT 1/0 AS a, 'nan'::DOUBLE AS b, 1.5 AS c, 'ab'::BLOB AS d, to_timestamp(0) AS e"
    command(query, exported.place.root, as_json=True)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": None,
        "b": None,
        "c": "1.5",
        "d": "6162",
        "e": "1970-01-01T00:00:00Z",
    }


async def test_columns_of_one_name_are_refused_in_json(
    exported: ExportedFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    """An object would have the last one alone; a table has both."""
    query = "SELECT a.*, b.* FROM (SELECT 1 id) a, (SELECT 2 id) b"
    with pytest.raises(QueryRefused, match="two columns are named id: name them apart by AS"):
        command(query, exported.place.root, as_json=True)
    command(query, exported.place.root)
    assert capsys.readouterr().out.split() == ["id", "id", "1", "2"]


async def test_damaged_files_are_no_fault_of_the_query(exported: ExportedFlow) -> None:
    """A lost file, one that is cut, and one with other bytes: each leads to the proof."""
    place = exported.place
    query = "SELECT sum(units_gross) FROM entries"
    path = next(one.path for one in complete_of(exported.place).files if one.dataset == "entries")
    data = place.read(path)
    assert data is not None
    for other, sentence in (
        (data[:-4] + b"????", "DuckDB cannot read the export"),
        (data[:-1], "1 files of the export .* are missing or have another size"),
        (None, "1 files of the export .* are missing or have another size"),
    ):
        place.remove(path) if other is None else place.write(path, other)
        with pytest.raises(ExportDamaged, match=f"(?s){sentence}.*netsold export verify"):
            command(query, place.root)


async def test_an_export_onto_lost_files_is_refused(exported: ExportedFlow) -> None:
    """Each later export would name them, too."""
    exported.place.remove(complete_of(exported.place).files[0].path)
    with pytest.raises(ExportDamaged, match="export to another directory"):
        await exported.export()


def test_a_query_is_interrupted_as_any_command() -> None:
    """DuckDB has an error of its own for it; other errors of the kind are not hidden."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="broken"), interruptible():
        raise RuntimeError("broken")
