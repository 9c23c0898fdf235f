"""A conversation while a chunk's messages are added to it.

What each of them changes (R1, R2, S11, S12).

The same as `conversations.absorb`, `replies` and `alerts` say, which go through all that was
written near a message: dear where that is much. Here the shop's messages cut a conversation into
stretches: an inquiry is one stretch, and a message changes the stretches beside it.
"""

from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

import msgspec

from schemas.envelope import SHOP, Written
from tables import alerts, conversations
from tables.alerts import Alert
from tables.conversations import Alerted, Conversation
from tables.cycles import Calendar
from tables.replies import Inquiry
from tables.reply_days import ReplyChange, ReplyDays
from tables.service_hours import ServiceRules
from tables.sorted_lists import put

Place = tuple[int, int, str, str]
_BEGIN: Final[Place] = (-(2**63), 0, "", "")
_END: Final[Place] = (2**63, 0, "", "")
_EMPTY_BYTES: Final = len(conversations.encode(Conversation()))


class Stretch(NamedTuple):
    """The buyer's messages behind one message of the shop up to the next one.

    `begin` and `end` are the places of these.
    """

    begin: Place
    end: Place


class Settled(NamedTuple):
    """What changes: of the shop's replies, by cycle; alerts.

    And whether another inquiry is overdue now, or none.
    """

    replies: list[ReplyChange]
    alerts: list[Alert]
    overdue_moved: bool


class ConversationLedger:
    """The messages of one conversation, and what counts of them.

    `state` are its bytes, None if it is new.

    Inquiries have only the first of their messages.
    """

    def __init__(
        self, state: bytes | None, between: tuple[str, str], rules: ServiceRules, calendar: Calendar
    ) -> None:
        self._conversation = Conversation() if state is None else conversations.decode(state)
        self.between, self._rules = between, rules
        self._size = (
            _EMPTY_BYTES if state is None else len(state)
        ) + self._conversation.overdue  # as if it were false
        written = self._written = self._conversation.written
        self._known = {(one.source, one.id): one for one in written}
        self._shops = [conversations.place(one) for one in written if one.side == SHOP]
        self._alerted = {(one.source, one.id): one for one in self._conversation.alerted}
        places = [
            (place, identity)
            for identity in self._alerted
            if (place := conversations.place(self._known[identity]))[1] != SHOP
        ]
        self._alerted_places = sorted(places)
        self._early_places = sorted(one for one in places if not self._alerted[one[1]].late)
        """Those of `_alerted_places` whose late answer hasn't been alerted."""

        self.wrote: list[Written] = []
        self.retracted: list[Written] = []
        self.has_changed = False
        inquiries = [
            one
            for stretch in self._stretches(_BEGIN, _END)
            if (one := self._inquiry(stretch)) is not None
        ]
        self.waiting = inquiries[-1] if inquiries and inquiries[-1].answer is None else None
        """The last inquiry, if it waits for its answer."""

        decided = [one for one in inquiries if one.answer is not None or self._conversation.overdue]
        self._days = ReplyDays(decided, rules, calendar)

    @property
    def overdue(self) -> bool:
        """Whether the inquiry that waits has been counted as overdue."""
        return self._conversation.overdue

    def encode(self) -> bytes:
        """The conversation's bytes."""
        self._conversation.alerted = tuple(self._alerted.values())
        return conversations.encode(self._conversation)

    def size_with(self, new: Written) -> int:
        """How many bytes it has with one more message; 0 if that tells nothing new (S11)."""
        known = self._known.get((new.source, new.id))
        size = self._size - self._conversation.overdue
        if known is None:
            return size + _bytes(new) + bool(self._written)
        return (
            0
            if conversations.precedence(known) <= conversations.precedence(new)
            else size + _bytes(new) - _bytes(known)
        )

    def add(self, new: Written, now_ms: int) -> tuple[Settled | None, int | None] | None:
        """Add a message when event time is at `now_ms`; None if it tells nothing new (S11).

        What changes by it, and an instant for which to set a timer.
        """
        identity = new.source, new.id
        known, place = self._known.get(identity), conversations.place(new)
        if known is not None and conversations.precedence(known) <= conversations.precedence(new):
            return None
        self._size = self.size_with(new) + self._conversation.overdue
        spans, begin = self._spans(place, known), self._shops[-1] if self._shops else _BEGIN
        since_ms = self._before((new.at_ms, -1, "", ""))[0]
        was = [
            one
            for span in spans
            for stretch in self._stretches(*span)
            if (one := self._inquiry(stretch)) is not None
        ]
        if known is not None:
            self._remove(known)
        self._known[identity] = new
        self._written.insert(bisect_left(self._written, place, key=conversations.place), new)
        if new.side == SHOP:
            put(self._shops, place)
        if identity in self._alerted:
            self._put_alerted(place, identity, gone=False)
        self.wrote.append(new)
        stretches = [stretch for span in spans for stretch in self._stretches(*span)]
        now = [
            (one, stretch) for stretch in stretches if (one := self._inquiry(stretch)) is not None
        ]
        timer, is_same = None, False
        if spans[-1][1] == _END:
            waited, self.waiting = (
                self.waiting,
                now[-1][0] if now and now[-1][0].answer is None else None,
            )
            is_same = waited == self.waiting and not any(
                one and one.side != SHOP and conversations.place(one) > begin
                for one in (new, known)
            )
            if waited is not None and not self.overdue:
                was.pop()
            if self.waiting is not None and self.waiting.due_ms >= now_ms:
                now.pop()
                if waited is None or waited.due_ms != self.waiting.due_ms:
                    timer = self.waiting.due_ms
        if not (was or now):
            return None, timer
        return self._settle(was, now, spans[-1][1], since_ms, is_same=is_same), timer

    def come_due(self) -> Settled:
        """The inquiry that waits is overdue now (R2)."""
        assert self.waiting is not None  # noqa: S101 - the caller has seen it
        stretch = Stretch(self._shops[-1] if self._shops else _BEGIN, _END)
        return self._settle([], [(self.waiting, stretch)], _END, stretch.begin[0], is_same=False)

    # --- stretches --------------------------------------------------------------------------------

    def _spans(self, place: Place, known: Written | None) -> list[tuple[Place, Place]]:
        """Between which messages of the shop inquiries may become others.

        In order, and apart from each other.
        """
        shops = self._shops
        other = place if known is None else conversations.place(known)
        low, high = (place, other) if place <= other else (other, place)
        first = (self._before(low), self._behind(low, other))
        second = (self._before(high), self._behind(high, other))
        return [first, second] if shops and first[1] < second[0] else [(first[0], second[1])]

    def _before(self, place: Place) -> Place:
        at = bisect_left(self._shops, place)
        return self._shops[at - 1] if at else _BEGIN

    def _behind(self, place: Place, leaving: Place) -> Place:
        """The shop's next message behind a place, other than one that leaves."""
        at = bisect_right(self._shops, place)
        if at < len(self._shops) and self._shops[at] == leaving:
            at += 1
        return self._shops[at] if at < len(self._shops) else _END

    def _stretches(self, begin: Place, end: Place) -> list[Stretch]:
        inside = self._shops[bisect_right(self._shops, begin) : bisect_left(self._shops, end)]
        return [
            Stretch(one, following)
            for one, following in zip([begin, *inside], [*inside, end], strict=True)
        ]

    def _inquiry(self, stretch: Stretch) -> Inquiry | None:
        """R1: a stretch is an inquiry if it begins in service hours."""
        written = self._written
        at = bisect_right(written, stretch.begin, key=conversations.place)
        if (
            at == len(written)
            or written[at].side == SHOP
            or not self._rules.is_open(written[at].at_ms)
        ):
            return None
        first, answer = written[at], None
        if stretch.end != _END:
            answer = written[bisect_left(written, stretch.end, at, key=conversations.place)]
        return Inquiry((first,), first.at_ms, first.at_ms + self._rules.reply_within_ms, answer)

    def _remove(self, known: Written) -> None:
        place, identity = conversations.place(known), (known.source, known.id)
        del self._written[bisect_left(self._written, place, key=conversations.place)]
        if known.side == SHOP:
            put(self._shops, place, removed=True)
        if identity in self._alerted:
            self._put_alerted(place, identity, gone=True)
        self.retracted.append(known)

    # --- what is decided --------------------------------------------------------------------------

    def _settle(
        self,
        was: list[Inquiry],
        now: list[tuple[Inquiry, Stretch]],
        end: Place,
        since_ms: int,
        *,
        is_same: bool,
    ) -> Settled:
        """What changes if decided inquiries become others, after an instant and up to `end`.

        `is_same`: the one that waits stays.
        """
        changes = self._days.change(was, [one for one, _ in now], since_ms)
        waiting = now[-1][0] if now and now[-1][0].answer is None else None
        found = self._alerts(now, waiting)
        moved = (
            end == _END and (waiting is not None or self.overdue) and not (is_same and self.overdue)
        )
        if moved:
            self._conversation.overdue = waiting is not None
            self.has_changed = True
        return Settled(changes, found, moved)

    def _alerts(self, now: list[tuple[Inquiry, Stretch]], waiting: Inquiry | None) -> list[Alert]:
        """R2: as `alerts.told`."""
        found, any_before = [], bool(self._alerted)
        if waiting is not None and not self._in(self._alerted_places, now[-1][1]):
            first = waiting.asked[0]
            found.append(alerts.alert(alerts.REPLY_OVERDUE, waiting, *self.between))
            identity = first.source, first.id
            self._alert(Alerted(*identity, late=False))
            self._put_alerted(conversations.place(first), identity, gone=False)
        if not any_before:
            return found
        for inquiry, stretch in now:
            if not inquiry.is_late:
                continue
            for one in self._in(self._early_places, stretch):
                before = self._alerted[one[1]]
                found.append(
                    alerts.alert(alerts.REPLY_LATE, inquiry, *self.between, before, inquiry.answer)
                )
                self._alert(Alerted(*one[1], late=True))
                put(self._early_places, one, removed=True)
        return found

    def _alert(self, alerted: Alerted) -> None:
        identity = alerted.source, alerted.id
        before = self._alerted.get(identity)
        self._size += _bytes(alerted) + (bool(self._alerted) if before is None else -_bytes(before))
        self._alerted[identity] = alerted

    def _put_alerted(self, place: Place, identity: tuple[str, str], *, gone: bool) -> None:
        if place[1] == SHOP:  # another content holds (S11), and no inquiry has such a message
            return
        put(self._alerted_places, (place, identity), removed=gone)
        if not self._alerted[identity].late:
            put(self._early_places, (place, identity), removed=gone)

    @staticmethod
    def _in(
        places: list[tuple[Place, tuple[str, str]]], stretch: Stretch
    ) -> list[tuple[Place, tuple[str, str]]]:
        return places[bisect_left(places, (stretch.begin,)) : bisect_left(places, (stretch.end,))]


def _bytes(part: msgspec.Struct) -> int:
    return len(msgspec.json.encode(part))
