"""`netsold get`: what a reader answers about one id."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from operations.arguments import AsOf, Json, KnownAt
from operations.commands import show_service
from operations.in_words import freshness_line, moment_line, name_in_words, sold_line, span
from operations.output import print_json
from operations.reader_client import get, in_path
from schemas.money import shown
from streams.settings import Settings
from tables.catalogue import REPORT_LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

MONEY: Final = frozenset({"unit_price", "discount", "amount"})
"""The fields of events with money in them."""

PATHS: Final = {
    table.keyed_by.removesuffix("_id"): name
    for name, table in REPORT_LISTS.items()
    if table.form == "sales"
} | {"order": "orders"}
"""What a reader answers about, with its part of the address: `product` is at /v1/products."""

if TYPE_CHECKING:
    Kind = str
else:  # type checkers can't read members that are computed
    Kind = StrEnum("Kind", {word.upper(): word for word in PATHS})

CycleOption = Annotated[
    str | None,
    typer.Option(help="Any instant of the cycle, ISO 8601 with zone; else the current cycle."),
]
MaxLag = Annotated[
    str | None,
    typer.Option(help="Such as 5s or 2m: fail (exit code 5) if the answer is further behind."),
]


def command(  # noqa: PLR0917 - typer's form
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id, as events name it.")],
    cycle: CycleOption = None,
    known_at: KnownAt = None,
    as_of: AsOf = None,
    max_lag: MaxLag = None,
    as_json: Json = False,
) -> None:
    """Show what is known of one id, now or at an earlier moment.

    With --json, money is in minor units of its currency.
    """
    if not id_:
        raise typer.BadParameter("an id has at least one character", param_hint="ID")
    if kind == "order" and cycle is not None:
        raise typer.BadParameter("an order is not of one cycle", param_hint="--cycle")
    query = {"cycle": cycle, "known_at": known_at, "as_of": as_of, "max_lag": max_lag}
    answer = get(Settings(), f"/v1/{PATHS[kind]}/{in_path(id_)}", query)
    if as_json:
        print_json(answer)
        return
    from rich.console import Console

    console = Console(highlight=False)
    (_show_order if kind == "order" else _show_cycle)(console, id_, answer)
    if "moment" in answer:
        console.print(moment_line(answer["moment"]), soft_wrap=True)
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)


def _show_cycle(console: Console, id_: str, answer: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"{escape(id_)}, cycle {span(answer['cycle'])}", soft_wrap=True)
    names = map(name_in_words, answer["units"])
    table = Table("", *names, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in _sums(answer):
        table.add_row(*row)
    console.print(table)
    console.print(sold_line(answer))
    if answer.get("service") is None:  # of an earlier moment
        return
    if "service_all_time" in answer:
        show_service.of_shop(console, answer)
    else:
        show_service.of_product(console, answer["service"])


def _sums(answer: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each field that has the sums of `units`, and rows by currency.

    Units by currency are shown if there are several currencies.
    """
    for field, sums in answer.items():
        if field == "revenue":
            for currency, money in sums.items():
                yield currency, *(shown(currency, amount) for amount in money.values())
        elif field == "units_by_currency":
            if len(sums) > 1:
                for currency, units in sums.items():
                    yield f"units, {currency}", *(f"{number:,}" for number in units.values())
        elif isinstance(sums, dict) and sums.keys() == answer["units"].keys():
            yield name_in_words(field), *(f"{number:,}" for number in sums.values())


def _show_order(console: Console, id_: str, answer: dict[str, Any]) -> None:
    from rich.markup import escape

    currency = answer["currency"]
    about = (
        "not placed"
        if answer["shop_id"] is None
        else f"{answer['buyer_id']} from {answer['shop_id']}, {currency}"
    )
    console.print(escape(f"{id_}, {about}"))
    console.print(_facts(answer))
    if not answer["sales"]:
        console.print("no sale")
    for sale in answer["sales"]:
        units, amount = sale["units"], sale["amount"]
        net, gross = shown(currency, amount["net"]), shown(currency, amount["gross"])
        line = (
            f"line {sale['line_id']}:"
            f" {units['net']:,} of {units['gross']:,} units of {sale['product_id']},"
            f" {currency} {net} of {gross}, in cycle {span(sale['cycle'])}"
        )
        console.print(escape(line), soft_wrap=True)
    for one in answer["anomalies"]:
        line = f", line {one['line_id']}" if one["line_id"] else ""
        console.print(escape(f"anomaly: {one['anomaly']}{line}"), style="yellow")


def _facts(answer: dict[str, Any]) -> Table:
    """The events of an order, with their fields as people read them."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("occurred at", "event", "", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[:2]:
        column.no_wrap = True
    table.columns[2].overflow = "fold"  # never cut, also on a narrow terminal
    for fact in answer["facts"]:
        fields = {
            name: value
            for name, value in fact.items()
            if name not in {"type", "occurred_at", "shop_id", "buyer_id", "currency"}
        }
        text = in_one_line(fields, answer["currency"])
        table.add_row(fact["occurred_at"], fact["type"], escape(text))
    return table


def in_one_line(fields: dict[str, Any], currency: str | None) -> str:
    """The fields of an event, with their money as people read it."""
    return _line(_priced(fields, currency))


def _priced(content: Any, currency: str | None) -> Any:  # noqa: ANN401 - JSON of any form
    """A fact's content with its money as people read it, in the order's currency."""
    if isinstance(content, dict):
        return {
            name: shown(currency, value)
            if name in MONEY and isinstance(value, int)
            else _priced(value, currency)
            for name, value in content.items()
        }
    return [_priced(one, currency) for one in content] if isinstance(content, list) else content


def _line(fields: dict[str, Any]) -> str:
    return "  ".join(
        ", ".join(map(_line_in_words, value)) if name == "lines" else f"{name}={_plain(value)}"
        for name, value in fields.items()
    )


def _line_in_words(line: dict[str, Any]) -> str:
    """A line of an order, or of a refund; its money is in words already."""
    about, units = f"line {line['line_id']}:", line["quantity"]
    if "product_id" not in line:
        return f"{about} {units} unit{'' if units == 1 else 's'}, {line['amount']}"
    less = f" less {line['discount']}" if line.get("discount") else ""
    return f"{about} {units} x {line['product_id']} at {line['unit_price']}{less}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ":".join(str(one) for one in value.values())
    return ",".join(map(_plain, value)) if isinstance(value, list) else str(value)
