"""The decided inquiries of one conversation by unit (R1): an incremental form of `replies`.

A change costs the inquiries that change and their units, however many the conversation has.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple

from tables import nearby_inquiries, replies, service
from tables.cycles import Calendar
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules


class ReplyChange(NamedTuple):
    """A change of a shop's reply columns in one cycle.

    `added` and `removed` name a column once for each inquiry or unit added or removed.
    """

    start_ms: int
    added: list[str]
    removed: list[str]


class _Unit:
    """The decided inquiries of one unit: when they opened, and how many have each judgement."""

    __slots__ = ("judgements", "opened")

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.judgements = [0, 0, 0]
        """Counts by `replies.judge`, the worst first."""


class ReplyDays:
    """The units of one conversation, and how they change: as `replies.column_changes`."""

    def __init__(self, decided: Iterable[Inquiry], rules: ServiceRules, calendar: Calendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._units: dict[int, _Unit] = {}
        self._opened: list[int] = []
        for inquiry in decided:
            self._put(inquiry)

    def change(
        self, before: list[Inquiry], after: list[Inquiry], since_ms: int
    ) -> list[ReplyChange]:
        """Replace decided inquiries by others, all of them opened after `since_ms`."""
        units = {self._unit_of(inquiry) for inquiry in (*before, *after)}
        changes: dict[int, Columns] = {}
        self._count(changes, units, -1)
        for inquiry in before:
            self._count_reply(changes, inquiry, -1)
            self._remove(inquiry)
        others = len(self._opened) - bisect_right(self._opened, since_ms)
        is_alone = (
            not others and len(after) == 1 and len(before) <= 1 and not (units & self._units.keys())
        )
        for inquiry in after:
            self._count_reply(changes, inquiry, 1)
            self._put(inquiry)
        self._count(changes, units, 1)
        if is_alone:
            change = self._change_alone(before[0] if before else None, after[0])
            if change is not None:
                return [change] if change.added != change.removed else []
        return [
            ReplyChange(start_ms, _names(columns, 1), _names(columns, -1))
            for start_ms in sorted(changes)
            if (columns := service.without_zeros(changes[start_ms]))
        ]

    def _change_alone(self, before: Inquiry | None, after: Inquiry) -> ReplyChange | None:
        """The usual change, with its names in the order that `conversation_fold` gives them.

        None if the inquiry moves to another cycle.
        """
        start_ms = self._calendar.start_of(after.opened_ms)
        if before is not None and self._calendar.start_of(before.opened_ms) != start_ms:
            return None
        removed = () if before is None else nearby_inquiries.columns_alone(before)
        added = nearby_inquiries.columns_alone(after)
        return ReplyChange(start_ms, list(added), list(removed))

    def _unit_of(self, inquiry: Inquiry) -> int:
        return (
            inquiry.opened_ms
            if self._rules.count_per == "inquiry"
            else self._rules.day_of(inquiry.opened_ms)
        )

    def _put(self, inquiry: Inquiry) -> None:
        unit = self._units.setdefault(self._unit_of(inquiry), _Unit())
        insort(unit.opened, inquiry.opened_ms)
        insort(self._opened, inquiry.opened_ms)
        unit.judgements[replies.judge(inquiry)] += 1

    def _remove(self, inquiry: Inquiry) -> None:
        number = self._unit_of(inquiry)
        unit = self._units[number]
        del unit.opened[bisect_left(unit.opened, inquiry.opened_ms)]
        del self._opened[bisect_left(self._opened, inquiry.opened_ms)]
        unit.judgements[replies.judge(inquiry)] -= 1
        if not unit.opened:
            del self._units[number]

    def _count(self, changes: dict[int, Columns], units: Iterable[int], sign: int) -> None:
        """R1: a unit counts in the cycle in which it opened, as the worst of its inquiries."""
        for number in units:
            unit = self._units.get(number)
            if unit is not None:
                worst = next(judged for judged, count in enumerate(unit.judgements) if count)
                start_ms = self._calendar.start_of(unit.opened[0])
                _add(changes, start_ms, replies.unit_columns(worst), sign)

    def _count_reply(self, changes: dict[int, Columns], inquiry: Inquiry, sign: int) -> None:
        if inquiry.answer is not None:
            names = replies.reply_columns(inquiry.answer, inquiry.opened_ms)
            _add(changes, self._calendar.start_of(inquiry.opened_ms), names, sign)


def _add(changes: dict[int, Columns], start_ms: int, names: Iterable[str], sign: int) -> None:
    columns = changes.setdefault(start_ms, {})
    for name in names:
        columns[name] = columns.get(name, 0) + sign


def _names(columns: Columns, sign: int) -> list[str]:
    return [name for name, change in columns.items() for _ in range(sign * change)]
