"""Did the shop reply in time: inquiries and what counts of them (R1, R2), derived from the messages of one conversation."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from schemas import times
from tables import reply_times, service
from tables.conversations import SHOP, Written
from tables.cycles import Calendar
from tables.service import Columns
from tables.service_hours import ServiceRules

_DAY_MARGIN_MS: Final = 2 * times.DAY_MS
"""No two instants of one local day lie so far apart, whatever its clocks do."""

_OVERDUE, _LATE, _TIMELY = 0, 1, 2  # the worst of a unit's inquiries is what it is
_COLUMN: Final = {_OVERDUE: service.OVERDUE, _LATE: service.LATE, _TIMELY: service.TIMELY}


class Inquiry(msgspec.Struct, frozen=True, gc=False):
    """A buyer's messages until the shop's answer. `due_ms` is the last instant at which an answer is timely."""

    asked: tuple[Written, ...]
    due_ms: int
    answer: Written | None

    @property
    def opened_ms(self) -> int:
        """When it opened."""
        return self.asked[0].at_ms

    @property
    def is_late(self) -> bool:
        """Whether it was answered, but not in time."""
        return self.answer is not None and self.answer.at_ms > self.due_ms


def inquiries(written: Iterable[Written], rules: ServiceRules, before: Written | None = None) -> tuple[list[Inquiry], Inquiry | None]:
    """R1: the inquiries that opened in service hours and have an answer, in order, and the last one if it waits for its answer.

    Those of a whole conversation, or of what was written after a reply (`before`).
    """
    answered: list[Inquiry] = []
    waiting: Inquiry | None = None
    for one in written:
        now = follow(waiting, before, one, rules)
        if now is not None:
            if now.answer is None:
                waiting = now
            else:
                answered.append(now)
                waiting = None
        before = one
    return answered, waiting


def follow(waiting: Inquiry | None, before: Written | None, one: Written, rules: ServiceRules) -> Inquiry | None:
    """R1: what one more message makes of the inquiry that waits for an answer, if one does; `before` is the message before it.

    That inquiry with its answer or with one more question, or a new one; None if the message is no part of any.
    """
    if one.side == SHOP:
        return None if waiting is None else Inquiry(waiting.asked, waiting.due_ms, one)
    if waiting is not None:
        return Inquiry((*waiting.asked, one), waiting.due_ms, None)
    if (before is None or before.side == SHOP) and rules.is_open(one.at_ms):  # what opened out of hours is open all the same
        return Inquiry((one,), one.at_ms + rules.reply_within_ms, None)
    return None


def again(
    answered: Sequence[Inquiry], written: Sequence[Written], since_ms: int, rules: ServiceRules
) -> tuple[int, list[Inquiry], Inquiry | None]:
    """R1: as `inquiries`, where nothing written before an instant has changed: how many of those `answered` stay, and what follows them."""
    stay = bisect_left(answered, since_ms, key=_answered_ms)
    answer = answered[stay - 1].answer if stay else None
    at = len(written)
    while at and written[at - 1] is not answer:  # it's seldom far from the end
        at -= 1
    return stay, *inquiries(written[at:], rules, answer)


def _answered_ms(inquiry: Inquiry) -> int:
    assert inquiry.answer is not None  # noqa: S101 - only those are asked
    return inquiry.answer.at_ms


def difference(  # noqa: PLR0913, PLR0917 - of one caller
    answered: Sequence[Inquiry], first: int, was: Sequence[Inquiry], now: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar
) -> dict[int, Columns]:
    """R1, R2: what changes of a shop's columns, by cycle's start, if decided inquiries of a conversation become others.

    Those that change come after the `first` ones of all that were `answered`.
    """
    beside = _beside(answered, first, was, now, rules) if first else []
    changes = _counted(beside, now, rules, calendar)
    if len(now) == 1 and not was and not beside:  # the usual case
        return changes
    for start_ms, columns in _counted(beside, was, rules, calendar).items():
        changed = changes.setdefault(start_ms, {})
        for name, number in columns.items():
            changed[name] = changed.get(name, 0) - number
    return {start_ms: changed for start_ms in sorted(changes) if (changed := service.without_zeros(changes[start_ms]))}


def _beside(
    answered: Sequence[Inquiry], first: int, was: Sequence[Inquiry], now: Sequence[Inquiry], rules: ServiceRules
) -> Sequence[Inquiry]:
    """Of the `first` inquiries, the ones that count in one unit with any of those that change after them."""
    if rules.count_per == "inquiry":
        return ()
    since_ms = min([one.opened_ms for one in (*was[:1], *now[:1])]) - _DAY_MARGIN_MS
    near = first
    while near and answered[near - 1].opened_ms >= since_ms:
        near -= 1
    if near == first:
        return ()
    days = {rules.day_of(one.opened_ms) for one in (*was, *now)}
    return [one for one in answered[near:first] if rules.day_of(one.opened_ms) in days]


def _counted(beside: Sequence[Inquiry], decided: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar) -> dict[int, Columns]:
    """R1, R2: the columns of decided inquiries, by cycle's start. Those `beside` them count only as a part of their units."""
    if len(decided) == 1 and not beside:
        opened_ms = decided[0].opened_ms
        return {calendar.start_of(opened_ms): _alone(decided[0], opened_ms)}
    counted: dict[int, Columns] = {}
    units: dict[int, tuple[int, int]] = {}  # by day, or by inquiry: (when it opened, the worst of it)
    for inquiry in decided:
        answer, opened_ms = inquiry.answer, inquiry.opened_ms
        if answer is not None:
            columns = counted.setdefault(calendar.start_of(opened_ms), {})
            for name in _reply(answer, opened_ms):
                columns[name] = columns.get(name, 0) + 1
    for number, inquiry in enumerate((*beside, *decided)):
        opened_ms = inquiry.opened_ms
        what = _OVERDUE if inquiry.answer is None else _LATE if inquiry.is_late else _TIMELY
        unit = number if rules.count_per == "inquiry" else rules.day_of(opened_ms)
        since_ms, worst = units.get(unit, (opened_ms, what))
        units[unit] = since_ms, min(worst, what)
    for since_ms, what in units.values():
        columns = counted.setdefault(calendar.start_of(since_ms), {})
        for name in (service.INQUIRIES, _COLUMN[what]):
            columns[name] = columns.get(name, 0) + 1
    return counted


def _alone(inquiry: Inquiry, opened_ms: int) -> Columns:
    """The columns, by name, of a decided inquiry that is a unit by itself."""
    answer = inquiry.answer
    if answer is None:
        return {service.INQUIRIES: 1, service.OVERDUE: 1}
    by, reply_ms = _reply(answer, opened_ms)
    if answer.at_ms > inquiry.due_ms:
        return {service.INQUIRIES: 1, service.LATE: 1, by: 1, reply_ms: 1}
    return {service.INQUIRIES: 1, by: 1, reply_ms: 1, service.TIMELY: 1}


def _reply(answer: Written, opened_ms: int) -> tuple[str, str]:
    """The columns of a reply: by whom, and after what time."""
    return f"{service.REPLY}{answer.by}", f"{service.REPLY_MS}{reply_times.reply_bin(answer.at_ms - opened_ms)}"
