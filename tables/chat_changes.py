"""What one chunk of messages changes beside the conversations themselves."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from schemas import limits
from schemas.journal import Replied
from tables import overdue_rows
from tables.alerts import Alert
from tables.cycles import Calendar
from tables.handovers import Speakers
from tables.replies import Inquiry
from tables.service import Columns
from tables.shop_activity import ShopActivities
from tables.timers import Timers

_IN_ORDER: Final = itemgetter(0, 1, 2)


class DecisionCause(msgspec.Struct, frozen=True, gc=False):
    """Why an inquiry was decided: a message, or event time passing `due_ms`.

    `offset` is the record's, of the message or of what moved event time. `now_ms` is event time
    then. `due_ms` is later than every instant if the cause is a message.
    """

    offset: int
    now_ms: int
    due_ms: int = limits.INT64_MAX


class AlertOfRecord(NamedTuple):
    """An alert with what it is sorted by: the record, the instant of expiry, the conversation.

    So of one record, timers that it let expire come before its own message.
    """

    offset: int
    due_ms: int
    key: bytes
    alert: Alert


class _ReplyChanges(msgspec.Struct, gc=False):
    """The changes of a shop's reply columns in one cycle.

    A column is named once for each inquiry or unit that is added or removed. `restates` is how
    many of the changes restate (C3).
    """

    added: list[str]
    removed: list[str]
    restates: int = 0

    def columns(self) -> Columns:
        """The signed sums, without zeros."""
        sums = Counter(self.added)
        sums.subtract(self.removed)
        return {name: number for name, number in sums.items() if number}


class ChatChanges:
    """A collector for the conversations of one chunk.

    `event_time` are the instants to which event time moved in the chunk, and the offsets of their
    records.
    """

    def __init__(
        self, calendar: Calendar, timers: Timers, event_time: tuple[list[int], list[int]]
    ) -> None:
        self.calendar = calendar
        self.timers = timers
        self.overdue: dict[bytes, bytes | None] = {}
        """The rows of `overdue` that changed."""

        self.duplicates: Counter[str] = Counter()
        """The types of messages that changed nothing (S11)."""

        self.entries = 0
        """Changes of shops' replies."""

        self._event_time = event_time
        self._replies: dict[tuple[str, int], _ReplyChanges] = {}
        """By shop and cycle's start."""

        self._alerts: list[AlertOfRecord] = []

    @property
    def restatements(self) -> int:
        """How many changes of shops' replies restate (C3)."""
        return sum([changes.restates for changes in self._replies.values()])

    def expiry(self, due_ms: int) -> DecisionCause:
        """The cause of a timer's expiry: the record that moved event time past `due_ms`."""
        instants, offsets = self._event_time
        at = bisect_right(instants, due_ms)
        return DecisionCause(offsets[at], instants[at], due_ms)

    def reply(
        self,
        shop_id: str,
        start_ms: int,
        added: Iterable[str],
        removed: Iterable[str],
        now_ms: int,
    ) -> None:
        """Add one to some columns of a shop's replies in a cycle, and subtract one from others.

        `start_ms` is the cycle's start. `now_ms` is event time.
        """
        changes = self._replies.get((shop_id, start_ms))
        if changes is None:
            changes = self._replies[shop_id, start_ms] = _ReplyChanges([], [])
        changes.added += added
        changes.removed += removed
        changes.restates += self.calendar.end_of(start_ms) <= now_ms
        self.entries += 1

    def alert(self, key: bytes, alerts: Sequence[Alert], cause: DecisionCause) -> None:
        """Send the alerts of a conversation."""
        self._alerts += [AlertOfRecord(cause.offset, cause.due_ms, key, alert) for alert in alerts]

    def set_overdue(self, key: bytes, inquiry: Inquiry | None) -> None:
        """The overdue inquiry of a conversation is now this one, or none."""
        self.overdue[key] = None if inquiry is None else _overdue_row(inquiry)

    def alerts(self, speakers: Speakers) -> list[Alert]:
        """The alerts that this application sends, sorted by cause.

        At one offset, expired timers come before the record's own message.
        """
        ours = [one for one in self._alerts if speakers.is_ours(one.offset)]
        return [one.alert for one in sorted(ours, key=_IN_ORDER)]

    def add_replies(self, shops: ShopActivities) -> None:
        """Hand the changes of replies to the shops' journal."""
        for (shop_id, start_ms), changes in self._replies.items():
            cycle = self.calendar.iso(start_ms)
            shops.reply(shop_id, Replied(cycle, changes.columns(), changes.restates))


def _overdue_row(inquiry: Inquiry) -> bytes:
    """The row's ids are those of the inquiry's first message."""
    first = inquiry.questions[0]
    return overdue_rows.encode(inquiry.opened_ms, inquiry.due_ms, first.message_id, first.order_id)
