"""`netsold series`: how a product, a shop or the marketplace sold by cycle, day or hour."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.aligned import aligned
from operations.arguments import Json
from operations.in_words import freshness_line, name_in_words
from operations.output import print_json
from operations.reader_client import get, in_path
from schemas import limits
from schemas.money import shown
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS: Final = "▁▂▃▄▅▆▇█"
_CYCLES: Final = 12
"""How many cycles are shown unless another number is given."""


class Of(StrEnum):
    """What a series is about."""

    PRODUCT = "product"
    SHOP = "shop"
    MARKETPLACE = "marketplace"


def command(  # noqa: PLR0917 - typer's form
    of: Annotated[Of, typer.Argument(help="What it is about.")],
    id_: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id of the product or the shop.")
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option(
            min=1, max=limits.SERIES_CYCLES, help=f"The last cycles; {_CYCLES} by default."
        ),
    ] = None,
    days: Annotated[bool, typer.Option("--days", help="By day; else the current cycle's.")] = False,
    hours: Annotated[
        bool, typer.Option("--hours", help="By hour, 60 days back; else the last 24.")
    ] = False,
    from_: Annotated[
        str | None, typer.Option("--from", help="ISO 8601 with zone: of --days or --hours.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="ISO 8601 with zone: the instant behind the last one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show sales by cycle, or by day or hour of UTC, oldest first.

    With --json, money is in minor units of its currency.
    """
    if (of is Of.MARKETPLACE) != (id_ is None):
        fault = "the marketplace has no id" if id_ else f"give the id of the {of}"
        raise typer.BadParameter(fault, param_hint="ID")
    if id_ == "":
        raise typer.BadParameter("an id has at least one character", param_hint="ID")
    if days + hours + (cycles is not None) > 1:
        raise typer.BadParameter("give one of --cycles, --days and --hours")
    step = "days" if days else "hours" if hours else "cycles"
    if step == "cycles" and (from_ or to):
        raise typer.BadParameter("it goes with --days or --hours", param_hint="--from, --to")
    path = "marketplace" if id_ is None else f"{of}s/{in_path(id_)}"
    query: dict[str, str | int | None] = (
        {"last": cycles or _CYCLES} if step == "cycles" else {"from": from_, "to": to}
    )
    answer = get(Settings(), f"/v1/{path}/{step}", query)
    if as_json:
        print_json(answer)
    else:
        _show(id_ or "the marketplace", step.removesuffix("s"), answer)


def _show(name: str, step: str, answer: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    items = answer["items"]
    console.print(f"{name}, net units by {step}: {sparkline([_net(item) for item in items])}")
    sums = tuple(items[0]["units"])
    words = (*map(name_in_words, sums), "net revenue")
    rows = [
        (
            item["start"] if "start" in item else item["cycle"]["start"],
            *(f"{item['units'][field]:,}" for field in sums),
            "  ".join(
                f"{currency} {shown(currency, money['net'])}"
                for currency, money in item["revenue"].items()
            ),
        )
        for item in items
    ]
    head, *lines = aligned([(step, *words), *rows], right=range(1, len(sums) + 1))
    console.print(head, style="dim")
    for line in lines:
        console.print(line)
    console.print(freshness_line(answer["freshness"]), style="dim")


def _net(item: dict[str, Any]) -> int:
    net: int = item["units"]["net"]
    return net


def sparkline(numbers: Sequence[int]) -> str:
    """A bar for each number, from zero to the largest of them."""
    most = max(numbers, default=0)
    return "".join(_BARS[number * (len(_BARS) - 1) // most if most else 0] for number in numbers)
