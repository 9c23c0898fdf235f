"""A long conversation cut into turns by the shop's messages: an incremental form of R1.

An inquiry lies within one turn: the buyer's messages between two consecutive messages of the shop.
So a new message changes only the turns beside it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.envelope import SHOP, Written
from tables import conversations
from tables.replies import Inquiry
from tables.service_hours import ServiceRules

Place = tuple[int, int, str, str]
"""The sort key of a message, as `conversations.place`."""

_BEGIN: Final[Place] = (-(2**63), 0, "", "")
_END: Final[Place] = (2**63, 0, "", "")


class Span(msgspec.Struct, frozen=True, gc=False):
    """What lies between two messages of the shop, or behind the last one; ends excluded.

    A span without a message of the shop inside is a turn.
    """

    begin: Place
    end: Place

    @property
    def is_last(self) -> bool:
        """Whether it ends with the conversation."""
        return self.end == _END


class TurnInquiry(msgspec.Struct, frozen=True, gc=False):
    """An inquiry, of which only the first question is kept, and its turn."""

    inquiry: Inquiry
    turn: Span


WHOLE_CONVERSATION: Final = Span(_BEGIN, _END)
"""The whole conversation."""


class Turns:
    """The messages of one conversation in order. `written` is changed in place."""

    def __init__(self, written: list[Written], rules: ServiceRules) -> None:
        self._written = written
        self._rules = rules
        self._shop = [conversations.place(one) for one in written if one.side == SHOP]
        """The places of the shop's messages, sorted."""

    def __len__(self) -> int:
        return len(self._written)

    @property
    def last_begin(self) -> Place:
        """The place of the shop's last message, where the last turn begins."""
        return self._shop[-1] if self._shop else _BEGIN

    @property
    def last(self) -> Span:
        """The turn behind the shop's last message."""
        return Span(self.last_begin, _END)

    def add(self, message: Written) -> None:
        """Add a message in its place."""
        place = conversations.place(message)
        self._written.insert(bisect_left(self._written, place, key=conversations.place), message)
        if message.side == SHOP:
            insort(self._shop, place)

    def remove(self, message: Written) -> None:
        """Remove a message that is there."""
        place = conversations.place(message)
        del self._written[bisect_left(self._written, place, key=conversations.place)]
        if message.side == SHOP:
            del self._shop[bisect_left(self._shop, place)]

    def affected(self, new: Written, replaced: Written | None) -> list[Span]:
        """The spans whose inquiries may change when `new` is added and `replaced` removed.

        In order and disjoint.
        """
        place = conversations.place(new)
        other = place if replaced is None else conversations.place(replaced)
        low, high = min(place, other), max(place, other)
        first = Span(self.shop_before(low), self._shop_after(low, other))
        second = Span(self.shop_before(high), self._shop_after(high, other))
        if self._shop and first.end < second.begin:
            return [first, second]
        return [Span(first.begin, second.end)]

    def inquiries(self, spans: Iterable[Span]) -> list[TurnInquiry]:
        """R1: the inquiries in some spans, answered or not."""
        found = []
        for span in spans:
            for turn in self._turns_in(span):
                inquiry = self._inquiry(turn)
                if inquiry is not None:
                    found.append(TurnInquiry(inquiry, turn))
        return found

    def shop_before(self, place: Place) -> Place:
        """The place of the shop's last message before a place."""
        at = bisect_left(self._shop, place)
        return self._shop[at - 1] if at else _BEGIN

    def _shop_after(self, place: Place, removed: Place) -> Place:
        """The place of the shop's next message behind a place, except a message to be removed."""
        at = bisect_right(self._shop, place)
        if at < len(self._shop) and self._shop[at] == removed:
            at += 1
        return self._shop[at] if at < len(self._shop) else _END

    def _turns_in(self, span: Span) -> list[Span]:
        shop = self._shop
        inside = shop[bisect_right(shop, span.begin) : bisect_left(shop, span.end)]
        if not inside:  # the usual case
            return [span]
        begins, ends = [span.begin, *inside], [*inside, span.end]
        return [Span(begin, end) for begin, end in zip(begins, ends, strict=True)]

    def _inquiry(self, turn: Span) -> Inquiry | None:
        """R1: a turn is an inquiry if its first message was written in service hours."""
        written = self._written
        at = bisect_right(written, turn.begin, key=conversations.place)
        if at == len(written) or written[at].side == SHOP:
            return None
        first, answer = written[at], None
        if not self._rules.is_open(first.at_ms):
            return None
        if not turn.is_last:
            answer = written[bisect_left(written, turn.end, at, key=conversations.place)]
        return Inquiry((first,), first.at_ms, first.at_ms + self._rules.reply_within_ms, answer)
