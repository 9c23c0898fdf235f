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
from tables.outcome import Batch, Outcome, States
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

    def read(self, records: Sequence[Record], place: str) -> Batch:
        """What the records of one partition, such as `chats-3`, say, in order, and which conversations they concern. Never raises."""
        readings = list(map(envelope.read_chat, records))
        keys = {catalogue.conversation_key(one.shop_id, one.buyer_id) for one in readings if type(one) is Said}
        return Batch(place, records, readings, {CHATS.name: keys, OVERDUE.name: (), REPLY_TIMERS.name: ()})

    def fold(self, batch: Batch, states: States, progress: Progress | None) -> Outcome:
        """What the chunk changes. Only a conversation that would outgrow a record of its changelog is still refused here."""
        outcome = self._fold(batch, states, progress or watermarks.START, most_bytes=None)
        if max([len(state) for state in outcome.writes[CHATS.name].values() if state is not None], default=0) > limits.ORDER_BYTES:
            return self._fold(batch, states, progress or watermarks.START, most_bytes=limits.ORDER_BYTES)
        return outcome

    def _fold(self, batch: Batch, states: States, progress: Progress, most_bytes: int | None) -> Outcome:
        offset, refused_in_a_row = progress.offset, progress.refused_in_a_row
        work = _Work(states, self._calendar, self._rules, _NEVER if progress.watermark_ms is None else progress.watermark_ms, most_bytes)
        parked: list[tuple[Record, Refusal]] = []
        duplicates = skipped = late = ticks = taken = 0
        for record, reading in zip(batch.records, batch.readings, strict=True):
            if refused_in_a_row >= self._refusals_in_a_row:
                break
            taken += 1
            if record.offset <= offset:  # never twice, even if handed over twice
                skipped += 1
                continue
            offset = record.offset
            if type(reading) is Refusal:
                parked.append((record, reading))
                refused_in_a_row += 1
                continue
            work.begin(batch.place, offset)
            work.let_pass(reading.occurred_at_ms)
            if type(reading) is Tick:
                ticks += 1
                continue
            refused_in_a_row = 0
            late += reading.occurred_at_ms < work.cycle_ms  # S13: counted here, dropped nowhere
            refusal = work.hear(reading)
            if isinstance(refusal, Refusal):
                parked.append((record, refusal))
            else:
                duplicates += not refusal
        counts = {"applied": taken - duplicates - skipped - ticks - len(parked), "duplicates": duplicates, "refused": len(parked)}
        counts |= {"skipped": skipped, "ticks": ticks, "late": late, "entries": work.rows, "restatements": work.restatements}
        counts["alerts"] = len(work.alerts)
        return Outcome(
            writes=work.writes(),
            sends={SHOP_ACTIVITY_TOPIC: work.activity(), ALERTS_TOPIC: work.alerts},
            parked=parked,
            progress=Progress(offset, progress.watermark_ms if work.now_ms == _NEVER else work.now_ms, refused_in_a_row),
            counts=counts,
            taken=taken,
            paused=refused_in_a_row >= self._refusals_in_a_row,
        )


class _Held(msgspec.Struct, gc=False):
    """A conversation while a chunk is folded."""

    conversation: Conversation
    found: list[Inquiry]
    """Its inquiries."""

    said: list[Wrote]
    """What was said in this chunk."""

    changed: bool = False


class _Work:
    """What one chunk does: event time goes on, timers go off, messages come in. Nothing depends on where chunks are cut."""

    def __init__(self, states: States, calendar: Calendar, rules: ServiceRules, now_ms: int, most_bytes: int | None) -> None:
        self._stored: Mapping[bytes, bytes | None] = states[CHATS.name]
        self._timers = Timers(states[REPLY_TIMERS.name], max(LEAST_BUCKET_MS, rules.reply_within_ms // MOST_BUCKETS))
        self._calendar = calendar
        self._rules = rules
        self._most_bytes = most_bytes
        self._held: dict[bytes, _Held] = {}
        self._overdue: dict[bytes, bytes | None] = {}
        self._cause_at = "", 0
        self._index = 0
        self.now_ms = now_ms
        self.cycle_ms = now_ms if now_ms == _NEVER else calendar.start_of(now_ms)
        self._shops = ShopActivities()
        self.alerts: list[tuple[bytes, bytes]] = []
        self.rows = 0
        self.restatements = 0

    def begin(self, place: str, offset: int) -> None:
        """What follows comes of this record."""
        self._cause_at = place, offset
        self._index = 0

    def let_pass(self, at_ms: int) -> None:
        """Event time is at least at this instant (C2): what was due before is overdue, unless it was answered."""
        if at_ms <= self.now_ms:
            return
        self.now_ms = at_ms
        self.cycle_ms = self._calendar.start_of(at_ms)
        for due_ms, key in self._timers.gone_off(at_ms):
            held = self._hold(key)
            waiting = replies.waiting(held.found)
            if waiting is not None and waiting.due_ms < at_ms:
                self._settle(key, held, held.conversation, held.found, (REPLY_OVERDUE, "", "", due_ms))

    def hear(self, said: Said) -> bool | Refusal:
        """Take in a message; False if it tells nothing new (S11)."""
        key = catalogue.conversation_key(said.shop_id, said.buyer_id)
        held = self._hold(key)
        heard = conversations.absorb(held.conversation, said)
        if heard is None:
            return False
        if self._most_bytes is not None and (size := len(conversations.encode(heard.conversation))) > self._most_bytes:
            return Refusal(Reason.CONVERSATION_FULL, f"{size} bytes with this message, at most {self._most_bytes}")
        if heard.gone is not None:
            held.said.append(_wrote(heard.gone, -1))
        held.said.append(_wrote(heard.new, 1))
        before, after = held.conversation.written, heard.conversation.written
        if heard.gone is None and heard.at == len(before):  # the usual case
            found = held.found.copy()
            replies.follow(found, before[-1] if before else None, heard.new, self._rules)
        else:
            found = replies.inquiries(after, self._rules)
        self._settle(key, held, heard.conversation, found, (said.type, said.id, said.source, said.occurred_at_ms))
        return True

    def activity(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of what changed of each shop, for the shops' journal."""
        for key, held in self._held.items():
            if held.said:
                self._shops.write(*catalogue.split_conversation_key(key), held.said)
        return self._shops.records()

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The states that changed."""
        changed: dict[bytes, bytes | None] = {
            key: conversations.encode(held.conversation) for key, held in self._held.items() if held.changed
        }
        return {CHATS.name: changed, REPLY_TIMERS.name: self._timers.writes(), OVERDUE.name: self._overdue}

    def _hold(self, key: bytes) -> _Held:
        held = self._held.get(key)
        if held is None:
            state = self._stored[key]
            if state is None:
                held = _Held(conversations.EMPTY, [], [])
            else:
                conversation = conversations.decode(state)
                held = _Held(conversation, replies.inquiries(conversation.written, self._rules), [])
            self._held[key] = held
        return held

    def _settle(self, key: bytes, held: _Held, after: Conversation, found: list[Inquiry], cause: tuple[str, str, str, int]) -> None:
        """Count a conversation with its inquiries as they are now, and hand out what changes; `cause`: type, id, source, instant."""
        before, was, held.found = held.conversation, held.found, found
        waited, waiting = replies.waiting(was), replies.waiting(found)
        overdue = waiting is not None and self.now_ms > waiting.due_ms  # R2
        counted = replies.decided(was, overdue=before.overdue), replies.decided(found, overdue=overdue)
        changes = replies.difference(*counted, self._rules, self._calendar)
        if changes:
            self._tell(key, changes, cause)
        alerted = after.alerted
        if overdue or alerted:
            alerted = self._alert(found, waiting if overdue else None, alerted, key)
        if overdue != after.overdue or alerted is not after.alerted:
            after = Conversation(conversations.VERSION, after.written, overdue, alerted)
        if overdue != before.overdue or (overdue and waiting != waited):
            self._overdue[key] = _overdue_row(waiting) if overdue and waiting is not None else None
        if waiting is not None and not overdue and (waited is None or waited.due_ms != waiting.due_ms):
            self._timers.set(waiting.due_ms, key)
        held.conversation = after
        held.changed |= after is not before

    def _tell(self, key: bytes, changes: dict[int, Columns], cause: tuple[str, str, str, int]) -> None:
        """Hand out rows of the shops' journal."""
        shop_id, _ = catalogue.split_conversation_key(key)
        (place, offset), why = self._cause_at, (*cause[:3], times.format_ms(cause[3]))
        for start_ms, columns in changes.items():
            restates = start_ms < self.cycle_ms
            cycle = self._calendar.iso(start_ms)
            self._shops.serve(shop_id, Served(f"{place}@{offset}#{self._index}", cycle, columns, restates, *why))
            self._index += 1
            self.rows += 1
            self.restatements += restates

    def _alert(self, found: Sequence[Inquiry], overdue: Inquiry | None, known: tuple[Alerted, ...], key: bytes) -> tuple[Alerted, ...]:
        """R2: tell an inquiry that is overdue, and later its late answer, once each; returns what has been told by now."""
        before = len(self.alerts)
        told = {(one.source, one.id): one for one in known}
        if overdue is not None and all((one.source, one.id) not in told for one in overdue.asked):
            first = overdue.asked[0]
            told[first.source, first.id] = Alerted(first.source, first.id, late=False)
            self.alerts.append(_alert(REPLY_OVERDUE, overdue, key))
        for inquiry in found:
            answer = inquiry.answer
            if answer is None or not inquiry.is_late:
                continue
            for one in inquiry.asked:
                alerted = told.get((one.source, one.id))
                if alerted is not None and not alerted.late:
                    told[one.source, one.id] = Alerted(one.source, one.id, late=True)
                    self.alerts.append(_alert(REPLY_LATE, inquiry, key, alerted, answer))
        return known if len(self.alerts) == before else tuple(told.values())


def due_of(overdue: bytes) -> int:
    """When an inquiry was due, in epoch milliseconds, by its row in `overdue`."""
    due_ms: int = msgspec.json.decode(overdue)[2]
    return due_ms


def _wrote(one: Written, n: int) -> Wrote:
    return Wrote(one.at_ms, "shop" if one.side else "buyer", one.order_id, n)


def _overdue_row(inquiry: Inquiry) -> bytes:
    first = inquiry.asked[0]
    return _encode((OVERDUE_VERSION, inquiry.opened_ms, inquiry.due_ms, first.message_id, first.order_id))


def _alert(name: str, inquiry: Inquiry, key: bytes, alerted: Alerted | None = None, answer: Written | None = None) -> tuple[bytes, bytes]:
    """(key, value) of an alert. Its id is made of the message by which the inquiry was first alerted: a replay gives it the same."""
    shop_id, buyer_id = catalogue.split_conversation_key(key)
    first = inquiry.asked[0]
    known = alerted or first
    told = {
        "type": name,
        "id": f"{name}:{known.source}:{known.id}",
        "source": "netsold",
        "occurred_at": times.format_ms(inquiry.due_ms if answer is None else answer.at_ms),
        "shop_id": shop_id,
        "buyer_id": buyer_id,
        "message_id": first.message_id,
        "order_id": first.order_id,
        "opened_at": times.format_ms(inquiry.opened_ms),
        "due_at": times.format_ms(inquiry.due_ms),
    }
    if answer is not None:
        told |= {"answered_at": times.format_ms(answer.at_ms), "by": answer.by}
    return shop_id.encode(), _encode(told)
