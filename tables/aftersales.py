"""A shop's service, by the facts of an order.

After-sales (R3), reasons for proactive contact (R4) and reviews (R5). Like `counting`, these are
functions of the known facts. What one event changed is the difference of before and after.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from schemas.envelope import Received
from tables import service
from tables.counting import Anomaly, Counted, LineAnomaly
from tables.cycles import Calendar
from tables.orders import SALE_EVENTS, Order, Other, Placed
from tables.service import Columns, Rows

WORTH_WRITING: Final = frozenset({"wrong_goods", "late_delivery"})
"""Complaints after which a shop should write before the buyer does (R4), whatever they led to."""

SERVICE_EVENTS: Final = frozenset(
    {"delivery_refused", "refund_requested", "reissue_shipped", "review_posted"}
)
"""The event types that change no sales, and whose facts service is derived from."""


class Complaint(msgspec.Struct, gc=False):
    """The complaint in a refused delivery, a refund request or a reissue; None = all lines."""

    reason: str
    line_ids: tuple[str, ...] | None = None


class Review(msgspec.Struct, gc=False):
    """A buyer's rating of a product, 1 to 5."""

    product_id: str
    rating: int


read_complaint: Final[Callable[[bytes], Complaint]] = msgspec.json.Decoder(Complaint).decode
"""A fact's `fields` → its complaint; raises msgspec's errors."""
read_review: Final[Callable[[bytes], Review]] = msgspec.json.Decoder(Review).decode
"""A fact's `fields` → its review; raises msgspec's errors."""


class ContactReason(NamedTuple):
    """A shop's reason to write to a buyer, and since when, in epoch milliseconds (R4)."""

    shop_id: str
    buyer_id: str
    since_ms: int


class ContactChange(NamedTuple):
    """A change of the reason to write: since when there is one now, None if there is none."""

    shop_id: str
    buyer_id: str
    since_ms: int | None


class Owner(NamedTuple):
    """The shop and the buyer of an order."""

    shop_id: str
    buyer_id: str


class ServiceDifference(NamedTuple):
    """Signed changes of a shop's service columns in a cycle, or of one of its products' columns."""

    shop_id: str
    product_id: str | None
    """None for the columns of the shop itself."""

    start_ms: int
    """The cycle's start in epoch milliseconds."""

    columns: Columns


class _ReversalSums(msgspec.Struct, gc=False):
    """What one refund took off the sales of an order, or off those of one product."""

    start_ms: int
    reason: str
    units: int = 0
    amount: int = 0


def service_may_differ(after: Order, event: Received) -> bool:
    """Whether the event that led to this state of an order may have changed the shop's service.

    False is certain, and cheap to find: most orders have no refund, complaint or review.
    """
    if after.conflicts:  # S11: a fact of any type may have been replaced
        return True
    event_type = event.type
    if event_type in SERVICE_EVENTS:
        return event_type != "refund_requested" or event.body.reason in WORTH_WRITING
    if event_type == "order_placed" and not SERVICE_EVENTS.isdisjoint(
        [fact.type for fact in after.others]
    ):
        return True
    return event_type in SALE_EVENTS and bool(after.refunds)


def owner(order: Order) -> Owner | None:
    """The shop and the buyer of an order, None while it isn't placed.

    Of several placings the first one is valid (S11).
    """
    return Owner(order.placed[0].shop_id, order.placed[0].buyer_id) if order.placed else None


def rows(order: Order, counted: Counted, calendar: Calendar) -> Rows:
    """R3, R5: the service columns of an order, by product (None for its shop) and cycle.

    `counted` is what counts of the same order.
    """
    found: Rows = {}
    if not order.placed:
        return found
    if any([fact.type in SERVICE_EVENTS for fact in order.others]):  # noqa: C419 - a list of a few is quicker than a generator
        _add_complaints(found, order, calendar)
        _add_reviews(found, order, calendar)
    if order.refunds:
        _add_reversals(found, counted, calendar)
    return found


def _add_complaints(found: Rows, order: Order, calendar: Calendar) -> None:
    """R3: refused deliveries by shop and product, reissues by shop."""
    for fact in order.others:
        start_ms = calendar.start_of(fact.occurred_at_ms)
        if fact.type == "delivery_refused":
            complaint = read_complaint(fact.fields)
            for product_id in (None, *_products(order.placed[0], complaint.line_ids)):
                _add(found, product_id, start_ms, service.REFUSAL + complaint.reason)
        elif fact.type == "reissue_shipped":
            _add(found, None, start_ms, service.REISSUE + read_complaint(fact.fields).reason)


def _add_reviews(found: Rows, order: Order, calendar: Calendar) -> None:
    """R5: of each product of the order, the latest review."""
    known = _products(order.placed[0], None)
    latest = {
        review.product_id: (fact.occurred_at_ms, review.rating)
        for fact, review in _reviews(order)
        if review.product_id in known
    }
    for product_id, (at_ms, rating) in latest.items():
        start_ms = calendar.start_of(at_ms)
        for subject in (None, product_id):
            _add(found, subject, start_ms, service.REVIEWS)
            if rating >= service.GOOD_RATING:
                _add(found, subject, start_ms, service.GOOD_REVIEWS)


def _add_reversals(found: Rows, counted: Counted, calendar: Calendar) -> None:
    """R3: refunds that took something off a sale.

    With units it is a return, without it is a difference made up. Products have only differences.
    """
    sums: dict[tuple[str, str | None], _ReversalSums] = {}
    for sale in counted.sales:
        for reversal in sale.reversals:
            for product_id in (None, sale.product_id):
                key = reversal.refund_id, product_id
                if key not in sums:
                    start_ms = calendar.start_of(reversal.at_ms)
                    sums[key] = _ReversalSums(start_ms, reversal.reason)
                sums[key].units += reversal.units
                sums[key].amount += reversal.amount
    for (_, product_id), refunded in sums.items():
        if product_id is not None and refunded.units:
            continue
        kind = service.RETURN if refunded.units else service.DIFFERENCE
        column = kind + refunded.reason
        _add(found, product_id, refunded.start_ms, column)
        if refunded.amount:
            in_currency = f"{column}.{counted.currency}"
            _add(found, product_id, refunded.start_ms, in_currency, refunded.amount)


def _add(found: Rows, product_id: str | None, start_ms: int, column: str, number: int = 1) -> None:
    columns = found.setdefault((product_id, start_ms), {})
    columns[column] = columns.get(column, 0) + number


def _products(placed: Placed, line_ids: tuple[str, ...] | None) -> set[str]:
    """The products of some lines of an order, of all lines if None."""
    if line_ids is None:
        return {line.product_id for line in placed.lines}
    named = frozenset(line_ids)
    return {line.product_id for line in placed.lines if line.line_id in named}


def _reviews(order: Order) -> Iterator[tuple[Other, Review]]:
    """R5: the reviews of an order, oldest first, with their facts."""
    facts = [fact for fact in order.others if fact.type == "review_posted"]
    for fact in sorted(facts, key=lambda fact: (fact.occurred_at_ms, fact.id, fact.source)):
        yield fact, read_review(fact.fields)


def contact(order: Order) -> ContactReason | None:
    """R4: the shop's reason to write: the first refusal, or complaint of wrong or late goods.

    None without such a fact, and while the order isn't placed.
    """
    if not order.placed:
        return None
    since = []
    for fact in order.others:
        is_complaint = fact.type in {"refund_requested", "reissue_shipped"}
        if fact.type == "delivery_refused" or (
            is_complaint and read_complaint(fact.fields).reason in WORTH_WRITING
        ):
            since.append(fact.occurred_at_ms)
    # Refunds are sorted. Of those with one refund_id the first is valid (S11), also if returned.
    refund_ids: set[str] = set()
    for refund in order.refunds:
        if refund.refund_id not in refund_ids and refund.reason in WORTH_WRITING:
            since.append(refund.occurred_at_ms)
        refund_ids.add(refund.refund_id)
    placed = order.placed[0]
    return ContactReason(placed.shop_id, placed.buyer_id, min(since)) if since else None


def changes(
    before: tuple[Order, Counted], after: tuple[Order, Counted], calendar: Calendar
) -> Iterator[ServiceDifference]:
    """What changed of the service between two states of an order."""
    rows_before, rows_after = rows(*before, calendar), rows(*after, calendar)
    owner_before, owner_after = owner(before[0]), owner(after[0])
    if owner_before == owner_after or not rows_before:
        yield from changes_of(owner_after, service.row_changes(rows_before, rows_after))
    else:  # S11: another placing is valid now, with another owner
        yield from changes_of(owner_before, service.row_changes(rows_before, {}))
        yield from changes_of(owner_after, service.row_changes({}, rows_after))


def changes_of(owner: Owner | None, differences: Rows) -> Iterator[ServiceDifference]:
    """Differences of the rows of one order, as changes sorted by product and cycle."""
    for (product_id, start_ms), columns in sorted(
        differences.items(), key=lambda item: (item[0][0] or "", item[0][1])
    ):
        assert owner is not None  # noqa: S101 - an order that isn't placed has no rows
        yield ServiceDifference(owner.shop_id, product_id, start_ms, columns)


def contact_changes(
    before: ContactReason | None, after: ContactReason | None
) -> Iterator[ContactChange]:
    """R4: what changed of the reason to write between two states of an order."""
    if before is not None and (after is None or after[:2] != before[:2]):
        yield ContactChange(before.shop_id, before.buyer_id, None)
    if after is not None and after != before:
        yield ContactChange(*after)


def review_anomalies(order: Order) -> frozenset[LineAnomaly]:
    """R5: the anomaly of a review of a product that the order doesn't have."""
    if not order.placed:
        return frozenset()
    known = _products(order.placed[0], None)
    return frozenset(
        LineAnomaly(Anomaly.UNKNOWN_PRODUCT)
        for _, review in _reviews(order)
        if review.product_id not in known
    )
