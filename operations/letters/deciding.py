"""Puts dead letters back, or discards them: a preview first, then in transactions."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from schemas import limits, times
from schemas.decisions import Decision
from schemas.letters import UNNAMED
from streams import topics
from streams.letter_writer import LetterWriter
from streams.verdicts import FORCIBLE, LetterVerdict, Verdicts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from operations.letters.reading import Reading
    from schemas.letters import Letter
    from streams.settings import Settings
    from streams.verdicts import Requeued
    from tables.requeueing import Selection


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done with which letters.

    `most` letters at most, `rate` a second. `force` puts back those too that would be parked again,
    or were put back too often. `key` is for letters whose key is missing or wrong.
    """

    decision: Literal["requeued", "discarded"]
    selection: Selection
    by: str
    why: str
    key: bytes | None = None
    force: bool = False
    rate: float | None = None
    most: int | None = None


@dataclass(slots=True)
class Plan:
    """What becomes of the selected letters.

    `outcomes` counts those that are open by outcome and reason, `decided` those that are not open.
    `chosen` are put back or discarded. `shown` has the first letters with their verdicts.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    decided: int = 0
    chosen: int = 0
    shown: list[tuple[Letter, LetterVerdict]] = field(default_factory=list)

    def count(self, verdict: LetterVerdict) -> None:
        """Count an open letter; reasons that other programs wrote may be any number."""
        name = verdict.outcome, verdict.reason
        if name not in self.outcomes and len(self.outcomes) >= limits.LETTER_GROUPS:
            name = verdict.outcome, UNNAMED
        self.outcomes[name] += 1

    @property
    def left(self) -> int:
        """The letters that were judged and are not chosen."""
        return sum(self.outcomes.values()) - self.chosen


@dataclass(slots=True)
class Done:
    """How many letters were put back or discarded, confirmed by the brokers."""

    letters: int = 0
    pacing: bool = False


async def preview(settings: Settings, request: Request, reading: Reading) -> Plan:
    """Judge the selected letters; nothing is written.

    Raises LetterUnknown, TopicsUnfit, KafkaUnreachable.
    """
    await topics.require(settings)  # a key's partition follows their number
    plan = Plan()
    async with aclosing(_chosen(settings, request, reading, plan)) as chosen:
        async for _ in chosen:
            pass
    if request.most is None or plan.chosen < request.most:
        reading.require_named()
    return plan


async def decide(
    settings: Settings, request: Request, reading: Reading, stop: asyncio.Event, done: Done
) -> None:
    """Put back, or discard, the selected letters until `stop` is set; `done` counts them.

    `reading` is a new one: decisions are read once this command is the only one that decides.
    Raises TopicsUnfit, KafkaUnreachable, DecisionsInDoubt.
    """
    await topics.require(settings)
    async with LetterWriter(settings) as writer:
        batches = _Batches(writer, reading, request, stop, done)
        async with aclosing(_chosen(settings, request, reading, Plan())) as chosen:
            async for letter, verdict in chosen:
                await batches.add(letter, verdict.record)
                if stop.is_set():
                    return
        await batches.flush()


async def _chosen(
    settings: Settings, request: Request, reading: Reading, plan: Plan
) -> AsyncGenerator[tuple[Letter, LetterVerdict], None]:
    """The open letters to put back or discard, each with its verdict; `plan` counts all of them."""
    verdicts = Verdicts(settings, request.key)
    async with aclosing(reading.each()) as letters:
        async for letter, state in letters:
            if plan.chosen == request.most:
                return
            if state != "open":
                plan.decided += 1
                continue
            if request.decision == "discarded":
                verdict, is_chosen = LetterVerdict("accepted", letter.reason), True
            else:
                verdict = verdicts.of(letter)
                is_chosen = verdict.outcome == "accepted" or (
                    request.force and verdict.outcome in FORCIBLE
                )
            plan.count(verdict)
            plan.chosen += is_chosen
            if len(plan.shown) < limits.SHOWN_LETTERS:
                plan.shown.append((letter, verdict))
            if is_chosen:
                yield letter, verdict


class _Batches:
    """Collects letters, and decides about them in transactions, no faster than the rate."""

    def __init__(
        self,
        writer: LetterWriter,
        reading: Reading,
        request: Request,
        stop: asyncio.Event,
        done: Done,
    ) -> None:
        self._writer, self._reading, self._request = writer, reading, request
        self._stop, self._done = stop, done
        self._records: list[Requeued] = []
        self._decisions: list[Decision] = []
        self._bytes = 0
        self._most = limits.REQUEUE_RECORDS
        if request.rate is not None:
            self._most = max(1, min(self._most, int(request.rate)))
        self._due_s = time.monotonic()

    async def add(self, letter: Letter, record: Requeued | None) -> None:
        """Add a letter; a full batch is written before."""
        size = len(record.value or b"") if record is not None else 0
        if self._decisions and self._bytes + size > limits.REQUEUE_BYTES:
            await self.flush()
        if record is not None:
            self._records.append(record)
        self._decisions.append(self._decision(letter))
        self._bytes += size
        if len(self._decisions) >= self._most:
            await self.flush()

    async def flush(self) -> None:
        """Write what was added, in one transaction, when the rate allows it."""
        if not self._decisions:
            return
        await self._pace(len(self._decisions))
        if self._stop.is_set():
            return
        await self._writer.commit(self._records, self._decisions)
        self._done.letters += len(self._decisions)
        self._records, self._decisions, self._bytes = [], [], 0

    async def _pace(self, letters: int) -> None:
        if self._request.rate is None:
            return
        wait_s = self._due_s - time.monotonic()
        if wait_s > 0:
            self._done.pacing = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait_s)
            self._done.pacing = False
        self._due_s = max(self._due_s, time.monotonic()) + letters / self._request.rate

    def _decision(self, letter: Letter) -> Decision:
        request = self._request
        return Decision(
            letter=letter.position,
            topic_id=self._reading.letters.topic_id,
            decision=request.decision,
            topic=letter.topic,
            reason=letter.reason,
            source=letter.source,
            attempt=letter.attempt + (request.decision == "requeued"),
            by=request.by,
            why=request.why,
            at=times.format_ms(time.time_ns() // 1_000_000),
        )
