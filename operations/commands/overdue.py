"""`netsold overdue`: inquiries whose time has passed without a reply, as a reader answers them."""

from __future__ import annotations

from typing import Annotated

import typer

from operations.arguments import Json
from operations.commands.get import MaxLag
from operations.commands.show_service import rules_line
from operations.in_words import freshness_line
from operations.output import print_json
from operations.reader_client import get, in_path
from streams.settings import Settings


def command(
    shop: Annotated[
        str | None, typer.Argument(metavar="[SHOP]", help="A shop's id; else all shops.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many inquiries.")] = 20,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """List the inquiries that wait for a reply longer than they may, longest first."""
    if not shop and shop is not None:
        raise typer.BadParameter("an id has at least one character", param_hint="SHOP")
    path = "/v1/overdue" if shop is None else f"/v1/shops/{in_path(shop)}/overdue"
    answer = get(Settings(), path, {"limit": limit, "max_lag": max_lag})
    if as_json:
        print_json(answer)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "due",
        "opened",
        "shop",
        "buyer",
        "message",
        "order",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for item in answer["items"]:
        ids = (
            escape(item[name] or "") for name in ("shop_id", "buyer_id", "message_id", "order_id")
        )
        table.add_row(item["due_at"], item["opened_at"], *ids)
    console = Console(highlight=False)
    console.print(table if answer["items"] else "nothing is overdue")
    if answer["count"] > len(answer["items"]):
        console.print(f"and {answer['count'] - len(answer['items']):,} more")
    console.print(rules_line(answer["service_rules"]), style="dim", soft_wrap=True)
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)
