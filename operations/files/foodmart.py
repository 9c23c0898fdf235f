"""FoodMart as order events: the sample data of a retail chain, used in courses.

A folder has `transactions*.csv` (transaction date, stock date, product id, customer id, store id,
quantity), `returns*.csv` (return date, product id, store id, quantity) and `products.csv` (product
id, product name, product retail price, …), plain or `.gz`; dates are M/D/YYYY. Ids stay as they
are.

- The rows of one transaction date, customer and store are an order, each row a line at the
  product's retail price in cents (USD). The order is placed at noon UTC of its earliest stock date
  and received at noon UTC of the transaction date.
- A return is a succeeded refund at noon UTC of its date. Returns are assigned by date: each unit to
  the earliest sale of that product in that store that has units left and isn't later. So a return
  of several units may be refunds of several orders.
- Units without such a sale are a refund of an unknown order.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from operations.files.opening import EventFileUnreadable, opened

Event = dict[str, Any]
Row = dict[str, str]


@dataclass(slots=True)
class _SoldLine:
    """A line that returns can be assigned to; `left` in units."""

    date: str
    order_id: str
    line_id: str
    left: int


def events(folder: Path) -> list[Event]:
    """All events of a folder's files by time. Raises EventFileUnreadable."""
    prices = {
        row["product id"]: int(Decimal(row["product retail price"]) * 100)
        for row in _rows(folder, "products")
    }
    sold: dict[tuple[str, str], list[_SoldLine]] = defaultdict(list)
    found = list(_sales(folder, prices, sold))
    for lines in sold.values():
        lines.sort(key=lambda line: line.date)
    found += _returns(folder, prices, sold)
    found.sort(key=lambda event: event["occurred_at"])
    return found


def names(folder: Path) -> list[Event]:
    """A line with the name of each product that has one. Raises EventFileUnreadable."""
    return [
        {"type": "product_named", "product_id": row["product id"], "name": name}
        for row in _rows(folder, "products")
        if (name := row.get("product name"))
    ]


def _sales(
    folder: Path, prices: dict[str, int], sold: dict[tuple[str, str], list[_SoldLine]]
) -> Iterator[Event]:
    orders: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in _rows(folder, "transactions*"):
        orders[_date(row["transaction date"]), row["customer id"], row["store id"]].append(row)
    for (date, customer, store), rows in orders.items():
        order_id = f"{date}-{customer}-{store}"
        common = {"source": f"/foodmart/stores/{store}", "order_id": order_id}
        lines = []
        for number, row in enumerate(rows, 1):
            product, quantity = row["product id"], int(row["quantity"])
            lines.append(
                {
                    "line_id": str(number),
                    "product_id": product,
                    "quantity": quantity,
                    "unit_price": prices[product],
                }
            )
            sold[store, product].append(_SoldLine(date, order_id, str(number), quantity))
        placed = min(_date(row["stock date"]) for row in rows)
        yield {
            "type": "order_placed",
            "id": f"{order_id}-placed",
            "occurred_at": _noon(placed),
            **common,
            "shop_id": store,
            "buyer_id": customer,
            "currency": "USD",
            "lines": lines,
        }
        yield {
            "type": "receipt_confirmed",
            "id": f"{order_id}-received",
            "occurred_at": _noon(date),
            **common,
            "by": "buyer",
        }


def _returns(
    folder: Path, prices: dict[str, int], sold: dict[tuple[str, str], list[_SoldLine]]
) -> Iterator[Event]:
    rows = sorted(
        enumerate(_rows(folder, "returns*"), 1),
        key=lambda item: (_date(item[1]["return date"]), item[0]),
    )
    for number, row in rows:
        date, product = _date(row["return date"]), row["product id"]
        unmatched = int(row["quantity"])
        returned: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for line in sold[row["store id"], product]:
            if line.date > date or not unmatched:
                break
            units = min(line.left, unmatched)
            if units:
                line.left -= units
                unmatched -= units
                returned[line.order_id].append((line.line_id, units))
        if unmatched:
            returned[f"unknown-{number}"].append(("1", unmatched))
        for part, (order_id, lines) in enumerate(returned.items(), 1):
            refund_id = f"return-{number}-{part}"
            yield {
                "type": "refund_succeeded",
                "id": refund_id,
                "source": "/foodmart/returns",
                "occurred_at": _noon(date),
                "order_id": order_id,
                "refund_id": refund_id,
                "reason": "other",
                "lines": [
                    {"line_id": line_id, "quantity": units, "amount": units * prices[product]}
                    for line_id, units in lines
                ],
            }


def _rows(folder: Path, name: str) -> Iterator[Row]:
    paths = sorted([*folder.glob(f"{name}.csv"), *folder.glob(f"{name}.csv.gz")])
    if not paths:
        raise EventFileUnreadable(f"{folder}: no {name}.csv or {name}.csv.gz there")
    for path in paths:
        with opened(str(path)) as (stream, _):
            yield from csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))


def _date(text: str) -> str:
    """M/D/YYYY as YYYY-MM-DD."""
    month, day, year = text.split("/")
    return f"{year}-{month:0>2}-{day:0>2}"


def _noon(date: str) -> str:
    return f"{date}T12:00:00Z"
