"""What the checks need of the cluster: each observed once, within a time, when it is first needed.

An observation that failed is not repeated: each check that needs it gets the same error.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from operations.doctor.transactions import find_hanging
from streams import brokers, hanging, topics
from streams.lane_offsets import lane_offsets
from streams.observe import REQUEST_MS, Observer
from streams.parked import DeadLetters
from streams.unapplied import FirstUnapplied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from operations.doctor.transactions import HangingTransaction
    from streams.brokers import BareClient, LogDir
    from streams.hanging import TransactionsSeen
    from streams.lane_offsets import LaneOffsets
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings
    from streams.unapplied import UnappliedRecord

T = TypeVar("T")

OBSERVE_SECONDS: Final = 20.0
"""How long one observation may take."""

AGAIN_SECONDS: Final = 3.0
"""A worker that is at work commits within this time, hardly ever later."""

_TRIES: Final = 3
_RETRY_SECONDS: Final = 0.5
"""A transaction's parts become visible one after the other, so a disagreement is read again."""


class Evidence:
    """The observations of one application and its cluster."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._observer: Observer | None = None
        self._known: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Nothing is connected before it is needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._stack.aclose()

    def forget(self) -> None:
        """Observe anew from now on: something was changed."""
        self._known = {name: one for name, one in self._known.items() if name == "client"}

    async def _once(self, name: str, observe: Callable[[], Awaitable[T]]) -> T:
        if name not in self._known:
            try:
                async with asyncio.timeout(OBSERVE_SECONDS):
                    self._known[name] = await observe()
            except TimeoutError:
                self._known[name] = TimeoutError(f"no answer within {OBSERVE_SECONDS:.0f} s")
            except Exception as error:  # noqa: BLE001 - whichever it is, each check reports it
                self._known[name] = error
        known = self._known[name]
        if isinstance(known, Exception):
            raise known
        found: T = known
        return found

    async def client(self) -> BareClient:
        """A client of the cluster."""

        async def connect() -> BareClient:
            return await self._stack.enter_async_context(brokers.connected(self.settings, "doctor"))

        return await self._once("client", connect)

    async def observation(self) -> Observation:
        """Brokers, topics and the group."""
        await self.client()
        return await self._once("observation", lambda: _observed(self.settings))

    async def alive(self) -> list[int]:
        """The ids of the brokers that answer."""
        return [one for one, answers in (await self.observation()).brokers.items() if answers]

    async def releases(self) -> dict[int, str | None]:
        """The release of each broker that answers."""
        client, alive = await self.client(), await self.alive()
        return await self._once("releases", lambda: brokers.releases(client, alive))

    async def log_dirs(self) -> list[LogDir]:
        """The log directories of the brokers that answer, with this application's topics."""
        client, alive = await self.client(), await self.alive()
        seen = (await self.observation()).topics
        partitions = {name: sorted(topic.partitions) for name, topic in seen.items()}
        return await self._once("dirs", lambda: brokers.log_dirs(client, alive, partitions))

    async def lanes(self) -> list[LaneOffsets]:
        """Every source partition, with its marks and committed offset."""
        group = (await self.observation()).group

        async def observe() -> list[LaneOffsets]:
            found = await lane_offsets(self.settings)
            for _ in range(_TRIES - 1):
                if group is None or not group.members or not any(map(self._disagrees, found)):
                    break
                await asyncio.sleep(_RETRY_SECONDS)
                found = await lane_offsets(self.settings)
            return found

        return await self._once("lanes", observe)

    def _disagrees(self, lane: LaneOffsets) -> bool:
        return not lane.moving and lane.why_refused(self.settings.app) is not None

    async def waiting(self) -> Mapping[At, UnappliedRecord | None]:
        """The first record of each source partition behind its committed offset."""
        lanes = await self.lanes()
        applied = {lane.at: (lane.committed or 0) - 1 for lane in lanes}
        beginnings = {lane.at: lane.beginning for lane in lanes}
        ends = {lane.at: lane.end for lane in lanes}
        first = FirstUnapplied(self.settings, REQUEST_MS / 1000)
        return await self._once("waiting", lambda: first.read(applied, beginnings, ends))

    async def committed_later(self) -> Mapping[At, int]:
        """The committed offsets of events that workers read, AGAIN_SECONDS after `lanes` or later.

        Of the workers that `observation` has: a dead one leaves the group meanwhile. Empty where
        the group can't be observed.
        """
        before = (await self.observation()).group
        read = {} if before is None else before.readers()

        async def observe() -> Mapping[At, int]:
            await asyncio.sleep(AGAIN_SECONDS)
            group = (await _observed(self.settings)).group
            committed = {} if group is None else group.committed
            return {at: offset for at, offset in committed.items() if at in read}

        return await self._once("committed later", observe)

    async def letters(self) -> list[Parked]:
        """The dead letters by topic and reason."""
        await self.client()

        async def count() -> list[Parked]:
            letters = DeadLetters(self.settings)
            await letters.read_on()
            return letters.counts()

        return await self._once("letters", count)

    async def transactions(self) -> TransactionsSeen:
        """The open transactions in this application's topics, and of committed offsets."""
        client, alive = await self.client(), await self.alive()
        names = [*(await self.observation()).topics, hanging.OFFSETS_TOPIC]
        return await self._once(
            "transactions", lambda: hanging.observe_transactions(client, alive, names)
        )

    async def hanging(self) -> list[HangingTransaction]:
        """The hanging ones of them."""
        return find_hanging(await self.transactions(), await self.lanes(), self.settings, now_ms())

    async def cluster_id(self) -> str:
        """The cluster's id."""
        await self.client()
        return await self._once("cluster_id", lambda: topics.cluster_id(self.settings))


async def _observed(settings: Settings) -> Observation:
    observer = Observer(settings)
    try:
        return await observer.observe({})
    finally:
        await observer.close()


def now_ms() -> int:
    """This machine's clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000
