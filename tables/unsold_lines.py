"""Why lines of an order are no sales, by what would count if some facts weren't known."""

from typing import Final, Literal

from msgspec.structs import replace

from tables import counting
from tables.counting import Counted
from tables.orders import Order

UnsoldRule = Literal["S1", "S4", "S7"]
"""Not received, cancelled before the receipt, or refunded in full before it."""

_NOBODY: Final = frozenset[str]()


def unsold(order: Order, counted: Counted) -> dict[str, UnsoldRule]:
    """By line that is no sale, the rule that decides it; `counted` is what counts of the order.

    `derive` decides it, without a reason: a line that isn't even a sale without the
    refunds and cancellations wasn't received; one that isn't a sale without the refunds was
    cancelled; what the refunds alone make no sale was refunded before.
    """
    sold = _sold(counted)
    lines = order.placed[0].lines if order.placed else ()
    missing = [line.line_id for line in lines if line.line_id not in sold]
    if not missing:
        return {}
    kept = _sold(counting.derive(replace(order, refunds=()))) if order.receipts else _NOBODY
    received = (
        _sold(counting.derive(replace(order, refunds=(), cancellations=())))
        if order.cancellations
        else kept
    )
    return {
        line_id: "S1" if line_id not in received else "S4" if line_id not in kept else "S7"
        for line_id in missing
    }


def _sold(counted: Counted) -> frozenset[str]:
    return frozenset(sale.line_id for sale in counted.sales)
