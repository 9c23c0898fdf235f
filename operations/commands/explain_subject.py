"""Shows the explanation of a product or a shop: its orders, its parts, and how its number moved."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from operations.in_words import freshness_line, moment_line, signed, sold_line, span
from schemas.money import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

BAR_WIDTH: Final = 30
"""Characters of the longest bar of the movement."""


def of_subject(id_: str, answer: dict[str, Any]) -> None:
    """Show the explanation of a product or a shop; the number is its last sentence."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"{escape(id_)}, cycle {span(answer['cycle'])}", soft_wrap=True)
    console.print(moment_line(answer["moment"]), soft_wrap=True)
    if answer["orders"]:
        console.print(_orders(answer["orders"], with_product="shop_id" in answer))
    if answer["orders_left_out"]:
        rest = answer["sums_left_out"]
        console.print(
            f"and {_many(answer['orders_left_out'], 'smaller order')}:"
            f" {_many(rest['units'], 'unit')}{_amounts(rest['amounts'])}",
            soft_wrap=True,
        )
    if answer["movement"]["steps"]:
        console.print(_movement(answer["movement"]))
    for line in _parts(answer):
        console.print(line, soft_wrap=True)
    for line in _uncounted(id_, answer):
        console.print(line, soft_wrap=True, markup=False)
    number = _amounts({currency: one["net"] for currency, one in answer["revenue"].items()})
    console.print(
        f"in all: {_many(answer['units']['net'], 'unit')}{number}; {sold_line(answer)}",
        soft_wrap=True,
    )
    console.print(freshness_line(answer["freshness"]), style="dim", soft_wrap=True)


def _orders(orders: list[dict[str, Any]], *, with_product: bool) -> Table:
    """Each order with its net units and amount, and below it its journal entries with signs.

    `with_product`: each entry names its product.
    """
    from rich.markup import escape

    table = _table("order, and its entries", "", "units", "amount", "")
    for one in orders:
        currency = one["currency"]
        table.add_row(
            escape(one["order_id"]),
            escape(" ".join(one["others"])),
            f"{one['units']['net']:,}",
            f"{currency} {shown(currency, one['amount']['net'])}",
            _sides(one["units"]),
        )
        for entry in one["entries"]:
            table.add_row(
                f"  {entry['position'] or 'derived from its facts'}",
                f"{entry['at']}{'  ' + escape(entry['product_id']) if with_product else ''}",
                f"{entry['units']:+,}",
                signed(currency, entry["amount"]),
                "; ".join(_notes(entry)),
                style="dim",
            )
        if one["entries_left_out"]:
            table.add_row(f"  and {one['entries_left_out']:,} more entries", style="dim")
    return table


def _sides(units: dict[str, int]) -> str:
    if not units["reversed"]:
        return ""
    return f"{units['gross']:,} sold, {units['reversed']:,} reversed"


def _notes(entry: dict[str, Any]) -> Iterator[str]:
    if entry["restates"]:
        yield "restates"
    if entry["booked"] and not (entry["units"] or entry["amount"]):
        yield f"{entry['booked']:+,} booked, of another cycle's sale"


def _parts(answer: dict[str, Any]) -> Iterator[str]:
    """One line each: all orders and entries, reversals, restatements."""
    yield (f"{_many(answer['order_count'], 'order')} in {_many(answer['entries'], 'journal entr')}")
    part = answer["reversals"]
    reversed_ = {currency: -amount for currency, amount in part["amounts"].items()}
    yield (
        f"reversals, whenever they happened: {-part['units']:,} units{_amounts(reversed_)}"
        f" in {_many(part['entries'], 'entr')}"
    )
    part = answer["restatements"]
    yield (
        "restatements: event time alone doesn't tell"
        if part is None
        else f"restatements, after the cycle's end: {part['units']:+,} units"
        f"{_amounts(part['amounts'])} in {_many(part['entries'], 'entr')}"
    )


def _uncounted(id_: str, answer: dict[str, Any]) -> Iterator[str]:
    """The orders of a product of which nothing counts."""
    if "uncounted" not in answer:
        return
    found, cycle = answer["uncounted"], answer["cycle"]
    if found is None:
        if not (answer["moment"]["known_at"] or answer["moment"]["as_of"]):
            yield "orders that count nothing: unknown, the event index is not that far yet"
        return
    which = "" if found["is_all"] else "the newest "
    yield (
        f"of {which}{_many(found['searched'], 'order')} placed in the cycle,"
        f" {found['count']:,} count nothing of {id_}"
    )
    for one in found["newest"]:
        yield f"  {one['order_id']}, placed {one['placed_at']}: {one['why']}"
    if found["count"] > len(found["newest"]):
        yield (
            f"  all of them: netsold find --product {quote(id_)} --not-counted"
            f" --from {cycle['start']} --to {cycle['end']}"
        )


def _movement(movement: dict[str, Any]) -> Table:
    """The number after each step, as a bar, with what the step added."""
    days = movement["step_days"]
    table = _table(
        "day (UTC)" if days == 1 else f"{days} days from", "", "units", "amount", "after"
    )
    largest = max(abs(step["running_units"]) for step in movement["steps"]) or 1
    for step in movement["steps"]:
        running = step["running_units"]
        table.add_row(
            step["start"][:10],
            "█" * round(max(0, running) * BAR_WIDTH / largest),
            f"{step['units']:+,}",
            "  ".join(signed(*money) for money in step["amounts"].items()),
            f"{running:,}",
        )
    return table


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[2:4]:
        column.justify = "right"
    return table


def _amounts(amounts: dict[str, int]) -> str:
    return "".join(
        f", {currency} {shown(currency, amount)}" for currency, amount in amounts.items()
    )


def _many(count: int, word: str) -> str:
    """A count with its noun; a noun that ends in `entr` has its own plural."""
    endings = ("y", "ies") if word.endswith("entr") else ("", "s")
    return f"{count:,} {word}{endings[count != 1]}"
