"""`netsold search`: products, shops and orders by how their ids or names begin."""

from __future__ import annotations

from typing import Annotated

import typer

from operations.aligned import aligned
from operations.arguments import Json
from operations.in_words import freshness_line
from operations.output import print_json
from operations.reader_client import get
from schemas import http_limits
from schemas.errors import NetsoldError
from schemas.shown_answers import FoundKind
from streams.settings import Settings


class NothingBegins(NetsoldError):
    """No id and no name begins with a text."""

    exit_code = 4


def command(
    text: Annotated[str, typer.Argument(help="How an id, or words of a name, begin.")],
    kind: Annotated[FoundKind | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=http_limits.SEARCH_ITEMS, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Find products, shops and orders by ids, and products and shops by names.

    Exit code 4 if there is none. Units are net units of the current cycle.
    """
    if not text.strip():
        raise typer.BadParameter("a text has at least one character")
    answer = get(Settings(), "/v1/search", {"q": text, "kind": kind, "limit": limit})
    if not answer["items"]:
        raise NothingBegins(f"no id and no name begins with {text!r}")
    if as_json:
        print_json(answer)
        return
    from rich.console import Console

    rows = [
        (
            item["kind"],
            item["id"],
            item["name"] or "",
            "" if item["units"] is None else f"{item['units']:,}",
        )
        for item in answer["items"]
    ]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    head, *lines = aligned([("kind", "id", "name", "sold monthly"), *rows], right=(3,))
    console.print(head, style="dim")
    for line in lines:
        console.print(line)
    if not answer["complete"]:
        console.print("and more: give a longer text, or raise --limit")
    console.print(freshness_line(answer["freshness"]), style="dim")
