"""`netsold bridge`: from basis sale to basis refund, to the cent, and what does not reconcile."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import pytest
import typer

from operations.commands.bridge import NoSales, command
from operations.exporting.bridge import bridge_of
from operations.exporting.manifest import COMPLETE
from operations.exporting.views import complete_of, database
from operations.recounting import recount_by
from schemas.money import shown
from tests.exporting import ExportedFlow

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def exported(tmp_path: Path) -> ExportedFlow:
    """An export with refunds that cross the borders of cycles."""
    one = ExportedFlow(tmp_path).take()
    await one.export()
    return one


async def test_it_leads_from_the_one_basis_to_the_other(
    exported: ExportedFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ends are those of the recount, by cycle and currency; all cycles agree."""
    command(directory=exported.place.root, as_json=True)
    found = json.loads(capsys.readouterr().out)
    counted: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in recount_by(exported.settings.rules.values, exported.events)["products"]:
        for currency, sums in row["revenue"].items():
            ends = counted[row["cycle"]["start"], currency]
            ends[0] += sums["reversed"]
            ends[1] += sums["reversals_booked"]
    bridged = {
        (row["cycle_start"], row["currency"]): [row["amount"]["reversed"], row["amount"]["booked"]]
        for row in found["cycles"]
    }
    assert {at: ends for at, ends in bridged.items() if any(ends)} == {
        at: ends for at, ends in counted.items() if any(ends)
    }
    assert any(row["amount"]["in_other_cycles"] for row in found["cycles"])
    assert (found["reconciles"], found["gaps"]) == (True, [])
    for total in found["totals"]:
        assert total["cycle_start"] is None
        assert total["amount"]["reversed"] == total["amount"]["booked"] > 0


async def test_people_read_money_and_the_result(
    exported: ExportedFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a cycle, one of all cycles, and the line that it reconciles; one currency alone."""
    command(directory=exported.place.root, as_json=True)
    totals = json.loads(capsys.readouterr().out)["totals"]
    currency, amount = totals[0]["currency"], totals[0]["amount"]
    command(currency, exported.place.root)
    head, *rows, last, line = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "cycle"
    assert {row.split()[1] for row in rows} == {currency}
    assert last.split() == [
        "all", "cycles", currency, *(shown(currency, value) for value in amount.values())
    ]  # fmt: skip
    assert line.startswith(
        "reconciles to the cent: each cycle, all of them together, and the tables of products;"
    )


async def test_a_cent_that_is_left_is_named(
    exported: ExportedFlow, capsys: pytest.CaptureFixture[str]
) -> None:
    """Entries that are missing leave a gap to the tables; the exit code is 3."""
    complete = complete_of(exported.place)
    kept = [one for one in complete.files if one.dataset != "entries"]
    some = [one for one in complete.files if one.dataset == "entries"][1:]
    less = msgspec.structs.replace(complete, files=[*kept, *some])
    exported.place.write(COMPLETE, msgspec.json.encode(less))
    with pytest.raises(typer.Exit) as ended:
        command(directory=exported.place.root)
    assert ended.value.exit_code == 3
    output = capsys.readouterr().out
    assert "between reversed and the tables" in output
    assert output.splitlines()[-1].startswith("does not reconcile: ")


async def test_a_gap_within_a_cycle_is_one_over_all_of_them(exported: ExportedFlow) -> None:
    """An amount that is booked where its sale is, without being reversed there."""
    connection = database(exported.place, complete_of(exported.place))
    connection.execute(
        "ALTER VIEW entries RENAME TO whole; CREATE VIEW entries AS SELECT * REPLACE"
        " (amount_booked + CASE entry_id WHEN (SELECT min(entry_id) FROM whole"
        " WHERE refund_id IS NULL) THEN 900 ELSE 0 END AS amount_booked) FROM whole"
    )
    found = bridge_of(connection)
    connection.close()
    assert {(gap.measure, gap.sides, gap.left) for gap in found.gaps} == {
        ("amount", "reversed and booked", -900),
        ("amount", "booked and the tables", 900),
    }
    assert [gap.cycle_start is None for gap in found.gaps].count(True) == 1


async def test_a_currency_without_sales_is_not_found(exported: ExportedFlow) -> None:
    """A code that is none is a wrong argument."""
    with pytest.raises(NoSales, match="there is no sale in ISK"):
        command("ISK", exported.place.root)
    with pytest.raises(typer.BadParameter, match="no code of ISO 4217"):
        command("Yuan", exported.place.root)
