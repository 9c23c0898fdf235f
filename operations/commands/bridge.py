"""`netsold bridge`: refunds from basis sale to basis refund, by cycle, to the cent (S6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from operations.aligned import aligned
from operations.arguments import Json, VersionName
from operations.commands.queried import Export, queried
from operations.exporting.bridge import bridge_of
from operations.exporting.libraries import interruptible
from operations.output import print_json
from schemas.errors import NetsoldError
from schemas.money import CURRENCIES, shown

if TYPE_CHECKING:
    from operations.exporting.bridge import Bridge, BridgeRow, Gap

DIFFERENCE: Final = 3
"""The exit code where the bridge does not reconcile."""

_HEAD: Final = (
    "cycle", "", "reversed", "- in other cycles", "+ of other cycles", "= booked"
)  # fmt: skip


class NoSales(NetsoldError):
    """There is no sale in a currency."""

    exit_code = 4


def command(
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Of this currency, such as CNY; else of all.")
    ] = None,
    directory: Export = None,
    version: VersionName = None,
    as_json: Json = False,
) -> None:
    """Lead refunds from the cycles of their sales to the cycles in which they happened.

    A row a cycle: what was reversed of its sales, without refunds that happened in other cycles,
    with those of other cycles' sales, is what was booked in it. Exit code 3 if a cent or a unit is
    left, in a cycle, over all of them, or beside the tables of products. With --json, money is in
    minor units of its currency. Without --export it reads as `netsold sql`.
    """
    if currency is not None and currency not in CURRENCIES:
        raise typer.BadParameter(
            f"{currency!r} is no code of ISO 4217, such as CNY", param_hint="--currency"
        )
    with interruptible(), queried(directory, version) as queried_export:
        found = bridge_of(queried_export.connection, currency)
        through = queried_export.complete.complete_through
    if currency is not None and not found.cycles:
        raise NoSales(f"there is no sale in {currency}")
    if as_json:
        print_json(_json_of(found, through))
    else:
        _print(found, through)
    if found.gaps:
        raise typer.Exit(DIFFERENCE)


def _json_of(found: Bridge, through: str | None) -> dict[str, Any]:
    rows: dict[str, Any] = msgspec.to_builtins(found)
    return {"complete_through": through, "reconciles": not found.gaps, **rows}


def _print(found: Bridge, through: str | None) -> None:
    rows = [_cells(row) for row in (*found.cycles, *found.totals)]
    for line in aligned([_HEAD, *rows], right=range(2, len(_HEAD))):
        typer.echo(line)
    for gap in found.gaps:
        typer.echo(_gap_line(gap))
    verdict = "does not reconcile" if found.gaps else "reconciles to the cent"
    typer.echo(
        f"{verdict}: each cycle, all of them together, and the tables of products;"
        f" complete through {through or 'no known instant'}"
    )


def _cells(row: BridgeRow) -> tuple[str, ...]:
    amounts = msgspec.structs.astuple(row.amount)
    where = row.cycle_start or "all cycles"
    return where, row.currency, *(shown(row.currency, amount) for amount in amounts)


def _gap_line(gap: Gap) -> str:
    left = f"{gap.left:,} units"
    if gap.measure == "amount":
        left = f"{gap.currency} {shown(gap.currency, gap.left)}"
    return f"{gap.cycle_start or 'all cycles'} {gap.currency}: {left} between {gap.sides}"
