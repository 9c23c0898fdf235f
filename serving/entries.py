"""The journal entries that streams still have to send, each once and in the log's order."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from schemas import http_limits
from serving import keys
from serving.channels import entry_event
from serving.progress import SALES_JOURNAL
from streams.partitioning import partition_of
from tables.catalogue import PRODUCT_CYCLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from serving.access import Access
    from serving.answers import Answers
    from serving.channels import Channel
    from serving.progress import ReaderProgress
    from serving.store import Snapshot


class Unsent(NamedTuple):
    """A journal entry, and the channel that it belongs to."""

    offset: int
    channel: Channel
    value: bytes


class JournalView:
    """The journal as the tables have it at one moment, for all streams.

    Streams of the same product mostly wait behind the same offset, so what one of them read and
    made serves the others. What is kept for that is bounded.
    """

    def __init__(self, answers: Answers, access: Access) -> None:
        snapshot = answers.snapshot
        freshness = answers.freshness_of(SALES_JOURNAL)
        self.progress = answers.progress

        @lru_cache(http_limits.STREAM_KEPT_READS)
        def rows(id_: bytes, after: int) -> list[tuple[int, bytes]]:
            return _of_product(snapshot, id_, after)

        @lru_cache(http_limits.STREAM_KEPT_EVENTS)
        def event(channel: Channel, value: bytes) -> bytes:
            return entry_event(channel, value, freshness, access)

        self.rows: Callable[[bytes, int], list[tuple[int, bytes]]] = rows
        """The first entries of a product behind an offset, with their offsets."""

        self.event: Callable[[Channel, bytes], bytes] = event
        """The event of an entry, without its id."""

    def end(self, number: int) -> int:
        """The last offset of a partition that the tables have."""
        return self.progress.partitions[SALES_JOURNAL][number].offset


class Entries:
    """The position of one stream in the journal: `sent` has the last offset by partition.

    Entries are not kept in memory: they are read from the store when the client can have them.
    """

    def __init__(
        self, channels: Iterable[Channel], partitions: int, sent: Mapping[int, int]
    ) -> None:
        self._partitions = partitions
        self._channels: defaultdict[int, list[Channel]] = defaultdict(list)
        for channel in channels:
            self._channels[self._partition(channel)].append(channel)
        self.sent = {number: sent[number] for number in sent.keys() & self._channels.keys()}
        self._behind: set[int] = set()

    def begin(self, progress: ReaderProgress) -> None:
        """Begin behind what the products' rows contain, in partitions where nothing was sent.

        So the states of this moment and the entries that follow add up to later states.
        """
        for number in self._channels:
            if number not in self.sent:
                self.sent[number] = progress.partitions[PRODUCT_CYCLES.name][number].offset
        self._behind.update(self._channels)

    def note(self, channel: Channel) -> None:
        """Note that a product has new entries."""
        self._behind.add(self._partition(channel))

    @property
    def is_behind(self) -> bool:
        """Whether there may be entries to send."""
        return bool(self._behind)

    def read(self, journal: JournalView) -> Iterator[Unsent]:
        """Entries of one partition, at most STREAM_ENTRIES, each counted in `sent` when it comes.

        Read until the end: then `sent` has the journal's own offset if none is left.
        """
        number = min(self._behind)
        found = sorted(
            Unsent(offset, channel, value)
            for channel in self._channels[number]
            for offset, value in journal.rows(channel.subject.encode(), self.sent[number])
        )
        for unsent in found[: http_limits.STREAM_ENTRIES]:
            self.sent[number] = unsent.offset
            yield unsent
        if len(found) < http_limits.STREAM_ENTRIES:
            self._behind.discard(number)
            self.sent[number] = max(journal.end(number), self.sent[number])

    def _partition(self, channel: Channel) -> int:
        return partition_of(channel.subject.encode(), self._partitions)


def _of_product(snapshot: Snapshot, id_: bytes, after: int) -> list[tuple[int, bytes]]:
    walk = snapshot.walk(keys.subject(keys.JOURNAL, id_), keys.row(keys.JOURNAL, id_, after))
    return [
        (keys.split_row(key)[1], value) for key, value in islice(walk, http_limits.STREAM_ENTRIES)
    ]
