"""Inquiries of one conversation and what counts of them: the plain form of R1 and R2.

This module is the definition: it derives everything from all messages, or from all decided
inquiries. An inquiry is decided once it is answered or overdue.

Two incremental forms give the same results for less work. Tests compare both with this module.
`conversation_fold` derives only the inquiries near a new message (`nearby_inquiries`).
`conversation_ledger` keeps a long conversation cut into turns, and its units in `reply_days`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, get_args

import msgspec

from schemas import events
from schemas.envelope import SHOP, Written
from tables import reply_times, service
from tables.cycles import Calendar
from tables.service import Columns
from tables.service_hours import ServiceRules

_OVERDUE, _LATE, _TIMELY = 0, 1, 2  # the worst of a unit's inquiries decides (R1)
_COLUMN: Final = {
    _OVERDUE: service.OVERDUE_COLUMN,
    _LATE: service.LATE,
    _TIMELY: service.TIMELY,
}
_REPLY: Final = {by: f"{service.REPLY}{by}" for by in (None, *get_args(events.RepliedBy))}
_REPLY_MS: Final = tuple(f"{service.REPLY_MS}{number}" for number in range(reply_times.BINS))


class Inquiry(msgspec.Struct, frozen=True, gc=False):
    """A buyer's messages up to the shop's answer.

    `answer` is None while the inquiry waits for one. An answer is timely up to and including
    `due_ms`.
    """

    questions: tuple[Written, ...]
    opened_ms: int
    due_ms: int
    answer: Written | None

    @property
    def is_late(self) -> bool:
        """Whether the answer was written after the inquiry was due."""
        return self.answer is not None and self.answer.at_ms > self.due_ms


class _Unit(msgspec.Struct, gc=False):
    """What R1 counts as one: a buyer's inquiries of one local day, or a single inquiry."""

    opened_ms: int
    worst: int


# ---- R1: messages → inquiries ----------------------------------------------------------------


def inquiries(
    written: Iterable[Written], rules: ServiceRules, before: Written | None = None
) -> tuple[list[Inquiry], Inquiry | None]:
    """R1: the answered inquiries in order, and the last one if it waits for its answer.

    `written` is a whole conversation, or the part of it after `before`, a message of the shop.
    """
    answered: list[Inquiry] = []
    waiting: Inquiry | None = None
    for message in written:
        inquiry = next_inquiry(waiting, before, message, rules)
        if inquiry is not None:
            if inquiry.answer is None:
                waiting = inquiry
            else:
                answered.append(inquiry)
                waiting = None
        before = message
    return answered, waiting


def next_inquiry(
    waiting: Inquiry | None, before: Written | None, message: Written, rules: ServiceRules
) -> Inquiry | None:
    """R1: the inquiry that a message opens, continues or answers; None if there is none.

    `waiting` is the inquiry that waits for its answer. `before` is the preceding message.
    """
    if message.side == SHOP:
        return (
            None
            if waiting is None
            else Inquiry(waiting.questions, waiting.opened_ms, waiting.due_ms, message)
        )
    if waiting is not None:
        return Inquiry((*waiting.questions, message), waiting.opened_ms, waiting.due_ms, None)
    # Messages that open out of service hours are no inquiry, whatever follows them up to a reply.
    if (before is None or before.side == SHOP) and rules.is_open(message.at_ms):
        return Inquiry((message,), message.at_ms, message.at_ms + rules.reply_within_ms, None)
    return None


# ---- R1, R2: decided inquiries → columns -----------------------------------------------------


def counted(
    decided: Sequence[Inquiry],
    rules: ServiceRules,
    calendar: Calendar,
    unchanged: Sequence[Inquiry] = (),
) -> dict[int, Columns]:
    """R1, R2: a shop's columns of decided inquiries, by the start of the cycle they count in.

    `unchanged` are earlier inquiries that share units with these. They count as part of a unit,
    but their replies are left out.
    """
    columns: dict[int, Columns] = {}
    for inquiry in decided:
        if inquiry.answer is not None:
            names = reply_columns(inquiry.answer, inquiry.opened_ms)
            _add_one(columns.setdefault(calendar.start_of(inquiry.opened_ms), {}), names)
    units: dict[int, _Unit] = {}  # by local day, or by the inquiry's number
    for number, inquiry in enumerate((*unchanged, *decided)):
        judgement = judge(inquiry)
        key = number if rules.count_per == "inquiry" else rules.day_of(inquiry.opened_ms)
        unit = units.get(key)
        if unit is None:
            units[key] = _Unit(inquiry.opened_ms, judgement)
        else:
            unit.worst = min(unit.worst, judgement)
    for unit in units.values():
        start_ms = calendar.start_of(unit.opened_ms)
        _add_one(columns.setdefault(start_ms, {}), unit_columns(unit.worst))
    return columns


def column_changes(
    before: Sequence[Inquiry],
    after: Sequence[Inquiry],
    rules: ServiceRules,
    calendar: Calendar,
    unchanged: Sequence[Inquiry] = (),
) -> dict[int, Columns]:
    """R1, R2: signed changes of a shop's columns when some decided inquiries replace others.

    By cycle's start and by name, in order, without zeros. `unchanged` as in `counted`.
    """
    changes = counted(after, rules, calendar, unchanged)
    for start_ms, columns in counted(before, rules, calendar, unchanged).items():
        changed = changes.setdefault(start_ms, {})
        for name, number in columns.items():
            changed[name] = changed.get(name, 0) - number
    return {
        start_ms: changed
        for start_ms in sorted(changes)
        if (changed := service.without_zeros(changes[start_ms]))
    }


def judge(inquiry: Inquiry) -> int:
    """R1, R2: a decided inquiry as a number, the smaller the worse: overdue, late, timely."""
    return _OVERDUE if inquiry.answer is None else _LATE if inquiry.is_late else _TIMELY


def unit_columns(judgement: int) -> tuple[str, str]:
    """R1: the columns of a unit, by the judgement of its worst inquiry."""
    return service.INQUIRIES, _COLUMN[judgement]


def reply_columns(answer: Written, opened_ms: int) -> tuple[str, str]:
    """The columns of a reply: who wrote it, and the bin of the reply time."""
    number = reply_times.reply_bin(answer.at_ms - opened_ms)
    name = _REPLY_MS[number] if number < reply_times.BINS else f"{service.REPLY_MS}{number}"
    return _REPLY[answer.by], name


def _add_one(columns: Columns, names: Iterable[str]) -> None:
    for name in names:
        columns[name] = columns.get(name, 0) + 1
