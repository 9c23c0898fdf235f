"""The dead letters of an application, and what was decided about each: reading alone.

`streams/parked.py` counts them for readers, `streams/letter_writer.py` writes decisions.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from schemas import decisions, limits
from schemas.letters import letter_of
from schemas.positions import offset_after
from schemas.times import DAY_MS
from streams import log, topics
from streams.topic_policy import Mismatch, TopicsUnfit
from tables.catalogue import DEAD_LETTERS_TOPIC, DECISIONS_TOPIC

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from schemas.decisions import Decision, LetterState
    from schemas.letters import Letter
    from schemas.positions import Position
    from streams.settings import Settings
    from tables.requeueing import Selection

FIRST_WITHIN_S: Final = 10.0
"""How long the first letters of all partitions are waited for."""

CLOCKS_APART_MS: Final = DAY_MS
"""By how much, at most, a command's clock may be behind a worker's: decisions follow letters."""

_STATES = decisions.LETTER_STATES


class LetterLog:
    """The dead letters from the beginning of their log to its end when it was opened.

    Keeps one byte for each letter: its state. `topic_id` is the cluster's id of their topic,
    `read` the number of letters and decisions that were read so far, and `answers` the number of
    requests that Kafka answered before the first of them.
    """

    def __init__(self, settings: Settings) -> None:
        self.topic_id = ""
        self.read = self.answers = 0
        self._settings = settings
        self._topic = settings.topic(DEAD_LETTERS_TOPIC)
        self._decisions_topic = settings.topic(DECISIONS_TOPIC)
        self._beginnings: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._states: dict[int, bytearray] = {}

    async def open(self) -> None:
        """Find the letters and read all decisions. Raises TopicsUnfit and what `log` raises."""
        ids = await topics.topic_ids(self._settings)
        self.answers += 1
        missing = [name for name in (self._topic, self._decisions_topic) if name not in ids]
        if missing:
            raise TopicsUnfit(
                [
                    Mismatch(name, "missing", "nothing", "the topic", "run `netsold topics create`")
                    for name in missing
                ]
            )
        self.topic_id = ids[self._topic]
        beginnings, ends = await log.bounds(self._settings, [self._topic])
        self.answers += 1
        self._beginnings = {number: offset for (_, number), offset in beginnings.items()}
        self._ends = {number: offset for (_, number), offset in ends.items()}
        self._states = {
            number: bytearray(max(0, end - self._beginnings[number]))
            for number, end in self._ends.items()
        }
        self._starts = await self._first_decisions()
        async with aclosing(self.decided()) as found:
            async for decision in found:
                self._note(decision)

    async def _first_decisions(self) -> dict[int, int]:
        """The offsets by partition before which no decision is about a letter that is still there.

        Decisions are kept for ever, letters are not. A partition without letters is left out.
        """
        spans = {
            (self._topic, number): (self._beginnings[number], end)
            for number, end in self._ends.items()
            if self._beginnings[number] < end
        }
        firsts = await log.first(
            self._settings,
            {at: start for at, (start, _) in spans.items()},
            {at: end for at, (_, end) in spans.items()},
            FIRST_WITHIN_S,
        )
        self.answers += 1
        decided = {
            number: 0 if letter is None else max(0, letter.timestamp - CLOCKS_APART_MS)
            for (_, number), letter in firsts.items()
        }
        # a letter that isn't known yet, behind an open transaction: all decisions are read
        decided |= {number: 0 for (_, number) in spans.keys() - firsts.keys()}
        found = await log.offsets_since(
            self._settings,
            {(self._decisions_topic, number): at_ms for number, at_ms in decided.items()},
        )
        self.answers += 1
        return {number: offset for (_, number), offset in found.items()}

    def offsets_of(self, selection: Selection) -> int:
        """The offsets that `selected` reads: at least as many as letters."""
        starts, ends = self._bounds(selection)
        return sum(max(0, end - starts[number]) for number, end in ends.items())

    def _note(self, decision: Decision) -> None:
        """Remember a decision; one about a letter that is gone, or came later, is ignored."""
        states = self._states.get(decision.letter.partition, bytearray())
        at = decision.letter.offset - self._beginnings.get(decision.letter.partition, 0)
        if 0 <= at < len(states):
            states[at] = _STATES.index(decision.decision)

    def state_of(self, position: Position) -> LetterState:
        """The state of a letter that `selected` yields."""
        at = position.offset - self._beginnings[position.partition]
        return _STATES[self._states[position.partition][at]]

    async def decided(self) -> AsyncGenerator[Decision, None]:
        """All decisions about letters that are there, partition by partition, the oldest first.

        Leave the loop early only under `contextlib.aclosing`.
        """
        _, ends = await log.bounds(self._settings, [self._decisions_topic])
        self.answers += 1
        starts = {number: self._starts.get(number, end) for (_, number), end in ends.items()}
        reading = log.records(
            self._settings, self._decisions_topic, starts, most=limits.LETTER_RECORDS
        )
        async with aclosing(reading) as found:
            async for records in found:
                self.read += len(records)
                for record in records:
                    decision = decisions.decode(record.value)
                    # another program's record, or one about a topic that was created again
                    if decision is not None and decision.topic_id == self.topic_id:
                        yield decision

    async def selected(self, selection: Selection) -> AsyncGenerator[list[Letter], None]:
        """The letters of a selection, by partition and in order, as lists of a partition each.

        Leave the loop early only under `contextlib.aclosing`.
        """
        starts, ends = self._bounds(selection)
        reading = log.records(self._settings, self._topic, starts, ends, limits.LETTER_RECORDS)
        async with aclosing(reading) as found:
            async for records in found:
                self.read += len(records)
                yield [
                    letter for record in records if selection.selects(letter := letter_of(record))
                ]

    def _bounds(self, selection: Selection) -> tuple[dict[int, int], dict[int, int]]:
        """The offsets from which, and until which, a selection's letters can be, by partition."""
        starts, ends = dict(self._beginnings), dict(self._ends)
        for number in self._ends:
            within = selection.within(self._topic, number)
            if within is not None:
                starts[number] = max(starts[number], within[0])
                ends[number] = min(ends[number], offset_after(within[1]))
        return starts, ends
