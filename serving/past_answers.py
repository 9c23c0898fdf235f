"""Answers about an earlier moment, and explanations: each from one snapshot of the store."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi.concurrency import run_in_threadpool

from schemas.past_answers import (
    PastProduct,
    PastShop,
    PastTopProducts,
    PastTopShops,
    ProductExplanation,
    ShopExplanation,
)
from serving.order_history import histories
from serving.past import moment_answer, moment_of, settled
from serving.past_cycle import cycle_known_at
from serving.past_sales import PastSales, Unsettled, intricate_orders
from serving.requests import found
from serving.subject_explanation import InCycle, explained
from serving.subjects import PRODUCT, SHOP
from serving.uncounted_orders import uncounted_orders
from tables.breakdown import Breakdown
from tables.catalogue import ORDERS_TOPIC
from tables.report import all_time, sold
from tables.sales import Tally
from tables.time_travel import Moment, agree

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.past import PastWanted
    from serving.past_sales import Cycles
    from serving.requests import FreshnessWanted
    from serving.subjects import Subject

PastSubject = PastProduct | PastShop
PastTop = PastTopProducts | PastTopShops
Explanation = ProductExplanation | ShopExplanation


class Forms(NamedTuple):
    """The forms of answers about products, or about shops."""

    one: type[PastSubject]
    top: type[PastTop]
    explanation: type[Explanation]


FORMS: Final = {
    PRODUCT.keyed_by: Forms(PastProduct, PastTopProducts, ProductExplanation),
    SHOP.keyed_by: Forms(PastShop, PastTopShops, ShopExplanation),
}


class Reading(NamedTuple):
    """A snapshot, the moment that it is read at, a cycle's start, and the sales at that moment."""

    answers: Answers
    moment: Moment
    start_ms: int
    sales: PastSales


class PastAnswers:
    """The answers to one request about a subject, such as products, at the moment it wants."""

    def __init__(self, wanted: FreshnessWanted, past: PastWanted, subject: Subject[Any]) -> None:
        self._wanted = wanted
        self._reader = wanted.reader
        self._past = past
        self._subject = subject
        self._keyed_by = subject.keyed_by
        self._topic = self._reader.settings.topic(ORDERS_TOPIC)

    async def about(self, id_: str, start_ms: int | None) -> PastSubject:
        """An id in a cycle, the one that was current then if None. Raises ProblemRaised."""

        async def attempt() -> PastSubject:
            reading = await self._read(id_, start_ms)
            return await run_in_threadpool(self._about, reading, id_)

        return await settled(self._reader, attempt)

    async def top(self, start_ms: int | None, limit: int) -> PastTop:
        """The best of a cycle, the one that was current then if None. Raises ProblemRaised."""

        async def attempt() -> PastTop:
            reading = await self._read(None, start_ms)
            return await run_in_threadpool(self._top, reading, limit)

        return await settled(self._reader, attempt)

    async def explanation(self, id_: str, start_ms: int | None, limit: int) -> Explanation:
        """What makes up the number of an id in a cycle. Raises ProblemRaised."""

        async def attempt() -> Explanation:
            reading = await self._read(id_, start_ms)
            body = await run_in_threadpool(self._explained, reading, id_, limit)
            if not isinstance(body, ProductExplanation) or self._past.given:
                return body
            more = await uncounted_orders(self._reader, reading.answers, id_, reading.start_ms)
            return body.model_copy(update={"uncounted": more})

        return await settled(self._reader, attempt)

    async def _read(self, id_: str | None, start_ms: int | None) -> Reading:
        answers, moment = await moment_of(self._wanted, self._past, self._subject, id_)
        key = None if id_ is None else id_.encode()
        if id_ is not None and key is not None and not answers.is_known(self._keyed_by, key):
            found(None, id_, self._subject)
        snapshot = answers.snapshot
        orders = await run_in_threadpool(intricate_orders, snapshot, moment, self._keyed_by, key)
        known = orders.known
        if orders.unread:
            read = histories(self._reader, orders.unread, moment)
            known |= {order_id: history.order async for order_id, history in read}
        if start_ms is None:
            start_ms = await self._current_cycle(answers, moment)
        sales = PastSales(snapshot, answers.calendar, moment, known)
        return Reading(answers, moment, start_ms, sales)

    def _about(self, reading: Reading, id_: str) -> PastSubject:
        key, start_ms = id_.encode(), reading.start_ms
        cycles = reading.sales.of(self._keyed_by, key)
        if self._past.known_at_ms is None:
            self._require_agreement(reading, key)
        return FORMS[self._keyed_by].one(
            **self._row(reading, id_, start_ms, cycles), **self._about_moment(reading)
        )

    def _top(self, reading: Reading, limit: int) -> PastTop:
        answers, start = reading.answers, reading.start_ms
        best = nsmallest(
            limit,
            (
                (id_, cycles)
                for id_, cycles in reading.sales.of_all(self._keyed_by)
                if start in cycles and cycles[start].net
            ),
            key=lambda one: (-one[1][start].net, one[0]),
        )
        return FORMS[self._keyed_by].top.model_validate(
            {
                "cycle": answers.span(start),
                "items": [self._row(reading, id_, start, cycles) for id_, cycles in best],
                **self._about_moment(reading),
            }
        )

    def _explained(self, reading: Reading, id_: str, limit: int) -> Explanation:
        answers, sales, key = reading.answers, reading.sales, id_.encode()
        start = reading.start_ms
        breakdown = Breakdown()
        in_cycle = sales.of(self._keyed_by, key, start, breakdown)
        cycles = in_cycle
        if self._past.given:
            cycles = sales.of(self._keyed_by, key)
            if self._past.known_at_ms is None:
                self._require_agreement(reading, key)
        else:
            table = answers.sales_by_cycle(self._keyed_by, key)
            if not agree(in_cycle, {start: table.get(start, Tally())}):
                raise _disagreement()
            cycles = table
        what = InCycle(sales, self._keyed_by, key, start)
        parts = explained(what, breakdown, limit, self._topic)
        return FORMS[self._keyed_by].explanation.model_validate(
            self._row(reading, id_, start, cycles) | parts | self._about_moment(reading)
        )

    def _row(self, reading: Reading, id_: str, start_ms: int, cycles: Cycles) -> dict[str, Any]:
        tally = cycles.get(start_ms, Tally())
        terms = reading.answers.terms
        return {self._keyed_by: id_} | sold(terms, start_ms, tally, all_time(cycles))

    def _about_moment(self, reading: Reading) -> dict[str, Any]:
        """The moment as it is answered, and the freshness of the tables."""
        return {
            "moment": moment_answer(self._reader, self._past, reading.moment),
            "freshness": reading.answers.freshness_of(*self._subject.tables),
        }

    def _require_agreement(self, reading: Reading, id_: bytes) -> None:
        """Raise Unsettled unless all entries until the bounds add up to the table's rows."""
        answers = reading.answers
        all_of_it = PastSales(
            answers.snapshot, answers.calendar, Moment(reading.moment.bounds), {}
        ).of(self._keyed_by, id_)
        if not agree(all_of_it, answers.sales_by_cycle(self._keyed_by, id_)):
            raise _disagreement()

    async def _current_cycle(self, answers: Answers, moment: Moment) -> int:
        """The start of the cycle that was current at the moment.

        With `as_of` the one that contains it; with `known_at` the one that contained the earliest
        event time that the source partitions of orders had reached then. Raises as
        `cycle_known_at`.
        """
        past = self._past
        if past.as_of_ms is not None:
            return answers.calendar.start_of(past.as_of_ms)
        if past.known_at_ms is None:
            return answers.current_cycle(*self._subject.tables)
        return await cycle_known_at(self._reader, answers, moment, past.known_at_ms)


def _disagreement() -> Unsettled:
    return Unsettled("the journal's entries don't yet add up to the row of the table")
