"""What an order says of a shop's service.

After-sales (R3), reasons to write to the buyer (R4), reviews (R5).

Like `counting`, these are functions of the facts that are known: what an event changes is the
difference of before and after.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from schemas.envelope import Received
from tables import service
from tables.counting import Anomaly, Counted, Oddity
from tables.cycles import Calendar
from tables.orders import Facts, Order, Other, Placed
from tables.service import Columns, Rows

WORTH_WRITING: Final = frozenset({"wrong_goods", "late_delivery"})
"""Reasons for which a shop should write before the buyer does (R4), whatever came of it."""


class Complaint(msgspec.Struct, gc=False):
    """What a refusal, a refund that was requested, or a reissue says is wrong; None = all lines."""

    reason: str
    line_ids: tuple[str, ...] | None = None


class Review(msgspec.Struct, gc=False):
    """What a review says of a product."""

    product_id: str
    rating: int


read_complaint: Final[Callable[[bytes], Complaint]] = msgspec.json.Decoder(Complaint).decode
read_review: Final[Callable[[bytes], Review]] = msgspec.json.Decoder(Review).decode
"""A fact's own fields → what they say; raise msgspec's errors."""

JUDGED: Final = frozenset(
    {"delivery_refused", "refund_requested", "reissue_shipped", "review_posted"}
)
"""The types of facts that are looked at here, among those that change no sale."""


class Contact(NamedTuple):
    """Who should have written to whom, and since when in epoch milliseconds."""

    shop_id: str
    buyer_id: str
    at_ms: int


Change = tuple[str, str | None, int, Columns]
"""What changed of a shop's service: shop, product (None for the shop itself), cycle's start,
columns."""


def may_differ(after: Order | Facts, event: Received) -> bool:
    """Whether an event, with which an order has come to this state, may have changed what it says of the service.

    False is certain, and cheap to find out: of most orders there is nothing to say.
    """
    if after.conflicts:  # S11: a fact of any type may be gone
        return True
    when = _WHEN.get(event.type)
    return when is not None and when(after, event)


_WHEN: Final[dict[str, Callable[[Order | Facts, Received], bool]]] = {
    "delivery_refused": lambda _, __: True,
    "reissue_shipped": lambda _, __: True,
    "review_posted": lambda _, __: True,
    "refund_requested": lambda _, event: event.body.reason in WORTH_WRITING,
    "refund_succeeded": lambda _, __: True,
    "refund_reversed": lambda after, _: bool(after.refunds),
    "receipt_confirmed": lambda after, _: bool(after.refunds),
    "order_cancelled": lambda after, _: bool(after.refunds),
    "order_placed": lambda after, _: (
        bool(after.refunds) or not JUDGED.isdisjoint([fact.type for fact in after.others])
    ),
}
"""When an event of a type may change something; of other types none does."""

EVENTS: Final = frozenset(_WHEN)
"""The types of events that service is counted from."""


def owner(order: Order) -> tuple[str, str] | None:
    """The shop and the buyer of an order, None while it isn't placed.

    Of several placings the first holds (S11).
    """
    return (order.placed[0].shop_id, order.placed[0].buyer_id) if order.placed else None


def rows(order: Order, counted: Counted, calendar: Calendar) -> Rows:
    """R3 and R5: what an order adds to the columns of its shop (under None) and its products, by cycle. `counted` is the order's."""
    found: Rows = {}
    if not order.placed:
        return found
    if any([fact.type in JUDGED for fact in order.others]):  # noqa: C419 - a list of a few is quicker than a generator
        _judge(found, order, calendar)
    if order.refunds:
        _take_back(found, counted, calendar)
    return found


def _judge(found: Rows, order: Order, calendar: Calendar) -> None:
    """R3: refusals and reissues. R5: reviews."""
    placed = order.placed[0]
    for fact in order.others:
        start_ms = calendar.start_of(fact.occurred_at_ms)
        if fact.type == "delivery_refused":
            complaint = read_complaint(fact.fields)
            for product_id in (None, *_products(placed, complaint.line_ids)):
                _add(found, product_id, start_ms, service.REFUSAL + complaint.reason)
        elif fact.type == "reissue_shipped":
            _add(found, None, start_ms, service.REISSUE + read_complaint(fact.fields).reason)
    for fact, review in _reviews(order, placed):
        for product_id in (None, review.product_id):
            _add(found, product_id, calendar.start_of(fact.occurred_at_ms), service.REVIEWS)
            if review.rating >= service.GOOD_RATING:
                _add(
                    found, product_id, calendar.start_of(fact.occurred_at_ms), service.GOOD_REVIEWS
                )


def _take_back(found: Rows, counted: Counted, calendar: Calendar) -> None:
    """R3: refunds that took something off a sale.

    Returns if units came back, else differences made up; of products only these.
    """
    taken: dict[tuple[str, str | None], list[int]] = {}
    told: dict[str, tuple[int, str]] = {}
    for sale in counted.sales:
        for reversal in sale.reversals:
            told[reversal.refund_id] = calendar.start_of(reversal.at_ms), reversal.reason
            for product_id in (None, sale.product_id):
                sums = taken.setdefault((reversal.refund_id, product_id), [0, 0])
                sums[0] += reversal.units
                sums[1] += reversal.amount
    for (refund_id, product_id), (units, amount) in taken.items():
        start_ms, reason = told[refund_id]
        kind = service.RETURN if units else service.DIFFERENCE
        if product_id is None or not units:
            _add(found, product_id, start_ms, kind + reason)
            if amount:
                _add(found, product_id, start_ms, f"{kind}{reason}.{counted.currency}", amount)


def _add(found: Rows, product_id: str | None, start_ms: int, column: str, number: int = 1) -> None:
    columns = found.setdefault((product_id, start_ms), {})
    columns[column] = columns.get(column, 0) + number


def _products(placed: Placed, line_ids: tuple[str, ...] | None) -> set[str]:
    """The products of some lines of an order, of all if None."""
    if line_ids is None:
        return {line.product_id for line in placed.lines}
    named = frozenset(line_ids)
    return {line.product_id for line in placed.lines if line.line_id in named}


def _reviews(order: Order, placed: Placed) -> Iterator[tuple[Other, Review]]:
    """R5: of each of the order's products the latest review.

    They stand sorted by (`occurred_at`, `id`).
    """
    known = _products(placed, None)
    latest: dict[str, tuple[Other, Review]] = {}
    for fact, review in _all_reviews(order):
        if review.product_id in known:
            latest[review.product_id] = fact, review
    yield from latest.values()


def _all_reviews(order: Order) -> Iterator[tuple[Other, Review]]:
    told = [fact for fact in order.others if fact.type == "review_posted"]
    for fact in sorted(told, key=lambda fact: (fact.occurred_at_ms, fact.id, fact.source)):
        yield fact, read_review(fact.fields)


def contact(order: Order) -> Contact | None:
    """R4: since when the shop has reason to write.

    A refusal, or the first word of wrong or late goods. None while it isn't placed.
    """
    if not order.placed:
        return None
    since = []
    for fact in order.others:
        asks = fact.type in {"refund_requested", "reissue_shipped"}
        if fact.type == "delivery_refused" or (
            asks and read_complaint(fact.fields).reason in WORTH_WRITING
        ):
            since.append(fact.occurred_at_ms)
    told: set[str] = set()
    for refund in (
        order.refunds
    ):  # they stand sorted; of those with one refund_id the first holds (S11), also if it came back
        if refund.refund_id not in told and refund.reason in WORTH_WRITING:
            since.append(refund.occurred_at_ms)
        told.add(refund.refund_id)
    return Contact(order.placed[0].shop_id, order.placed[0].buyer_id, min(since)) if since else None


def changes(
    before: tuple[Order, Counted], after: tuple[Order, Counted], calendar: Calendar
) -> Iterator[Change]:
    """What changed of the service with an order's state."""
    rows_before, rows_after = rows(*before, calendar), rows(*after, calendar)
    was, now = owner(before[0]), owner(after[0])
    if was == now or not rows_before:
        yield from listed(now, service.row_changes(rows_before, rows_after))
    else:  # S11: another placing holds now, of another shop
        yield from listed(was, service.row_changes(rows_before, {}))
        yield from listed(now, service.row_changes({}, rows_after))


def listed(whose: tuple[str, str] | None, differences: Rows) -> Iterator[Change]:
    """Differences of one owner's rows as `changes` has them, in their order."""
    for (product_id, start_ms), columns in sorted(
        differences.items(), key=lambda item: (item[0][0] or "", item[0][1])
    ):
        assert whose is not None  # noqa: S101 - without a placing there are no rows
        yield whose[0], product_id, start_ms, columns


def contact_changes(
    gone: Contact | None, there: Contact | None
) -> Iterator[tuple[str, str, int | None]]:
    """R4: shop, buyer, and since when there is reason to write now.

    None if there is none any more.
    """
    if gone is not None and (there is None or there[:2] != gone[:2]):
        yield gone.shop_id, gone.buyer_id, None
    if there is not None and there != gone:
        yield there


def oddities(order: Order) -> frozenset[Oddity]:
    """R5: a review of what the order doesn't have."""
    if not order.placed:
        return frozenset()
    known = _products(order.placed[0], None)
    return frozenset(
        Oddity(Anomaly.UNKNOWN_PRODUCT)
        for _, review in _all_reviews(order)
        if review.product_id not in known
    )
