"""`netsold top`: the best products or shops of a cycle, as a reader answers it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from operations.arguments import Json
from operations.commands.get import CycleOption, MaxLag
from operations.commands.show_service import percent, rules_line
from operations.in_words import freshness_line, sold_units, span
from operations.output import print_json
from operations.reader_client import get
from schemas.money import shown
from streams.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table


class Of(StrEnum):
    """What is compared."""

    PRODUCTS = "products"
    SHOPS = "shops"


class By(StrEnum):
    """What shops are compared by."""

    SALES = "sales"
    RESPONSE_RATE = "response-rate"
    GOOD_REVIEWS = "good-reviews"


def command(  # noqa: PLR0917 - typer's form
    of: Annotated[Of, typer.Argument(help="What is compared.")] = Of.PRODUCTS,
    by: Annotated[
        By, typer.Option(help="What shops are compared by; products are by sales.")
    ] = By.SALES,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    cycle: CycleOption = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """List what sells best, by net units, or the best shops.

    With --json, money is in minor units of its currency.
    """
    if of is Of.PRODUCTS and by is not By.SALES:
        raise typer.BadParameter("products are compared by sales", param_hint="--by")
    query = {"limit": limit, "cycle": cycle, "max_lag": max_lag}
    if of is Of.SHOPS:
        query["by"] = by.value
    answer = get(Settings(), f"/v1/top/{of}", query)
    if as_json:
        print_json(answer)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"cycle {span(answer['cycle'])}")
    table = (_products if of is Of.PRODUCTS else _shops)(answer["items"])
    console.print(
        table if answer["items"] else "nothing sold" if by is By.SALES else "nothing to compare"
    )
    if of is Of.SHOPS:
        console.print(rules_line(answer["service_rules"]), style="dim", soft_wrap=True)
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)


def _products(items: list[dict[str, Any]]) -> Table:
    table = _table("product", "sold monthly", "successfully traded", "net revenue")
    for item in items:
        table.add_row(
            _escaped(item["product_id"]),
            *sold_units(item),
            _revenue(item),
        )
    return table


def _shops(items: list[dict[str, Any]]) -> Table:
    table = _table("shop", "sold monthly", "replied in time", "good reviews", "net revenue")
    for item in items:
        inquiries, reviews = item["service"]["inquiries"], item["service"]["reviews"]
        table.add_row(
            _escaped(item["shop_id"]),
            sold_units(item)[0],
            f"{percent(inquiries['response_rate'])} of {inquiries['counted']:,}",
            f"{reviews['good']:,} of {reviews['count']:,}",
            _revenue(item),
        )
    return table


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:-1]:
        column.justify = "right"
    return table


def _revenue(item: dict[str, Any]) -> str:
    return "  ".join(
        f"{currency} {shown(currency, money['net'])}" for currency, money in item["revenue"].items()
    )


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
