"""The addresses that answer from the events of orders: explanations, and what finds orders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from schemas import http_limits, limits
from schemas.explanations import FoundOrders, OrderExplanation
from serving.explaining import explanation, records_of
from serving.finding_orders import Wanted as OrdersWanted
from serving.finding_orders import find_orders
from serving.order_history import past_explanation
from serving.past import Past
from serving.problems import Kind, ProblemRaised, invalid
from serving.requests import CONTROL, INSTANT, Cursor, Id, Wanted, found, id_of, instant_of
from serving.subjects import ORDER
from streams.log import READING_FAILS
from tables.catalogue import ORDERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from serving.answers import Answers
    from serving.event_index import IndexSnapshot
    from serving.reader import Reader

TURN_S: Final = 5.0
"""How long an explanation waits for its turn."""

router = APIRouter(prefix="/v1")

Events = Annotated[
    int, Query(ge=1, le=limits.EXPLAINED_EVENTS, description="Most events; the newest are listed.")
]
Orders = Annotated[
    int, Query(ge=1, le=http_limits.FOUND_ORDERS, description="Most orders of a page.")
]
From = Annotated[
    str | None,
    Query(
        alias="from",
        description="Placed then or later, RFC 3339 with zone.",
        json_schema_extra=INSTANT,
    ),
]
To = Annotated[
    str | None,
    Query(alias="to", description="Placed before, RFC 3339 with zone.", json_schema_extra=INSTANT),
]
Refund = Annotated[str | None, Query(description="The id of a refund, in any state.")]
Shop = Annotated[str | None, Query(description="The id of a shop.")]
Product = Annotated[str | None, Query(description="The id of a product of the order.")]
Counted = Annotated[
    bool | None, Query(description="Of which something counts (true), or nothing (false).")
]


@router.get("/orders/{order_id:path}/explanation", response_model=OrderExplanation)
async def explain_order(
    wanted: Wanted, past: Past, order_id: Id, limit: Events = limits.EXPLAINED_EVENTS
) -> Response:
    """An order's events as they stand in the log, each with its verdict, rules and effect.

    They are replayed by the functions that workers run; the last result is the row of the table, or
    what it had at an earlier moment.
    """
    id_ = id_of(order_id, ORDER)
    if past.given:
        async with _turn(wanted.reader):
            then = await past_explanation(wanted, past, id_, limit)
        return wanted.response(found(then, id_, ORDER))
    answers = await wanted.answers(*ORDER.tables)
    index = await _index(wanted.reader, answers)
    async with _turn(wanted.reader):
        try:
            records = await records_of(wanted.reader, answers, index, id_, limit)
        except (*READING_FAILS, TimeoutError) as error:
            why = str(error) or "Kafka gave no answer in time"
            raise ProblemRaised(Kind.LOG_AWAY, f"the order's events can't be read: {why}") from None
        letters = wanted.reader.index.dead_letters
        body = await run_in_threadpool(explanation, answers, index, id_, records, letters)
    return wanted.response(found(body, id_, ORDER))


@router.get("/find", response_model=FoundOrders)
async def find(  # noqa: PLR0913, PLR0917 - as many parameters as orders are found by
    wanted: Wanted,
    refund: Refund = None,
    shop: Shop = None,
    product: Product = None,
    from_: From = None,
    to: To = None,
    counted: Counted = None,
    limit: Orders = 100,
    cursor: Cursor = None,
) -> Response:
    """Orders by a refund, by shop or product, or by when they were placed alone.

    With a shop or a product, too, `from` and `to` bound the time of placing. Sorted by that time,
    then by id. None if nothing is found. With `counted`, a page looks through a bounded number of
    orders: it may be empty before the last one.
    """
    what = _wanted(refund, shop, product, from_, to)._replace(counted=counted)
    answers = await wanted.answers(*ORDER.tables)
    index = await _index(wanted.reader, answers)
    page = await run_in_threadpool(find_orders, answers, index, what, limit, cursor)
    return wanted.response(page)


def _wanted(
    refund: str | None, shop: str | None, product: str | None, from_: str | None, to: str | None
) -> OrdersWanted:
    """What is to be found. Raises ProblemRaised where the parameters don't fit together."""
    ids = {"refund": refund, "shop": shop, "product": product}
    named = [name for name, id_ in ids.items() if id_ is not None]
    if len(named) > 1:
        raise invalid(named[1], f"it can't be given beside {named[0]}: give one of them")
    for name in named:
        if CONTROL.search(ids[name] or ""):
            raise invalid(name, "it has a control character, which no id has")
    if refund is not None and (from_ or to):
        raise invalid("from" if from_ else "to", "a refund's orders are not found by time")
    if not (named or from_ or to):
        raise invalid("refund", "give refund, shop, product, from or to: what to find orders by")
    begin, end = (
        None if text is None else instant_of(where, text)
        for where, text in (("from", from_), ("to", to))
    )
    return OrdersWanted(refund, shop, product, begin, end)


async def _index(reader: Reader, answers: Answers) -> IndexSnapshot:
    """The index, at least as far as the orders' table. Raises IndexBehind."""
    return await reader.index.snapshot(answers.progress.of(ORDERS.name).applied)


@asynccontextmanager
async def _turn(reader: Reader) -> AsyncIterator[None]:
    """The turn of one explanation. Raises ProblemRaised where that takes too long."""
    turns = reader.index.turns
    try:
        async with asyncio.timeout(TURN_S):
            await turns.acquire()
    except TimeoutError:
        raise ProblemRaised(
            Kind.BUSY, f"{http_limits.EXPLANATIONS} explanations are being made, the most at once"
        ) from None
    try:
        yield
    finally:
        turns.release()
