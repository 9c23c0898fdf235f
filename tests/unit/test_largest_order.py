"""The order with the most lines that fit into a record.

Its state, its journal and its changelogs fit into their records, too.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas import envelope, limits
from tables.catalogue import ORDERS, SALES_TOPIC, SHOP_ACTIVITY_TOPIC
from tests.flow import Flow

COMMON = {"source": "/s", "order_id": "o-1"}
PLACED = COMMON | {
    "type": "order_placed", "id": "e-1", "occurred_at": "2026-07-01T08:00:00Z", "shop_id": "s",
    "buyer_id": "b", "currency": "CNY",
}  # fmt: skip
RECEIVED = COMMON | {
    "type": "receipt_confirmed",
    "id": "e-2",
    "occurred_at": "2026-07-02T08:00:00Z",
    "by": "buyer",
}
REFUNDED = COMMON | {
    "type": "refund_succeeded", "id": "e-3", "occurred_at": "2026-07-03T08:00:00Z",
    "refund_id": "r", "reason": "quality",
}  # fmt: skip
SHORT = [
    {"line_id": f"{n:x}", "product_id": f"{n:x}", "quantity": 1, "unit_price": 1}
    for n in range(6000)
]
LONG = [
    {
        "line_id": f"{n:x}",
        "product_id": '"' * 120 + f"{n:x}",
        "quantity": 10**6,
        "unit_price": 10**7,
        "discount": 1,
    }
    for n in range(6000)
]


def _filled(event: dict[str, Any], name: str, items: list[Any]) -> dict[str, Any]:
    """The event with as many items as fit into a record's value."""
    least, most = 1, len(items)
    while least < most:
        middle = (least + most + 1) // 2
        fits = len(msgspec.json.encode(event | {name: items[:middle]})) <= limits.VALUE_BYTES
        least, most = (middle, most) if fits else (least, middle - 1)
    return event | {name: items[:least]}


@pytest.mark.parametrize("lines", [SHORT, LONG], ids=["most lines", "longest lines"])
def test_the_largest_order_is_sold_and_fits_everywhere(lines: list[dict[str, Any]]) -> None:
    """Thousands of lines sell and are refunded within the bounds of orders and batches."""
    placed = _filled(PLACED, "lines", lines)
    count = len(placed["lines"])
    assert count > (3500 if lines is SHORT else 700)
    refund_lines = [
        {"line_id": line["line_id"], "quantity": 1, "amount": 1} for line in placed["lines"]
    ]
    refunded = _filled(REFUNDED, "lines", refund_lines)
    flow = Flow().take([placed, RECEIVED, refunded])
    assert flow.parked == []
    assert len({entry.line_id for entry in flow.entries}) == count
    assert sum(entry.units_gross for entry in flow.entries) == sum(
        line["quantity"] for line in placed["lines"]
    )
    assert sum(entry.units_reversed for entry in flow.entries) == len(refunded["lines"])
    assert 0 < len(flow.tables[ORDERS.name][b"o-1"]) <= limits.ORDER_BYTES
    for topic in (SALES_TOPIC, SHOP_ACTIVITY_TOPIC):
        sent = [record for at, records in flow.logs.items() if at[0] == topic for record in records]
        assert sent
        assert (
            max(len(record.value or b"") + len(record.key or b"") for record in sent)
            < limits.BATCH_BYTES
        )
    for rows in flow.tables.values():
        assert max((len(row) for row in rows.values()), default=0) < limits.BATCH_BYTES


def test_the_largest_list_of_line_ids_fits_into_an_order() -> None:
    """One receipt has tens of thousands of ids of lines that nobody ordered.

    The order's sale doesn't change, and the order stays within its bound.
    """
    received = _filled(RECEIVED, "line_ids", [f"{n:x}" for n in range(60_000)])
    assert len(received["line_ids"]) > 30_000
    flow = Flow().take([PLACED | {"lines": SHORT[:2]}, received])
    assert flow.parked == []
    assert [entry.line_id for entry in flow.entries] == ["0", "1"]
    assert len(flow.tables[ORDERS.name][b"o-1"]) <= limits.ORDER_BYTES


def test_a_state_is_never_larger_than_what_was_read() -> None:
    """So two events of the largest kind always fit.

    A state writes each fact shorter than its event.
    """
    placed = _filled(PLACED, "lines", LONG)
    key, value, headers = envelope.encode(placed)
    flow = Flow()
    flow.send("orders", key, value, headers)
    state = flow.run().tables[ORDERS.name][b"o-1"]
    assert len(state) < len(value) + sum(len(content) for _, content in headers)
