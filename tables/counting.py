"""What counts of an order: the rules S1 to S9, and nothing else.

The theory. An order is a set of facts (`orders`), and `derive` is a function of that set without
memory: it doesn't know what was counted before, or which event arrived last. So any order of
arrival gives the same result (S12). What one event changed is the difference of the results before
and after it (`entries`). All instants are those at which things happened; none is a time of
arrival.

Each line is counted for itself. It is a sale once it was both placed and received (S1). The sale's
instant is the line's earliest receipt (S2), and its size is what was ordered (S3), unless the order
was cancelled before (S4). Refunds that succeeded and were not returned (S5) apply by age. Each is
cut to what earlier refunds left (S8, S9). From the receipt on it is a reversal, with an instant of
its own, so that sums can be made by the instant of the sale and by that of the refund (S6). Before
the receipt it reduces the sale itself (S7).

    placed quantity = never sold (S7) + gross;   gross = net + reversed;   the same for money, in
    minor units of one currency.

An anomaly is a note on an order that contradicts itself. It refuses no event and changes no number.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from schemas import times
from schemas.envelope import Received
from tables.orders import SALE_EVENTS, Line, Order, Placed, Refund


class Anomaly(StrEnum):
    """What can be contradictory in an order that is counted all the same."""

    CANCELLED_AFTER_RECEIPT = "cancelled_after_receipt"
    CONFLICTING_EVENT = "conflicting_event"
    RECEIVED_AFTER_CANCEL = "received_after_cancel"
    REFUND_EXCEEDS_SALE = "refund_exceeds_sale"
    UNKNOWN_LINE = "unknown_line"
    UNKNOWN_PRODUCT = "unknown_product"


class LineAnomaly(NamedTuple):
    """An anomaly and its line; the line is "" if the anomaly concerns the whole order."""

    anomaly: Anomaly
    line_id: str = ""


class Reversal(msgspec.Struct, frozen=True, gc=False):
    """What one refund took off a sale: units, minor units of money, its instant and its reason."""

    at_ms: int
    units: int
    amount: int
    refund_id: str
    reason: str


class Sale(msgspec.Struct, frozen=True, gc=False):
    """A line that counts: gross units and amount at the instant of its receipt, and reversals."""

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
        """The product of the line."""
        return self.line.product_id


class Counted(msgspec.Struct, frozen=True, gc=False):
    """The sales of an order, in the order of its lines, with their owners and the anomalies."""

    shop_id: str
    buyer_id: str
    currency: str
    sales: tuple[Sale, ...]
    anomalies: frozenset[LineAnomaly]


class RefundClaim(NamedTuple):
    """What a refund claims of one line: units, and an amount in minor units."""

    refund: Refund
    units: int
    amount: int


NOTHING: Final = Counted("", "", "", (), frozenset())


def derive(order: Order) -> Counted:
    """What counts of an order, by all facts that are known of it."""
    anomalies: set[LineAnomaly] = set()
    if _contradicts_itself(order):
        anomalies.add(LineAnomaly(Anomaly.CONFLICTING_EVENT))
    if not (order.placed and (order.receipts or order.refunds)):
        # S1: no line can be a sale yet, and none can have an anomaly.
        return Counted("", "", "", (), frozenset(anomalies)) if anomalies else NOTHING
    placed = order.placed[0]  # S11: facts are sorted, and the first placing is valid
    line_ids = dict.fromkeys([line.line_id for line in placed.lines])
    received = _received(order, line_ids)
    claims = _claims(order, placed) if order.refunds else {}
    for line_id in received.keys() | claims.keys() if claims else received:
        if line_id not in line_ids:  # S8
            anomalies.add(LineAnomaly(Anomaly.UNKNOWN_LINE, line_id))
    sales = _sales(order, received, claims, anomalies)
    return Counted(placed.shop_id, placed.buyer_id, placed.currency, sales, frozenset(anomalies))


def _sales(
    order: Order,
    received: dict[str, int],
    claims: dict[str, list[RefundClaim]],
    anomalies: set[LineAnomaly],
) -> tuple[Sale, ...]:
    """The lines that are sales, by the rules in the order in which they apply to a line.

    Adds to `anomalies`.
    """
    cancelled_ms = (
        order.cancellations[0].occurred_at_ms if order.cancellations else times.NO_INSTANT_MS
    )
    sales = []
    for line in order.placed[0].lines:
        line_id = line.line_id
        # S1: a line is a sale only if it was placed and received, whichever came first.
        # S2: the sale's instant is the earliest receipt.
        received_ms = received.get(line_id)
        if received_ms is None:
            continue

        # S3: the quantity, and quantity times unit price less the line's discount.
        left_units, left_amount = line.quantity, revenue(line)

        # S4: cancelled before the receipt, the line counts nothing; after it, nothing changes.
        if received_ms > cancelled_ms:
            anomalies.add(LineAnomaly(Anomaly.RECEIVED_AFTER_CANCEL, line_id))
            continue
        if received_ms < cancelled_ms < times.NO_INSTANT_MS:
            anomalies.add(LineAnomaly(Anomaly.CANCELLED_AFTER_RECEIPT, line_id))

        gross_units, gross_amount = left_units, left_amount
        reversals = []
        # S5: the claims are of refunds that succeeded and were not returned.
        for refund, claimed_units, claimed_amount in claims.get(line_id, ()):
            # S8: by age, each is cut to what is left, units and amount each for itself.
            # S9: of a difference made up, the units are 0.
            units, amount = min(claimed_units, left_units), min(claimed_amount, left_amount)
            is_cut = units < claimed_units or amount < claimed_amount
            if is_cut and refund.lines is not None:
                anomalies.add(LineAnomaly(Anomaly.REFUND_EXCEEDS_SALE, line_id))
            left_units -= units
            left_amount -= amount
            # S6: from the receipt on, a refund is a reversal with its own instant.
            if refund.occurred_at_ms >= received_ms:
                if units or amount:
                    at_ms, refund_id = refund.occurred_at_ms, refund.refund_id
                    reversals.append(Reversal(at_ms, units, amount, refund_id, refund.reason))
            # S7: before the receipt, it reduces the sale; a sale reduced to nothing is none.
            else:
                gross_units, gross_amount = left_units, left_amount

        if gross_units or gross_amount:
            sales.append(Sale(line, received_ms, gross_units, gross_amount, tuple(reversals)))
    return tuple(sales)


def revenue(line: Line) -> int:
    """S3: minor units of money for a whole line."""
    return line.quantity * line.unit_price - (line.discount or 0)


def _received(order: Order, line_ids: Iterable[str]) -> dict[str, int]:
    """S2: by line, the instant of its earliest receipt; receipts are sorted by instant.

    A receipt without `line_ids` is one of all lines.
    """
    first: dict[str, int] = {}
    for receipt in order.receipts:
        for line_id in receipt.line_ids or line_ids:
            first.setdefault(line_id, receipt.occurred_at_ms)
    return first


def _claims(order: Order, placed: Placed) -> dict[str, list[RefundClaim]]:
    """S8: by line, the claims of refunds, sorted by (`occurred_at`, `refund_id`).

    A refund without `lines` claims each line's whole quantity and revenue. Only the first such
    refund is in the result: it leaves nothing.
    """
    claims: dict[str, list[RefundClaim]] = {}
    nothing_left = False
    for refund in _refunds_that_count(order):
        if refund.lines is None:
            if nothing_left:
                continue
            nothing_left = True
            for line in placed.lines:
                claim = RefundClaim(refund, line.quantity, revenue(line))
                claims.setdefault(line.line_id, []).append(claim)
        else:
            for claimed in refund.lines:
                claim = RefundClaim(refund, claimed.quantity, claimed.amount)
                claims.setdefault(claimed.line_id, []).append(claim)
    return claims


def _refunds_that_count(order: Order) -> Sequence[Refund]:
    """S5: the refunds that succeeded and were not returned, in the order of S8.

    Of refunds with one refund_id, the first one is valid (S11).
    """
    returned = {fact.refund_id for fact in order.refund_returns}
    first: dict[str, Refund] = {}
    for refund in order.refunds:  # sorted by (occurred_at, id)
        if refund.refund_id not in returned:
            first.setdefault(refund.refund_id, refund)
    return sorted(first.values(), key=lambda refund: (refund.occurred_at_ms, refund.refund_id))


def _contradicts_itself(order: Order) -> bool:
    """S11: whether two facts of which only one can be valid differ in content.

    Such are facts of one event, two placings, and two refunds with one refund_id. A difference in
    `occurred_at` or in the event's id alone is none.
    """
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
        by_id: dict[str, Refund] = {}
        for refund in order.refunds:
            known = by_id.setdefault(refund.refund_id, refund)
            if known.reason != refund.reason or known.lines != refund.lines:
                return True
    return False


def sales_may_differ(after: Order, event: Received) -> bool:
    """Whether the event that led to this state of an order may have changed the order's sales.

    False is certain, and cheap to find: sales are not derived from such a fact, or nothing was ever
    received (S1).
    """
    return bool(after.conflicts) or (event.type in SALE_EVENTS and bool(after.receipts))
