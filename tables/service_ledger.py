"""What one order says of a shop's service (R3 to R5) while facts come and go.

The rows that each fact changes.

`aftersales` is the definition, and derives all of an order.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from tables import aftersales, service
from tables.aftersales import WORTH_WRITING, Contact
from tables.cuts import Key
from tables.cycles import Calendar
from tables.orders import Other, Placed
from tables.service import Rows
from tables.sorted_lists import put

Token = tuple[Key, str]
"""A refund that counts: where it stands, and its reason."""

WHOLE: Final[Token] = ((-(2**63), ""), "")
"""Stands for the first refund of the whole order, wherever that is and whatever its reason."""


class ServiceLedger:
    """The service rows of one order, and its shop's reason to write to the buyer."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._placed = self._placed_before = None  # type: Placed | None
        self._products: dict[str, str] = {}
        """By line, its product; in the order that is placed."""

        self._known: frozenset[str] = frozenset()
        self._rows: Rows = {}
        """As they were at the last call of `changes`."""

        self._changed: Rows = {}
        self._sums: dict[tuple[Token, str | None], tuple[int, int]] = {}
        """By refund and product (None for all): the units and the amount that it takes off
        sales."""

        self._sums_before: dict[tuple[Token, str | None], tuple[int, int]] = {}
        """What of `_sums` has changed since the last call of `changes`, as it was."""

        self._whole = self._whole_before = None  # type: tuple[int, str] | None
        self._whole_differences: set[str | None] = set()
        """The products of which the refund of the whole order takes an amount and no units."""

        self._reviews: dict[str, list[tuple[int, str, str, int]]] = {}
        self._since: list[int] = []
        """The instants from which on there is reason to write."""

        self._contact: Contact | None = None

    # --- facts ------------------------------------------------------------------------------------

    def place(self, placed: Placed | None, others: Iterable[Other]) -> None:
        """Another placing holds (S11), or none; `others` are the order's facts of that kind."""
        before, self._placed = self._placed, placed
        if before is not None and placed is not None and before.lines == placed.lines:
            return
        self._judge_all(others, -1)
        self._products = (
            {} if placed is None else {line.line_id: line.product_id for line in placed.lines}
        )
        self._known = frozenset(self._products.values())
        self._judge_all(others, 1)

    def judge(self, fact: Other, *, gone: bool = False) -> None:
        """R3, R5: a fact that changes no sale."""
        if fact.type == "review_posted":
            self._review(fact, gone=gone)
        elif fact.type in aftersales.JUDGED:
            reason = aftersales.read_complaint(fact.fields).reason
            if fact.type == "delivery_refused" or reason in WORTH_WRITING:
                put(self._since, fact.occurred_at_ms, gone=gone)
            if self._placed is not None:
                self._complain(fact, -1 if gone else 1)

    def ask_for_contact(self, at_ms: int, reason: str, *, gone: bool = False) -> None:
        """R4: the first refund of a refund_id has a reason, whatever becomes of it."""
        if reason in WORTH_WRITING:
            put(self._since, at_ms, gone=gone)

    def reverse(self, refund: Token, product_id: str, units: int, amount: int) -> None:
        """R3: a refund takes so much more off sales of a product."""
        for key in ((refund, None), (refund, product_id)):
            sums = self._sums.get(key, (0, 0))
            self._sums_before.setdefault(key, sums)
            self._sums[key] = sums[0] + units, sums[1] + amount

    def move_whole(self, whole: tuple[int, str] | None) -> None:
        """Another refund of the whole order is the first: since when, and its reason."""
        self._whole = whole

    def changes(self) -> Iterator[aftersales.Change]:
        """What changed since the last call, as `aftersales.changes` has it."""
        self._count_refunds()
        was, now = _owner(self._placed_before), _owner(self._placed)
        self._placed_before, changed, self._changed = self._placed, self._changed, {}
        if was == now or not self._rows:
            self._add_up(changed)
            return aftersales.listed(
                now,
                {
                    key: less
                    for key, columns in changed.items()
                    if (less := service.without_zeros(columns))
                },
            )
        before = {key: dict(columns) for key, columns in self._rows.items()}
        self._add_up(changed)
        after = service.row_changes({}, self._rows)
        return iter(
            [
                *aftersales.listed(was, service.row_changes(before, {})),
                *aftersales.listed(now, after),
            ]
        )

    def contact_changes(self) -> list[tuple[str, str, int | None]]:
        """R4: what changed since the last call of the reason to write, as `aftersales.contact_changes` has it."""
        placed, before = self._placed, self._contact
        self._contact = (
            None
            if placed is None or not self._since
            else Contact(placed.shop_id, placed.buyer_id, self._since[0])
        )
        return list(aftersales.contact_changes(before, self._contact))

    # --- refusals, reissues, reviews ------------------------------------------------------------

    def _judge_all(self, others: Iterable[Other], sign: int) -> None:
        if not self._known:  # nothing is placed
            return
        for fact in others:
            if fact.type in aftersales.JUDGED and fact.type != "review_posted":
                self._complain(fact, sign)
        for product_id in self._known & self._reviews.keys():
            self._count_review(product_id, sign)

    def _complain(self, fact: Other, sign: int) -> None:
        """R3: refusals by shop and product, reissues by shop."""
        if fact.type == "refund_requested":
            return
        complaint, start_ms = (
            aftersales.read_complaint(fact.fields),
            self._calendar.start_of(fact.occurred_at_ms),
        )
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

    def _review(self, fact: Other, *, gone: bool) -> None:
        """R5: of each of the order's products the latest review counts."""
        review = aftersales.read_review(fact.fields)
        reviews = self._reviews.setdefault(review.product_id, [])
        counts = review.product_id in self._known
        if counts and reviews:
            self._count_review(review.product_id, -1)
        put(reviews, (fact.occurred_at_ms, fact.id, fact.source, review.rating), gone=gone)
        if counts and reviews:
            self._count_review(review.product_id, 1)

    def _count_review(self, product_id: str, sign: int) -> None:
        reviews = self._reviews[product_id]
        if not reviews:
            return
        at_ms, _, _, rating = reviews[-1]
        start_ms = self._calendar.start_of(at_ms)
        for whose in (None, product_id):
            self.add(whose, start_ms, service.REVIEWS, sign)
            if rating >= service.GOOD_RATING:
                self.add(whose, start_ms, service.GOOD_REVIEWS, sign)

    # --- refunds ----------------------------------------------------------------------------------

    def _count_refunds(self) -> None:
        """R3: returns and differences made up, where what refunds take off has changed."""
        before, was, now = self._sums_before, self._whole_before, self._whole
        if was != now:
            for product_id in (None, *self._whole_differences):
                if (key := (WHOLE, product_id)) in self._sums:
                    before.setdefault(key, self._sums[key])
        if not before:
            self._whole_before = now
            return
        currency_was, currency = _currency(self._placed_before), _currency(self._placed)
        for key, (units_before, amount_before) in before.items():
            refund, product_id = key
            units, amount = self._sums[key]
            if refund is WHOLE:
                at_before, at = was, now
                self._whole_differences.discard(product_id)
                if product_id is not None and amount and not units:
                    self._whole_differences.add(product_id)
            else:
                at_before = at = refund[0][0], refund[1]
            if units_before or amount_before:
                self._count_refund(
                    at_before, product_id, units_before, amount_before, currency_was, -1
                )
            if units or amount:
                self._count_refund(at, product_id, units, amount, currency, 1)
            else:
                del self._sums[key]
        self._sums_before, self._whole_before = {}, now

    def _count_refund(  # noqa: PLR0913, PLR0917 - of one caller
        self,
        at: tuple[int, str] | None,
        product_id: str | None,
        units: int,
        amount: int,
        currency: str,
        sign: int,
    ) -> None:
        assert at is not None  # noqa: S101 - only a refund takes off anything
        if product_id is not None and units:
            return
        start_ms, reason = self._calendar.start_of(at[0]), at[1]
        kind = service.RETURN if units else service.DIFFERENCE
        self.add(product_id, start_ms, kind + reason, sign)
        if amount:
            self.add(product_id, start_ms, f"{kind}{reason}.{currency}", sign * amount)

    # --- rows -------------------------------------------------------------------------------------

    def add(self, product_id: str | None, start_ms: int, column: str, number: int) -> None:
        """A column of the shop (None) or of a product changes."""
        columns = self._changed.setdefault((product_id, start_ms), {})
        columns[column] = columns.get(column, 0) + number

    def _add_up(self, changed: Rows) -> None:
        for key, columns in changed.items():
            row = self._rows.setdefault(key, {})
            for column, change in columns.items():
                number = row.get(column, 0) + change
                if number:
                    row[column] = number
                else:
                    row.pop(column, None)
            if not row:
                del self._rows[key]


def _owner(placed: Placed | None) -> tuple[str, str] | None:
    return None if placed is None else (placed.shop_id, placed.buyer_id)


def _currency(placed: Placed | None) -> str:
    return "" if placed is None else placed.currency
