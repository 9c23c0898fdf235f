"""`netsold top`: the best products or shops of a cycle, as a reader answers it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from operations.arguments import AsOf, Json, KnownAt
from operations.commands.get import CycleOption, MaxLag
from operations.commands.show_service import percent, rules_line
from operations.in_words import freshness_line, moment_line, sold_units, span, units_of_cycle
from operations.output import print_json
from operations.reader_client import get, in_path
from schemas.money import shown
from streams.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table


class Of(StrEnum):
    """What is compared."""

    PRODUCTS = "products"
    SHOPS = "shops"


class By(StrEnum):
    """What products and shops are compared by."""

    UNITS = "units"
    REVENUE = "revenue"
    GROWTH = "growth"
    REVERSAL_RATE = "reversal-rate"
    GOOD_REVIEWS = "good-reviews"
    RESPONSE_RATE = "response-rate"


def command(  # noqa: PLR0917 - typer's form
    of: Annotated[Of, typer.Argument(help="What is compared.")] = Of.PRODUCTS,
    by: Annotated[
        By, typer.Option(help="What they are compared by; response-rate is of shops.")
    ] = By.UNITS,
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="The currency of --by revenue, such as CNY.")
    ] = None,
    shop: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only what this shop sold: by units or revenue."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    cycle: CycleOption = None,
    known_at: KnownAt = None,
    as_of: AsOf = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """List the best products or shops of a cycle, by net units or else, now or earlier.

    With --json, money is in minor units of its currency.
    """
    _require_fitting(of, by, currency, shop, earlier=bool(known_at or as_of))
    query = {
        "by": by.value,
        "currency": currency,
        "limit": limit,
        "cycle": cycle,
        "known_at": known_at,
        "as_of": as_of,
        "max_lag": max_lag,
    }
    path = f"/v1/top/{of}" if shop is None else f"/v1/shops/{in_path(shop)}/top"
    answer = get(Settings(), path, query)
    if as_json:
        print_json(answer)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"cycle {span(answer['cycle'])}")
    console.print(_listed(of, answer) if answer["items"] else _nothing(by))
    if answer.get("compared_until"):
        until = answer["compared_until"]
        console.print(f"compared until {until}, with the cycle before until then", soft_wrap=True)
    if not answer.get("complete", True):
        console.print("not all were compared: others may belong here", soft_wrap=True)
    if "service_rules" in answer:
        console.print(rules_line(answer["service_rules"]), style="dim", soft_wrap=True)
    if "moment" in answer:
        console.print(moment_line(answer["moment"]), soft_wrap=True)
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)


def _require_fitting(
    of: Of, by: By, currency: str | None, shop: str | None, *, earlier: bool
) -> None:
    """Raise BadParameter where the options don't fit together."""
    if (by is By.REVENUE) != (currency is not None):
        raise typer.BadParameter(
            "--by revenue and --currency CODE belong together", param_hint="--currency"
        )
    if of is Of.PRODUCTS and by is By.RESPONSE_RATE:
        raise typer.BadParameter("products have no response rate", param_hint="--by")
    if shop is None:
        return
    if not shop:
        raise typer.BadParameter("an id has at least one character", param_hint="--shop")
    if of is Of.SHOPS or earlier or by not in {By.UNITS, By.REVENUE}:
        raise typer.BadParameter(
            "of a shop, products are listed by units or revenue, as they are now",
            param_hint="--shop",
        )


def _nothing(by: By) -> str:
    return "nothing sold" if by in {By.UNITS, By.REVENUE} else "nothing to compare"


def _listed(of: Of, answer: dict[str, Any]) -> Table:
    """The items as rows: names where there are any, units, what is compared, revenue."""
    items, by = answer["items"], answer["by"]
    word = of.removesuffix("s")
    are_named = any(item.get("name") for item in items)
    rows = [
        {word: item[f"{word}_id"]}
        | ({"name": item["name"] or ""} if are_named else {})
        | _figures(of, by, item)
        for item in items
    ]
    table = _table([*rows[0]], left=1 + are_named)
    for row in rows:
        table.add_row(*map(_escaped, row.values()))
    return table


def _figures(of: Of, by: str, item: dict[str, Any]) -> dict[str, str]:
    if "in_shop" in item:
        shop = item["in_shop"]
        return {"units here": f"{shop['units']:,}", "net revenue here": _money(shop["revenue"])}
    found = units_of_cycle(item) if of is Of.SHOPS and item.get("service") else sold_units(item)
    if by == By.GROWTH:
        found |= {"growth": _growth(item["same_point"])}
    if by == By.REVERSAL_RATE:
        found |= {"reversed": f"{item['units']['reversed'] / item['units']['gross']:.1%}"}
    if item.get("service"):
        service = item["service"]
        if of is Of.SHOPS:
            inquiries = service["inquiries"]
            rate = f"{percent(inquiries['response_rate'])} of {inquiries['counted']:,}"
            found |= {"replied in time": rate}
        if of is Of.SHOPS or by == By.GOOD_REVIEWS:
            reviews = service["reviews"]
            found |= {"good reviews": f"{reviews['good']:,} of {reviews['count']:,}"}
    revenue = {currency: sums["net"] for currency, sums in item["revenue"].items()}
    return found | {"net revenue": _money(revenue)}


def _growth(point: dict[str, Any]) -> str:
    """Net units against those of the cycle before at the same point, such as `+12 from 30`."""
    before = point["last_cycle"]["units"]
    return f"{point['this_cycle']['units'] - before:+,} from {before:,}"


def _table(names: list[str], left: int) -> Table:
    """An empty table with these columns; after the first `left`, all but the last are numbers."""
    from rich.table import Table

    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[left:-1]:
        column.justify = "right"
    return table


def _money(revenue: dict[str, int]) -> str:
    return "  ".join(
        f"{currency} {shown(currency, amount)}" for currency, amount in revenue.items()
    )


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
