"""The decided inquiries of one conversation by the units that count (R1).

What changes if some become others.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from tables import replies, service
from tables.cycles import Calendar
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules

ReplyChange = tuple[int, list[str], list[str]]
"""Cycle's start, and columns' names as often as one is added, and as one goes away."""


class _Unit:
    """A day's decided inquiries: when they opened, and how many are what (`replies.judged`)."""

    __slots__ = ("opened", "what")

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.what = [0, 0, 0]


class ReplyDays:
    """As `replies.difference`, by what changes alone."""

    def __init__(self, decided: Iterable[Inquiry], rules: ServiceRules, calendar: Calendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._units: dict[int, _Unit] = {}
        self._opened: list[int] = []
        for inquiry in decided:
            self._put(inquiry)

    def change(self, was: list[Inquiry], now: list[Inquiry], since_ms: int) -> list[ReplyChange]:
        """Decided inquiries become others, all of them after an instant."""
        units = {self._unit_of(inquiry) for inquiry in (*was, *now)}
        changes: dict[int, Columns] = {}
        self._count(changes, units, -1)
        for inquiry in was:
            self._count_reply(changes, inquiry, -1)
            self._remove(inquiry)
        others = len(self._opened) - bisect_right(self._opened, since_ms)
        is_alone = (
            not others and len(now) == 1 and len(was) <= 1 and not (units & self._units.keys())
        )
        for inquiry in now:
            self._count_reply(changes, inquiry, 1)
            self._put(inquiry)
        self._count(changes, units, 1)
        start_of = self._calendar.start_of
        if is_alone and (
            not was or start_of(was[0].opened_ms) == start_of(now[0].opened_ms)
        ):  # in the order of names that is usual
            added, gone = replies.alone(now[0]), replies.alone(was[0]) if was else ()
            return [(start_of(now[0].opened_ms), list(added), list(gone))] if added != gone else []
        found = [
            (start_ms, service.without_zeros(changes[start_ms])) for start_ms in sorted(changes)
        ]
        return [
            (start_ms, _names(columns, 1), _names(columns, -1))
            for start_ms, columns in found
            if columns
        ]

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
        unit.what[replies.judged(inquiry)] += 1

    def _remove(self, inquiry: Inquiry) -> None:
        number = self._unit_of(inquiry)
        unit = self._units[number]
        del unit.opened[bisect_left(unit.opened, inquiry.opened_ms)]
        del self._opened[bisect_left(self._opened, inquiry.opened_ms)]
        unit.what[replies.judged(inquiry)] -= 1
        if not unit.opened:
            del self._units[number]

    def _count(self, changes: dict[int, Columns], units: Iterable[int], sign: int) -> None:
        """R1: a unit counts in the cycle in which it opened, as the worst of its inquiries."""
        for number in units:
            unit = self._units.get(number)
            if unit is not None:
                worst = next(what for what, many in enumerate(unit.what) if many)
                _add(
                    changes,
                    self._calendar.start_of(unit.opened[0]),
                    replies.unit_columns(worst),
                    sign,
                )

    def _count_reply(self, changes: dict[int, Columns], inquiry: Inquiry, sign: int) -> None:
        if inquiry.answer is not None:
            _add(
                changes,
                self._calendar.start_of(inquiry.opened_ms),
                replies.reply_columns(inquiry.answer, inquiry.opened_ms),
                sign,
            )


def _add(changes: dict[int, Columns], start_ms: int, names: Iterable[str], sign: int) -> None:
    columns = changes.setdefault(start_ms, {})
    for name in names:
        columns[name] = columns.get(name, 0) + sign


def _names(columns: Columns, sign: int) -> list[str]:
    return [name for name, change in columns.items() for _ in range(sign * change)]
