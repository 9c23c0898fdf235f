"""Answers from a reader's store as it is at one moment.

Rows, lists and freshness in the forms of `schemas/answers.py`.

An id is known when a table has a row of it or any order names it. A known product or shop that sold
nothing in a cycle is answered with zeros; an unknown id is not answered (None).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from schemas import times
from schemas.answers import (
    AnomalyAnswer,
    CycleSpan,
    Freshness,
    FreshProduct,
    FreshShop,
    JournalPage,
    OrderAnswer,
    OverdueInquiry,
    OverduePage,
    Part,
    ProductAnswer,
    ReversalAnswer,
    SaleAnswer,
    ServedShop,
    ServiceRulesAnswer,
    TopProducts,
    TopShops,
)
from serving import keys
from serving.standing import JOURNAL, OF_PRODUCT, OF_SHOP
from tables import aftersales, catalogue, counting, figures, orders, sales, service
from tables.report import anomalies, overdue, sold, span
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.answers import State
    from serving.standing import Extent
    from serving.store import Moment
    from tables.cycles import Calendar
    from tables.service_hours import ServiceRules

TopBy = Literal["sales", "response-rate", "good-reviews"]
_NONE: Final = Tally()


class NothingYet(Exception):
    """No event has been applied, so no cycle is current."""


class BadCursor(ValueError):
    """A cursor that no answer gave, or one of another list."""


class Look:
    """One look at the store; `now_ms` is the moment of answering, for the lag.

    For one answer, in one thread.

    `state` is that of the whole way, as last judged.
    """

    def __init__(
        self,
        moment: Moment,
        calendar: Calendar,
        rules: ServiceRules,
        now_ms: int,
        state: State = "unknown",
    ) -> None:
        self._moment = moment
        self._calendar = calendar
        self._rules = rules
        self._now_ms = now_ms
        self.standing = moment.standing
        self.state = state

    def freshness(self, extent: Extent) -> Freshness:
        """An extent as it is answered."""
        through_ms = extent.through_ms
        return Freshness(
            as_of=None if through_ms is None else times.format_ms(through_ms),
            applied=extent.applied,
            lag_seconds=None if through_ms is None else max(0, self._now_ms - through_ms) / 1000,
            state=self.state if self.standing.live else "restoring",
        )

    def _fresh(self, *names: str) -> Freshness:
        return self.freshness(self.standing.extent(*names))

    def cycle(self, *names: str) -> int:
        """The start of the current cycle of some tables.

        The one that holds their earliest watermark (C1, C2). Raises NothingYet.
        """
        earliest_ms = self.standing.extent(*names).earliest_ms
        if earliest_ms is None:
            raise NothingYet
        return self._calendar.start_of(earliest_ms)

    def span(self, start_ms: int) -> CycleSpan:
        """A cycle as it is answered."""
        return CycleSpan(**span(self._calendar, start_ms))

    def product(self, product_id: str, start_ms: int | None) -> FreshProduct | None:
        """A product in a cycle, the current one if None. Raises NothingYet."""
        id_ = product_id.encode()
        cycles = self._cycles(keys.PRODUCT, id_)
        if not (
            cycles
            or self._is_there(keys.subject(keys.PRODUCT_SERVICE, id_))
            or self._moment.get(keys.NAMED_PRODUCT + id_) is not None
        ):
            return None
        start_ms = self.cycle(*OF_PRODUCT) if start_ms is None else start_ms
        return FreshProduct(
            product_id=product_id,
            service=figures.of_product(self._served(keys.row(keys.PRODUCT_SERVICE, id_, start_ms))),
            freshness=self._fresh(*OF_PRODUCT),
            **sold(self._calendar, start_ms, cycles.get(start_ms, _NONE), _traded(cycles)),
        )

    def shop(self, shop_id: str, start_ms: int | None) -> FreshShop | None:
        """A shop in a cycle, the current one if None. Raises NothingYet."""
        id_ = shop_id.encode()
        ever = self._moment.get(keys.SHOP_SERVICE_EVER + id_)
        if (
            ever is None
            and not self._is_there(keys.subject(keys.SHOP, id_))
            and self._moment.get(keys.NAMED_SHOP + id_) is None
        ):
            return None
        start_ms = self.cycle(*OF_SHOP) if start_ms is None else start_ms
        return FreshShop(
            service_all_time=figures.of_shop({} if ever is None else service.decode(ever).columns),
            service_rules=self._rules_answer,
            freshness=self._fresh(*OF_SHOP),
            **self._shop(id_, start_ms),
        )

    def _shop(self, id_: bytes, start_ms: int) -> dict[str, Any]:
        cycles = self._cycles(keys.SHOP, id_)
        served = figures.of_shop(self._served(keys.row(keys.SHOP_SERVICE, id_, start_ms)))
        row = sold(self._calendar, start_ms, cycles.get(start_ms, _NONE), _traded(cycles))
        return {"shop_id": id_.decode(), "service": served} | row

    @property
    def _rules_answer(self) -> ServiceRulesAnswer:
        return ServiceRulesAnswer(**self._rules.answer())

    def _served(self, row: bytes) -> dict[str, int]:
        state = self._moment.get(row)
        return {} if state is None else service.decode(state).columns

    def _is_there(self, prefix: bytes) -> bool:
        return next(self._moment.walk(prefix), None) is not None

    def _cycles(self, space: bytes, id_: bytes) -> dict[int, Tally]:
        return {
            keys.split_row(key)[1]: sales.decode(state)
            for key, state in self._moment.walk(keys.subject(space, id_))
        }

    def _cycle_of_cursor(self, start_ms: int, named_ms: int | None) -> int:
        if named_ms not in {None, start_ms}:
            raise BadCursor("the cursor is of another cycle")
        if not self._calendar.holds_events(start_ms):
            raise BadCursor("no answer gave this cursor")
        return start_ms

    def top(self, start_ms: int | None, limit: int, cursor: str | None) -> TopProducts:
        """A page of a cycle's best sellers; a cursor names its cycle itself.

        Raises NothingYet, BadCursor.
        """
        after = None if cursor is None else _decoded(cursor, keys.TOP, at_least=18)
        if after is not None:
            start_ms = self._cycle_of_cursor(keys.split_top(after)[0], start_ms)
        elif start_ms is None:
            start_ms = self.cycle(catalogue.PRODUCT_CYCLES.name)
        found = [
            key for key, _ in islice(self._moment.walk(keys.top_of(start_ms), after), limit + 1)
        ]
        items = []
        for key in found[:limit]:
            id_ = keys.split_top(key)[2]
            cycles = self._cycles(keys.PRODUCT, id_)
            items.append(
                ProductAnswer(
                    product_id=id_.decode(),
                    **sold(self._calendar, start_ms, cycles[start_ms], _traded(cycles)),
                )
            )
        following = _encoded(found[limit - 1]) if len(found) > limit else None
        return TopProducts(
            cycle=self.span(start_ms),
            items=items,
            next_cursor=following,
            freshness=self._fresh(catalogue.PRODUCT_CYCLES.name),
        )

    def top_shops(
        self, by: TopBy, start_ms: int | None, limit: int, cursor: str | None
    ) -> TopShops:
        """A page of a cycle's best shops; a cursor names its cycle itself.

        Raises NothingYet, BadCursor.
        """
        after = None if cursor is None else _decoded(cursor, keys.TOP_SHOPS[by], at_least=26)
        if after is not None:
            start_ms = self._cycle_of_cursor(keys.split_top_shop(after)[0], start_ms)
        elif start_ms is None:
            start_ms = self.cycle(*OF_SHOP)
        found = [
            key
            for key, _ in islice(
                self._moment.walk(keys.top_shops_of(by, start_ms), after), limit + 1
            )
        ]
        return TopShops(
            cycle=self.span(start_ms),
            by=by,
            items=[
                ServedShop(**self._shop(keys.split_top_shop(key)[1], start_ms))
                for key in found[:limit]
            ],
            next_cursor=_encoded(found[limit - 1]) if len(found) > limit else None,
            service_rules=self._rules_answer,
            freshness=self._fresh(*OF_SHOP),
        )

    def overdue(self, shop_id: str | None, limit: int, cursor: str | None) -> OverduePage:
        """A page of what is overdue, of one shop or of all.

        By when it was due, then by shop and buyer. Raises BadCursor.
        """
        prefix = (
            keys.OVERDUE if shop_id is None else keys.subject(keys.SHOP_OVERDUE, shop_id.encode())
        )
        after = None if cursor is None else _decoded(cursor, prefix, at_least=len(prefix) + 8)
        found = list(islice(self._moment.walk(prefix, after), limit + 1))
        states = [(row, self._moment.get(row)) for _, row in found[:limit]]
        return OverduePage(
            count=sum(1 for _ in self._moment.walk(prefix)),
            items=[
                OverdueInquiry(**overdue(row[1:], state))
                for row, state in states
                if state is not None
            ],
            next_cursor=_encoded(found[limit - 1][0]) if len(found) > limit else None,
            service_rules=self._rules_answer,
            freshness=self._fresh(catalogue.OVERDUE.name),
        )

    def journal(self, product_id: str, limit: int, cursor: str | None) -> JournalPage | None:
        """A page of a product's journal entries.

        Empty if it is only named by orders, None if it is unknown. Raises BadCursor.
        """
        prefix = keys.subject(keys.JOURNAL, product_id.encode())
        after = None if cursor is None else _decoded(cursor, prefix, at_least=len(prefix) + 8)
        found = list(islice(self._moment.walk(prefix, after), limit + 1))
        if (
            not found
            and after is None
            and self._moment.get(keys.NAMED_PRODUCT + product_id.encode()) is None
        ):
            return None
        return JournalPage(
            items=[msgspec.json.decode(value) for _, value in found[:limit]],
            next_cursor=_encoded(found[limit - 1][0]) if len(found) > limit else None,
            freshness=self._fresh(JOURNAL),
        )

    def order(self, order_id: str) -> OrderAnswer | None:
        """An order: its facts, what counts of it, what is odd."""
        state = self._moment.get(keys.ORDER + order_id.encode())
        if state is None:
            return None
        order = orders.decode(state)
        counted = counting.derive(order)
        facts = sorted(
            (fact for kind in orders.KINDS for fact in getattr(order, kind)), key=orders.precedence
        )
        placed = order.placed[0] if order.placed else None
        return OrderAnswer(
            order_id=order_id,
            shop_id=placed and placed.shop_id,
            buyer_id=placed and placed.buyer_id,
            currency=placed and placed.currency,
            facts=[_fact(orders.content(fact), fact.occurred_at_ms) for fact in facts],
            sales=[self._sale(sale) for sale in counted.sales],
            anomalies=[
                AnomalyAnswer(anomaly=odd.anomaly, line_id=odd.line_id or None)
                for odd in sorted(counted.anomalies | aftersales.review_anomalies(order))
            ],
            freshness=self._fresh(catalogue.ORDERS.name),
        )

    def _sale(self, sale: counting.Sale) -> SaleAnswer:
        units = sum(reversal.units for reversal in sale.reversals)
        amount = sum(reversal.amount for reversal in sale.reversals)
        return SaleAnswer(
            line_id=sale.line_id,
            product_id=sale.product_id,
            cycle=self.span(self._calendar.start_of(sale.at_ms)),
            received_at=times.format_ms(sale.at_ms),
            units=Part(gross=sale.units, reversed=units, net=sale.units - units),
            amount=Part(gross=sale.amount, reversed=amount, net=sale.amount - amount),
            reversals=[
                ReversalAnswer(
                    at=times.format_ms(reversal.at_ms), units=reversal.units, amount=reversal.amount
                )
                for reversal in sale.reversals
            ],
        )

    def export(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All rows in the form of `netsold recount`: (the list's name, row).

        Sorted by nothing in particular.
        """
        for part, space, id_name in (
            ("products", keys.PRODUCT, "product_id"),
            ("shops", keys.SHOP, "shop_id"),
        ):
            for id_, rows in groupby(
                self._moment.walk(space), key=lambda row: keys.split_row(row[0])[0]
            ):
                cycles = {keys.split_row(key)[1]: sales.decode(state) for key, state in rows}
                for start_ms, tally in cycles.items():
                    if tally.holds_anything:
                        yield (
                            part,
                            {id_name: id_.decode()}
                            | sold(self._calendar, start_ms, tally, _traded(cycles)),
                        )
        for key, state in self._moment.walk(keys.ORDER):
            for odd in anomalies([(key[1:], state)]):
                yield "anomalies", odd
        yield from self._export_service()

    def _export_service(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for part, space, id_name, figures_of in (
            ("shop_service", keys.SHOP_SERVICE, "shop_id", figures.of_shop),
            ("product_service", keys.PRODUCT_SERVICE, "product_id", figures.of_product),
        ):
            for key, state in self._moment.walk(space):
                id_, start_ms = keys.split_row(key)
                if columns := service.decode(state).columns:
                    yield (
                        part,
                        {id_name: id_.decode(), "cycle": span(self._calendar, start_ms)}
                        | figures_of(columns),
                    )
        for key, state in self._moment.walk(keys.SHOP_SERVICE_EVER):
            if columns := service.decode(state).columns:
                yield (
                    "shop_service_totals",
                    {"shop_id": key[1:].decode()} | figures.of_shop(columns),
                )
        for key, state in self._moment.walk(keys.CONVERSATION):
            yield "overdue", overdue(key[1:], state)


def _traded(cycles: dict[int, Tally]) -> int:
    """Net units of all time (C4).

    The totals as sums of the cycles, so that one answer comes from one partition at one mark.
    """
    return sum(tally.net for tally in cycles.values())


def _fact(content: dict[str, Any], occurred_at_ms: int) -> dict[str, Any]:
    first = {name: content.pop(name) for name in ("type", "id", "source")}
    return first | {"occurred_at": times.format_ms(occurred_at_ms)} | content


def _encoded(key: bytes) -> str:
    return urlsafe_b64encode(key).decode().rstrip("=")


def _decoded(cursor: str, prefix: bytes, at_least: int) -> bytes:
    try:
        key = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
    except (NotBase64, UnicodeEncodeError) as error:
        raise BadCursor("no answer gave this cursor") from error
    if _encoded(key) != cursor:  # base64 passes over characters that it doesn't know
        raise BadCursor("no answer gave this cursor")
    if not key.startswith(prefix) or len(key) < at_least:
        raise BadCursor("the cursor is of another list")
    return key
