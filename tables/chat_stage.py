"""The chat stage: messages → conversations, what they change of the shops' service, what is overdue, and alerts (R1, R2)."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Final

import msgspec

from schemas import envelope, limits
from schemas.envelope import ChatMessage, Written
from schemas.journal import Replied
from schemas.refusals import Reason, Refusal
from tables import alerts, catalogue, conversations, overdue_rows, replies, watermarks
from tables.catalogue import (
    ALERTS_TOPIC,
    CHATS,
    OVERDUE_INQUIRIES,
    REPLY_TIMERS,
    SHOP_ACTIVITY_TOPIC,
    StageSpec,
)
from tables.conversation_ledger import ConversationLedger, Settled
from tables.conversations import Conversation
from tables.cycles import Calendar
from tables.intake import Intake
from tables.outcome import Outcome, Readings, States
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules
from tables.shop_activity import ShopActivities
from tables.timers import Timers
from tables.watermarks import Progress

_BETWEEN: Final = attrgetter("shop_id", "buyer_id")
LEAST_BUCKET_MS: Final = 1000
FEW_MESSAGES: Final = 16
FEW_BYTES: Final = 16_384
"""Of a conversation with at most so many messages in a chunk, and so many bytes before it, what
is near each is derived: that's quicker."""

if not FEW_BYTES + FEW_MESSAGES * 5 * 8 * limits.ID_CHARS < limits.ORDER_BYTES:
    # Five texts a message, of 8 bytes a character at the most: so it can't outgrow a record and
    # shrink again within one chunk.
    raise AssertionError(
        "few messages must fit into a conversation without being measured one by one"
    )


class ChatStage:
    """Messages → conversations, and what follows of them.

    One for all partitions: it holds no state.
    """

    spec: Final[StageSpec] = catalogue.CHAT_STAGE

    def __init__(self, calendar: Calendar, rules: ServiceRules, refusals_in_a_row: int) -> None:
        self._calendar = calendar
        self._rules = rules
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The settings by which the tables are made."""
        return f"{self._calendar.terms}; {self._rules.terms}"

    read = staticmethod(envelope.read_chat)

    def fold(
        self,
        place: str,  # noqa: ARG002 - as every stage's
        readings: Readings,
        states: States,
        progress: Progress | None,
    ) -> Outcome:
        """What a chunk of the partition `place`, as `chats-3`, changes.

        Only a conversation that would outgrow a record of its changelog is still refused here.
        """
        outcome = self._fold(readings, states, progress or watermarks.START, FEW_MESSAGES)
        if (
            max(
                [len(state) for state in outcome.writes[CHATS.name].values() if state is not None],
                default=0,
            )
            > limits.ORDER_BYTES
        ):
            return self._fold(readings, states, progress or watermarks.START, few_messages=-1)
        return outcome

    def _fold(
        self, readings: Readings, states: States, progress: Progress, few_messages: int
    ) -> Outcome:
        """First the chunk in its order, for all that depends on it.

        Then conversation by conversation.

        A conversation with few messages may outgrow a record: its size isn't measured with each of
        them.
        """
        taken = Intake(readings, progress, self._calendar, self._refusals_in_a_row, _BETWEEN)
        work = _Work(states, self._calendar, self._rules, taken, few_messages)
        work.hear()
        parked = (
            sorted([*taken.parked, *work.parked], key=itemgetter(0))
            if work.parked
            else taken.parked
        )
        told = work.alerts()
        counts = taken.counts(duplicates=work.duplicates, refused=len(parked))
        counts |= {"entries": work.entries, "restatements": work.restatements, "alerts": len(told)}
        return Outcome(
            writes={
                CHATS.name: work.changed,
                REPLY_TIMERS.name: work.timers.writes(),
                OVERDUE_INQUIRIES.name: work.overdue,
            },
            sends={SHOP_ACTIVITY_TOPIC: work.activity(), ALERTS_TOPIC: told},
            parked=parked,
            progress=taken.progress,
            counts=counts,
            records_covered=taken.records,
            paused=taken.paused,
        )


class _Cause(msgspec.Struct, frozen=True, gc=False):
    """What makes something of an inquiry.

    The message of the record at an offset, or that event time came past `due_ms` with it.
    """

    offset: int
    now_ms: int
    """How far event time is."""

    due_ms: int = limits.INT64_MAX


class _Held(msgspec.Struct, gc=False):
    """A conversation while its part of a chunk is folded."""

    key: bytes
    shop_id: str
    buyer_id: str
    conversation: Conversation
    ids: set[str]
    """Those of its messages."""

    waiting: Inquiry | None
    """Its last inquiry, if that waits for its answer."""

    wrote: list[Written]
    retracted: list[Written]
    """What was said in this chunk, and what of that or of earlier messages doesn't hold any
    more."""

    answered: list[Inquiry] | None = None
    """Its inquiries of the last days that have an answer, once they were asked for."""

    overdue_changed: bool = False


class _Replies(msgspec.Struct, gc=False):
    """What changes of a shop's replies in one cycle.

    Columns' names as often as one is added or taken; `restates`: how many changes do.
    """

    added: list[str]
    taken: list[str]
    restates: int = 0

    def columns(self) -> Columns:
        """The signed changes, summed."""
        sums = Counter(self.added)
        sums.subtract(self.taken)
        return {name: number for name, number in sums.items() if number}


class _Work:
    """What one chunk does, conversation by conversation.

    Nothing depends on where chunks are cut.
    """

    def __init__(
        self,
        states: States,
        calendar: Calendar,
        rules: ServiceRules,
        taken: Intake,
        few_messages: int,
    ) -> None:
        self._stored = states[CHATS.name]
        self._calendar = calendar
        self._rules = rules
        self._taken = taken
        self._few_messages = few_messages
        self._shops = ShopActivities()
        self._replied: dict[tuple[str, int], _Replies] = {}
        """By shop and cycle's start, what changes of its replies."""

        self._alerts: list[tuple[int, int, bytes, tuple[bytes, bytes]]] = []
        self.timers = Timers(
            states[REPLY_TIMERS.name],
            max(LEAST_BUCKET_MS, rules.reply_within_ms // limits.TIMER_BUCKETS),
        )
        self.changed: dict[bytes, bytes | None] = {}
        self.overdue: dict[bytes, bytes | None] = {}
        self.parked: list[tuple[int, Refusal]] = []
        self.duplicates = self.entries = 0

    @property
    def restatements(self) -> int:
        """How many changes of an inquiry restate."""
        return sum([replied.restates for replied in self._replied.values()])

    def hear(self) -> None:
        """Take in what was said, and that event time came on.

        What was due before is overdue, unless it was answered (R2, C2).
        """
        end_ms, of_all = self._taken.now_ms, self._taken.told
        for _, key in self.timers.gone_off(end_ms):
            of_all.setdefault(catalogue.split_conversation_key(key), [])
        keys = [catalogue.conversation_key(*between) for between in of_all]
        for key, state, ((shop_id, buyer_id), said) in zip(
            keys, self._stored.get_many(keys), of_all.items(), strict=True
        ):
            if len(said) > self._few_messages or (state is not None and len(state) > FEW_BYTES):
                self._grow(key, state, (shop_id, buyer_id), said)
                continue
            held = self._hold(key, state, shop_id, buyer_id)
            self._hear(held, said)
            if held.waiting is not None:
                self._wait(held, held.waiting, end_ms)
            if held.wrote:
                self._shops.write(shop_id, buyer_id, held.wrote, held.retracted)
            if held.wrote or held.overdue_changed:
                self.changed[held.key] = conversations.encode(held.conversation)

    def _grow(
        self,
        key: bytes,
        state: bytes | None,
        between: tuple[str, str],
        said: Sequence[tuple[int, ChatMessage, int]],
    ) -> None:
        """As `_hold` and `_hear`, of a conversation of which there is much."""
        ledger = ConversationLedger(state, between, self._rules, self._calendar)
        for offset, one, now_ms in said:
            self._come_due(ledger, key, now_ms)
            if (size := ledger.size_with(one.message)) > limits.ORDER_BYTES:
                detail = f"{size} bytes with this message, at most {limits.ORDER_BYTES}"
                self.parked.append((offset, Refusal(Reason.CONVERSATION_FULL, detail)))
                continue
            added = ledger.add(one.message, now_ms)
            if added is None:
                self.duplicates += 1
                continue
            settled, timer_ms = added
            if timer_ms is not None:
                self.timers.set(timer_ms, key)
            if settled is not None:
                self._hand_out(ledger, key, settled, _Cause(offset, now_ms))
        self._come_due(ledger, key, self._taken.now_ms)
        if ledger.wrote:
            self._shops.write(*between, ledger.wrote, ledger.retracted)
        if ledger.wrote or ledger.has_changed:
            self.changed[key] = ledger.encode()

    def _come_due(self, ledger: ConversationLedger, key: bytes, now_ms: int) -> None:
        """As `_wait`."""
        if ledger.waiting is not None and ledger.waiting.due_ms < now_ms and not ledger.overdue:
            cause = self._past(ledger.waiting.due_ms)
            self._hand_out(ledger, key, ledger.come_due(), cause)

    def _hand_out(
        self, ledger: ConversationLedger, key: bytes, settled: Settled, cause: _Cause
    ) -> None:
        for start_ms, more, less in settled.replies:
            self._change(ledger.between[0], start_ms, more, less, cause.now_ms)
        self._alerts += [(cause.offset, cause.due_ms, key, alert) for alert in settled.alerts]
        if settled.overdue_moved:
            self.overdue[key] = (
                _overdue_row(ledger.waiting)
                if ledger.overdue and ledger.waiting is not None
                else None
            )

    def _past(self, due_ms: int) -> _Cause:
        """Event time came past an instant in this chunk."""
        instants, offsets = self._taken.moves
        at = bisect_right(instants, due_ms)
        return _Cause(offsets[at], instants[at], due_ms)

    def activity(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of what changed of each shop, for the shops' journal."""
        for (shop_id, start_ms), replied in self._replied.items():
            self._shops.reply(
                shop_id, Replied(self._calendar.iso(start_ms), replied.columns(), replied.restates)
            )
        return self._shops.records()

    def alerts(self) -> list[tuple[bytes, bytes]]:
        """(key, value) of the alerts, in the order of what they come of.

        Of one record, what was due before it, and then its message.
        """
        return [alert for *_, alert in sorted(self._alerts, key=itemgetter(0, 1, 2))]

    def _hold(self, key: bytes, state: bytes | None, shop_id: str, buyer_id: str) -> _Held:
        if state is None:
            return _Held(key, shop_id, buyer_id, Conversation(), set(), None, [], [])
        conversation = conversations.decode(state)
        written = conversation.written
        return _Held(
            key,
            shop_id,
            buyer_id,
            conversation,
            {one.id for one in written},
            replies.waiting(written, self._rules),
            [],
            [],
        )

    def _hear(self, held: _Held, said: Sequence[tuple[int, ChatMessage, int]]) -> None:
        """Take in what was said in one conversation, as it came."""
        conversation, ids, rules = held.conversation, held.ids, self._rules
        written = conversation.written
        for offset, one, now_ms in said:
            new = one.message
            if held.waiting is not None:
                self._wait(held, held.waiting, now_ms)
            last = written[-1] if written else None
            if new.id in ids or (last is not None and new.at_ms <= last.at_ms):
                self._go_back(held, new, _Cause(offset, now_ms))
                continue
            ids.add(new.id)  # the usual case: it comes after all others
            written.append(new)
            held.wrote.append(new)
            waited = held.waiting
            now = replies.follow(waited, last, new, rules)
            if now is None:
                continue
            if now.answer is not None:
                held.waiting = None
            else:
                held.waiting = now
                if now.due_ms >= now_ms:  # nothing is decided yet
                    if waited is None:
                        self.timers.set(now.due_ms, held.key)
                    continue
            was = [waited] if waited is not None and conversation.overdue else []
            end = len(written) - len(now.asked) - (now.answer is not None)
            self._settle(held, end, was, [now], _Cause(offset, now_ms))
            if now.answer is not None and held.answered is not None:
                held.answered.append(now)

    def _wait(self, held: _Held, waiting: Inquiry, now_ms: int) -> None:
        """Event time has come to an instant: an inquiry that was due before is overdue (R2)."""
        due_ms = waiting.due_ms
        if due_ms < now_ms and not held.conversation.overdue:
            end = len(held.conversation.written) - len(waiting.asked)
            self._settle(held, end, [], [waiting], self._past(due_ms))

    def _go_back(self, held: _Held, new: Written, cause: _Cause) -> None:
        """As `_hear`, of a message that may have come before others, or in the place of one.

        What follows it is looked at again.
        """
        written = held.conversation.written
        at = replies.since(
            written, new.at_ms
        )  # one that it replaces can't have been before it (S11)
        was, waited = replies.inquiries_from(written, at, self._rules)
        heard = conversations.absorb(written, held.ids, new)
        if heard is None:
            self.duplicates += 1
            return
        held.wrote.append(new)
        held.retracted += heard
        now, waiting = replies.inquiries_from(written, at, self._rules)
        held.waiting = waiting
        if waited is not None and held.conversation.overdue:
            was.append(waited)
        if waiting is not None:
            if waiting.due_ms < cause.now_ms:  # R2
                now.append(waiting)
            elif waited is None or waited.due_ms != waiting.due_ms:
                self.timers.set(waiting.due_ms, held.key)
        held.answered = None  # those before the place, and then those behind it as well
        if was or now:
            self._settle(held, at, was, now, cause)
            held.answered = None

    def _settle(
        self, held: _Held, at: int, was: list[Inquiry], now: list[Inquiry], cause: _Cause
    ) -> None:
        """Hand out what changes if the decided inquiries from a place in a conversation on become others."""
        self._count(held, at, was, now, cause.now_ms)
        conversation = held.conversation
        waited = was[-1] if conversation.overdue else None
        waiting = now[-1] if now and now[-1].answer is None else None
        if waiting is not None or (conversation.alerted and any(one.is_late for one in now)):
            told, conversation.alerted = alerts.told(
                conversation.alerted, now, waiting, held.shop_id, held.buyer_id
            )
            self._alerts += [(cause.offset, cause.due_ms, held.key, alert) for alert in told]
        if waiting != waited:
            self.overdue[held.key] = None if waiting is None else _overdue_row(waiting)
            conversation.overdue = waiting is not None
            held.overdue_changed = True

    def _count(
        self, held: _Held, at: int, was: list[Inquiry], now: list[Inquiry], now_ms: int
    ) -> None:
        """R1, R2: as `_settle`, what changes of the shop's replies."""
        calendar, rules = self._calendar, self._rules
        if held.answered is None:
            held.answered = replies.answered_near(held.conversation.written, at, rules)
        near = replies.beside(held.answered, was + now, rules) if held.answered else []
        if not near and len(now) == 1 and len(was) <= 1:  # the usual case
            start_ms, added, taken = (
                calendar.start_of(now[0].opened_ms),
                replies.alone(now[0]),
                replies.alone(was[0]) if was else (),
            )
            if not was or calendar.start_of(was[0].opened_ms) == start_ms:
                if added != taken:
                    self._change(held.shop_id, start_ms, added, taken, now_ms)
                return
        for start_ms, columns in replies.difference(near, was, now, rules, calendar).items():
            more = [name for name, change in columns.items() for _ in range(change)]
            less = [name for name, change in columns.items() for _ in range(-change)]
            self._change(held.shop_id, start_ms, more, less, now_ms)

    def _change(
        self, shop_id: str, start_ms: int, added: Iterable[str], taken: Iterable[str], now_ms: int
    ) -> None:
        """Add one to columns of a shop's replies in a cycle, and take one from others."""
        replied = self._replied.get((shop_id, start_ms))
        if replied is None:
            replied = self._replied[shop_id, start_ms] = _Replies([], [])
        replied.added += added
        replied.taken += taken
        replied.restates += self._calendar.end_of(start_ms) <= now_ms
        self.entries += 1


def _overdue_row(inquiry: Inquiry) -> bytes:
    first = inquiry.asked[0]
    return overdue_rows.encode(inquiry.opened_ms, inquiry.due_ms, first.message_id, first.order_id)
