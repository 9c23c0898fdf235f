"""A conversation with many messages while a chunk is folded: an incremental form of R1 and R2.

It gives the same as `ConversationFold`, which derives all inquiries near each message; that is
expensive where there are many. A message costs the turns that it changes (`turns`), their units
(`reply_days`), and a logarithm. It counts bytes message by message, so that a conversation that is
full can refuse a message before anything changes.
"""

from typing import Final

import msgspec

from schemas import limits
from schemas.envelope import SHOP, Written
from schemas.events import TYPE_BY_SIDE
from schemas.refusals import Reason, Refusal
from tables import conversations
from tables.alerted_inquiries import AlertedInquiries
from tables.chat_changes import ChatChanges, DecisionCause
from tables.conversations import Conversation
from tables.replies import Inquiry
from tables.reply_days import ReplyDays
from tables.service_hours import ServiceRules
from tables.turns import WHOLE_CONVERSATION, Span, TurnInquiry, Turns

_EMPTY_BYTES: Final = len(conversations.encode(Conversation()))


class ConversationLedger:
    """One conversation, its inquiries by turn, and what they change in `changes`.

    `state` are the conversation's bytes, None if it is new. `parties` are the shop and the buyer.
    """

    def __init__(
        self,
        key: bytes,
        state: bytes | None,
        parties: tuple[str, str],
        rules: ServiceRules,
        changes: ChatChanges,
    ) -> None:
        self.key = key
        self.shop_id, self.buyer_id = parties
        self._changes = changes
        self._conversation = Conversation() if state is None else conversations.decode(state)
        self._overdue = self._conversation.overdue
        # Counted as if `overdue` were false: one byte more than true.
        self._bytes = (_EMPTY_BYTES if state is None else len(state)) + self._overdue
        written = self._conversation.written
        self._known = {(message.source, message.id): message for message in written}
        self._turns = Turns(written, rules)
        self._alerted = AlertedInquiries(self._conversation.alerted, self._known)
        self.written: list[Written] = []
        """The messages added in this chunk."""

        self.retracted: list[Written] = []
        """The messages replaced in this chunk."""

        self.has_changed = False
        inquiries = [one.inquiry for one in self._turns.inquiries([WHOLE_CONVERSATION])]
        self._waiting = inquiries[-1] if inquiries and inquiries[-1].answer is None else None
        """The last inquiry, if it waits for its answer."""

        if self._waiting is not None and not self._overdue:
            inquiries.pop()  # not decided yet
        self._days = ReplyDays(inquiries, rules, changes.calendar)

    def encode(self) -> bytes:
        """The conversation's bytes."""
        self._conversation.alerted = self._alerted.entries()
        self._conversation.overdue = self._overdue
        return conversations.encode(self._conversation)

    def refusal(self, new: Written) -> Refusal | None:
        """Why a message is refused: the conversation would outgrow a record. Changes nothing."""
        size = self._bytes_with(new)
        if size <= limits.ORDER_BYTES:
            return None
        detail = f"{size} bytes with this message, at most {limits.ORDER_BYTES}"
        return Refusal(Reason.CONVERSATION_FULL, detail)

    def add(self, new: Written, cause: DecisionCause) -> None:
        """Add a message, which is not refused from here on."""
        identity = new.source, new.id
        replaced = self._known.get(identity)
        if replaced is not None and _has_precedence(replaced, new):  # S11
            self._changes.duplicates[TYPE_BY_SIDE[new.side]] += 1
            return
        self._bytes += _bytes_more(new, replaced, any_before=bool(self._turns))
        spans, last_begin = self._turns.affected(new, replaced), self._turns.last_begin
        since_ms = self._turns.shop_before((new.at_ms, -1, "", ""))[0]
        before = [one.inquiry for one in self._turns.inquiries(spans)]
        if replaced is not None:
            self._turns.remove(replaced)
            self._alerted.remove_message(replaced)
            self.retracted.append(replaced)
        self._known[identity] = new
        self._turns.add(new)
        self._alerted.add_message(new)
        self.written.append(new)
        after, is_waiting_same = self._turns.inquiries(spans), False
        if spans[-1].is_last:
            waited = self._waiting
            self._wait(before, after, cause.now_ms)
            is_waiting_same = waited == self._waiting and not any(
                message is not None
                and message.side != SHOP
                and conversations.place(message) > last_begin
                for message in (new, replaced)
            )
        if before or after:
            self._decide(before, after, spans[-1], since_ms, cause, is_waiting_same=is_waiting_same)

    def expire(self, now_ms: int) -> None:
        """Event time is at `now_ms`: an inquiry that waits and was due before is overdue (R2)."""
        waiting = self._waiting
        if waiting is not None and waiting.due_ms < now_ms and not self._overdue:
            turn, cause = self._turns.last, self._changes.expiry(waiting.due_ms)
            after = [TurnInquiry(waiting, turn)]
            self._decide([], after, turn, turn.begin[0], cause, is_waiting_same=False)

    def _wait(self, before: list[Inquiry], after: list[TurnInquiry], now_ms: int) -> None:
        """The last turn changed: find the inquiry that waits, and leave out what is undecided."""
        waited = self._waiting
        self._waiting = after[-1].inquiry if after and after[-1].inquiry.answer is None else None
        if waited is not None and not self._overdue:
            before.pop()
        if self._waiting is not None and self._waiting.due_ms >= now_ms:
            after.pop()
            if waited is None or waited.due_ms != self._waiting.due_ms:
                self._changes.timers.set(self._waiting.due_ms, self.key)

    def _decide(  # noqa: PLR0913 - what changed, where, and why
        self,
        before: list[Inquiry],
        after: list[TurnInquiry],
        last_span: Span,
        since_ms: int,
        cause: DecisionCause,
        *,
        is_waiting_same: bool,
    ) -> None:
        """Decided inquiries replace others, all opened after `since_ms`."""
        inquiries = [one.inquiry for one in after]
        for change in self._days.change(before, inquiries, since_ms):
            self._changes.reply(
                self.shop_id, change.start_ms, change.added, change.removed, cause.now_ms
            )
        waiting = inquiries[-1] if inquiries and inquiries[-1].answer is None else None
        found = self._alerted.new_alerts(after, waiting, self.shop_id, self.buyer_id)
        self._changes.alert(self.key, found, cause)
        if (
            last_span.is_last
            and (waiting is not None or self._overdue)
            and not (is_waiting_same and self._overdue)
        ):
            self._overdue = waiting is not None
            self.has_changed = True
            self._changes.set_overdue(self.key, waiting)

    def _bytes_with(self, new: Written) -> int:
        """The conversation's bytes with one more message; 0 if it is a duplicate (S11)."""
        replaced = self._known.get((new.source, new.id))
        if replaced is not None and _has_precedence(replaced, new):
            return 0
        more = _bytes_more(new, replaced, any_before=bool(self._turns))
        return self._bytes - self._overdue + self._alerted.bytes_added + more


def _has_precedence(known: Written, new: Written) -> bool:
    """Whether a known message with the identity of a new one is kept (S11)."""
    return conversations.message_precedence(known) <= conversations.message_precedence(new)


def _bytes_more(new: Written, replaced: Written | None, *, any_before: bool) -> int:
    """The bytes that a message adds to its conversation."""
    added = len(msgspec.json.encode(new))
    if replaced is None:
        return added + any_before  # a comma before it
    return added - len(msgspec.json.encode(replaced))
