"""When partitions are fetched again that a worker has read to the end of what is stable.

Together, at the next multiple of an interval, and journals half an interval later: a busy partition
then has few transactions with many records, and those of one stage begin together. An idle one is
fetched all the time, so its next record waits for nothing. A partition that is behind is fetched
again at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from streams.fetch_buffer import FetchBuffer

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from aiokafka import TopicPartition
    from aiokafka.consumer.fetcher import FetchError, FetchResult

IDLE_WAIT_MS: Final = 500
"""How long a broker may keep a fetch of all partitions. It answers at once if one has records."""

JOURNAL_PHASE: Final = 0.5
"""The part of an interval by which journals are due after events: about as long as a transaction
needs until its records are readable."""

BUSY_S: Final = 0.01
"""How much later a partition is due whose records are still being committed, and how long a fetch
may wait at least: unread records of one partition must not make the others' fetches spin."""


class PacedBuffer(FetchBuffer):
    """The fetches of a worker; partitions read to their ends are due at multiples of `every_ms`.

    `is_busy` tells whether a partition's last chunk is being committed; then it is due later, so
    that its next chunk has all records until then, and waits before no other partition's. The
    loop's clock decides. aiokafka has one fetch under way with each broker, so a partition that it
    leaves out waits for its end. Such a fetch ends when a partition is due.
    """

    def __init__(
        self,
        fetcher: Any,  # noqa: ANN401 - aiokafka's is untyped
        every_ms: int,
        is_busy: Callable[[TopicPartition], bool],
        has_events: Callable[[TopicPartition], bool],
    ) -> None:
        super().__init__(fetcher)
        self._every_s = every_ms / 1000
        self._is_busy = is_busy
        self._has_events = has_events
        self._ended: dict[TopicPartition, FetchResult] = {}
        """Fetches that are read to their ends, until their partitions are due."""

        self._due_s: dict[TopicPartition, float] = {}
        """When these are due."""

        # aiokafka would fetch nothing for 100 ms while one partition's records wait
        fetcher._prefetch_backoff = 0  # noqa: SLF001 - no public way
        self._actions = fetcher._get_actions_per_node  # noqa: SLF001 - as above
        fetcher._get_actions_per_node = self._paced_actions  # noqa: SLF001 - as above

    def _paced_actions(self, assignment: Any) -> Any:  # noqa: ANN401 - aiokafka's is untyped
        fetcher = self._fetcher
        fetcher._fetch_max_wait_ms = self._wait_ms() if fetcher._records else IDLE_WAIT_MS  # noqa: SLF001 - as above
        return self._actions(assignment)

    def _wait_ms(self) -> int:
        """How long a fetch may wait that leaves partitions out."""
        now_s = asyncio.get_running_loop().time()
        next_s = now_s + min(self._until_s(0.0), self._until_s(JOURNAL_PHASE))
        return int(max(BUSY_S, min((next_s, *self._due_s.values())) - now_s) * 1000)

    def _until_s(self, phase: float) -> float:
        """Seconds until the next instant of a phase, a part of the interval."""
        if not self._every_s:
            return 0.0
        now_s = asyncio.get_running_loop().time() - phase * self._every_s
        return self._every_s - now_s % self._every_s

    def waiting(self, active: AbstractSet[TopicPartition]) -> dict[TopicPartition, FetchResult]:
        """As `FetchBuffer.waiting`, without those that are read to their ends."""
        found = super().waiting(active)
        return {tp: fetch for tp, fetch in found.items() if self._ended.get(tp) is not fetch}

    def end(self, result: FetchResult, partition: TopicPartition) -> None:
        """Nothing more is read of a fetch: the next one of its partition begins when it is due."""
        state = result._assignment.state_value(partition)  # noqa: SLF001 - as above
        if not self._every_s or not state.has_valid_position or state.position < (state.lso or 0):
            self.forget(result, partition)
            return
        self._ended[partition] = result
        phase = 0.0 if self._has_events(partition) else JOURNAL_PHASE
        self._forget_in(self._until_s(phase), result, partition)

    def _forget_in(self, delay_s: float, result: FetchResult, partition: TopicPartition) -> None:
        loop = asyncio.get_running_loop()
        self._due_s[partition] = loop.time() + delay_s
        loop.call_later(delay_s, self._forget_if_idle, result, partition)

    def _forget_if_idle(self, result: FetchResult, partition: TopicPartition) -> None:
        if self._ended.get(partition) is not result:  # another one is in its place
            return
        if self._is_busy(partition):
            self._forget_in(BUSY_S, result, partition)
        else:
            self.forget(result, partition)

    def forget(self, fetch: FetchResult | FetchError, partition: TopicPartition) -> None:
        """As `FetchBuffer.forget`."""
        if self._ended.get(partition) is fetch:
            del self._ended[partition], self._due_s[partition]
        super().forget(fetch, partition)
