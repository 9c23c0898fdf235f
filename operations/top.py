"""`netsold top`: what sells best in a cycle, as a reader answers it."""

from __future__ import annotations

from typing import Annotated

import typer

from operations.asking import ask, freshness_line, span
from operations.cli import Json, print_json
from operations.get import CycleOption, MaxLag
from streams.settings import Settings


def command(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many products.")] = 10,
    cycle: CycleOption = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """List what sells best, by net units. Money is in minor units of its currency."""
    answer = ask(Settings(), "/v1/top/products", limit=limit, cycle=cycle, max_lag=max_lag)
    if as_json:
        print_json(answer)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("product", "sold monthly", "successfully traded", "net revenue", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:3]:
        column.justify = "right"
    for item in answer["items"]:
        revenue = "  ".join(f"{currency} {money['net']:,}" for currency, money in item["revenue"].items())
        table.add_row(escape(item["product_id"]), f"{item['sold_monthly']:,}", f"{item['successfully_traded']:,}", revenue)
    console = Console(highlight=False)
    console.print(f"cycle {span(answer['cycle'])}")
    console.print(table if answer["items"] else "nothing sold")
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)
