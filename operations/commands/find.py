"""`netsold find`: orders by a refund, a shop, a product or a time, as a reader answers them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from operations.aligned import aligned
from operations.arguments import Json
from operations.in_words import freshness_line
from operations.output import print_json
from operations.reader_client import get
from schemas import http_limits
from schemas.errors import NetsoldError
from schemas.money import shown
from streams.settings import Settings


class NothingFound(NetsoldError):
    """No order is found by what was given."""

    exit_code = 4


def command(  # noqa: PLR0917 - typer's form
    refund: Annotated[str | None, typer.Option(metavar="ID", help="A refund's id.")] = None,
    shop: Annotated[str | None, typer.Option(metavar="ID", help="A shop's id.")] = None,
    product: Annotated[str | None, typer.Option(metavar="ID", help="A product's id.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Placed then or later, ISO 8601 with zone."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="TIME", help="Placed before, ISO 8601 with zone.")
    ] = None,
    uncounted: Annotated[
        bool, typer.Option("--not-counted", help="Only orders of which nothing counts, with why.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=http_limits.FOUND_ORDERS, help="How many orders.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """List the orders of a refund, or those placed with a shop, of a product, or in a time.

    Exit code 4 if there is none. With --json, money is in minor units of its currency.
    """
    given = {"refund": refund, "shop": shop, "product": product, "from": from_, "to": to}
    if "" in given.values():
        raise typer.BadParameter("an id or a time has at least one character")
    if not any(given.values()):
        raise typer.BadParameter("give --refund, --shop, --product, --from or --to")
    settings, query = Settings(), given | {"limit": limit}
    if uncounted:
        query["counted"] = "false"
    answer = get(settings, "/v1/find", query)
    while not answer["items"] and answer["next_cursor"]:  # a page without one
        answer = get(settings, "/v1/find", query | {"cursor": answer["next_cursor"]})
    if not answer["items"]:
        what = ", ".join(f"{name} {value}" for name, value in given.items() if value)
        only = " of which nothing counts" if uncounted else ""
        raise NothingFound(f"no order{only} is found by {what}")
    if as_json:
        print_json(answer)
    else:
        _show(answer, product)


def _show(answer: dict[str, Any], product: str | None) -> None:
    """In columns; units and money are of the whole order, or of the product's lines."""
    from rich.console import Console

    whose = f"of {product}" if product else "of the order"
    head = ("order", "placed", "shop", "buyer", f"units {whose}", "money", "")
    lines = aligned([head, *map(_row, answer["items"])], right=(4, 5))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(lines[0], style="dim")
    for line in lines[1:]:
        console.print(line)
    if answer["next_cursor"]:
        console.print("and more: raise --limit, or bound the time with --from and --to")
    console.print(freshness_line(answer["freshness"]), style="dim")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    currency, units, amount = item["currency"], item["units"], item["amount"]
    if item["product_units"] is not None:
        units, amount = item["product_units"], item["product_amount"]
    refund = item["refund"] and f"the refund {item['refund']}"
    return (
        item["order_id"],
        item["placed_at"] or "not placed",
        item["shop_id"] or "",
        item["buyer_id"] or "",
        "" if units is None else f"{units:,}",
        "" if units is None else f"{currency} {shown(currency, amount)}",
        refund or (item["uncounted"] and f"because {item['uncounted']}") or "",
    )
