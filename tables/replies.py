"""Did the shop reply in time: inquiries and what counts of them (R1, R2), derived from the messages of one conversation."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from schemas import times
from tables import reply_times, service
from tables.conversations import BUYER, SHOP, Written
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


def inquiries(written: Iterable[Written], rules: ServiceRules) -> list[Inquiry]:
    """R1: the inquiries that opened in service hours, in order; only the conversation's last one can be without an answer."""
    found: list[Inquiry] = []
    asked: list[Written] = []
    for one in written:
        if one.side == BUYER:
            asked.append(one)
        elif asked:
            _end(found, asked, one, rules)
            asked = []
    if asked:
        _end(found, asked, None, rules)
    return found


def _end(found: list[Inquiry], asked: list[Written], answer: Written | None, rules: ServiceRules) -> None:
    if rules.is_open(asked[0].at_ms):
        found.append(Inquiry(tuple(asked), asked[0].at_ms + rules.reply_within_ms, answer))


def waiting(written: Sequence[Written], rules: ServiceRules) -> Inquiry | None:
    """The inquiry of a conversation that waits for an answer, if one does; only its end is looked at."""
    if not written or written[-1].side == SHOP:
        return None
    first = len(written) - 1
    while first and written[first - 1].side == BUYER:
        first -= 1
    found = inquiries(written[first:], rules)
    return found[0] if found else None


def around(old: Sequence[Written], new: Sequence[Written], at: int | None, rules: ServiceRules) -> tuple[list[Inquiry], list[Inquiry]]:
    """What was and is of the inquiries that a message that comes in at `at` can change, and of all that count in a unit with one of them.

    There may be more of them, the same before and after; all of them if `at` is None.
    """
    first, end = (0, len(old)) if at is None else _span(old, at)
    return inquiries(old[first:end], rules), inquiries(new[first : end + len(new) - len(old)], rules)


def _span(written: Sequence[Written], at: int) -> tuple[int, int]:
    """From where to where to look: the inquiries on both sides, and all that open within days of them."""
    first, end = max(at - 1, 0), min(at + 1, len(written))
    while first and not _begins(written, first):
        first -= 1
    while end < len(written) and not _begins(written, end):
        end += 1
    if first < end:
        since_ms, until_ms = written[first].at_ms - _DAY_MARGIN_MS, written[end - 1].at_ms + _DAY_MARGIN_MS
        while first and not (_begins(written, first) and written[first - 1].at_ms < since_ms):
            first -= 1
        while end < len(written) and not (_begins(written, end) and written[end].at_ms > until_ms):
            end += 1
    return first, end


def _begins(written: Sequence[Written], at: int) -> bool:
    return written[at].side == BUYER and written[at - 1].side == SHOP


def decided(found: Iterable[Inquiry], *, overdue: bool) -> list[Inquiry]:
    """The inquiries that count: those with an answer, and the one without if its time has passed."""
    return [one for one in found if overdue or one.answer is not None]


def difference(was: Sequence[Inquiry], found: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar) -> dict[int, Columns]:
    """R1, R2: what changes of a shop's columns, by cycle's start, if decided inquiries of one conversation become others."""
    now = _counted(found, rules, calendar)
    for start_ms, before in _counted(was, rules, calendar).items():
        columns = now.setdefault(start_ms, {})
        for name, number in before.items():
            columns[name] = columns.get(name, 0) - number
    return {start_ms: changed for start_ms, columns in sorted(now.items()) if (changed := service.without_zeros(columns))}


def _counted(decided_: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar) -> dict[int, Columns]:
    """R1, R2: the columns of decided inquiries, by cycle's start."""
    counted: dict[int, Columns] = {}
    units: dict[int, tuple[int, int]] = {}  # by day, or by inquiry: (cycle's start, the worst of it)
    for number, inquiry in enumerate(decided_):
        answer, opened_ms = inquiry.answer, inquiry.asked[0].at_ms
        start_ms = calendar.start_of(opened_ms)
        what = _OVERDUE
        if answer is not None:
            what = _LATE if answer.at_ms > inquiry.due_ms else _TIMELY
            columns = counted.setdefault(start_ms, {})
            for name in (f"{service.REPLY}{answer.by}", f"{service.REPLY_MS}{reply_times.reply_bin(answer.at_ms - opened_ms)}"):
                columns[name] = columns.get(name, 0) + 1
        unit = number if rules.count_per == "inquiry" else rules.day_of(opened_ms)
        since_ms, worst = units.get(unit, (start_ms, what))
        units[unit] = since_ms, min(worst, what)
    for start_ms, what in units.values():
        columns = counted.setdefault(start_ms, {})
        for name in (service.INQUIRIES, _COLUMN[what]):
            columns[name] = columns.get(name, 0) + 1
    return counted
