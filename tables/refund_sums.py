"""Returns and differences made up (R3) of one order, updated when refunds take more or less.

`aftersales` is the definition, and derives them from all sales of the order.
"""

from typing import Final

from tables import service
from tables.cuts import Key
from tables.cycles import Calendar
from tables.service_rows import ServiceRows

RefundKey = tuple[Key, str]
"""A refund that counts: its key among the refunds of the order, and its reason."""

WholeRefund = tuple[int, str]
"""A refund of the whole order: its instant in epoch milliseconds, and its reason."""

WHOLE: Final[RefundKey] = ((-(2**63), ""), "")
"""Stands for the first refund of the whole order, whatever its instant and reason."""


class RefundSums:
    """What each refund takes off the sales of an order, and off those of each product."""

    def __init__(self, rows: ServiceRows, calendar: Calendar) -> None:
        self._rows = rows
        self._calendar = calendar
        self._sums: dict[tuple[RefundKey, str | None], tuple[int, int]] = {}
        """By refund and product (None for all products): units and amount."""

        self._sums_before: dict[tuple[RefundKey, str | None], tuple[int, int]] = {}
        """What was changed of `_sums` since the last call of `count`, as it was then."""

        self._whole: WholeRefund | None = None
        self._whole_before: WholeRefund | None = None
        """The first refund of the whole order now, and at the last call of `count`."""

        self._whole_differences: set[str | None] = set()
        """The products of which the refund of the whole order takes an amount and no units."""

    def reverse(self, refund: RefundKey, product_id: str, units: int, amount: int) -> None:
        """A refund takes more (or less, if negative) off the sales of a product."""
        for key in ((refund, None), (refund, product_id)):
            sums = self._sums.get(key, (0, 0))
            self._sums_before.setdefault(key, sums)
            self._sums[key] = sums[0] + units, sums[1] + amount

    def move_whole(self, whole: WholeRefund | None) -> None:
        """Another refund of the whole order is the first one now, or none is."""
        self._whole = whole

    def count(self, currency_before: str, currency: str) -> None:
        """Add to the rows what changed since the last call.

        The currencies are those of the order at the last call and now.
        """
        before, whole_before, whole = self._sums_before, self._whole_before, self._whole
        if whole_before != whole:
            for product_id in (None, *self._whole_differences):
                if (key := (WHOLE, product_id)) in self._sums:
                    before.setdefault(key, self._sums[key])
        for key, sums_before in before.items():
            refund, product_id = key
            units, amount = sums = self._sums[key]
            if refund is WHOLE:
                refund_before, refund_now = whole_before, whole
                self._whole_differences.discard(product_id)
                if product_id is not None and amount and not units:
                    self._whole_differences.add(product_id)
            else:
                refund_before = refund_now = (refund[0][0], refund[1])
            if any(sums_before):
                self._add(-1, refund_before, product_id, sums_before, currency_before)
            if any(sums):
                self._add(1, refund_now, product_id, sums, currency)
            else:
                del self._sums[key]
        self._sums_before, self._whole_before = {}, whole

    def _add(
        self,
        sign: int,
        refund: WholeRefund | None,
        product_id: str | None,
        sums: tuple[int, int],
        currency: str,
    ) -> None:
        """R3: with units it is a return; without, a difference. Products have only differences."""
        units, amount = sums
        if product_id is not None and units:
            return
        assert refund is not None  # noqa: S101 - without a refund nothing is taken off
        start_ms = self._calendar.start_of(refund[0])
        column = (service.RETURN if units else service.DIFFERENCE) + refund[1]
        self._rows.add(product_id, start_ms, column, sign)
        if amount:
            self._rows.add(product_id, start_ms, f"{column}.{currency}", sign * amount)
