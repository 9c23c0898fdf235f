"""Did the shop reply in time: inquiries and what counts of them (R1, R2), derived from the messages of one conversation."""

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


def inquiries(written: Iterable[Written], rules: ServiceRules) -> list[Inquiry]:
    """R1: the inquiries that opened in service hours, in order; only the conversation's last one can be without an answer."""
    found: list[Inquiry] = []
    before = None
    for one in written:
        follow(found, before, one, rules)
        before = one
    return found


def follow(found: list[Inquiry], before: Written | None, one: Written, rules: ServiceRules) -> None:
    """R1: add to the inquiries of a conversation what one more message at its end makes of them; `before` is the last one until then."""
    open_ = waiting(found)
    if one.side == SHOP:
        if open_ is not None:
            found[-1] = Inquiry(open_.asked, open_.due_ms, one)
    elif open_ is not None:
        found[-1] = Inquiry((*open_.asked, one), open_.due_ms, None)
    elif (before is None or before.side == SHOP) and rules.is_open(one.at_ms):  # what opened out of hours is open all the same
        found.append(Inquiry((one,), one.at_ms + rules.reply_within_ms, None))


def waiting(found: Sequence[Inquiry]) -> Inquiry | None:
    """The inquiry that waits for an answer, if one does."""
    return found[-1] if found and found[-1].answer is None else None


def decided(found: list[Inquiry], *, overdue: bool) -> list[Inquiry]:
    """The inquiries that count: those with an answer, and the one without if its time has passed."""
    return found if overdue or waiting(found) is None else found[:-1]


def difference(was: Sequence[Inquiry], found: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar) -> dict[int, Columns]:
    """R1, R2: what changes of a shop's columns, by cycle's start, if decided inquiries of one conversation become others.

    Of those before the last, what is the same object in both hasn't changed; `follow` changes the last one alone.
    """
    if len(was) == len(found) and (not was or was[-1] is found[-1]):
        return {}
    first = 0
    for one, other in zip(was, found, strict=False):
        if one is not other and one != other:
            break
        first += 1
    gone, come = was[first:], found[first:]
    if first and (gone or come):
        beside = _beside(found[:first], [*gone, *come], rules)
        gone, come = [*beside, *gone], [*beside, *come]
    changes = _counted(come, rules, calendar)
    if gone:
        for start_ms, before in _counted(gone, rules, calendar).items():
            columns = changes.setdefault(start_ms, {})
            for name, number in before.items():
                columns[name] = columns.get(name, 0) - number
    return {start_ms: changed for start_ms, columns in sorted(changes.items()) if (changed := service.without_zeros(columns))}


def _beside(same: Sequence[Inquiry], changed: Sequence[Inquiry], rules: ServiceRules) -> list[Inquiry]:
    """Of the inquiries before those that changed, the ones that count in one unit with any of them."""
    since_ms = min([one.opened_ms for one in changed]) - _DAY_MARGIN_MS
    if rules.count_per == "inquiry" or same[-1].opened_ms < since_ms:
        return []
    days = {rules.day_of(one.opened_ms) for one in changed}
    return [one for one in same if one.opened_ms >= since_ms and rules.day_of(one.opened_ms) in days]


def _counted(decided_: Sequence[Inquiry], rules: ServiceRules, calendar: Calendar) -> dict[int, Columns]:
    """R1, R2: the columns of decided inquiries, by cycle's start."""
    counted: dict[int, Columns] = {}
    units: dict[int, tuple[int, int]] = {}  # by day, or by inquiry: (cycle's start, the worst of it)
    for number, inquiry in enumerate(decided_):
        answer, opened_ms = inquiry.answer, inquiry.opened_ms
        start_ms = calendar.start_of(opened_ms)
        what = _OVERDUE
        if answer is not None:
            what = _LATE if inquiry.is_late else _TIMELY
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
