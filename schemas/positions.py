"""Positions in logs: which record (topic, partition, offset), and how far several partitions have been read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """One record's place in a log; as text `orders-3@1841`."""

    topic: str
    partition: int
    offset: int

    @property
    def next(self) -> "Position":
        """The place after this one: what a consumer commits when this record is done."""
        return Position(self.topic, self.partition, self.offset + 1)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that a text such as `orders-3@1841` names; ValueError if it names none."""
        log, at, offset = text.rpartition("@")
        topic, dash, partition = log.rpartition("-")
        if not (at and dash and topic and partition.isdecimal() and offset.isdecimal()):
            raise ValueError(
                f"{text!r} is no position: write topic-partition@offset, such as orders-3@1841"
            )
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


def offset_after(offset: int) -> int:
    """The offset after one that stands alone: what to read next, or to commit."""
    return offset + 1


@dataclass(frozen=True, slots=True)
class Vector:
    """The last offset held of each partition, by its text such as `orders-3`.

    Two states compare at equal vectors only.
    """

    offsets: Mapping[str, int]

    def covers(self, other: "Vector") -> bool:
        """Whether everything that `other` holds is held here too."""
        return all(self.offsets.get(log, -1) >= offset for log, offset in other.offsets.items())
