"""How `netsold replay --dry-run` shows what would change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from operations.commands import audit_view
from operations.in_words import signed
from operations.output import print_table, printable
from operations.replaying.row_keys import of_cycle
from schemas import times
from schemas.money import shown
from tables.catalogue import (
    PRODUCT_TOTALS,
    SHOP_SERVICE_CYCLES,
    SHOP_SERVICE_TOTALS,
    SHOP_TOTALS,
)
from tables.terms import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.replaying.contributions import Contributions, Subject, Sums
    from operations.replaying.findings import Findings
    from operations.replaying.running import Terms
    from operations.replaying.sums import Mover
    from streams.settings import Settings

_BASIS: Final = re.compile(r"sold_monthly by (\w+)")

MOVERS: int = 20
"""Most products and shops that are shown, each."""


def json_of(
    settings: Settings,
    terms: Terms,
    found: Findings,
    subject: Subject | None,
    explained: Contributions,
) -> dict[str, Any]:
    """What would change, with stable names; money is in minor units."""
    answer = audit_view.json_of(settings, found)
    for of_audits in ("journal", "journal_rows", "topics", "topic_rows"):
        del answer[of_audits]
    answer["terms"] = {
        "live": sorted({mark.terms for mark in found.marks}),
        "replayed": sorted(set(terms.terms)),
    }
    answer["sold_monthly_rows"] = shown_otherwise(found, terms.terms)
    answer["equal"] = answer["equal"] and not answer["sold_monthly_rows"]
    answer["cycles"] = [
        {"start": times.format_ms(int(start)), "currency": currency} | msgspec.to_builtins(pair)
        for start, currencies in sorted(found.cycles.by_cycle.items(), key=_start)
        for currency, pair in sorted(currencies.items())
    ]
    answer["movers"] = {
        "products": _movers(found.movers(PRODUCT_TOTALS.name).most),
        "shops": _movers(found.movers(SHOP_TOTALS.name).most),
    }
    if subject is not None:
        answer["explained"] = {
            subject.kind: subject.id,
            "orders_found": explained.found,
            "differing": explained.orders,
            "orders": [
                {
                    "order_id": one.order_id,
                    "live": _sums(one.live),
                    "replayed": _sums(one.replayed),
                    "causes": one.causes,
                }
                for one in explained.shown
            ],
        }
    return answer


def shown_otherwise(found: Findings, replayed: Sequence[str]) -> int:
    """How many rows of cycles would show another `sold_monthly`, as its basis would be another."""
    live = {basis for mark in found.marks for basis in _BASIS.findall(mark.terms)}
    other = {basis for terms in replayed for basis in _BASIS.findall(terms)}
    return found.by_basis if live and live != other else 0


def _start(item: tuple[str, object]) -> int:
    return int(item[0])


def _movers(movers: Sequence[Mover]) -> list[dict[str, Any]]:
    moving = [mover for mover in movers if mover.units or mover.money]
    return [msgspec.to_builtins(mover) for mover in moving[:MOVERS]]


def _sums(sums: Sums) -> list[dict[str, Any]]:
    return [
        {"cycle": cycle, "currency": currency}
        | dict(zip(columns.__struct_fields__, msgspec.structs.astuple(columns), strict=True))
        for (cycle, currency), columns in sorted(sums.items())
    ]


def print_answer(
    settings: Settings, found: Findings, answer: dict[str, Any], start: str | None = None
) -> None:
    """Print it for people: the tables, sums by cycle, what moves most, and what was explained.

    `start` is from where on events were folded, as it was given; None: from the log's beginning.
    """
    audit_view.print_tables(found)
    if start is not None:
        typer.echo(f"from {start} on: the tables include what is before, which shows as lost here")
    if SHOP_TOTALS.name not in found.tables:
        ends = ", ".join(f"{source}@{last}" for source, (_, last) in found.vector.items())
        typer.echo(
            f"up to {ends}: the sums of products by the journal alone are compared, as orders, "
            "conversations and shops are of now"
        )
    if not (found.differing or answer["sold_monthly_rows"]):
        if "explained" in answer:
            _print_explained(answer["explained"], found)
        typer.echo(f"{settings.app}: nothing would change")
        return
    live, replayed = (_clauses(terms) for terms in answer["terms"].values())
    for side, only in (("live", live - replayed), ("replayed", replayed - live)):
        for clause in sorted(only):
            typer.echo(f"{side}: {clause}")
    _print_cycles(answer["cycles"])
    for kind, movers in answer["movers"].items():
        _print_movers(kind, movers)
    if "explained" in answer:
        _print_explained(answer["explained"], found)
    audit_view.print_rows(found)
    if answer["sold_monthly_rows"]:
        typer.echo(
            f"{answer['sold_monthly_rows']:,} rows of products and shops by cycle would show "
            "another sold_monthly"
        )
    typer.echo(f"{settings.app}: {found.differing:,} rows would change")


def _clauses(terms: Sequence[str]) -> set[str]:
    """The terms of marks as people read them, without those of keys."""
    found = {clause for one in terms for clause in one.split("; ")}
    return {in_words(clause) for clause in found if not clause.startswith("keys by")}


def _print_cycles(cycles: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("cycle", no_wrap=True)
    for name in ("units", "would be", "money", "would be"):
        table.add_column(name, no_wrap=True, justify="right")
    for one in cycles:
        live, replayed, currency = one["live"], one["replayed"], one["currency"]
        if live == replayed:
            continue
        table.add_row(
            one["start"].replace(".000Z", "Z"),
            *(f"{_net(side, 'units'):,}" for side in (live, replayed)),
            *(_money(currency, side) for side in (live, replayed)),
        )
    if table.row_count:
        print_table(table)


def _net(sums: dict[str, int], measure: str) -> int:
    return sums[f"{measure}_gross"] - sums[f"{measure}_reversed"]


def _units(count: int, sign: str = "") -> str:
    return f"{count:{sign if count else ''},} unit{'' if abs(count) == 1 else 's'}"


def _money(currency: str, sums: dict[str, int]) -> str:
    return f"{currency} {shown(currency, _net(sums, 'amount'))}"


def _print_movers(kind: str, movers: list[dict[str, Any]]) -> None:
    if movers:
        typer.echo(f"{kind} that move most:")
    for one in movers:
        money = ", ".join(signed(currency, amount) for currency, amount in one["money"].items())
        typer.echo(f"  {printable(one['id'])}  {_units(one['units'], '+')}  {money}")


def _service_differs(shop: str, found: Findings) -> bool:
    """Whether one of the differing rows that are kept is of this shop's service."""
    for row in found.rows:
        cycle = of_cycle(row.key.encode())
        if row.table == SHOP_SERVICE_TOTALS.name and row.key == shop:
            return True
        if row.table == SHOP_SERVICE_CYCLES.name and cycle is not None and cycle[0] == shop:
            return True
    return False


def _print_explained(explained: dict[str, Any], found: Findings) -> None:
    orders, count = explained["orders"], explained["differing"]
    kind = "product" if "product" in explained else "shop"
    if kind == "shop" and not count and _service_differs(explained[kind], found):
        typer.echo(
            f"service of shop {explained[kind]} differs, and no order counts differently for it:"
            " inquiries are not explained"
        )
        return
    if not explained["orders_found"]:
        typer.echo(f"no order has an entry of {kind} {explained[kind]}: check the id")
        return
    first = f", of which the first {len(orders):,}" if len(orders) < count else ""
    typer.echo(f"orders that count differently for {kind} {explained[kind]}: {count:,}{first}")
    for one in orders:
        sides = [
            ", ".join(
                f"{_units(_net(sums, 'units'))}, {_money(sums['currency'], sums)}"
                f" in {sums['cycle']}"
                for sums in one[side]
            )
            or "nothing"
            for side in ("live", "replayed")
        ]
        typer.echo(f"  {one['order_id']}: {sides[0]}; would be {sides[1]}")
        typer.echo(f"    by {', '.join(one['causes'])}")
