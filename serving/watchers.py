"""Who watches what: channels, the streams that watch them, and the changes that concern them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from serving.changes import Change
    from serving.channels import Channel
    from serving.stream import Stream

Key = TypeVar("Key")


class Watched:
    """One channel that streams watch, and the digest of the state that was last sent."""

    __slots__ = ("channel", "digest", "streams")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.streams: dict[Stream, None] = {}
        self.digest: bytes | None = None


class Watchers:
    """All streams of a hub by what they watch."""

    def __init__(self) -> None:
        self.streams: dict[Stream, None] = {}
        self.watched: dict[Channel, Watched] = {}
        self.by_change: dict[Change, dict[Channel, None]] = {}
        self.by_tables: dict[tuple[str, ...], dict[Channel, None]] = {}

    def known(self, channel: Channel) -> Channel:
        """The same channel as others watch it, so that it is in memory once."""
        watched = self.watched.get(channel)
        return channel if watched is None else watched.channel

    def add(self, stream: Stream) -> None:
        """Add a stream with its channels."""
        self.streams[stream] = None
        for channel in stream.channels:
            watched = self.watched.get(channel)
            if watched is None:
                watched = self.watched[channel] = Watched(channel)
                for change in channel.changed_by:
                    self.by_change.setdefault(change, {})[channel] = None
                self.by_tables.setdefault(channel.tables, {})[channel] = None
            watched.streams[stream] = None

    def remove(self, stream: Stream) -> None:
        """Remove a stream, and the channels that no other one watches."""
        del self.streams[stream]
        for channel in stream.channels:
            watched = self.watched[channel]
            del watched.streams[stream]
            if not watched.streams:
                del self.watched[channel]
                for change in channel.changed_by:
                    _discard(self.by_change, change, channel)
                _discard(self.by_tables, channel.tables, channel)

    def concerned(self, changes: Iterable[Change]) -> Iterator[Channel]:
        """The channels that changes concern."""
        for change in changes:
            yield from self.by_change.get(change, ())


def _discard(index: dict[Key, dict[Channel, None]], key: Key, channel: Channel) -> None:
    del index[key][channel]
    if not index[key]:
        del index[key]
