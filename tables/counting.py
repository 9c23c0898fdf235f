"""What counts of an order: the rules S1 to S9, in their order, and nothing else.

The theory. An order is a set of facts (`orders`), and this function of it has no memory: it never
asks what was counted before or which fact came last. So any order of arrival leads to one result
(S12), and what an event changed is the difference of the results before and after it (`entries`).
Instants are those at which things happened, never those at which we heard of them.

Each line goes its own way. It is a sale once it is both placed and received (S1); its sale stands
at its earliest receipt (S2), with what was ordered (S3), unless the order had been called off
before (S4). Then the refunds that succeeded and stayed (S5) go through it by age, each taking at
most what the ones before have left (S8): until the receipt they lessen what is sold (S7), from the
receipt on they are reversals. A reversal keeps its own instant beside the sale's, so that both
bases can be summed (S6).

    placed quantity = never sold (S7) + gross;   gross = net + reversed;   the same for money, in
    minor units of one currency.

Whatever is odd in this is an anomaly: a note on the order. It refuses nothing and changes no
number.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from schemas.envelope import Received
from tables.orders import Facts, Line, Order, Placed, Refund


class Anomaly(StrEnum):
    """What can be odd about an order that can be counted all the same."""

    CANCELLED_AFTER_RECEIPT = "cancelled_after_receipt"
    CONFLICTING_EVENT = "conflicting_event"
    RECEIVED_AFTER_CANCEL = "received_after_cancel"
    REFUND_EXCEEDS_SALE = "refund_exceeds_sale"
    UNKNOWN_LINE = "unknown_line"
    UNKNOWN_PRODUCT = "unknown_product"


class Oddity(NamedTuple):
    """An anomaly, and the line that it concerns, or "" when it concerns the order."""

    anomaly: Anomaly
    line_id: str = ""


class Reversal(msgspec.Struct, frozen=True, gc=False):
    """What one refund took off a sale, at its own instant, and why."""

    at_ms: int
    units: int
    amount: int
    refund_id: str
    reason: str


class Sale(msgspec.Struct, frozen=True, gc=False):
    """A line that counts: gross units and amount at the instant of its receipt, and what was taken off again."""

    line: Line
    at_ms: int
    units: int
    amount: int
    reversals: tuple[Reversal, ...]

    @property
    def line_id(self) -> str:
        """The line's id, unique in its order."""
        return self.line.line_id

    @property
    def product_id(self) -> str:
        """What was sold."""
        return self.line.product_id


class Counted(msgspec.Struct, frozen=True, gc=False):
    """The sales of an order in the order of its lines, whose they are, and what is odd."""

    shop_id: str
    buyer_id: str
    currency: str
    sales: tuple[Sale, ...]
    oddities: frozenset[Oddity]


NOTHING: Final = Counted("", "", "", (), frozenset())
_NEVER: Final = 2**63

EVENTS: Final = frozenset(
    {"order_placed", "receipt_confirmed", "order_cancelled", "refund_succeeded", "refund_reversed"}
)
"""The types of events whose facts sales are derived from."""

Asked = tuple[Refund, int, int]
"""What a refund asks of a line: units and amount."""


def derive(order: Order) -> Counted:
    """What counts of an order, given all that is known of it."""
    oddities: set[Oddity] = set()
    if _contradicts_itself(order):
        oddities.add(Oddity(Anomaly.CONFLICTING_EVENT))
    if not (
        order.placed and (order.receipts or order.refunds)
    ):  # S1: no sale yet, and no line that could be odd
        return Counted("", "", "", (), frozenset(oddities)) if oddities else NOTHING
    placed = order.placed[0]  # S11: facts stand sorted, so the first is the one that holds
    line_ids = dict.fromkeys([line.line_id for line in placed.lines])
    received = _received(order, line_ids)
    asked = _asked(order, placed) if order.refunds else {}
    for line_id in received.keys() | asked.keys() if asked else received:
        if line_id not in line_ids:  # S8
            oddities.add(Oddity(Anomaly.UNKNOWN_LINE, line_id))
    sales = _sales(order, received, asked, oddities)
    return Counted(placed.shop_id, placed.buyer_id, placed.currency, sales, frozenset(oddities))


def _sales(
    order: Order, received: dict[str, int], asked: dict[str, list[Asked]], oddities: set[Oddity]
) -> tuple[Sale, ...]:
    """The lines that are sales: S1 to S9 at each line. Adds to `oddities`."""
    placed = order.placed[0]
    cancelled_ms = order.cancellations[0].occurred_at_ms if order.cancellations else _NEVER
    sales = []
    for line in placed.lines:
        # S1: a sale is a line both placed and received. S2: at its earliest receipt, whatever came
        # first.
        line_id = line.line_id
        received_ms = received.get(line_id)
        if received_ms is None:
            continue

        # S3: quantity; quantity times unit price, less the line's discount.
        left_units, left_amount = line.quantity, revenue(line)

        # S4: called off before the receipt, it counts nothing; called off after it, it counts as if
        # nothing had been said.
        if received_ms > cancelled_ms:
            oddities.add(Oddity(Anomaly.RECEIVED_AFTER_CANCEL, line_id))
            continue
        if received_ms < cancelled_ms < _NEVER:
            oddities.add(Oddity(Anomaly.CANCELLED_AFTER_RECEIPT, line_id))

        gross_units, gross_amount = left_units, left_amount
        reversals = []
        for refund, units, amount in asked.get(
            line_id, ()
        ):  # S5: those that succeeded and stayed; S8: by age
            # S8: cut to what is left, units and amount each for itself. S9: units may be 0, then
            # only money goes.
            taken_units, taken_amount = min(units, left_units), min(amount, left_amount)
            if refund.lines is not None and (taken_units < units or taken_amount < amount):
                oddities.add(Oddity(Anomaly.REFUND_EXCEEDS_SALE, line_id))
            left_units -= taken_units
            left_amount -= taken_amount
            if (
                refund.occurred_at_ms < received_ms
            ):  # S7: before the receipt it lessens what is sold
                gross_units, gross_amount = left_units, left_amount
            elif (
                taken_units or taken_amount
            ):  # S6: from the receipt on it is a reversal, with an instant of its own
                reversals.append(
                    Reversal(
                        refund.occurred_at_ms,
                        taken_units,
                        taken_amount,
                        refund.refund_id,
                        refund.reason,
                    )
                )

        if gross_units or gross_amount:  # S7: what was refunded away before its receipt is no sale
            sales.append(
                Sale(
                    line,
                    received_ms,
                    gross_units,
                    gross_amount,
                    tuple(reversals),
                )
            )
    return tuple(sales)


def revenue(line: Line) -> int:
    """S3: minor units of money for a whole line."""
    return line.quantity * line.unit_price - (line.discount or 0)


def _received(order: Order, line_ids: Iterable[str]) -> dict[str, int]:
    """S2: by line, when it was first received; receipts stand sorted by `occurred_at`.

    Without `line_ids` they mean all lines.
    """
    first: dict[str, int] = {}
    for receipt in order.receipts:
        for line_id in receipt.line_ids or line_ids:
            first.setdefault(line_id, receipt.occurred_at_ms)
    return first


def _asked(order: Order, placed: Placed) -> dict[str, list[Asked]]:
    """S8: by line, what refunds ask of it, by (`occurred_at`, `refund_id`).

    Without `lines`, each line's whole quantity and revenue.

    Of the refunds without `lines` only the first one is listed: it leaves nothing.
    """
    asked: dict[str, list[Asked]] = {}
    nothing_left = False
    for refund in _refunds_that_count(order):
        if refund.lines is None:
            if nothing_left:
                continue
            nothing_left = True
            for line in placed.lines:
                asked.setdefault(line.line_id, []).append((refund, line.quantity, revenue(line)))
        else:
            for one in refund.lines:
                asked.setdefault(one.line_id, []).append((refund, one.quantity, one.amount))
    return asked


def _refunds_that_count(order: Order) -> Sequence[Refund]:
    """S5: the refunds that succeeded and weren't returned.

    Of those with one refund_id the first (S11); in the order of S8.
    """
    returned = {fact.refund_id for fact in order.refund_returns}
    first: dict[str, Refund] = {}
    for refund in order.refunds:  # they stand sorted by (occurred_at, id)
        if refund.refund_id not in returned:
            first.setdefault(refund.refund_id, refund)
    return sorted(first.values(), key=lambda refund: (refund.occurred_at_ms, refund.refund_id))


def _contradicts_itself(order: Order) -> bool:
    """S11: whether facts of which only one can hold differ in more than when, and under which id, they were told."""
    if order.conflicts:
        return True
    if len(order.placed) > 1:
        first, *others = [
            (fact.shop_id, fact.buyer_id, fact.currency, fact.group_id, fact.lines)
            for fact in order.placed
        ]
        if any(one != first for one in others):
            return True
    if len(order.refunds) > 1:
        told: dict[str, Refund] = {}
        for refund in order.refunds:
            known = told.setdefault(refund.refund_id, refund)
            if known.reason != refund.reason or known.lines != refund.lines:
                return True
    return False


def may_differ(after: Order | Facts, event: Received) -> bool:
    """Whether an event, with which an order has come to this state, may have changed its sales.

    False is certain, and cheap to find out: nothing has ever been received (S1), or sales aren't
    derived from such a fact.
    """
    return bool(after.conflicts) or (event.type in EVENTS and bool(after.receipts))
