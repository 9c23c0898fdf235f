"""The explanation of one order: its events from the log, replayed to its row in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from schemas import envelope, http_limits, limits, times
from schemas.answers import AnomalyAnswer, LineSums
from schemas.envelope import Received, Tick
from schemas.explanations import (
    EarlierEvents,
    EntryOfEvent,
    ExplainedEvent,
    LinesBecause,
    OrderExplanation,
    OrderResult,
    ParkedRecord,
)
from schemas.letters import REQUEUED_FROM
from schemas.positions import Position, offset_after
from schemas.refusals import Refusal
from serving import keys
from tables import aftersales, catalogue, orders
from tables.conclusion import conclude, parked_in_words
from tables.explanation import (
    LoggedReading,
    Parking,
    Verdict,
    explain,
    put_back_to,
    still_parked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from schemas.journal import Entry
    from serving.answers import Answers
    from serving.event_index import IndexSnapshot, LoggedRecord, OrderRecords
    from serving.reader import Reader
    from tables.explanation import Explanation, Result, Step, SumsOf
    from tables.orders import Order


async def records_of(
    reader: Reader, answers: Answers, index: IndexSnapshot, order_id: str, most: int
) -> OrderRecords:
    """The newest records of an order that its table has, as many as may be replayed.

    Raises what `SingleRecords.read` raises.
    """
    state = _state(answers, order_id)
    size = 0 if state is None else len(state)
    applied = answers.progress.of(catalogue.ORDERS.name).applied
    return await reader.index.records_of_order(
        index,
        order_id,
        {source: offset_after(offset) for source, offset in applied.items()},
        min(most, limits.EXPLAINED_BYTES // max(size, 1)),
    )


def explanation(
    answers: Answers, index: IndexSnapshot, order_id: str, found: OrderRecords, dead_letters: str
) -> OrderExplanation | None:
    """The explanation by these records; None if neither the table nor the log knows the order.

    `dead_letters` is the name of the topic of dead letters.
    """
    state = _state(answers, order_id)
    if state is None and not found.records:
        return None
    order = orders.EMPTY if state is None else orders.decode(state)
    return explanation_of(answers, index, NamedOrder(order_id, order), found, dead_letters)


class NamedOrder(NamedTuple):
    """An order and its id."""

    id: str
    order: Order


def explanation_of(
    answers: Answers,
    index: IndexSnapshot,
    what: NamedOrder,
    found: OrderRecords,
    dead_letters: str,
) -> OrderExplanation:
    """The explanation of an order with these facts, now or at an earlier moment, by its records."""
    order_id, order = what
    logged = list(_readings(index, found.records, dead_letters))
    explained = explain(order, logged, answers.terms)
    concluded = conclude(order, explained.counted, answers.calendar)
    placed = order.placed[0] if order.placed else None
    anomalies = explained.counted.anomalies | aftersales.review_anomalies(order)
    befores = [explained.before, *(step.result for step in explained.steps)]
    put_back = put_back_to(explained.steps)
    return OrderExplanation(
        order_id=order_id,
        shop_id=placed and placed.shop_id,
        buyer_id=placed and placed.buyer_id,
        currency=placed and placed.currency,
        earlier=_earlier(explained, found),
        events=[
            _event(step, before, put_back)
            for before, step in zip(befores, explained.steps, strict=False)
        ],
        result=_result(befores[-1]),
        units_ordered=concluded.ordered,
        because=[
            LinesBecause(line_ids=list(one.line_ids), rules=list(one.rules), text=one.text)
            for one in concluded.because
        ],
        sentence=_sentence(order, concluded.sentence)
        + parked_in_words(still_parked(order, explained.steps)),
        anomalies=[
            AnomalyAnswer(anomaly=one.anomaly, line_id=one.line_id or None)
            for one in sorted(anomalies)
        ],
        freshness=answers.freshness_of(catalogue.ORDERS.name),
    )


def _state(answers: Answers, order_id: str) -> bytes | None:
    return answers.snapshot.get(keys.space(catalogue.ORDERS) + order_id.encode())


def _sentence(order: Order, sentence: str) -> str:
    if order == orders.EMPTY:
        return "counts nothing, because all records that name it are parked"
    return sentence


def _readings(
    index: IndexSnapshot, records: Sequence[LoggedRecord], dead_letters: str
) -> Iterator[LoggedReading]:
    """The records as readings with their dead letters; of several partitions by time."""
    latest = dict[int, int]()
    rows = []
    for position, record in records:
        # the order of a partition holds, whatever its producers' clocks were
        at_ms = max(record.timestamp, latest.get(position.partition, record.timestamp))
        latest[position.partition] = at_ms
        reading = envelope.read(record)
        if isinstance(reading, Tick):  # it names no order
            continue
        content = envelope.read_content(record) if isinstance(reading, Refusal) else None
        put_back_from = dict(record.headers).get(REQUEUED_FROM)
        letter, parking = index.dead_letter(position), None
        if letter is not None:
            place = Position(dead_letters, letter.partition, letter.offset)
            parking = Parking(letter.reason, place)
        one = LoggedReading(
            position,
            record.timestamp,
            reading,
            parking,
            content if isinstance(content, Received) else None,
            None if put_back_from is None else put_back_from.decode(errors="replace"),
        )
        rows.append((at_ms, one))
    rows.sort(key=lambda row: (row[0], row[1].position))
    return (reading for _, reading in rows)


def _earlier(explained: Explanation, found: OrderRecords) -> EarlierEvents | None:
    if not (explained.facts_before or found.left_out or found.deleted):
        return None
    return EarlierEvents(
        facts=explained.facts_before,
        left_out=found.left_out,
        left_out_at_least=found.left_out >= http_limits.COUNTED_EVENTS,
        deleted=found.deleted,
        result=_result(explained.before),
    )


def _event(step: Step, before: Result, put_back: Mapping[str, Position]) -> ExplainedEvent:
    position, written_ms = step.logged.position, step.logged.written_ms
    event = step.logged.event
    currencies = before.amounts.keys() | step.result.amounts.keys()
    amounts = {
        currency: _net(step.result, currency) - _net(before, currency)
        for currency in sorted(currencies)
    }
    return ExplainedEvent(
        position=str(position),
        written_at=times.format_ms(written_ms) if written_ms >= 0 else None,
        occurred_at=event and times.format_ms(event.occurred_at_ms),
        type=event and event.type,
        id=event and event.id,
        source=event and event.source,
        fields={} if event is None else _own_fields(event),
        verdict=step.verdict.value,
        parked=_parked(step, put_back),
        put_back_from=step.logged.put_back_from,
        rules=list(step.rules),
        units=step.result.units.net - before.units.net,
        amounts={currency: amount for currency, amount in amounts.items() if amount},
        entries=list(map(_entry, step.entries)),
        result=_result(step.result),
    )


def _own_fields(event: Received) -> dict[str, Any]:
    content = orders.content(orders.fact_of(event)[1])
    return {name: value for name, value in content.items() if name not in {"type", "id", "source"}}


def _parked(step: Step, put_back: Mapping[str, Position]) -> ParkedRecord | None:
    if step.verdict is not Verdict.PARKED:
        return None
    reading, parking = step.logged.reading, step.parking
    letter = str(parking.letter) if parking and parking.letter else None
    later = None if letter is None else put_back.get(letter)
    return ParkedRecord(
        reason=parking and parking.reason,
        detail=reading.detail if isinstance(reading, Refusal) else None,
        dead_letter=letter,
        put_back_to=later and str(later),
    )


def _entry(entry: Entry) -> EntryOfEvent:
    return EntryOfEvent(**{name: getattr(entry, name) for name in EntryOfEvent.model_fields})


def _result(result: Result) -> OrderResult:
    return OrderResult(
        units=_sums(result.units),
        amounts={currency: _sums(sums) for currency, sums in result.amounts.items()},
    )


def _sums(sums: SumsOf) -> LineSums:
    return LineSums(gross=sums.gross, reversed=sums.reversed, net=sums.net)


def _net(result: Result, currency: str) -> int:
    sums = result.amounts.get(currency)
    return 0 if sums is None else sums.net
