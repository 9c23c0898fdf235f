"""The inquiries of a long conversation for which alerts were sent, by place (R2)."""

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from schemas.envelope import SHOP, Written
from tables import conversations
from tables.conversations import Alerted
from tables.turns import Place, Span

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

    def __bool__(self) -> bool:
        return bool(self._alerted)

    def entries(self) -> tuple[Alerted, ...]:
        """As the conversation's state has them, in the order of their alerts."""
        return tuple(self._alerted.values())

    def add_message(self, message: Written) -> None:
        """A message was added; if it names an alerted inquiry, it is found by its turn from now."""
        identity = message.source, message.id
        # A message of the shop has the identity by another content (S11); no inquiry contains it.
        if identity not in self._alerted or message.side == SHOP:
            return
        entry = _AlertedMessage(conversations.place(message), identity)
        insort(self._messages, entry)
        if not self._alerted[identity].late:
            insort(self._without_late, entry)

    def remove_message(self, message: Written) -> None:
        """The opposite of `add_message`."""
        identity = message.source, message.id
        if identity not in self._alerted or message.side == SHOP:
            return
        entry = _AlertedMessage(conversations.place(message), identity)
        del self._messages[bisect_left(self._messages, entry)]
        if not self._alerted[identity].late:
            del self._without_late[bisect_left(self._without_late, entry)]

    def is_alerted(self, turn: Span) -> bool:
        """Whether a message in a turn names an alerted inquiry."""
        return bool(_inside(self._messages, turn))

    def alert_overdue(self, first: Written) -> None:
        """An overdue alert is sent for the inquiry that begins with a message."""
        self._set(Alerted(first.source, first.id, late=False))
        self.add_message(first)

    def alert_late(self, turn: Span) -> list[Alerted]:
        """Late alerts are sent for a turn; the entries that had only an overdue alert before."""
        before = []
        for message in _inside(self._without_late, turn):
            entry = self._alerted[message.identity]
            before.append(entry)
            self._set(Alerted(entry.source, entry.id, late=True))
            del self._without_late[bisect_left(self._without_late, message)]
        return before

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
