"""The inquiries of a long conversation for which alerts were sent, by place (R2)."""

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from schemas.envelope import SHOP, Written
from tables import alerts, conversations
from tables.alerts import Alert
from tables.conversations import Alerted
from tables.replies import Inquiry
from tables.turns import Place, Span, TurnInquiry

MessageIdentity = tuple[str, str]
"""The (source, id) of a message (S11)."""


class _AlertedMessage(NamedTuple):
    """A message of the buyer that names an alerted inquiry."""

    place: Place
    identity: MessageIdentity


class AlertedInquiries:
    """The state `alerted` of a conversation, found by turn; `bytes_added` is how much it grew."""

    def __init__(
        self, alerted: tuple[Alerted, ...], known: Mapping[MessageIdentity, Written]
    ) -> None:
        self._alerted = {(one.source, one.id): one for one in alerted}
        self._messages: list[_AlertedMessage] = []
        """All of them, sorted."""

        self._without_late: list[_AlertedMessage] = []
        """Those whose late answer was not alerted yet, sorted."""

        self.bytes_added = 0
        for identity in self._alerted:
            self.add_message(known[identity])

    def entries(self) -> tuple[Alerted, ...]:
        """As the conversation's state has them, in the order of their alerts."""
        return tuple(self._alerted.values())

    def add_message(self, message: Written) -> None:
        """A message was added to the conversation; it may name an alerted inquiry."""
        identity = message.source, message.id
        # A message of the shop has the identity by another content (S11); no inquiry contains it.
        if identity not in self._alerted or message.side == SHOP:
            return
        entry = _AlertedMessage(conversations.place(message), identity)
        insort(self._messages, entry)
        if not self._alerted[identity].late:
            insort(self._without_late, entry)

    def remove_message(self, message: Written) -> None:
        """A message was removed from the conversation; it may name an alerted inquiry."""
        identity = message.source, message.id
        if identity not in self._alerted or message.side == SHOP:
            return
        entry = _AlertedMessage(conversations.place(message), identity)
        del self._messages[bisect_left(self._messages, entry)]
        if not self._alerted[identity].late:
            del self._without_late[bisect_left(self._without_late, entry)]

    def new_alerts(
        self, decided: list[TurnInquiry], overdue: Inquiry | None, shop_id: str, buyer_id: str
    ) -> list[Alert]:
        """R2: as `alerts.new_alerts`. `overdue` is the last of `decided`, if it still waits."""
        found, any_before = [], bool(self._alerted)
        if overdue is not None and not _inside(self._messages, decided[-1].turn):
            first = overdue.questions[0]
            found.append(alerts.overdue_alert(overdue, shop_id, buyer_id))
            self._set(Alerted(first.source, first.id, late=False))
            self.add_message(first)
        if not any_before:
            return found
        for one in decided:
            inquiry, answer = one.inquiry, one.inquiry.answer
            if answer is not None and inquiry.is_late:
                for message in _inside(self._without_late, one.turn):
                    before = self._alerted[message.identity]
                    found.append(alerts.late_alert(inquiry, answer, before, shop_id, buyer_id))
                    self._set(Alerted(before.source, before.id, late=True))
                    del self._without_late[bisect_left(self._without_late, message)]
        return found

    def _set(self, entry: Alerted) -> None:
        identity = entry.source, entry.id
        before = self._alerted.get(identity)
        if before is None:
            self.bytes_added += _encoded_bytes(entry) + bool(self._alerted)  # a comma before it
        else:
            self.bytes_added += _encoded_bytes(entry) - _encoded_bytes(before)
        self._alerted[identity] = entry


def _inside(messages: list[_AlertedMessage], turn: Span) -> list[_AlertedMessage]:
    first, end = bisect_left(messages, (turn.begin,)), bisect_left(messages, (turn.end,))
    return messages[first:end]


def _encoded_bytes(entry: Alerted) -> int:
    return len(msgspec.json.encode(entry))
