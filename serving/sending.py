"""Sends streams what changed, a tick at a time: each answer is made once for all clients.

Each tick reads one snapshot. It makes a bounded number of answers; the rest take their turn in
the next ticks, so that requests are answered meanwhile. An answer that is as before is not sent.
"""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from schemas import http_limits, times
from schemas.answers import Freshness
from serving.channels import freshness_event, state_of
from serving.event_ids import written
from serving.progress import SALES_JOURNAL
from serving.stream import FRESHNESS, Stream
from serving.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from serving.access import Access
    from serving.answers import Answers
    from serving.changes import Change
    from serving.channels import Channel, State
    from serving.progress import TableProgress

FRESHNESS_S: Final = 1.0
"""From one event of freshness to the next at least, unless its state changed."""


class _Tick:
    """What one tick sends: the answers of its snapshot, and what follows from them by tables."""

    def __init__(self, answers: Answers | None, version: str) -> None:
        self.answers = answers
        self._version = version
        self._sources: dict[tuple[str, ...], bytes] = {}
        self._freshness: dict[tuple[str, ...], Freshness] = {}

    def sources(self, names: tuple[str, ...]) -> bytes | None:
        """The source offsets that the tables of these names contain, as ids have them."""
        if self.answers is None:
            return None
        if names not in self._sources:
            self._sources[names] = written(self.freshness(names).applied)
        return self._sources[names]

    def freshness(self, names: tuple[str, ...]) -> Freshness:
        """The freshness of these tables."""
        if names not in self._freshness:
            self._freshness[names] = (
                _restoring(self._version)
                if self.answers is None
                else self.answers.freshness_of(*names)
            )
        return self._freshness[names]


class _Group:
    """The streams with the same tables, and the freshness that was last sent to them."""

    def __init__(self) -> None:
        self.streams: dict[Stream, None] = {}
        self.state = ""
        self.progress: TableProgress | None = None
        self.sent_s = -FRESHNESS_S

    def is_due(self, state: str, progress: TableProgress | None, now_s: float) -> bool:
        """Whether to send the freshness, which has this state and is of this progress."""
        has_moved = progress != self.progress and now_s - self.sent_s >= FRESHNESS_S
        if state == self.state and not has_moved:
            return False
        self.state, self.progress, self.sent_s = state, progress, now_s
        return True


class Sender:
    """The streams that are open, and what is still to be sent to them."""

    def __init__(self, access: Access, version: str) -> None:
        self.watchers = Watchers()
        self._access = access
        self._version = version
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._newcomers: dict[Stream, None] = {}
        self._dirty: dict[Channel, None] = {}
        self._hours: dict[tuple[str, ...], tuple[int | None, int | None]] = {}
        """By tables: the current cycle, and the hour of the same point."""

    @property
    def is_behind(self) -> bool:
        """Whether the next tick has something to send without any further change."""
        return bool(self._dirty or self._newcomers)

    def add(self, stream: Stream) -> None:
        """Add a stream, which gets its first states with the next ticks."""
        self.watchers.add(stream)
        self._groups.setdefault(stream.names, _Group()).streams[stream] = None
        self._newcomers[stream] = None

    def remove(self, stream: Stream) -> None:
        """Remove a stream."""
        self.watchers.remove(stream)
        self._newcomers.pop(stream, None)
        group = self._groups[stream.names]
        del group.streams[stream]
        if not group.streams:
            del self._groups[stream.names]

    def note(self, changes: Iterable[Change]) -> None:
        """Note what is to be sent, until a tick has sent it."""
        for channel in self.watchers.concerned(changes):
            if channel.answer is not None:
                self._dirty[channel] = None
                continue
            for stream in self.watchers.watched[channel].streams:
                stream.entries.note(channel)
                stream.wake()

    async def tick(self, answers: Answers | None, ended: int) -> None:
        """Send what changed since the last tick, and new streams their first states.

        Without answers, while the tables are incomplete, what changed stays to be sent. `ended` is
        a step that the answers contain.
        """
        tick = _Tick(answers, self._version)
        self._send_freshness(tick)
        if answers is not None:
            self._note_new_hours(answers)
            newcomers = self._some_newcomers(ended)
            wanted = [*islice(self._dirty, http_limits.STREAM_ANSWERS)]
            wanted += [channel for stream in newcomers for channel in stream.channels]
            if wanted:
                states = await asyncio.to_thread(
                    _states, dict.fromkeys(wanted), answers, self._access
                )
                self._send(states, tick)
                self._begin(newcomers, states, tick)

    def _note_new_hours(self, answers: Answers) -> None:
        """An answer has the current cycle and its same point: they change without any row."""
        through_ms = answers.progress.of(SALES_JOURNAL).through_ms
        hour = None if through_ms is None else through_ms // times.HOUR_MS
        for tables, channels in self.watchers.by_tables.items():
            earliest_ms = answers.progress.of(*tables).earliest_ms
            cycle = None if earliest_ms is None else answers.calendar.start_of(earliest_ms)
            if self._hours.get(tables, (cycle, hour)) != (cycle, hour):
                self._dirty |= {one: None for one in channels if one.answer is not None}
            self._hours[tables] = cycle, hour

    def _some_newcomers(self, ended: int) -> list[Stream]:
        """The next new streams, whose first states are all from one snapshot."""
        some: list[Stream] = []
        channels: set[Channel] = set()
        for stream in self._newcomers:
            if stream.begins_after > ended:
                continue
            channels.update(stream.channels)
            if some and len(channels) > http_limits.STREAM_ANSWERS:
                break
            some.append(stream)
        return some

    def _send(self, states: Mapping[Channel, State], tick: _Tick) -> None:
        """Send the states that differ from those last sent to all who watch them."""
        for channel, state in states.items():
            self._dirty.pop(channel, None)
            watched = self.watchers.watched.get(channel)
            if watched is None or watched.digest == state.digest:
                continue
            watched.digest = state.digest
            for stream in watched.streams:
                if stream.has_begun:
                    stream.put(channel, state.event, tick.sources(stream.names))

    def _begin(
        self, newcomers: Iterable[Stream], states: Mapping[Channel, State], tick: _Tick
    ) -> None:
        """Send new streams the freshness and all their states."""
        for stream in newcomers:
            if stream not in self._newcomers or tick.answers is None:
                continue
            del self._newcomers[stream]
            stream.begin(tick.answers)
            sources = tick.sources(stream.names)
            stream.put(FRESHNESS, freshness_event(tick.freshness(stream.names)), sources)
            for channel in stream.channels:
                if channel in states:
                    stream.put(channel, states[channel].event, sources)

    def _send_freshness(self, tick: _Tick) -> None:
        for names, group in self._groups.items():
            freshness = tick.freshness(names)
            progress = None if tick.answers is None else tick.answers.progress.of(*names)
            if group.is_due(freshness.state, progress, time.monotonic()):
                event = freshness_event(freshness)
                for stream in group.streams:
                    if stream.has_begun:
                        stream.put(FRESHNESS, event, tick.sources(names))


def _restoring(version: str) -> Freshness:
    return Freshness(as_of=None, applied={}, lag_seconds=None, state="restoring", version=version)


def _states(channels: Iterable[Channel], answers: Answers, access: Access) -> dict[Channel, State]:
    return {
        channel: state_of(channel, channel.answer, answers, access)
        for channel in channels
        if channel.answer is not None
    }
