"""`netsold explain`: why a number is what it is, as a reader answers it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer

from operations.arguments import AsOf, Json, KnownAt
from operations.commands import explain_subject, show_explanation
from operations.commands.get import PATHS, CycleOption, MaxLag
from operations.output import print_json
from operations.reader_client import get, in_path
from schemas import limits
from streams.settings import Settings


class Explained(StrEnum):
    """What can be explained."""

    ORDER = "order"
    PRODUCT = "product"
    SHOP = "shop"


LISTED: Final = (
    f"Most events of an order, the newest ({limits.EXPLAINED_EVENTS} if absent), or most orders of"
    " a product or a shop, the largest (10 if absent)."
)
"""The help of `--limit`."""


def command(  # noqa: PLR0917 - typer's form
    kind: Annotated[Explained, typer.Argument(help="What it is.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id, as events name it.")],
    cycle: CycleOption = None,
    known_at: KnownAt = None,
    as_of: AsOf = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=limits.EXPLAINED_EVENTS, help=LISTED)
    ] = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """Show why a number is what it is, now or at an earlier moment.

    Of an order: every event as it stands in the log, its rules, its effect, the result. Of a
    product or a shop: the orders that make up its number, largest first, and how it moved.

    With --json, money is in minor units of its currency.
    """
    if not id_:
        raise typer.BadParameter("an id has at least one character", param_hint="ID")
    if kind is Explained.ORDER and cycle is not None:
        raise typer.BadParameter("an order is not of one cycle", param_hint="--cycle")
    query = {
        "cycle": cycle,
        "known_at": known_at,
        "as_of": as_of,
        "limit": limit,
        "max_lag": max_lag,
    }
    answer = get(Settings(), f"/v1/{PATHS[kind]}/{in_path(id_)}/explanation", query)
    if as_json:
        print_json(answer)
    elif kind is Explained.ORDER:
        show_explanation.of_order(id_, answer)
    else:
        explain_subject.of_subject(id_, answer)
