"""Ids of a stream's events: positions in the log, so that any reader of it can resume.

`orders-0:12,chats-0:7,sales-1:40@netsold:3f9c2a1b7d`: what the events contain of each source
partition, as `min_position` writes it; from which offset of the journal on entries are still to be
sent; and behind `@` which version this is, and which log, by the journal's topic id.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from serving.problems import Kind, ProblemRaised, invalid, quoted
from serving.progress import FOLLOWED
from serving.requests import positions_of
from tables.catalogue import SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.reader import Reader

PARAMETER = "last_event_id"


class Resumed(NamedTuple):
    """The last offsets that a client has, by source partition and by partition of the journal.

    Those of the journal are -1 where it has none.
    """

    sources: Mapping[str, int]
    journal: Mapping[int, int]


def log_tag(reader: Reader) -> str:
    """Which version a reader follows, and in few characters which log."""
    topic_id = reader.followed.get(reader.settings.topic(SALES_TOPIC), "")
    return f"{reader.settings.app}:{blake2b(topic_id.encode(), digest_size=5).hexdigest()}"


def written(offsets: Mapping[str, int]) -> bytes:
    """Offsets by partition as ids and `min_position` have them."""
    return ",".join(f"{source}:{offset}" for source, offset in offsets.items()).encode()


def resumed(reader: Reader, text: str) -> Resumed | None:
    """The positions in an id; None where it is of another version, whose positions are others.

    Raises ProblemRaised where no event of this log can have it.
    """
    positions, at, tag = text.rpartition("@")
    version, _, log = tag.partition(":")
    if not at or not log.isalnum():
        raise invalid(PARAMETER, f"{quoted(text)} is no id of an event of this stream")
    if version != reader.settings.app:
        return None
    if tag != log_tag(reader):
        raise ProblemRaised(
            Kind.OTHER_LOG,
            f"{quoted(text)} is a position in another log than this reader's, which may have been"
            " created anew: connect without it",
        )
    offsets = positions_of(PARAMETER, positions) if positions else {}
    topic = reader.settings.topic(SALES_TOPIC)
    entries = {f"{topic}-{number}": number for number in range(reader.settings.partitions)}
    journal = {entries[name]: offsets[name] - 1 for name in offsets.keys() & entries.keys()}
    sources = {name: offset for name, offset in offsets.items() if name not in entries}
    unknown = sources.keys() - reader.sources(*FOLLOWED)
    if unknown:
        raise invalid(PARAMETER, f"there is no source partition {', '.join(sorted(unknown))}")
    return Resumed(sources, journal)
