"""An order explained: its events as they stand in the log, replayed by the worker's own functions.

Each event is added by `orders.absorb`, what counts is derived by `counting.derive`, and its effect
is the journal entries of `entries.difference`. What was really applied is decided by the facts of
the table: an event that isn't among them was parked.

Where the log no longer has some events, or not all are read, their facts come first, at once. So
the steps always lead to the table's row, and the last result is the row's.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from schemas.envelope import Received
from schemas.journal import Entry
from schemas.positions import Position
from schemas.refusals import Refusal
from tables import counting, entries, orders
from tables.counting import NOTHING, Counted
from tables.entries import Cause
from tables.orders import EMPTY, Order
from tables.rules_met import Change, rules_met
from tables.terms import Terms

NO_CYCLE_MS: Final = -(2**63)
"""Before every cycle: whether an entry restates is not part of an order."""


class Verdict(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"
    PARKED = "parked"


class Parking(NamedTuple):
    """Why a record is parked, and the position of its dead letter; None where that isn't known."""

    reason: str | None
    letter: Position | None


class LoggedReading(NamedTuple):
    """A record of an order: where and when it was written, what it is, and its dead letter.

    `content` is the event of a record that is refused, if only its key is wrong.
    `put_back_from` is the position of the dead letter that the record was put back from.
    """

    position: Position
    written_ms: int
    reading: Received | Refusal
    parking: Parking | None = None
    content: Received | None = None
    put_back_from: str | None = None

    @property
    def event(self) -> Received | None:
        """Its event, as far as that can be read."""
        return self.reading if isinstance(self.reading, Received) else self.content


class SumsOf(NamedTuple):
    """Gross, and what refunds took off it: units, or minor units of one currency."""

    gross: int
    reversed: int

    @property
    def net(self) -> int:
        """What is left."""
        return self.gross - self.reversed


class Result(NamedTuple):
    """What counts of an order: units, and money by currency."""

    units: SumsOf
    amounts: dict[str, SumsOf]


class Step(NamedTuple):
    """One record of an order: its verdict, the rules that it met, its entries, and the result.

    A parked one has its `parking`, and neither rules nor entries.
    """

    logged: LoggedReading
    verdict: Verdict
    parking: Parking | None
    rules: tuple[str, ...]
    entries: tuple[Entry, ...]
    result: Result


class Explanation(NamedTuple):
    """The steps to an order's row. `facts_before` of its facts came earlier, with `before` so far.

    `counted` is what counts in the end.
    """

    facts_before: int
    before: Result
    steps: tuple[Step, ...]
    counted: Counted


def explain(order: Order, logged: Iterable[LoggedReading], terms: Terms) -> Explanation:
    """The steps from some records of an order, in the order of the log, to its row in the table.

    Raises AssertionError if they don't lead there.
    """
    known = _Known(order)
    readings = [one._replace(parking=known.parking(one)) for one in logged]
    state = known.before([one for one in readings if one.parking is None])
    counted = counting.derive(state) if state.placed else NOTHING
    facts_before, before = _count(state), result_of(counted)
    steps, so_far = [], before
    for one in readings:
        event = one.reading
        if one.parking is not None or not isinstance(event, Received):
            steps.append(Step(one, Verdict.PARKED, one.parking, (), (), so_far))
            continue
        change = _change(state, counted, event)
        cause = Cause(event, str(one.position), NO_CYCLE_MS, terms.name)
        made = entries.difference(change.was, change.now, cause, terms.calendar)
        state, counted, so_far = change.after, change.now, result_of(change.now)
        rules = rules_met(change)
        verdict = _verdict(change, rules, made)
        steps.append(Step(one, verdict, None, rules, tuple(made), so_far))
    if state != order:
        raise AssertionError("the replay of an order differs from the table: a fault of ours")
    return Explanation(facts_before, before, tuple(steps), counting.derive(order))


def put_back_to(steps: Iterable[Step]) -> dict[str, Position]:
    """By the position of a dead letter that was put back, the record that it became."""
    return {
        step.logged.put_back_from: step.logged.position
        for step in steps
        if step.logged.put_back_from is not None
    }


def still_parked(order: Order, steps: Sequence[Step]) -> list[Step]:
    """The parked records that weren't put back, and whose event no fact of the order has."""
    known, put_back = _Known(order), put_back_to(steps)
    return [
        step
        for step in steps
        if step.verdict is Verdict.PARKED
        and not (step.parking and step.parking.letter and str(step.parking.letter) in put_back)
        and not known.has(step.logged.event)
    ]


def result_of(counted: Counted) -> Result:
    """The sums of what counts."""
    units, amount = [
        SumsOf(
            sum(getattr(sale, measure) for sale in counted.sales),
            sum(getattr(one, measure) for sale in counted.sales for one in sale.reversals),
        )
        for measure in ("units", "amount")
    ]
    return Result(units, {counted.currency: amount} if counted.sales else {})


def _change(state: Order, counted: Counted, event: Received) -> Change:
    after = orders.absorb(state, event)
    may_differ = after is not state and (event.type in orders.SALE_EVENTS or after.conflicts)
    return Change(event, state, after, counted, counting.derive(after) if may_differ else counted)


def _verdict(change: Change, rules: tuple[str, ...], made: Sequence[Entry]) -> Verdict:
    """S11: the same once more is a duplicate, the same with another content conflicts."""
    if "S11" not in rules:
        return Verdict.APPLIED
    conflicts = change.after.conflicts != change.before.conflicts
    if conflicts or change.now.anomalies - change.was.anomalies:
        return Verdict.CONFLICTING
    return Verdict.APPLIED if made else Verdict.DUPLICATE


def _count(order: Order) -> int:
    return sum(len(getattr(order, kind)) for kind in orders.KINDS)


class _Known:
    """The facts of a table's row: which records are among them, and which aren't from any."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._conflicts = frozenset(order.conflicts)
        self._facts = {
            (fact.source, fact.id): orders.precedence(fact)
            for kind in orders.KINDS
            for fact in getattr(order, kind)
        }

    def has(self, event: Received | None) -> bool:
        """Whether a fact has the identity of this event."""
        return event is not None and (event.source, event.id) in self._facts

    def parking(self, one: LoggedReading) -> Parking | None:
        """Why a record isn't among the facts; None if it is.

        A record that has a dead letter isn't, though another one with its event may be. Without
        one, every event that was applied has left its identity, and of two contents the smaller.
        """
        event = one.reading
        if isinstance(event, Refusal):
            return one.parking or Parking(event.reason.value, None)
        if one.parking is not None:
            return one.parking
        known = self._facts.get((event.source, event.id))
        own = orders.precedence(orders.fact_of(event)[1])
        is_among = known is not None and (
            known == own or (known < own and (event.source, event.id) in self._conflicts)
        )
        return None if is_among else Parking(None, None)

    def before(self, applied: Sequence[LoggedReading]) -> Order:
        """The order without the facts of these records."""
        contents: dict[tuple[str, str], set[Any]] = {}
        for one in applied:
            fact = orders.fact_of(one.reading)[1]  # type: ignore[arg-type] # a refusal is parked
            contents.setdefault((fact.source, fact.id), set()).add(orders.precedence(fact))
        kept = {
            kind: tuple(
                fact
                for fact in getattr(self._order, kind)
                if self._facts[fact.source, fact.id] not in contents.get((fact.source, fact.id), ())
            )
            for kind in orders.KINDS
        }
        for facts in kept.values():
            for fact in facts:
                contents.setdefault((fact.source, fact.id), set()).add(orders.precedence(fact))
        earlier = tuple(
            identity
            for identity in self._order.conflicts
            if len(contents.get(identity, ())) <= 1  # its other contents are not in these records
        )
        return replace(EMPTY, conflicts=earlier, **kept)
