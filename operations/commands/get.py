"""`netsold get`: one product, shop or order, as a reader answers it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.asking import ask, freshness_line, in_path, span
from operations.commands import show_service
from operations.output import Json, print_json
from schemas.money import shown
from streams.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


MONEY: Final = frozenset({"unit_price", "discount", "amount"})
"""The fields of events that hold money."""


class Kind(StrEnum):
    """What can be got."""

    PRODUCT = "product"
    SHOP = "shop"
    ORDER = "order"


CycleOption = Annotated[
    str | None,
    typer.Option(help="Any instant of the cycle, ISO 8601 with zone; else the current cycle."),
]
MaxLag = Annotated[
    str | None,
    typer.Option(help="Such as 5s or 2m: fail (exit code 5) if the answer is further behind."),
]


def command(
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id, as events name it.")],
    cycle: CycleOption = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """Show one product, shop or order. With --json, money is in minor units of its currency."""
    if not id_:
        raise typer.BadParameter("an id has at least one character", param_hint="ID")
    if kind is Kind.ORDER and cycle is not None:
        raise typer.BadParameter("an order is not of one cycle", param_hint="--cycle")
    answer = ask(Settings(), f"/v1/{kind}s/{in_path(id_)}", cycle=cycle, max_lag=max_lag)
    if as_json:
        print_json(answer)
        return
    from rich.console import Console

    console = Console(highlight=False)
    (_show_order if kind is Kind.ORDER else _show_row)(console, id_, answer)
    if kind is Kind.SHOP:
        show_service.of_shop(console, answer)
    elif kind is Kind.PRODUCT:
        show_service.of_product(console, answer["service"])
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)


def _show_row(console: Console, id_: str, answer: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"{escape(id_)}, cycle {span(answer['cycle'])}", soft_wrap=True)
    table = Table(
        "",
        "gross",
        "reversed",
        "net",
        "reversals booked",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    columns = ("gross", "reversed", "net", "reversals_booked")
    table.add_row("units", *(f"{answer['units'][column]:,}" for column in columns))
    for currency, money in answer["revenue"].items():
        table.add_row(currency, *(shown(currency, money[column]) for column in columns))
    console.print(table)
    console.print(
        f"{answer['sold_monthly']:,} sold monthly · {answer['successfully_traded']:,} successfully traded"
    )


def _show_order(console: Console, id_: str, answer: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    placed = answer["shop_id"] is not None
    console.print(
        escape(
            f"{id_}, "
            + (
                f"{answer['buyer_id']} from {answer['shop_id']}, {answer['currency']}"
                if placed
                else "not placed"
            )
        )
    )
    facts = Table("occurred at", "event", "", box=None, pad_edge=False, header_style="dim")
    for fact in answer["facts"]:
        told = {
            name: value
            for name, value in fact.items()
            if name not in {"type", "occurred_at", "shop_id", "buyer_id", "currency"}
        }
        facts.add_row(
            fact["occurred_at"], fact["type"], escape(_told(_priced(told, answer["currency"])))
        )
    console.print(facts)
    if not answer["sales"]:
        console.print("nothing counts of it")
    for sale in answer["sales"]:
        units, amount, currency = sale["units"], sale["amount"], answer["currency"]
        console.print(
            escape(
                f"line {sale['line_id']}: {units['net']:,} of {units['gross']:,} units of {sale['product_id']},"
                f" {currency} {shown(currency, amount['net'])} of {shown(currency, amount['gross'])}, in cycle {span(sale['cycle'])}"
            ),
            soft_wrap=True,
        )
    for odd in answer["anomalies"]:
        console.print(
            escape(
                f"odd: {odd['anomaly']}" + (f", line {odd['line_id']}" if odd["line_id"] else "")
            ),
            style="yellow",
        )


def _priced(content: Any, currency: str | None) -> Any:  # noqa: ANN401 - JSON of any form
    """A fact's content with its money as people read it; the currency is the order's."""
    if isinstance(content, dict):
        return {
            name: shown(currency, value)
            if name in MONEY and isinstance(value, int)
            else _priced(value, currency)
            for name, value in content.items()
        }
    return [_priced(one, currency) for one in content] if isinstance(content, list) else content


def _told(fields: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_plain(value)}" for name, value in fields.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ":".join(str(one) for one in value.values())
    return ",".join(map(_plain, value)) if isinstance(value, list) else str(value)
