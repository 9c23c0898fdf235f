"""The keys of a reader's store: every layout by name.

The first bytes of a key name its space. Within a space keys are ordered so that every list of the
API is one forward walk. Tables have the spaces of the catalogue (`reader_space`); those here are
for what a reader adds.

Ids contain no control characters, so a zero byte ends an id, and no id's keys are mistaken for
those of a longer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tables.catalogue import READER_TABLES

if TYPE_CHECKING:
    from streams.log import At
    from tables.catalogue import Table

IDENTITY: Final = b"\x00identity"
COMPLETE: Final = b"\x00complete"
"""Present while the tables contain all that was in the log at some moment. Without it nothing may
be answered."""

WRITTEN: Final = b"\x00written"
"""When the store was last written, in epoch milliseconds."""

POSITIONS: Final = b"\x01"
PROGRESS: Final = b"\x02"
NAMED: Final = {
    table.keyed_by: b"n" + table.keyed_by[:1].encode()
    for table in READER_TABLES
    if table.form == "sales"
}
"""By the name of an id: the space of the ids that orders name, whether or not they ever sold."""

ALL_OVERDUE: Final = b"d"
"""The list of all overdue inquiries; the value is the key of the inquiry's row."""

SHOP_OVERDUE: Final = b"D"
"""The same for each shop."""

JOURNAL: Final = b"j"
NUMBER_WIDTH: Final = 8
"""Bytes of a number in a key."""

_OFFSET: Final = 2**63
"""Added to signed 64-bit numbers, so that they order as unsigned bytes."""

_LARGEST: Final = 2**63 - 1
"""Ranks are subtracted from it, so that the largest comes first."""


class Ranking(NamedTuple):
    """A list of the best of each cycle.

    A key is the space, the cycle's start, `ranks` numbers (the largest first), and an id.
    """

    space: bytes
    ranks: int

    def of_cycle(self, start_ms: int) -> bytes:
        """The prefix of all keys of a cycle."""
        return self.space + _number(start_ms)

    def key(self, start_ms: int, ranks: tuple[int, ...], id_: bytes) -> bytes:
        """The key of an id: larger numbers come first, then ids in order."""
        numbers = [(_LARGEST - rank).to_bytes(NUMBER_WIDTH, "big") for rank in ranks]
        return self.of_cycle(start_ms) + b"".join(numbers) + id_

    @property
    def least_bytes(self) -> int:
        """The length of the shortest key."""
        return len(self.space) + NUMBER_WIDTH * (1 + self.ranks) + 1

    def split(self, key: bytes) -> tuple[int, bytes]:
        """(cycle's start, id) of a key."""
        start = len(self.space)
        return (
            _from_number(key[start : start + NUMBER_WIDTH]),
            key[start + NUMBER_WIDTH * (1 + self.ranks) :],
        )


TOP_PRODUCTS: Final = Ranking(b"t", 1)
TOP_SHOPS: Final = {
    "sales": Ranking(b"us", 2),
    "response-rate": Ranking(b"ur", 2),
    "good-reviews": Ranking(b"ug", 2),
}


def space(table: Table) -> bytes:
    """The space of a table that readers follow."""
    if table.reader_space is None:
        raise LookupError(f"readers don't follow the table {table.name}")
    return table.reader_space


def of_partition(prefix: bytes, at: At) -> bytes:
    """The key of something about a followed partition."""
    return b"%b%b-%d" % (prefix, at[0].encode(), at[1])


def subject(prefix: bytes, id_: bytes) -> bytes:
    """The prefix of all keys of an id in a space of one byte: its cycles, or its journal."""
    return prefix + id_ + b"\x00"


def row(prefix: bytes, id_: bytes, number: int) -> bytes:
    """The key of an id's cycle or journal entry; keys of an id order by number.

    The number is the cycle's start in epoch milliseconds, or the entry's offset.
    """
    return subject(prefix, id_) + _number(number)


def split_row(key: bytes) -> tuple[bytes, int]:
    """(id, number) of a key that `row` made."""
    return key[1 : -NUMBER_WIDTH - 1], _from_number(key[-NUMBER_WIDTH:])


def overdue(due_ms: int, shop_id: str, buyer_id: str) -> tuple[bytes, bytes]:
    """The keys of an overdue inquiry in the list of all and in that of its shop.

    They order by the time it was due, then by shop and buyer.
    """
    shop, buyer, due = shop_id.encode(), buyer_id.encode(), _number(due_ms)
    return (
        ALL_OVERDUE + due + shop + b"\x00" + buyer,
        subject(SHOP_OVERDUE, shop) + due + buyer,
    )


def _number(number: int) -> bytes:
    return (number + _OFFSET).to_bytes(NUMBER_WIDTH, "big")


def _from_number(number: bytes) -> int:
    return int.from_bytes(number, "big") - _OFFSET
