"""The orders of a product that were placed in a cycle, and of which nothing of it counts now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.concurrency import run_in_threadpool

from schemas import http_limits, times
from schemas.past_answers import UncountedOrder, UncountedOrders
from serving import index_keys, keys
from serving.event_index import IndexBehind
from serving.finding_orders import FoundByRow, IndexRow, Wanted
from tables.catalogue import ORDERS

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.event_index import IndexSnapshot
    from serving.reader import Reader


async def uncounted_orders(
    reader: Reader, answers: Answers, product_id: str, start_ms: int
) -> UncountedOrders | None:
    """Among the newest orders of a cycle those that don't count; None while the index is behind."""
    try:
        index = await reader.index.snapshot(answers.progress.of(ORDERS.name).applied)
    except IndexBehind:
        return None
    end_ms = answers.calendar.end_of(start_ms)
    wanted = Wanted(product=product_id, from_ms=start_ms, to_ms=end_ms)
    return await run_in_threadpool(_searched, answers, index, wanted)


def _searched(answers: Answers, index: IndexSnapshot, wanted: Wanted) -> UncountedOrders:
    prefix = keys.subject(index_keys.BY_PRODUCT, (wanted.product or "").encode())
    begin_ms, end_ms = wanted.from_ms or 0, wanted.to_ms or times.NO_INSTANT_MS
    searched = count = 0
    more, newest = False, list[UncountedOrder]()
    for key, _ in index.rows.walk_back(prefix, index_keys.before(prefix, end_ms)):
        at_ms, order_id = index_keys.split_placed(prefix, key)
        if at_ms < begin_ms:
            break
        if searched == http_limits.UNCOUNTED_ORDERS:
            more = True
            break
        searched += 1
        found = FoundByRow(answers, IndexRow(key, order_id, at_ms), wanted)
        if found.is_valid and not found.counts:
            count += 1
            if len(newest) < http_limits.LISTED_UNCOUNTED_ORDERS:
                one = UncountedOrder(
                    order_id=order_id.decode(),
                    placed_at=times.format_ms(at_ms),
                    why=found.why_nothing(),
                )
                newest.append(one)
    return UncountedOrders(searched=searched, is_all=not more, count=count, newest=newest)
