"""Single records by their offsets, anywhere in the log, over a connection that is kept.

Only offsets of committed records may be read: what is fetched is not compared with transactions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from schemas import limits
from streams import broker_access
from streams.batches import TolerantRecords
from streams.broker_access import BROKER_AWAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from schemas.envelope import Record
    from streams.log import At
    from streams.settings import Settings

RETRY_S: Final = 0.1
"""Before the second attempt at a partition whose leader has changed."""

_WAIT_MS, _LEAST_BYTES, _UNCOMMITTED = 100, 1, 0
_MOVED = (NotLeaderForPartitionError, LeaderNotAvailableError, UnknownTopicOrPartitionError)


class SingleRecords:
    """Reads records of some topics (names on the cluster) by offset, for one event loop."""

    def __init__(self, settings: Settings, topics: Iterable[str]) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections; the next reading opens new ones."""
        if self._client is not None:
            await self._drop(self._client)

    async def read(
        self, wanted: Mapping[At, Collection[int]], within_s: float
    ) -> dict[At, dict[int, Record]]:
        """The records at these offsets; those that the log no longer has are left out.

        Raises KafkaUnreachable, KafkaError, OSError or TimeoutError where they can't be read within
        `within_s`.
        """
        async with asyncio.timeout(within_s):
            try:
                return await self._read(wanted)
            except BROKER_AWAY:
                # the broker of this connection may be the one that is away
                return await self._read(wanted)

    async def _read(self, wanted: Mapping[At, Collection[int]]) -> dict[At, dict[int, Record]]:
        client = await self.connect()
        try:
            found = await asyncio.gather(
                *(_of_partition(client, at, offsets) for at, offsets in wanted.items())
            )
        except BaseException:
            # also where a broker is silent: its connection would be silent for the next one, too
            await self._drop(client)
            raise
        return dict(zip(wanted, found, strict=True))

    async def _drop(self, client: AIOKafkaClient) -> None:
        """Close a client; another one that has replaced it meanwhile stays."""
        if self._client is client:
            self._client = None
        await client.close()

    async def connect(self) -> AIOKafkaClient:
        """Connect unless there is a connection. Raises KafkaUnreachable."""
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(
                    **self._settings.client_options(), client_id=f"{self._settings.app}-lookup"
                )
                await broker_access.bootstrap(client, self._settings)
                self._client = client
                await client.set_topics(self._topics)
            return self._client


async def _of_partition(
    client: AIOKafkaClient, at: At, offsets: Collection[int]
) -> dict[int, Record]:
    """The records of one partition: of those that are far apart, several are fetched at once."""
    left = sorted(set(offsets))
    found: dict[int, Record] = {}
    while left:
        starts = _apart(left)
        passed: set[int] = set()
        for records in await asyncio.gather(*(fetched_at(client, at, start) for start in starts)):
            found |= await asyncio.to_thread(records.at, frozenset(left)) if records else {}
        passed.update(found, starts)  # what a fetch from its own offset hasn't is not in the log
        left = [offset for offset in left if offset not in passed]
    return found


def _apart(offsets: Sequence[int]) -> list[int]:
    """Some of these ascending offsets: the first one, and others that hardly are in one batch."""
    starts = [offsets[0]]
    for offset in offsets:
        if len(starts) == limits.LOOKUP_FETCHES:
            break
        if offset - starts[-1] >= limits.LOOKUP_APART_OFFSETS:
            starts.append(offset)
    return starts


async def fetched_at(
    client: AIOKafkaClient, at: At, offset: int, most_bytes: int = limits.LOOKUP_FETCH_BYTES
) -> TolerantRecords | None:
    """The batch that contains an offset, and some behind it; None where the log lacks it.

    Uncommitted and aborted batches, and control batches, are among them. `most_bytes` bounds those
    behind the first.
    """
    for is_last in (False, True):
        try:
            return await _fetched_once(client, at, offset, most_bytes)
        except OffsetOutOfRangeError:
            return None
        except _MOVED:
            if is_last:
                raise
            await client.force_metadata_update()
            await asyncio.sleep(RETRY_S)
    raise AssertionError("the second attempt returns or raises")


async def _fetched_once(
    client: AIOKafkaClient, at: At, offset: int, most_bytes: int
) -> TolerantRecords:
    leader = client.cluster.leader_for_partition(TopicPartition(*at))
    if leader is None or leader == -1:
        raise LeaderNotAvailableError(f"{at[0]}-{at[1]} has no leader")
    request = FetchRequest(
        _WAIT_MS,
        _LEAST_BYTES,
        most_bytes,
        _UNCOMMITTED,
        [(at[0], [(at[1], offset, most_bytes)])],
        rack_id="",
    )
    response: Any = await client.send(leader, request)
    ((_, ((_, code, *_, fetched),)),) = response.topics
    if code:
        raise for_code(code)(f"{at[0]}-{at[1]}@{offset} can't be read")
    return TolerantRecords(fetched)
