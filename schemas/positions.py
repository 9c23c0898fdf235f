"""The position of one record: topic, partition, offset."""

import re
from typing import Final

import msgspec

_WRITTEN: Final = re.compile(r"(\S{1,249})-(\d{1,9})@(\d{1,18})", re.ASCII)


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """The position of one record in Kafka; as text `orders-3@1841`."""

    topic: str
    partition: int
    offset: int

    @property
    def next(self) -> "Position":
        """The position of the following record: the offset to commit after this one."""
        return Position(self.topic, self.partition, self.offset + 1)

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


def position_of(text: str) -> Position:
    """The position that a text such as `orders-3@1841` names; else ValueError."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no position, such as orders-3@1841")
    return Position(found[1], int(found[2]), int(found[3]))


def offset_after(offset: int) -> int:
    """The next offset to read, or to commit, after `offset`."""
    return offset + 1
