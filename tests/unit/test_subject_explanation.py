"""The work of an explanation of a product or a shop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict, astuple, replace

from schemas.columns import ZERO
from serving import keys
from serving.past_sales import PastSales
from serving.subject_explanation import InCycle, explained
from tables.breakdown import Breakdown
from tables.brief_entries import BriefEntry, encode_entries
from tables.time_travel import Moment
from tests.flow import CYCLES

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDERS = 3000
PRODUCT_ID = b"p-1"
SOLD = asdict(replace(ZERO, units_gross=1))


def _entry(number: int) -> BriefEntry:
    """The sale of one unit in an order of its own."""
    return BriefEntry(
        **SOLD,
        partition=0,
        offset=number,
        at_ms=0,
        restates=False,
        currency="CNY",
        order_id=f"o-{number:06}",
        other_id="s-1",
    )


class OneEntryValues:
    """The store of a product whose entries arrived one by one: each is a value of its own."""

    def __init__(self) -> None:
        self._rows = [
            (
                keys.brief_value("product_id", PRODUCT_ID, 0, (0, number)),
                encode_entries([astuple(_entry(number))]),
            )
            for number in range(ORDERS)
        ]

    def walk(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows with a prefix."""
        return (row for row in self._rows if row[0].startswith(prefix))


def seconds(limit: int) -> float:
    """The CPU time of an explanation that lists so many orders, the least of three."""

    def once() -> float:
        snapshot: Any = OneEntryValues()
        started_s = time.process_time()
        sales = PastSales(snapshot, CYCLES, Moment({0: ORDERS}), {})
        breakdown = Breakdown()
        assert sales.of("product_id", PRODUCT_ID, 0, breakdown)[0].units.gross == ORDERS
        what = InCycle(sales, "product_id", PRODUCT_ID, 0)
        found = explained(what, breakdown, limit, "orders")
        assert len(found["orders"]) == limit
        assert found["orders"][-1].entries[0].position == f"orders-0@{limit - 1}"
        return time.process_time() - started_s

    return min(once() for _ in range(3))


def test_more_listed_orders_hardly_cost_more() -> None:
    """Each entry is looked up once, however many orders are listed and however it was stored."""
    assert seconds(200) < 5 * seconds(1)
