"""Orders as they were known at an earlier moment: from their events, by the event index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi.concurrency import run_in_threadpool

from schemas import envelope, limits, times
from schemas.envelope import Received
from schemas.past_answers import PastOrder
from serving import keys
from serving.event_index import OrderRecords
from serving.explaining import NamedOrder, explanation_of
from serving.order_answer import order_fields
from serving.past import bounds_of, known_bounds, moment_answer
from serving.past_sales import UnreadOrder
from serving.problems import Kind, ProblemRaised, quoted
from serving.reader import NotReady
from serving.subjects import ORDER
from streams import log
from tables import orders
from tables.catalogue import ORDERS, ORDERS_TOPIC
from tables.time_travel import Moment, happened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from schemas.explanations import OrderExplanation
    from serving.answers import Answers
    from serving.event_index import IndexSnapshot
    from serving.past import PastWanted
    from serving.reader import Reader
    from serving.requests import FreshnessWanted
    from tables.orders import Order


async def past_order(wanted: FreshnessWanted, past: PastWanted, order_id: str) -> PastOrder | None:
    """An order at an earlier moment; None if no event names it now.

    Raises as `histories`.
    """
    answers, moment = await _moment(wanted, past)
    known = _known(answers, order_id)
    if known is None:
        return None
    if past.known_at_ms is not None or (past.given and known.conflicts):
        # a conflict (S11) is known without the instant of the content that doesn't hold
        known = (await _history(wanted.reader, order_id, known, moment)).order
    elif past.as_of_ms is not None:
        known = happened(known, past.as_of_ms)
    return PastOrder(
        **order_fields(answers, order_id, known),
        moment=moment_answer(wanted.reader, past, moment),
        freshness=answers.freshness_of(ORDERS.name),
    )


async def past_explanation(
    wanted: FreshnessWanted, past: PastWanted, order_id: str, most: int
) -> OrderExplanation | None:
    """The explanation of an order at an earlier moment, by its newest events until then.

    None if no event names it now. Raises as `histories`.
    """
    answers, moment = await _moment(wanted, past)
    known = _known(answers, order_id)
    if known is None:
        return None
    history = await _history(wanted.reader, order_id, known, moment)
    all_records = history.records.records
    size = len(orders.encode(history.order))
    listed = all_records[-min(most, limits.EXPLAINED_BYTES // size) :]
    found = OrderRecords(listed, len(all_records) - len(listed), 0)
    letters = wanted.reader.index.dead_letters
    what = NamedOrder(order_id, history.order)
    body = await run_in_threadpool(explanation_of, answers, history.snapshot, what, found, letters)
    more: dict[str, Any] = {"moment": moment_answer(wanted.reader, past, moment)}
    if not all_records:
        more["sentence"] = "counts nothing, because no event of it is included at that moment"
    return body.model_copy(update=more)


async def _moment(wanted: FreshnessWanted, past: PastWanted) -> tuple[Answers, Moment]:
    """A snapshot of the table of orders, and the moment in it."""
    reader, known_at_ms = wanted.reader, past.known_at_ms
    bounds = None if known_at_ms is None else await known_bounds(reader, known_at_ms)
    answers = await wanted.answers(*ORDER.tables)
    if bounds is None:
        bounds = bounds_of(reader, answers.progress.of(ORDERS.name).applied)
    return answers, Moment(bounds, past.as_of_ms)


def _known(answers: Answers, order_id: str) -> Order | None:
    state = answers.snapshot.get(keys.space(ORDERS) + order_id.encode())
    return None if state is None else orders.decode(state)


class History(NamedTuple):
    """An order at a moment, the records that made it, and the index that found them."""

    order: Order
    records: OrderRecords
    snapshot: IndexSnapshot


async def _history(reader: Reader, order_id: str, known: Order, moment: Moment) -> History:
    """One order by the events that a moment includes. Raises as `histories`."""
    wanted = {order_id: UnreadOrder(None, known)}
    [(_, found)] = [one async for one in histories(reader, wanted, moment)]
    return found


async def histories(
    reader: Reader, wanted: Mapping[str, UnreadOrder], moment: Moment
) -> AsyncIterator[tuple[str, History]]:
    """Orders by the events that a moment includes, in log time and in event time.

    They come one by one, as each may have many bytes of records. What was applied is decided by
    what is known now: an event that isn't among the facts was parked, as was one with a dead
    letter. Raises NotReady, and ProblemRaised where an order, or all together, have too many
    events, or some were deleted.
    """
    topic = reader.settings.topic(ORDERS_TOPIC)
    ends = {partition: end for partition, end in moment.bounds.items() if end > 0}
    left = limits.HISTORIES_EVENTS
    try:
        index = await reader.index.snapshot(
            {f"{topic}-{partition}": end - 1 for partition, end in ends.items()}
        )
        for order_id, (own, known) in wanted.items():
            of_order = {
                f"{topic}-{partition}": end
                for partition, end in ends.items()
                if own in {None, partition}
            }
            most = min(limits.HISTORY_EVENTS, left)
            records = await reader.index.records_of_order(index, order_id, of_order, most)
            _require_all(order_id, records)
            left -= len(records.records)
            history = await run_in_threadpool(_replayed, known, records, index, moment.as_of_ms)
            yield order_id, history
    except (*log.READING_FAILS, TimeoutError) as error:
        why = str(error) or "Kafka gave no answer in time"
        raise NotReady(f"the events of an order can't be read from the log: {why}") from error


def _replayed(
    known: Order, records: OrderRecords, index: IndexSnapshot, as_of_ms: int | None
) -> History:
    latest_ms = times.NO_INSTANT_MS if as_of_ms is None else as_of_ms
    identities = {(fact.source, fact.id) for kind in orders.KINDS for fact in getattr(known, kind)}
    order, included = orders.EMPTY, []
    for one in records.records:
        event = envelope.read(one.record)
        # what only its key refuses happened, too, when its content says
        content = event if isinstance(event, Received) else envelope.read_content(one.record)
        at_ms = one.record.timestamp
        if isinstance(content, Received):
            at_ms = content.occurred_at_ms
        if at_ms > latest_ms:
            continue
        included.append(one)
        if (
            isinstance(event, Received)
            and (event.source, event.id) in identities
            and index.dead_letter(one.position) is None
        ):
            order = orders.absorb(order, event)
    return History(order, OrderRecords(included, 0, 0), index)


def _require_all(order_id: str, records: OrderRecords) -> None:
    if records.left_out:
        raise ProblemRaised(
            Kind.TOO_MUCH,
            f"the order {quoted(order_id)} has more than {limits.HISTORY_EVENTS:,} events then, or"
            f" all such orders together more than {limits.HISTORIES_EVENTS:,}, too many to derive"
            " it for an earlier moment: leave out `known_at`, or `as_of`",
        )
    if records.deleted:
        raise ProblemRaised(
            Kind.TOO_MUCH,
            f"{records.deleted:,} events of the order {quoted(order_id)} were deleted from the log:"
            " what was known of it then can't be told; leave out `known_at`",
        )
