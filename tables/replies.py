"""Did the shop reply in time.

Inquiries and what counts of them (R1, R2), derived from the messages of one conversation.
"""

from collections.abc import Iterable, Sequence
from typing import Final, get_args

import msgspec

from schemas import events, times
from schemas.envelope import SHOP, Written
from tables import reply_times, service
from tables.cycles import Calendar
from tables.service import Columns
from tables.service_hours import ServiceRules

_DAY_MARGIN_MS: Final = 2 * times.DAY_MS
"""No two instants of one local day lie so far apart, whatever its clocks do."""

_OVERDUE, _LATE, _TIMELY = 0, 1, 2  # the worst of a unit's inquiries is what it is
_COLUMN: Final = {_OVERDUE: service.OVERDUE, _LATE: service.LATE, _TIMELY: service.TIMELY}
_REPLY: Final = {by: f"{service.REPLY}{by}" for by in (None, *get_args(events.RepliedBy))}
_REPLY_MS: Final = tuple(f"{service.REPLY_MS}{number}" for number in range(reply_times.BINS))


class Inquiry(msgspec.Struct, frozen=True, gc=False):
    """A buyer's messages until the shop's answer.

    `due_ms` is the last instant at which an answer is timely.
    """

    asked: tuple[Written, ...]
    opened_ms: int
    due_ms: int
    answer: Written | None

    @property
    def is_late(self) -> bool:
        """Whether it was answered, but not in time."""
        return self.answer is not None and self.answer.at_ms > self.due_ms


def inquiries(
    written: Iterable[Written], rules: ServiceRules, before: Written | None = None
) -> tuple[list[Inquiry], Inquiry | None]:
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


def follow(
    waiting: Inquiry | None, before: Written | None, one: Written, rules: ServiceRules
) -> Inquiry | None:
    """R1: what one more message makes of the inquiry that waits for an answer, if one does.

    `before` is the message before it.

    That inquiry with its answer or with one more question, or a new one; None if the message is no
    part of any.
    """
    if one.side == SHOP:
        return (
            None
            if waiting is None
            else Inquiry(waiting.asked, waiting.opened_ms, waiting.due_ms, one)
        )
    if waiting is not None:
        return Inquiry((*waiting.asked, one), waiting.opened_ms, waiting.due_ms, None)
    if (before is None or before.side == SHOP) and rules.is_open(
        one.at_ms
    ):  # what opened out of hours is open all the same
        return Inquiry((one,), one.at_ms, one.at_ms + rules.reply_within_ms, None)
    return None


def waiting(written: Sequence[Written], rules: ServiceRules) -> Inquiry | None:
    """R1: of all of a conversation, the inquiry that waits for its answer, if one does.

    It began after the shop's last message.
    """
    if not written or written[-1].side == SHOP:
        return None
    return inquiries_from(written, since(written, written[-1].at_ms + 1), rules)[1]


def since(written: Sequence[Written], at_ms: int) -> int:
    """R1: where to begin if nothing before an instant has changed.

    After the shop's last message before it, when no inquiry waits.
    """
    at = len(written)
    while at and (
        written[at - 1].side != SHOP or written[at - 1].at_ms >= at_ms
    ):  # it's seldom far from the end
        at -= 1
    return at


def inquiries_from(
    written: Sequence[Written], at: int, rules: ServiceRules
) -> tuple[list[Inquiry], Inquiry | None]:
    """R1: as `inquiries`, of what was written from a place on that `since` named."""
    return inquiries(written[at:], rules, written[at - 1] if at else None)


def answered_near(written: Sequence[Written], at: int, rules: ServiceRules) -> list[Inquiry]:
    """R1: the answered inquiries before a place in a conversation, in order, that may have opened on one day with one behind it."""
    if (
        not at
        or written[at - 1].at_ms < written[at].at_ms - _DAY_MARGIN_MS
        or rules.count_per == "inquiry"
    ):  # the usual case
        return []
    return inquiries_from(written[:at], since(written, written[at].at_ms - _DAY_MARGIN_MS), rules)[
        0
    ]


def beside(
    answered: Sequence[Inquiry], changed: Sequence[Inquiry], rules: ServiceRules
) -> list[Inquiry]:
    """R1: of the inquiries that were answered before those that change, the ones that count in one unit with any of these."""
    if rules.count_per == "inquiry":
        return []
    since_ms, days = (
        min([one.opened_ms for one in changed]) - _DAY_MARGIN_MS,
        {rules.day_of(one.opened_ms) for one in changed},
    )
    near = []
    for one in reversed(answered):
        if one.opened_ms < since_ms:
            break
        if rules.day_of(one.opened_ms) in days:
            near.append(one)
    return near[::-1]


def difference(
    near: Sequence[Inquiry],
    was: Sequence[Inquiry],
    now: Sequence[Inquiry],
    rules: ServiceRules,
    calendar: Calendar,
) -> dict[int, Columns]:
    """R1, R2: what changes of a shop's columns, by cycle's start, if decided inquiries of a conversation become others.

    Those `near` are `beside` them and stay.
    """
    changes = _counted(near, now, rules, calendar)
    for start_ms, columns in _counted(near, was, rules, calendar).items():
        changed = changes.setdefault(start_ms, {})
        for name, number in columns.items():
            changed[name] = changed.get(name, 0) - number
    return {
        start_ms: changed
        for start_ms in sorted(changes)
        if (changed := service.without_zeros(changes[start_ms]))
    }


def _counted(
    near: Sequence[Inquiry], decided: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar
) -> dict[int, Columns]:
    """R1, R2: the columns of decided inquiries, by cycle's start.

    Those `near` count only as a part of their units.
    """
    counted: dict[int, Columns] = {}
    units: dict[
        int, tuple[int, int]
    ] = {}  # by day, or by inquiry: (when it opened, the worst of it)
    for inquiry in decided:
        answer, opened_ms = inquiry.answer, inquiry.opened_ms
        if answer is not None:
            columns = counted.setdefault(calendar.start_of(opened_ms), {})
            for name in reply_columns(answer, opened_ms):
                columns[name] = columns.get(name, 0) + 1
    for number, inquiry in enumerate((*near, *decided)):
        opened_ms = inquiry.opened_ms
        what = judged(inquiry)
        unit = number if rules.count_per == "inquiry" else rules.day_of(opened_ms)
        since_ms, worst = units.get(unit, (opened_ms, what))
        units[unit] = since_ms, min(worst, what)
    for since_ms, what in units.values():
        columns = counted.setdefault(calendar.start_of(since_ms), {})
        for name in unit_columns(what):
            columns[name] = columns.get(name, 0) + 1
    return counted


def judged(inquiry: Inquiry) -> int:
    """R1, R2: what a decided inquiry is; the smaller, the worse."""
    return _OVERDUE if inquiry.answer is None else _LATE if inquiry.is_late else _TIMELY


def unit_columns(what: int) -> tuple[str, str]:
    """R1: the columns of a unit by what the worst of its inquiries is."""
    return service.INQUIRIES, _COLUMN[what]


def alone(inquiry: Inquiry) -> tuple[str, ...]:
    """R1, R2: the columns that a decided inquiry adds one to if no other is beside it, the usual case: as `difference`, of it alone."""
    answer = inquiry.answer
    if answer is None:
        return service.INQUIRIES, service.OVERDUE
    by, reply_ms = reply_columns(answer, inquiry.opened_ms)
    return (
        service.INQUIRIES,
        service.LATE if answer.at_ms > inquiry.due_ms else service.TIMELY,
        by,
        reply_ms,
    )


def reply_columns(answer: Written, opened_ms: int) -> tuple[str, str]:
    """The columns of a reply: by whom, and after what time."""
    number = reply_times.reply_bin(answer.at_ms - opened_ms)
    return _REPLY[answer.by], _REPLY_MS[
        number
    ] if number < reply_times.BINS else f"{service.REPLY_MS}{number}"
