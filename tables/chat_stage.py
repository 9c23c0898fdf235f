"""The chat stage: messages → conversations, what they change of the shops' service, what is overdue, and alerts (R1, R2)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas import envelope, limits, times
from schemas.envelope import Record, Said, Tick
from schemas.journal import Served, Wrote
from schemas.refusals import Reason, Refusal
from tables import catalogue, conversations, replies, watermarks
from tables.catalogue import ALERTS_TOPIC, CHATS, OVERDUE, REPLY_TIMERS, SHOP_ACTIVITY_TOPIC, Stage
from tables.conversations import Alerted, Conversation, Written
from tables.cycles import Calendar
from tables.outcome import Keys, Outcome, Readings, States
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules
from tables.shop_activity import ShopActivities
from tables.timers import Timers
from tables.watermarks import Progress

_NEVER: Final = -(2**63)
OVERDUE_VERSION: Final = 1
"""Version of the form of a row of `overdue`: [version, opened_ms, due_ms, message_id, order_id or null]."""

LEAST_BUCKET_MS: Final = 1000
MOST_BUCKETS: Final = 300
"""A timer is set for at most `reply_within` from the newest event on, so hardly more than so many buckets wait at once."""

REPLY_OVERDUE: Final = "reply_overdue"
REPLY_LATE: Final = "reply_late"

_encode: Final = msgspec.json.encode


class ChatStage:
    """Messages → conversations, and what follows of them. One for all partitions: it holds no state."""

    stage: Final[Stage] = catalogue.CHAT_STAGE

    def __init__(self, calendar: Calendar, rules: ServiceRules, refusals_in_a_row: int) -> None:
        self._calendar = calendar
        self._rules = rules
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The settings by which the tables are made."""
        return f"{self._calendar.terms}; {self._rules.terms}"

    def read(self, record: Record) -> Said | Tick | Refusal:
        """What a record says. Never raises."""
        return envelope.read_chat(record)

    def keys(self, readings: Readings) -> Keys:
        """The conversations that a chunk concerns."""
        return {CHATS.name: {catalogue.conversation_key(said.shop_id, said.buyer_id) for _, said in readings if type(said) is Said}}

    def fold(self, place: str, readings: Readings, states: States, progress: Progress | None) -> Outcome:
        """What a chunk of the partition `place`, as `chats-3`, changes.

        Only a conversation that would outgrow a record of its changelog is still refused here.
        """
        outcome = self._fold(place, readings, states, progress or watermarks.START, most_bytes=None)
        if max([len(state) for state in outcome.writes[CHATS.name].values() if state is not None], default=0) > limits.ORDER_BYTES:
            return self._fold(place, readings, states, progress or watermarks.START, most_bytes=limits.ORDER_BYTES)
        return outcome

    def _fold(self, place: str, readings: Readings, states: States, progress: Progress, most_bytes: int | None) -> Outcome:
        offset, refused_in_a_row = progress.offset, progress.refused_in_a_row
        now_ms = _NEVER if progress.watermark_ms is None else progress.watermark_ms
        work = _Work(place, states, self._calendar, self._rules, now_ms, most_bytes)
        parked: list[tuple[int, Refusal]] = []
        duplicates = skipped = late = ticks = taken = 0
        for at, reading in readings:
            if refused_in_a_row >= self._refusals_in_a_row:
                break
            taken += 1
            if at <= offset:  # never twice, even if handed over twice
                skipped += 1
                continue
            offset = at
            if type(reading) is Refusal:
                parked.append((offset, reading))
                refused_in_a_row += 1
                continue
            work.begin(offset, reading.occurred_at_ms)
            if type(reading) is Tick:
                ticks += 1
                continue
            refused_in_a_row = 0
            late += reading.occurred_at_ms < work.cycle_ms  # S13: counted here, dropped nowhere
            heard = work.hear(reading)
            if type(heard) is Refusal:
                parked.append((offset, heard))
            elif not heard:
                duplicates += 1
        counts = {"applied": taken - duplicates - skipped - ticks - len(parked), "duplicates": duplicates, "refused": len(parked)}
        counts |= {"skipped": skipped, "ticks": ticks, "late": late, "entries": work.rows, "restatements": work.restatements}
        counts["alerts"] = len(work.alerts)
        changed, activity = work.conversations()
        return Outcome(
            writes={CHATS.name: changed, REPLY_TIMERS.name: work.timers.writes(), OVERDUE.name: work.overdue},
            sends={SHOP_ACTIVITY_TOPIC: activity, ALERTS_TOPIC: work.alerts},
            parked=parked,
            progress=Progress(offset, progress.watermark_ms if work.now_ms == _NEVER else work.now_ms, refused_in_a_row),
            counts=counts,
            taken=taken,
            paused=refused_in_a_row >= self._refusals_in_a_row,
        )


class _Held(msgspec.Struct, gc=False):
    """A conversation while a chunk is folded."""

    key: bytes
    shop_id: str
    buyer_id: str
    conversation: Conversation
    ids: set[str]
    """Those of its messages."""

    answered: list[Inquiry]
    waiting: Inquiry | None
    """Its inquiries: those with an answer, and the last one if it waits for its answer."""

    said: list[Wrote]
    """What was said in this chunk."""

    changed: bool = False


class _Work:
    """What one chunk does: event time goes on, timers go off, messages come in. Nothing depends on where chunks are cut."""

    def __init__(  # noqa: PLR0913, PLR0917 - of one caller
        self, place: str, states: States, calendar: Calendar, rules: ServiceRules, now_ms: int, most_bytes: int | None
    ) -> None:
        self._place = place
        self._stored: Mapping[bytes, bytes | None] = states[CHATS.name]
        self._calendar = calendar
        self._rules = rules
        self._most_bytes = most_bytes
        self._held: dict[bytes, _Held] = {}
        self._shops = ShopActivities()
        self._offset = self._index = 0
        self.now_ms = now_ms
        self.cycle_ms, self._cycle_end_ms = (_NEVER, _NEVER) if now_ms == _NEVER else calendar.around(now_ms)
        self.timers = Timers(states[REPLY_TIMERS.name], max(LEAST_BUCKET_MS, rules.reply_within_ms // MOST_BUCKETS))
        self.overdue: dict[bytes, bytes | None] = {}
        self.alerts: list[tuple[bytes, bytes]] = []
        self.rows = 0
        self.restatements = 0

    def begin(self, offset: int, at_ms: int) -> None:
        """What follows comes of the record at `offset`, and event time is at least at this instant (C2).

        What was due before is overdue, unless it was answered.
        """
        self._offset = offset
        self._index = 0
        if at_ms <= self.now_ms:
            return
        self.now_ms = at_ms
        if at_ms >= self._cycle_end_ms:
            self.cycle_ms, self._cycle_end_ms = self._calendar.around(at_ms)
        for due_ms, key in self.timers.gone_off(at_ms):
            held = self._held.get(key) or self._hold(key, *catalogue.split_conversation_key(key))
            waiting = held.waiting
            if waiting is not None and waiting.due_ms < at_ms and not held.conversation.overdue:
                self._settle(held, len(held.answered), [], [waiting], (REPLY_OVERDUE, "", "", due_ms))

    def hear(self, said: Said) -> bool | Refusal:
        """Take in a message; False if it tells nothing new (S11)."""
        key = catalogue.conversation_key(said.shop_id, said.buyer_id)
        held = self._held.get(key) or self._hold(key, said.shop_id, said.buyer_id)
        if self._most_bytes is not None and (size := conversations.size_with(held.conversation, held.ids, said)) > self._most_bytes:
            return Refusal(Reason.CONVERSATION_FULL, f"{size} bytes with this message, at most {self._most_bytes}")
        written = held.conversation.written
        heard = conversations.absorb(written, held.ids, said)
        if heard is None:
            return False
        new, gone = heard
        held.changed = True
        if gone is not None:
            held.said.append(Wrote(gone.at_ms, "shop" if gone.side else "buyer", gone.order_id, -1))
        held.said.append(Wrote(new.at_ms, "shop" if new.side else "buyer", new.order_id, 1))
        if gone is None and new is written[-1]:  # the usual case
            self._go_on(held, written[-2] if len(written) > 1 else None, new, said)
        else:
            self._go_back(held, new.at_ms, said)  # one that it replaced can't have been before it (S11)
        return True

    def conversations(self) -> tuple[dict[bytes, bytes | None], list[tuple[bytes, bytes]]]:
        """The states that changed, and (key, value) of what changed of each shop, for the shops' journal."""
        changed: dict[bytes, bytes | None] = {}
        for key, held in self._held.items():
            if held.said:
                self._shops.write(held.shop_id, held.buyer_id, held.said)
            if held.changed:
                changed[key] = conversations.encode(held.conversation)
        return changed, self._shops.records()

    def _hold(self, key: bytes, shop_id: str, buyer_id: str) -> _Held:
        state = self._stored[key]
        if state is None:
            held = _Held(key, shop_id, buyer_id, Conversation(), set(), [], None, [])
        else:
            conversation = conversations.decode(state)
            ids = {one.id for one in conversation.written}
            held = _Held(key, shop_id, buyer_id, conversation, ids, *replies.inquiries(conversation.written, self._rules), [])
        self._held[key] = held
        return held

    def _go_on(self, held: _Held, before: Written | None, new: Written, said: Said) -> None:
        """A message came in after all others; `before` is the last of those."""
        waited = held.waiting
        now = replies.follow(waited, before, new, self._rules)
        if now is None:
            return
        first = len(held.answered)
        if now.answer is not None:
            held.answered.append(now)
            held.waiting = None
        else:
            held.waiting = now
            if now.due_ms >= self.now_ms:  # nothing is decided yet
                if waited is None:
                    self.timers.set(now.due_ms, held.key)
                return
        was = [waited] if waited is not None and held.conversation.overdue else []
        self._settle(held, first, was, [now], (said.type, said.id, said.source, said.occurred_at_ms))

    def _go_back(self, held: _Held, since_ms: int, said: Said) -> None:
        """A message came in before others, or in the place of another: what was written since an instant is looked at again."""
        answered, waited = held.answered, held.waiting
        first, now, waiting = replies.again(answered, held.conversation.written, since_ms, self._rules)
        was = answered[first:]
        held.answered, held.waiting = answered[:first] + now, waiting
        if waited is not None and held.conversation.overdue:
            was.append(waited)
        if waiting is not None:
            if waiting.due_ms < self.now_ms:  # R2
                now.append(waiting)
            elif waited is None or waited.due_ms != waiting.due_ms:
                self.timers.set(waiting.due_ms, held.key)
        if was or now:
            self._settle(held, first, was, now, (said.type, said.id, said.source, said.occurred_at_ms))

    def _settle(self, held: _Held, first: int, was: list[Inquiry], now: list[Inquiry], cause: tuple[str, str, str, int]) -> None:
        """Hand out what changes if the decided inquiries after the `first` ones become others; `cause`: type, id, source, instant."""
        if changes := replies.difference(held.answered, first, was, now, self._rules, self._calendar):
            self._tell(held.shop_id, changes, cause)
        conversation = held.conversation
        waited = was[-1] if conversation.overdue else None
        waiting = now[-1] if now and now[-1].answer is None else None
        if waiting is not None or (conversation.alerted and any(one.is_late for one in now)):
            self._alert(held, now, waiting)
        if waiting != waited:
            self.overdue[held.key] = None if waiting is None else _overdue_row(waiting)
            conversation.overdue = waiting is not None
            held.changed = True

    def _tell(self, shop_id: str, changes: dict[int, Columns], cause: tuple[str, str, str, int]) -> None:
        """Hand out rows of the shops' journal."""
        name, event_id, source, at_ms = cause
        occurred_at = times.format_ms(at_ms)
        for start_ms, columns in changes.items():
            restates = start_ms < self.cycle_ms
            position, cycle = f"{self._place}@{self._offset}#{self._index}", self._calendar.iso(start_ms)
            self._shops.serve(shop_id, Served(position, cycle, columns, restates, name, event_id, source, occurred_at))
            self._index += 1
            self.rows += 1
            self.restatements += restates

    def _alert(self, held: _Held, come: Sequence[Inquiry], overdue: Inquiry | None) -> None:
        """R2: tell an inquiry that is overdue, and later its late answer, once each."""
        before = len(self.alerts)
        told = {(one.source, one.id): one for one in held.conversation.alerted}
        if overdue is not None and all((one.source, one.id) not in told for one in overdue.asked):
            first = overdue.asked[0]
            told[first.source, first.id] = Alerted(first.source, first.id, late=False)
            self.alerts.append(_alert(REPLY_OVERDUE, overdue, held))
        for inquiry in come:
            answer = inquiry.answer
            if answer is None or not inquiry.is_late:
                continue
            for one in inquiry.asked:
                alerted = told.get((one.source, one.id))
                if alerted is not None and not alerted.late:
                    told[one.source, one.id] = Alerted(one.source, one.id, late=True)
                    self.alerts.append(_alert(REPLY_LATE, inquiry, held, alerted, answer))
        if len(self.alerts) > before:
            held.conversation.alerted = tuple(told.values())


def due_of(overdue: bytes) -> int:
    """When an inquiry was due, in epoch milliseconds, by its row in `overdue`."""
    due_ms: int = msgspec.json.decode(overdue)[2]
    return due_ms


def _overdue_row(inquiry: Inquiry) -> bytes:
    first = inquiry.asked[0]
    return _encode((OVERDUE_VERSION, inquiry.opened_ms, inquiry.due_ms, first.message_id, first.order_id))


def _alert(name: str, inquiry: Inquiry, held: _Held, alerted: Alerted | None = None, answer: Written | None = None) -> tuple[bytes, bytes]:
    """(key, value) of an alert. Its id is made of the message by which the inquiry was first alerted: a replay gives it the same."""
    first = inquiry.asked[0]
    known = alerted or first
    told = {
        "type": name,
        "id": f"{name}:{known.source}:{known.id}",
        "source": "netsold",
        "occurred_at": times.format_ms(inquiry.due_ms if answer is None else answer.at_ms),
        "shop_id": held.shop_id,
        "buyer_id": held.buyer_id,
        "message_id": first.message_id,
        "order_id": first.order_id,
        "opened_at": times.format_ms(inquiry.opened_ms),
        "due_at": times.format_ms(inquiry.due_ms),
    }
    if answer is not None:
        told |= {"answered_at": times.format_ms(answer.at_ms), "by": answer.by}
    return held.shop_id.encode(), _encode(told)
