"""The service of one order (R3 to R5), updated fact by fact: only the rows that a fact changes.

`aftersales` is the definition, and derives all rows of an order.
"""

from collections.abc import Iterable

from tables import aftersales, service
from tables.aftersales import (
    SERVICE_EVENTS,
    WORTH_WRITING,
    ContactChange,
    ContactReason,
    Owner,
    ServiceDifference,
)
from tables.cycles import Calendar
from tables.orders import Other, Placed
from tables.refund_sums import RefundKey, RefundSums, WholeRefund
from tables.service_rows import ServiceRows
from tables.sorted_lists import put


class ServiceLedger:
    """The service rows of one order, and its shop's reason to write to the buyer."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._rows = ServiceRows()
        self._refunds = RefundSums(self._rows, calendar)
        self._placed: Placed | None = None
        self._placed_before: Placed | None = None
        """The valid placing now, and at the last call of `changes`."""

        self._products: dict[str, str] = {}
        """By line, its product; for the lines of the valid placing."""

        self._known: frozenset[str] = frozenset()
        """The products of the valid placing."""

        self._reviews: dict[str, list[tuple[int, str, str, int]]] = {}
        """By product: instant, id, source and rating of its reviews, sorted."""

        self._since: list[int] = []
        """The instants since when there is a reason to write, sorted."""

        self._contact: ContactReason | None = None
        """As of the last call of `contact_changes`."""

    # --- facts ------------------------------------------------------------------------------------

    def place(self, placed: Placed | None, others: Iterable[Other]) -> None:
        """S11: another placing is valid, or none; `others` are the order's facts of that kind."""
        before, self._placed = self._placed, placed
        if before is not None and placed is not None and before.lines == placed.lines:
            return
        self._count_all(others, -1)
        self._products = (
            {} if placed is None else {line.line_id: line.product_id for line in placed.lines}
        )
        self._known = frozenset(self._products.values())
        self._count_all(others, 1)

    def change(self, fact: Other, *, removed: bool = False) -> None:
        """R3, R5: a fact that changes no sales was added or removed."""
        if fact.type == "review_posted":
            self._review(fact, removed=removed)
        elif fact.type in SERVICE_EVENTS:
            reason = aftersales.read_complaint(fact.fields).reason
            if fact.type == "delivery_refused" or reason in WORTH_WRITING:
                put(self._since, fact.occurred_at_ms, removed=removed)
            if self._placed is not None:
                self._complain(fact, -1 if removed else 1)

    def change_refund(self, at_ms: int, reason: str, *, removed: bool = False) -> None:
        """R4: the valid refund of a refund_id was added or removed, whatever it led to."""
        if reason in WORTH_WRITING:
            put(self._since, at_ms, removed=removed)

    def reverse(self, refund: RefundKey, product_id: str, units: int, amount: int) -> None:
        """R3: a refund takes more (or less, if negative) off the sales of a product."""
        self._refunds.reverse(refund, product_id, units, amount)

    def move_whole(self, whole: WholeRefund | None) -> None:
        """Another refund of the whole order is the first one now, or none is."""
        self._refunds.move_whole(whole)

    def add(self, product_id: str | None, start_ms: int, column: str, number: int) -> None:
        """Add a number to a column of the shop (None) or of a product in a cycle."""
        self._rows.add(product_id, start_ms, column, number)

    def changes(self) -> list[ServiceDifference]:
        """What changed since the last call, as `aftersales.changes`."""
        before, after = self._placed_before, self._placed
        self._placed_before = after
        self._refunds.count(before.currency if before else "", after.currency if after else "")
        return self._rows.changes(_owner(before), _owner(after))

    def contact_changes(self) -> list[ContactChange]:
        """R4: what changed since the last call, as `aftersales.contact_changes`."""
        placed, before = self._placed, self._contact
        self._contact = (
            None
            if placed is None or not self._since
            else ContactReason(placed.shop_id, placed.buyer_id, self._since[0])
        )
        return list(aftersales.contact_changes(before, self._contact))

    # --- complaints and reviews -------------------------------------------------------------------

    def _count_all(self, others: Iterable[Other], sign: int) -> None:
        """Count all complaints and reviews of the valid placing, or take them off the rows."""
        if not self._known:  # no placing is valid
            return
        for fact in others:
            if fact.type in SERVICE_EVENTS and fact.type != "review_posted":
                self._complain(fact, sign)
        for product_id in self._known & self._reviews.keys():
            self._count_review(product_id, sign)

    def _complain(self, fact: Other, sign: int) -> None:
        """R3: refused deliveries by shop and product, reissues by shop."""
        if fact.type == "refund_requested":
            return
        complaint = aftersales.read_complaint(fact.fields)
        start_ms = self._calendar.start_of(fact.occurred_at_ms)
        if fact.type == "reissue_shipped":
            self.add(None, start_ms, service.REISSUE + complaint.reason, sign)
            return
        line_ids, products = complaint.line_ids, self._products
        named = (
            self._known
            if line_ids is None
            else {products[line_id] for line_id in line_ids if line_id in products}
        )
        for product_id in (None, *named):
            self.add(product_id, start_ms, service.REFUSAL + complaint.reason, sign)

    def _review(self, fact: Other, *, removed: bool) -> None:
        """R5: of each product of the order, the latest review counts."""
        review = aftersales.read_review(fact.fields)
        reviews = self._reviews.setdefault(review.product_id, [])
        counts = review.product_id in self._known
        if counts and reviews:
            self._count_review(review.product_id, -1)
        put(reviews, (fact.occurred_at_ms, fact.id, fact.source, review.rating), removed=removed)
        if counts and reviews:
            self._count_review(review.product_id, 1)

    def _count_review(self, product_id: str, sign: int) -> None:
        reviews = self._reviews[product_id]
        if not reviews:
            return
        at_ms, _, _, rating = reviews[-1]
        start_ms = self._calendar.start_of(at_ms)
        for subject in (None, product_id):
            self.add(subject, start_ms, service.REVIEWS, sign)
            if rating >= service.GOOD_RATING:
                self.add(subject, start_ms, service.GOOD_REVIEWS, sign)


def _owner(placed: Placed | None) -> Owner | None:
    return None if placed is None else Owner(placed.shop_id, placed.buyer_id)
