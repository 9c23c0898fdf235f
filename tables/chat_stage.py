"""The chat stage: a chunk of messages → conversations, service of shops, timers, alerts (R1, R2).

It takes in the chunk, refuses what doesn't fit, and puts the outcome together. How a conversation
changes is up to `conversation_fold`, and for long ones to `conversation_ledger`.
"""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Final

import msgspec

from schemas import envelope, limits
from schemas.refusals import Refusal
from tables import catalogue, conversation_fold, watermarks
from tables.catalogue import (
    ALERTS_TOPIC,
    CHATS,
    OVERDUE_INQUIRIES,
    REPLY_TIMERS,
    SHOP_ACTIVITY_TOPIC,
    StageSpec,
)
from tables.chat_changes import ChatChanges, DecisionCause
from tables.conversation_fold import ConversationFold, MessageArrival
from tables.conversation_ledger import ConversationLedger
from tables.handovers import ALONE, Speakers, Speaking
from tables.intake import Intake
from tables.outcome import Outcome, Readings, States
from tables.shop_activity import ShopActivities
from tables.terms import Terms
from tables.timers import Timers
from tables.watermarks import Progress

_PARTIES: Final = attrgetter("shop_id", "buyer_id")

LEAST_BUCKET_MS: Final = 1000


class ChatStage:
    """Messages → conversations and what they change. It has no state: one serves all partitions."""

    spec: Final[StageSpec] = catalogue.CHAT_STAGE

    def __init__(
        self,
        terms: Terms,
        refusals_in_a_row: int,
        speaking: Speaking = ALONE,
    ) -> None:
        self._terms = terms
        self._calendar, self._rules = terms.calendar, terms.service
        self._speaking = speaking
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The terms by which the tables are made."""
        return self._terms.text

    read = staticmethod(envelope.read_chat)

    def fold(
        self,
        place: str,  # noqa: ARG002 - as every stage's
        readings: Readings,
        states: States,
        progress: Progress | None,
    ) -> Outcome:
        """What a chunk of the partition `place`, such as `chats-3`, changes.

        Where chunks are cut changes nothing. Conversations are folded one after the other, on
        copies of their states.
        """
        before = progress or watermarks.START
        intake = Intake(readings, before, self._calendar, self._refusals_in_a_row, _PARTIES)
        speakers = Speakers(self._speaking, before.speaker, intake.handovers)
        intake.progress = msgspec.structs.replace(intake.progress, speaker=speakers.last)
        bucket_ms = max(LEAST_BUCKET_MS, self._rules.reply_within_ms // limits.TIMER_BUCKETS)
        timers = Timers(states[REPLY_TIMERS.name], bucket_ms)
        chunk = _Chunk(self._terms, intake, ChatChanges(self._calendar, timers, intake.moves))
        for _, key in timers.expire(intake.now_ms):  # the conversations to see for R2, C2
            intake.events_by_subject.setdefault(catalogue.split_conversation_key(key), [])
        keys = [catalogue.conversation_key(*parties) for parties in intake.events_by_subject]
        stored = states[CHATS.name].get_many(keys)
        for key, state, (parties, arrivals) in zip(
            keys, stored, intake.events_by_subject.items(), strict=True
        ):
            if len(arrivals) > limits.FEW_MESSAGES or (
                state is not None and len(state) > limits.SMALL_STATE_BYTES
            ):
                chunk.fold_long(key, state, parties, arrivals)
            else:
                chunk.fold_short(key, state, parties, arrivals)
        parked = intake.parked
        if chunk.refused:
            parked = sorted([*parked, *chunk.refused], key=itemgetter(0))
        # ---- nothing is refused past this line ----
        return chunk.outcome(parked, speakers)


class _Chunk:
    """A chunk while its conversations are folded, and then its outcome."""

    def __init__(self, terms: Terms, intake: Intake, changes: ChatChanges) -> None:
        self._rules = terms.service
        self._intake = intake
        self._changes = changes
        self._shops = ShopActivities(terms.name)
        self._conversations: dict[bytes, bytes | None] = {}
        self.refused: list[tuple[int, Refusal]] = []
        """Messages with which their conversation would outgrow a record, by offset."""

        self._refused_types: Counter[str] = Counter()

    def fold_short(
        self,
        key: bytes,
        state: bytes | None,
        parties: tuple[str, str],
        arrivals: Sequence[MessageArrival],
    ) -> None:
        """Fold a conversation that can't outgrow a record: it refuses nothing."""
        conversation = conversation_fold.open_conversation(
            key, state, parties, self._rules, self._changes
        )
        conversation.add(arrivals)
        if conversation.waiting is not None:
            conversation.expire(self._intake.now_ms)
        self._keep(conversation)

    def fold_long(
        self,
        key: bytes,
        state: bytes | None,
        parties: tuple[str, str],
        arrivals: Sequence[MessageArrival],
    ) -> None:
        """Fold any conversation; a message with which it would outgrow a record is refused."""
        conversation = ConversationLedger(key, state, parties, self._rules, self._changes)
        for offset, event, now_ms in arrivals:
            conversation.expire(now_ms)
            refusal = conversation.refusal(event.message)
            if refusal is None:
                conversation.add(event.message, DecisionCause(offset, now_ms))
            else:
                self.refused.append((offset, refusal))
                self._refused_types[event.type] += 1
        conversation.expire(self._intake.now_ms)
        self._keep(conversation)

    def outcome(self, parked: list[tuple[int, Refusal]], speakers: Speakers) -> Outcome:
        """All that the chunk changes; `parked` is all that is refused of it."""
        intake, changes = self._intake, self._changes
        changes.add_replies(self._shops)
        alerts = changes.alerts(speakers)
        counts = intake.counts() | {
            "entries": changes.entries,
            "replies_restated": changes.restatements,
            "alerts": len(alerts),
        }
        return Outcome(
            writes={
                CHATS.name: self._conversations,
                REPLY_TIMERS.name: changes.timers.writes(),
                OVERDUE_INQUIRIES.name: changes.overdue,
            },
            sends={SHOP_ACTIVITY_TOPIC: self._shops.records(), ALERTS_TOPIC: alerts},
            parked=parked,
            progress=intake.progress,
            counts=counts,
            records_covered=intake.records,
            paused=intake.paused,
            events=intake.event_counts(changes.duplicates, self._refused_types),
        )

    def _keep(self, conversation: ConversationFold | ConversationLedger) -> None:
        if conversation.written:
            self._shops.write(
                conversation.shop_id,
                conversation.buyer_id,
                conversation.written,
                conversation.retracted,
            )
        if conversation.written or conversation.has_changed:
            self._conversations[conversation.key] = conversation.encode()
