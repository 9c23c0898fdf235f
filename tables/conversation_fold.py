"""A conversation with few messages while a chunk is folded.

A message at the end is one step of `replies`; for any other one the inquiries near it are derived
again (`nearby_inquiries`). `conversation_ledger` gives the same results for many messages.
"""

from collections.abc import Sequence

import msgspec

from schemas.envelope import ChatMessage, Written
from schemas.events import TYPE_BY_SIDE
from tables import alerts, conversations, nearby_inquiries, replies
from tables.chat_changes import ChatChanges, DecisionCause
from tables.conversations import Conversation
from tables.replies import Inquiry
from tables.service_hours import ServiceRules

MessageArrival = tuple[int, ChatMessage, int]
"""A message as it arrived: the record's offset, the event, and event time then."""


class ConversationFold(msgspec.Struct, gc=False):
    """One conversation, and the settings and the collector of its changes."""

    key: bytes
    shop_id: str
    buyer_id: str
    rules: ServiceRules
    changes: ChatChanges
    conversation: Conversation
    ids: set[str]
    """The ids of its messages."""

    waiting: Inquiry | None
    """Its last inquiry, if that waits for its answer."""

    written: list[Written]
    """The messages added in this chunk."""

    retracted: list[Written]
    """The messages replaced in this chunk."""

    answered: list[Inquiry] | None = None
    """The answered inquiries of the last days; None until they are needed."""

    has_changed: bool = False
    """Whether more than messages changed."""

    def encode(self) -> bytes:
        """The conversation's bytes."""
        return conversations.encode(self.conversation)

    def add(self, arrivals: Sequence[MessageArrival]) -> None:
        """Add messages in the order of their arrival. None is refused."""
        conversation, ids = self.conversation, self.ids
        written = conversation.written
        for offset, event, now_ms in arrivals:
            new = event.message
            if self.waiting is not None:
                self.expire(now_ms)
            last = written[-1] if written else None
            if new.id in ids or (last is not None and new.at_ms <= last.at_ms):
                self._insert(new, DecisionCause(offset, now_ms))
                continue
            ids.add(new.id)  # the usual case: it is written after all others
            written.append(new)
            self.written.append(new)
            waited = self.waiting
            inquiry = replies.next_inquiry(waited, last, new, self.rules)
            if inquiry is None:
                continue
            if inquiry.answer is not None:
                self.waiting = None
            else:
                self.waiting = inquiry
                if inquiry.due_ms >= now_ms:  # not decided yet
                    if waited is None:
                        self.changes.timers.set(inquiry.due_ms, self.key)
                    continue
            before = [waited] if waited is not None and conversation.overdue else []
            at = len(written) - len(inquiry.questions) - (inquiry.answer is not None)
            self._decide(at, before, [inquiry], DecisionCause(offset, now_ms))
            if inquiry.answer is not None and self.answered is not None:
                self.answered.append(inquiry)

    def expire(self, now_ms: int) -> None:
        """Event time is at `now_ms`: an inquiry that waits and was due before is overdue (R2)."""
        waiting = self.waiting
        if waiting is not None and waiting.due_ms < now_ms and not self.conversation.overdue:
            at = len(self.conversation.written) - len(waiting.questions)
            self._decide(at, [], [waiting], self.changes.expiry(waiting.due_ms))

    def _insert(self, new: Written, cause: DecisionCause) -> None:
        """Add a message that may precede others or replace one, and derive what follows it."""
        written = self.conversation.written
        # A message that it replaces has not been written before it (S11).
        at = nearby_inquiries.first_affected(written, new.at_ms)
        before, waited = nearby_inquiries.inquiries_from(written, at, self.rules)
        replaced = conversations.add_message(written, self.ids, new)
        if replaced is None:
            self.changes.duplicates[TYPE_BY_SIDE[new.side]] += 1
            return
        self.written.append(new)
        self.retracted += replaced
        after, waiting = nearby_inquiries.inquiries_from(written, at, self.rules)
        self.waiting = waiting
        if waited is not None and self.conversation.overdue:
            before.append(waited)
        if waiting is not None:
            if waiting.due_ms < cause.now_ms:  # R2
                after.append(waiting)
            elif waited is None or waited.due_ms != waiting.due_ms:
                self.changes.timers.set(waiting.due_ms, self.key)
        self.answered = None  # first those before the place are needed, then those behind it, too
        if before or after:
            self._decide(at, before, after, cause)
            self.answered = None

    def _decide(
        self, at: int, before: list[Inquiry], after: list[Inquiry], cause: DecisionCause
    ) -> None:
        """Decided inquiries replace others; all of them begin at the place `at` or behind it."""
        self._count(at, before, after, cause.now_ms)
        conversation = self.conversation
        waited = before[-1] if conversation.overdue else None
        waiting = after[-1] if after and after[-1].answer is None else None
        if waiting is not None or (
            conversation.alerted and any(inquiry.is_late for inquiry in after)
        ):
            found, conversation.alerted = alerts.new_alerts(
                conversation.alerted, after, waiting, self.shop_id, self.buyer_id
            )
            self.changes.alert(self.key, found, cause)
        if waiting != waited:
            self.changes.set_overdue(self.key, waiting)
            conversation.overdue = waiting is not None
            self.has_changed = True

    def _count(self, at: int, before: list[Inquiry], after: list[Inquiry], now_ms: int) -> None:
        """R1, R2: change the shop's reply columns, as `replies.column_changes` of all inquiries."""
        rules, changes, calendar = self.rules, self.changes, self.changes.calendar
        if self.answered is None:
            self.answered = nearby_inquiries.answered_before(self.conversation.written, at, rules)
        unchanged = (
            nearby_inquiries.sharing_units(self.answered, before + after, rules)
            if self.answered
            else []
        )
        if not unchanged and len(after) == 1 and len(before) <= 1:  # the usual case
            start_ms = calendar.start_of(after[0].opened_ms)
            if not before or calendar.start_of(before[0].opened_ms) == start_ms:
                added = nearby_inquiries.columns_alone(after[0])
                removed = nearby_inquiries.columns_alone(before[0]) if before else ()
                if added != removed:
                    changes.reply(self.shop_id, start_ms, added, removed, now_ms)
                return
        for start_ms, columns in replies.column_changes(
            before, after, rules, calendar, unchanged
        ).items():
            added = tuple(name for name, change in columns.items() for _ in range(change))
            removed = tuple(name for name, change in columns.items() for _ in range(-change))
            changes.reply(self.shop_id, start_ms, added, removed, now_ms)


def open_conversation(
    key: bytes,
    state: bytes | None,
    parties: tuple[str, str],
    rules: ServiceRules,
    changes: ChatChanges,
) -> ConversationFold:
    """The conversation of a shop and a buyer; `state` are its bytes, None if it is new."""
    shop_id, buyer_id = parties
    if state is None:
        return ConversationFold(
            key, shop_id, buyer_id, rules, changes, Conversation(), set(), None, [], []
        )
    conversation = conversations.decode(state)
    written = conversation.written
    return ConversationFold(
        key,
        shop_id,
        buyer_id,
        rules,
        changes,
        conversation,
        {message.id for message in written},
        nearby_inquiries.waiting_inquiry(written, rules),
        [],
        [],
    )
