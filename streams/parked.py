"""The dead letters in their topic, counted by source topic, reason and state."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas import decisions, limits
from schemas.letters import UNNAMED, label_of
from schemas.positions import Position, offset_after
from streams import log, topics
from tables.catalogue import DEAD_LETTERS_TOPIC, DECISIONS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.structs import ConsumerRecord

    from streams.log import At
    from streams.settings import Settings


@dataclass(slots=True)
class Parked:
    """The dead letters of one topic and reason.

    `since_start` of them were parked after the first reading ended; the times are those of parking.
    `requeued` were put back, `discarded` need nothing more. `recent` are the positions of the
    newest, at most `limits.RECENT_LETTERS`, without those that are decided.
    """

    topic: str
    reason: str
    count: int = 0
    since_start: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0
    requeued: int = 0
    discarded: int = 0
    recent: deque[Position] = field(default_factory=lambda: deque(maxlen=limits.RECENT_LETTERS))

    @property
    def open(self) -> int:
        """Those that nobody has decided about."""
        return self.count - self.requeued - self.discarded


class _Partition:
    """The counted letters of one partition, from the offset `begin` on: three arrays by offset.

    `groups` has the number of a letter's group, 0 where there is no letter; `states` its state,
    `parked_s` when it was parked.
    """

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.groups = array("H")
        self.states = bytearray()
        self.parked_s = array("I")
        self._open = 0
        """No letter before this index is open."""

    def add(self, offset: int, group: int, parked_ms: int) -> None:
        gap = offset - self.begin - len(self.groups)
        self.groups.extend([0] * gap)
        self.groups.append(group)
        self.states.extend(bytes(gap + 1))
        self.parked_s.extend([0] * gap)
        self.parked_s.append(min(max(0, parked_ms // 1000), _LATEST_S))

    def oldest_open_ms(self) -> int | None:
        """When the first open letter was parked, in epoch milliseconds; None if none is open."""
        at, groups, states = self._open, self.groups, self.states
        while at < len(groups) and (states[at] or not groups[at]):
            at += 1
        self._open = at
        return self.parked_s[at] * 1000 if at < len(groups) else None

    def forget(self, count: int) -> None:
        """Forget the first letters."""
        del self.groups[:count], self.states[:count], self.parked_s[:count]
        self.begin += count
        self._open = max(0, self._open - count)


_LATEST_S = 2**32 - 1
_STATES = decisions.LETTER_STATES
_REQUEUED, _DISCARDED = _STATES.index("requeued"), _STATES.index("discarded")


class DeadLetters:
    """Counts an application's dead letters; `complete` once their topic was read to its end.

    Keeps seven bytes for each letter. A letter that the broker deleted by age is no longer counted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(DEAD_LETTERS_TOPIC)
        self._decisions_topic = settings.topic(DECISIONS_TOPIC)
        self._forget({})

    def _forget(self, ids: dict[str, str]) -> None:
        self._ids = ids
        self._positions: dict[At, int] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._groups: list[Parked] = []
        self._letters: dict[int, _Partition] = {}
        self.complete = False

    def counts(self) -> list[Parked]:
        """All counts, sorted by topic and reason."""
        return sorted(
            (one for one in self._groups if one.count), key=lambda one: (one.topic, one.reason)
        )

    def oldest_open_ms(self) -> int | None:
        """When the oldest open letter was parked, in epoch milliseconds; None if none is open."""
        found = [letters.oldest_open_ms() for letters in self._letters.values()]
        return min((one for one in found if one is not None), default=None)

    async def read_on(self) -> None:
        """Count new records and decisions; an interrupted reading continues.

        An application of an older netsold has no topic of decisions: all its letters are open.
        Raises what `log.records` raises.
        """
        wanted = (self._topic, self._decisions_topic)
        known = await topics.topic_ids(self._settings)
        ids = {name: known[name] for name in wanted if name in known}
        if any(ids.get(name) != self._ids[name] for name in self._ids):
            # a topic was deleted, and maybe created again
            self._forget(ids)
        self._ids = ids
        if self._topic in ids:
            beginnings, ends = await log.bounds(self._settings, ids)
            for (topic, number), beginning in beginnings.items():
                if topic == self._topic:
                    self._expire(self._letters.setdefault(number, _Partition(beginning)), beginning)
            await self._read(beginnings, ends)
        self.complete = True

    async def _read(self, beginnings: dict[At, int], ends: dict[At, int]) -> None:
        """Read what is new until these ends; of letters, also what came since."""
        behind = {
            topic
            for (topic, number), end in ends.items()
            if max(beginnings[topic, number], self._positions.get((topic, number), 0)) < end
        }
        if behind:
            # Letters first, until their end as it is now: it is later than those of the decisions,
            # so every decision that is read has its letter.
            await self._read_topic(self._topic, beginnings, {}, self._count)
        if self._decisions_topic in behind:
            await self._read_topic(self._decisions_topic, beginnings, ends, self._decide)
        self._positions |= {at: max(end, self._positions.get(at, 0)) for at, end in ends.items()}

    async def _read_topic(
        self,
        topic: str,
        beginnings: dict[At, int],
        ends: dict[At, int],
        note: Callable[[ConsumerRecord], None],
    ) -> None:
        starts = {
            number: max(beginning, self._positions.get((topic, number), 0))
            for (name, number), beginning in beginnings.items()
            if name == topic
        }
        until = {number: end for (name, number), end in ends.items() if name == topic}
        most = limits.LETTER_RECORDS
        async for records in log.records(self._settings, topic, starts, until, most):
            for record in records:
                note(record)
            self._positions[topic, records[-1].partition] = offset_after(records[-1].offset)

    def _count(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        named = headers.get("__streams.errors.topic"), headers.get("x-dlq-reason")
        name = label_of(named[0]) or UNNAMED, label_of(named[1]) or UNNAMED
        number = self._numbers.get(name)
        if number is None:
            if len(self._numbers) >= limits.LETTER_GROUPS:
                name = UNNAMED, UNNAMED
            number = self._numbers.setdefault(name, len(self._groups) + 1)
            if number > len(self._groups):
                self._groups.append(Parked(*name, oldest_ms=record.timestamp))
        group, at_ms = self._groups[number - 1], record.timestamp
        group.count += 1
        group.since_start += self.complete
        group.oldest_ms = min(group.oldest_ms, at_ms)
        group.newest_ms = max(group.newest_ms, at_ms)
        group.recent.append(Position(self._topic, record.partition, record.offset))
        self._letters[record.partition].add(record.offset, number, at_ms)

    def _decide(self, record: ConsumerRecord) -> None:
        decision = decisions.decode(record.value)
        if decision is None or decision.topic_id != self._ids.get(self._topic):
            return  # another program's record, or one about a topic that was created again
        letters = self._letters.get(decision.letter.partition)
        at = -1 if letters is None else decision.letter.offset - letters.begin
        if letters is None or not 0 <= at < len(letters.groups) or letters.states[at]:
            return  # the letter was deleted by age, or is decided already
        group = self._groups[letters.groups[at] - 1] if letters.groups[at] else None
        if group is not None:
            letters.states[at] = _STATES.index(decision.decision)
            group.requeued += decision.decision == "requeued"
            group.discarded += decision.decision == "discarded"
            if decision.letter in group.recent:
                group.recent.remove(decision.letter)

    def _expire(self, letters: _Partition, beginning: int) -> None:
        """Forget the letters before the log's beginning."""
        gone = beginning - letters.begin
        if gone <= 0:
            return
        for number, state in zip(letters.groups[:gone], letters.states[:gone], strict=True):
            if number:
                group = self._groups[number - 1]
                group.count -= 1
                group.requeued -= state == _REQUEUED
                group.discarded -= state == _DISCARDED
        letters.forget(min(gone, len(letters.groups)))
        letters.begin = beginning
