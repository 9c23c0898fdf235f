"""Orders found by a refund, by shop or product, and by when they were placed, through the index."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from schemas import http_limits, times
from schemas.explanations import FoundOrder, FoundOrders
from serving import index_keys, keys
from serving.pages import cursor_of, key_of
from tables import catalogue, counting, orders
from tables.conclusion import conclude
from tables.explanation import result_of
from tables.refund_effects import RefundEffects
from tables.unsold_lines import unsold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.answers import Answers
    from serving.event_index import IndexSnapshot
    from tables.counting import Counted


class Wanted(NamedTuple):
    """What orders are found by: a refund, or a shop or a product or neither, and a span of time.

    The span is half-open, in epoch milliseconds, of the placing; None is no bound. `counted`: only
    orders of which something counts, or only those of which nothing does; None for both.
    """

    refund: str | None = None
    shop: str | None = None
    product: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    counted: bool | None = None

    @property
    def found_by(self) -> str:
        """In words."""
        named = {"refund": self.refund, "shop": self.shop, "product": self.product}
        return next((f"{name} {id_}" for name, id_ in named.items() if id_ is not None), "time")


class IndexRow(NamedTuple):
    """What leads to an order: a key of the index, and when it was placed, if the key says so."""

    key: bytes
    order_id: bytes
    placed_ms: int | None


def find_orders(
    answers: Answers, index: IndexSnapshot, wanted: Wanted, limit: int, cursor: str | None
) -> FoundOrders:
    """A page of the orders that are found. Raises BadCursor.

    The index has each placing of an order, also one that doesn't hold (S11). Such a row is left
    out, so a page may be shorter than its limit.
    """
    walk = _of_refund(index, wanted, cursor) if wanted.refund else _placed(index, wanted, cursor)
    most = limit if wanted.counted is None else http_limits.SEARCHED_ORDERS
    items: list[FoundOrder] = []
    before: IndexRow | None = None
    for number, row in enumerate(walk):
        if number == most or len(items) == limit:
            break
        before = row
        found = FoundByRow(answers, row, wanted)
        if found.is_valid and wanted.counted in {None, found.counts}:
            items.append(found.answer())
    else:
        before = None
    return FoundOrders(
        items=items,
        next_cursor=before and cursor_of(answers.snapshot, before.key),
        freshness=answers.freshness_of(catalogue.ORDERS.name),
    )


def _of_refund(index: IndexSnapshot, wanted: Wanted, cursor: str | None) -> Iterator[IndexRow]:
    prefix = index_keys.of_refund((wanted.refund or "").encode())
    after = key_of(index.rows, cursor, prefix, len(prefix) + 1)
    for key, _ in index.rows.walk(prefix, after):
        yield IndexRow(key, key[len(prefix) :], None)


def _placed(index: IndexSnapshot, wanted: Wanted, cursor: str | None) -> Iterator[IndexRow]:
    space, id_ = (
        (index_keys.BY_SHOP, wanted.shop)
        if wanted.shop
        else (index_keys.BY_PRODUCT, wanted.product)
        if wanted.product
        else (index_keys.BY_TIME, "")
    )
    prefix = keys.subject(space, (id_ or "").encode())
    after = key_of(index.rows, cursor, prefix, len(prefix) + keys.NUMBER_WIDTH + 1)
    if after is None and wanted.from_ms is not None:
        after = index_keys.before(prefix, wanted.from_ms)
    end_ms = times.NO_INSTANT_MS if wanted.to_ms is None else wanted.to_ms
    walk = (
        IndexRow(key, order_id, at_ms)
        for key, _ in index.rows.walk(prefix, after)
        for at_ms, order_id in (index_keys.split_placed(prefix, key),)
    )
    return takewhile(lambda row: (row.placed_ms or 0) < end_ms, walk)


class FoundByRow:
    """An order that a row of the index leads to, as the table has it now."""

    def __init__(self, answers: Answers, row: IndexRow, wanted: Wanted) -> None:
        self._row, self._wanted, self._calendar = row, wanted, answers.calendar
        state = answers.snapshot.get(keys.space(catalogue.ORDERS) + row.order_id)
        self._order = orders.EMPTY if state is None else orders.decode(state)
        self._placed = self._order.placed[0] if self._order.placed else None
        self._counted = counting.derive(self._order)
        sales = self._counted.sales
        if wanted.product is not None:
            sales = tuple(sale for sale in sales if sale.product_id == wanted.product)
        self._of_product = replace(self._counted, sales=sales)

    @property
    def is_valid(self) -> bool:
        """Whether the row is of the placing that holds, or of an order without one."""
        row, placed, wanted = self._row, self._placed, self._wanted
        if row.placed_ms is None or placed is None:
            return True
        products = {line.product_id for line in placed.lines}
        return (
            row.placed_ms == placed.occurred_at_ms
            and wanted.shop in {None, placed.shop_id}
            and (wanted.product is None or wanted.product in products)
        )

    @property
    def counts(self) -> bool:
        """Whether anything is left of the order, or of the lines of the product."""
        return any(_net(self._of_product))

    def answer(self) -> FoundOrder:
        """The order as it is answered."""
        row, placed, wanted = self._row, self._placed, self._wanted
        placed_ms = placed.occurred_at_ms if placed else row.placed_ms
        units, amount = _net(self._counted) if placed else (None, None)
        by_product = placed is not None and wanted.product is not None
        product_units, product_amount = _net(self._of_product) if by_product else (None, None)
        return FoundOrder(
            order_id=row.order_id.decode(),
            placed_at=None if placed_ms is None else times.format_ms(placed_ms),
            shop_id=placed and placed.shop_id,
            buyer_id=placed and placed.buyer_id,
            currency=placed and placed.currency,
            units=units,
            amount=amount,
            product_units=product_units,
            product_amount=product_amount,
            refund=self._refund(),
            uncounted=None if self.counts else self.why_nothing(),
            found_by=wanted.found_by,
        )

    def why_nothing(self) -> str:
        """Why nothing counts: what the order's explanation says of the wanted lines."""
        order, placed = self._order, self._placed
        if order == orders.EMPTY:
            return "all records that name it are parked"
        lines = {
            line.line_id
            for line in (placed.lines if placed else ())
            if self._wanted.product in {None, line.product_id}
        }
        because = conclude(order, self._counted, self._calendar).because
        return "; ".join(
            [one.text for one in because if not one.line_ids or lines.intersection(one.line_ids)]
        )

    def _refund(self) -> str | None:
        refund_id = self._wanted.refund
        if refund_id is None or self._order == orders.EMPTY:
            return None
        reasons = unsold(self._order, self._counted)
        return RefundEffects(self._order, self._counted, reasons).of(refund_id).text


def _net(counted: Counted) -> tuple[int, int]:
    """Net units, and the net amount in minor units."""
    result = result_of(counted)
    return result.units.net, sum(sums.net for sums in result.amounts.values())
