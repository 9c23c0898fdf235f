"""The position of one record: topic, partition, offset."""

import msgspec


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


def offset_after(offset: int) -> int:
    """The next offset to read, or to commit, after `offset`."""
    return offset + 1
