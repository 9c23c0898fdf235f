"""What counts of an order: the rules S1 to S9, in their order, and nothing else.

The theory. An order is a set of facts (`orders`), and this function of it has no memory: it never asks what was counted before or
which fact came last. So any order of arrival leads to one result (S12), and what an event changed is the difference of the results
before and after it (`entries`). Instants are those at which things happened, never those at which we heard of them.

Each line goes its own way. It is a sale once it is both placed and received (S1); its sale stands at its earliest receipt (S2), with
what was ordered (S3), unless the order had been called off before (S4). Then the refunds that succeeded and stayed (S5) go through
it by age, each taking at most what the ones before have left (S8): until the receipt they lessen what is sold (S7), from the receipt
on they are reversals. A reversal keeps its own instant beside the sale's, so that both bases can be summed (S6).

    placed quantity = never sold (S7) + gross;   gross = net + reversed;   the same for money, in minor units of one currency.

Whatever is odd in this is an anomaly: a note on the order. It refuses nothing and changes no number.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from tables.orders import Order, Placed, Refund


class Anomaly(StrEnum):
    """What can be odd about an order that can be counted all the same."""

    CANCELLED_AFTER_RECEIPT = "cancelled_after_receipt"
    CONFLICTING_EVENT = "conflicting_event"
    RECEIVED_AFTER_CANCEL = "received_after_cancel"
    REFUND_EXCEEDS_SALE = "refund_exceeds_sale"
    UNKNOWN_LINE = "unknown_line"


class Oddity(NamedTuple):
    """An anomaly, and the line that it concerns, or "" when it concerns the order."""

    anomaly: Anomaly
    line_id: str = ""


class Reversal(msgspec.Struct, frozen=True, gc=False):
    """What one refund took off a sale, at its own instant."""

    at_ms: int
    units: int
    amount: int


class Sale(msgspec.Struct, frozen=True, gc=False):
    """A line that counts: gross units and amount at the instant of its receipt, and what was taken off again."""

    line_id: str
    product_id: str
    at_ms: int
    units: int
    amount: int
    reversals: tuple[Reversal, ...]


class Counted(msgspec.Struct, frozen=True, gc=False):
    """The sales of an order in the order of its lines, whose they are, and what is odd."""

    shop_id: str
    buyer_id: str
    currency: str
    sales: tuple[Sale, ...]
    oddities: frozenset[Oddity]


NOTHING: Final = Counted("", "", "", (), frozenset())


def derive(order: Order) -> Counted:
    """What counts of an order, given all that is known of it."""
    oddities: set[Oddity] = set()
    if _contradicts_itself(order):
        oddities.add(Oddity(Anomaly.CONFLICTING_EVENT))
    if not order.placed:  # S1: receipts wait for the placing, and until then nothing can be odd about lines
        return Counted("", "", "", (), frozenset(oddities)) if oddities else NOTHING
    placed = order.placed[0]
    refunds = _refunds_that_count(order)
    oddities.update(Oddity(Anomaly.UNKNOWN_LINE, line_id) for line_id in _unknown_lines(order, placed, refunds))
    sales = tuple(_sales(order, placed, refunds, oddities)) if order.receipts else ()
    return Counted(placed.shop_id, placed.buyer_id, placed.currency, sales, frozenset(oddities))


def _sales(order: Order, placed: Placed, refunds: Sequence[Refund], oddities: set[Oddity]) -> Iterator[Sale]:
    """The lines that are sales, S1 to S9 at each; adds to `oddities`."""
    cancelled_ms = order.cancellations[0].occurred_at_ms if order.cancellations else None
    for line in placed.lines:
        # S1: a sale is a line both placed and received. S2: received when the earliest receipt that names it says so.
        line_id = line.line_id
        received_ms = next((fact.occurred_at_ms for fact in order.receipts if fact.line_ids is None or line_id in fact.line_ids), None)
        if received_ms is None:
            continue

        # S3: units are the quantity; the amount is the quantity times the unit price, less the line's discount.
        left_units, left_amount = line.quantity, line.quantity * line.unit_price - line.discount

        # S4: called off before it was received, it counts nothing; called off afterwards, it counts as if nothing had been said.
        if cancelled_ms is not None and received_ms > cancelled_ms:
            oddities.add(Oddity(Anomaly.RECEIVED_AFTER_CANCEL, line_id))
            continue
        if cancelled_ms is not None and received_ms < cancelled_ms:
            oddities.add(Oddity(Anomaly.CANCELLED_AFTER_RECEIPT, line_id))

        gross_units, gross_amount, reversals = left_units, left_amount, []
        for refund in refunds:  # S5: those that succeeded and stayed. S8: by (occurred_at, refund_id)
            for units, amount in _asked(refund, line_id, left_units, left_amount):
                # S8: cut to what is left, units and amount each for itself. S9: units may be 0, then only money goes.
                taken_units, taken_amount = min(units, left_units), min(amount, left_amount)
                left_units, left_amount = left_units - taken_units, left_amount - taken_amount
                if taken_units < units or taken_amount < amount:
                    oddities.add(Oddity(Anomaly.REFUND_EXCEEDS_SALE, line_id))
                if refund.occurred_at_ms < received_ms:  # S7: before the receipt it lessens what can be sold
                    gross_units, gross_amount = left_units, left_amount
                elif taken_units or taken_amount:  # S6: from the receipt on it is a reversal, with an instant of its own
                    reversals.append(Reversal(refund.occurred_at_ms, taken_units, taken_amount))

        if gross_units or gross_amount:  # S7: of a line refunded away before its receipt there is no sale
            yield Sale(line_id, line.product_id, received_ms, gross_units, gross_amount, tuple(reversals))


def _refunds_that_count(order: Order) -> Sequence[Refund]:
    """S5: the refunds that succeeded and weren't returned; of one refund_id the first (S11); in the order of S8."""
    if not order.refunds:
        return ()
    returned = {fact.refund_id for fact in order.refund_returns}
    first: dict[str, Refund] = {}
    for refund in order.refunds:  # they stand sorted by (occurred_at, id, content)
        first.setdefault(refund.refund_id, refund)
    counting = [refund for refund in first.values() if refund.refund_id not in returned]
    return sorted(counting, key=lambda refund: (refund.occurred_at_ms, refund.refund_id))


def _asked(refund: Refund, line_id: str, left_units: int, left_amount: int) -> Sequence[tuple[int, int]]:
    """What a refund asks of a line, (units, amount), as listed; without `lines` it asks for whatever is left of each (S8)."""
    if refund.lines is None:
        return ((left_units, left_amount),)
    return [(asked.quantity, asked.amount) for asked in refund.lines if asked.line_id == line_id]


def _unknown_lines(order: Order, placed: Placed, refunds: Sequence[Refund]) -> set[str]:
    """S8: the lines that receipts and refunds name and the order doesn't have."""
    named = {line_id for receipt in order.receipts for line_id in receipt.line_ids or ()}
    named.update(asked.line_id for refund in refunds for asked in refund.lines or ())
    return named.difference(line.line_id for line in placed.lines) if named else named


def _contradicts_itself(order: Order) -> bool:
    """S11: whether facts of which only one can hold differ in more than when, and under which id, they were told."""
    if order.conflicts:
        return True
    if len(order.placed) > 1:
        first = order.placed[0]
        told = (first.shop_id, first.buyer_id, first.currency, first.group_id, first.lines)
        if any(told != (fact.shop_id, fact.buyer_id, fact.currency, fact.group_id, fact.lines) for fact in order.placed[1:]):
            return True
    if len(order.refunds) > 1:
        asked: dict[str, Refund] = {}
        for refund in order.refunds:
            known = asked.setdefault(refund.refund_id, refund)
            if known.reason != refund.reason or known.lines != refund.lines:
                return True
    return False


def counts_the_same(before: Order, after: Order) -> bool:
    """Whether two states of an order differ in nothing that `derive` looks at; it asks for identity, so False may be over-cautious."""
    return (
        before.placed is after.placed
        and before.receipts is after.receipts
        and before.cancellations is after.cancellations
        and before.refunds is after.refunds
        and before.refund_returns is after.refund_returns
    )
