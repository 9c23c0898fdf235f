"""The keys of a reader's store: every layout by name.

The first bytes of a key name its space. Within a space keys are ordered so that every list of the
API is one forward walk. Tables have the spaces of the catalogue (`reader_space`); those here are
for what a reader adds.

The keys of tables' rows are those of tables/reader_rows.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from tables.catalogue import READER_TABLES
from tables.reader_rows import NUMBER_WIDTH, from_number, row, space, split_row, subject, to_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.log import At

__all__ = ("NUMBER_WIDTH", "row", "space", "split_row", "subject")
"""The keys of tables' rows, which are used by these names of this module as well."""

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

BRIEF: Final = {"product_id": b"g", "shop_id": b"G"}
"""By the name of an id: its journal entries in brief, by cycle, in the order of the log. A value
has some that were read in one step."""

INTRICATE: Final = {"product_id": b"i", "shop_id": b"I"}
"""By the name of an id: its orders of which a later fact may change what counted
(tables/time_travel.py). The value is `changed`."""

FILLED: Final = b"\x03"
"""By partition of orders: the source offset of the mark at which the store's first filling, or its
last repair, ended."""

CYCLE_BEGINS: Final = b"\x04"
"""By source partition and cycle: the offset of the first mark whose watermark was in that cycle,
and that of the mark before it (`cycle_begin`)."""

CURRENCY_WIDTH: Final = 3
"""Bytes of a currency in a key: its ISO 4217 code."""

RANK_WIDTH: Final = 12
"""Bytes of a rank in a key: ten of the largest payments exceed 64 bits together."""

_LARGEST: Final = 2 ** (8 * RANK_WIDTH - 1) - 1
"""Ranks are subtracted from it, so that the largest comes first."""


class Ranking(NamedTuple):
    """A list of the best of each cycle, or of each cycle and currency.

    A key is the space, the cycle's start, the currency (in a list `in_currency`), `ranks` numbers
    (the largest first), and an id.
    """

    space: bytes
    ranks: int
    in_currency: bool = False

    def of_cycle(self, start_ms: int, currency: bytes = b"") -> bytes:
        """The prefix of all keys of a cycle, in a list `in_currency` of a currency in it."""
        return self.space + _cycle(start_ms) + currency

    def key(
        self, start_ms: int, ranks: tuple[int, ...], id_: bytes, currency: bytes = b""
    ) -> bytes:
        """The key of an id: larger numbers come first, then ids in order."""
        key = self.space + _cycle(start_ms) + currency
        for rank in ranks:
            key += (_LARGEST - rank).to_bytes(RANK_WIDTH, "big")
        return key + id_

    @property
    def _begin(self) -> int:
        """Where the ranks of a key begin."""
        return len(self.space) + NUMBER_WIDTH + CURRENCY_WIDTH * self.in_currency

    @property
    def least_bytes(self) -> int:
        """The length of the shortest key."""
        return self._begin + RANK_WIDTH * self.ranks + 1

    def split(self, key: bytes) -> tuple[int, bytes]:
        """(cycle's start, id) of a key."""
        start = len(self.space)
        return (
            from_number(key[start : start + NUMBER_WIDTH]),
            key[self._begin + RANK_WIDTH * self.ranks :],
        )

    def first_rank(self, key: bytes) -> int:
        """The first number that a key is ranked by."""
        return _LARGEST - int.from_bytes(key[self._begin : self._begin + RANK_WIDTH], "big")


TOP: Final[Mapping[str, Mapping[str, Ranking]]] = {
    "product_id": {
        "units": Ranking(b"tu", 1),
        "revenue": Ranking(b"tr", 1, in_currency=True),
        "reversal-rate": Ranking(b"tv", 2),
        "good-reviews": Ranking(b"tg", 2),
    },
    "shop_id": {
        "units": Ranking(b"uu", 1),
        "revenue": Ranking(b"ur", 1, in_currency=True),
        "reversal-rate": Ranking(b"uv", 2),
        "good-reviews": Ranking(b"ug", 2),
        "response-rate": Ranking(b"up", 2),
    },
}
"""By the name of an id: its lists of the best by what they are compared by."""

REVERSED: Final = {"product_id": Ranking(b"tn", 1), "shop_id": Ranking(b"un", 1)}
"""By the name of an id: those with the most units reversed. With the best by net units it bounds
the gross units of every other id (serving/growth.py)."""

SHOP_PRODUCTS: Final = b"x"
"""What each shop sold of each product in a cycle (serving/shop_products.py)."""

NAMES: Final = {"product_id": b"lp", "shop_id": b"ls"}
"""By the name of an id: its display name and picture."""

NAME_WORDS: Final = {"product_id": b"wp", "shop_id": b"ws"}
"""By the name of an id: the words of display names, each with the id whose name has it."""


def of_partition(prefix: bytes, at: At) -> bytes:
    """The key of something about a followed partition."""
    return b"%b%b-%d" % (prefix, at[0].encode(), at[1])


def brief(keyed_by: str, id_: bytes, start_ms: int) -> bytes:
    """The prefix of all keys of an id's entries in brief in one cycle."""
    return row(BRIEF[keyed_by], id_, start_ms)


def brief_value(keyed_by: str, id_: bytes, start_ms: int, at: tuple[int, int]) -> bytes:
    """The key of some entries in brief of an id in a cycle.

    `at` is the partition of the journal, and the offset of the first one.
    """
    partition, offset = at
    return b"%b%b\x00%b%b%b" % (
        BRIEF[keyed_by],
        id_,
        _cycle(start_ms),
        _cycle(partition),
        to_number(offset),
    )


def brief_of(keyed_by: str, id_: bytes, start_ms: int, partition: int) -> bytes:
    """The prefix of those keys that are of one partition of the journal."""
    return brief(keyed_by, id_, start_ms) + to_number(partition)


def brief_at(prefix: bytes, offset: int) -> bytes:
    """The key of such a prefix whose first entry has this offset."""
    return prefix + to_number(offset)


def split_brief_at(key: bytes) -> tuple[int, int]:
    """(partition, offset of the first entry) of a key that `brief_value` made."""
    end = len(key) - NUMBER_WIDTH
    return from_number(key[end - NUMBER_WIDTH : end]), from_number(key[end:])


def split_brief(key: bytes) -> tuple[bytes, int]:
    """(id, cycle's start) of a key that `brief_value` made."""
    return split_row(key[: -2 * NUMBER_WIDTH])


def changed(partition: int, offset: int | None) -> bytes:
    """The value of an intricate order: its source partition, and when it last changed.

    `offset` is at or after that change; None stands for the partition's offset in FILLED.
    """
    return b"%d:%s" % (partition, b"" if offset is None else b"%d" % offset)


def split_changed(value: bytes) -> tuple[int, int | None]:
    """(partition, offset) that `changed` wrote."""
    partition, _, offset = value.partition(b":")
    return int(partition), int(offset) if offset else None


def filled(partition: int) -> bytes:
    """The key in FILLED of a source partition of orders."""
    return FILLED + b"%d" % partition


def intricate(keyed_by: str, id_: bytes, order_id: bytes) -> bytes:
    """The key of an intricate order in the list of an id."""
    return subject(INTRICATE[keyed_by], id_) + order_id


def split_intricate(key: bytes) -> tuple[bytes, bytes]:
    """(id, order's id) of a key that `intricate` made."""
    id_, _, order_id = key[1:].partition(b"\x00")
    return id_, order_id


def shop_products(shop_id: bytes, start_ms: int) -> bytes:
    """The prefix of what a shop sold in a cycle; the product's id ends a key."""
    return row(SHOP_PRODUCTS, shop_id, start_ms)


def shop_ranking(shop_id: bytes, by: str) -> Ranking:
    """The ranking of a shop's products, which is not stored; cursors of its pages have its keys."""
    return TOP["product_id"][by]._replace(space=subject(b"y" + by[:1].encode(), shop_id))


def name_word(keyed_by: str, word: str, id_: bytes) -> bytes:
    """The key of a word of an id's name. A word has no control characters."""
    return NAME_WORDS[keyed_by] + word.encode() + b"\x00" + id_


def split_name_word(key: bytes) -> bytes:
    """The id of a key that `name_word` made."""
    return key.partition(b"\x00")[2]


def cycle_begins(source: str, start_ms: int) -> bytes:
    """The key of the first mark of a source partition in a cycle."""
    return subject(CYCLE_BEGINS, source.encode()) + to_number(start_ms)


def cycle_begin(former: int, first: int) -> bytes:
    """The value of a first mark in a cycle: the offset of the mark before it, and its own."""
    return b"%d:%d" % (former, first)


def split_cycle_begin(value: bytes) -> tuple[int, int]:
    """(offset of the mark before, of the first mark) that `cycle_begin` wrote."""
    former, _, first = value.partition(b":")
    return int(former), int(first)


def overdue(due_ms: int, shop_id: str, buyer_id: str) -> tuple[bytes, bytes]:
    """The keys of an overdue inquiry in the list of all and in that of its shop.

    They order by the time it was due, then by shop and buyer.
    """
    shop, buyer, due = shop_id.encode(), buyer_id.encode(), to_number(due_ms)
    return (
        ALL_OVERDUE + due + shop + b"\x00" + buyer,
        subject(SHOP_OVERDUE, shop) + due + buyer,
    )


_cycle: Final = lru_cache(maxsize=1000)(to_number)
"""`to_number` for starts of cycles and for partitions: few, and one for each changed row."""
