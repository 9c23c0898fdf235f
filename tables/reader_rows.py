"""The keys of tables' rows in a reader's store.

Their first byte names the table's space (`catalogue.Table.reader_space`). The keys of an id are in
order of its cycles.
"""

from typing import Final

from tables import catalogue
from tables.catalogue import Table

NUMBER_WIDTH: Final = 8
"""Bytes of a number in a key."""

_OFFSET: Final = 2**63
"""Added to signed 64-bit numbers, so that they order as unsigned bytes."""


def space(table: Table) -> bytes:
    """The space of a table that readers follow."""
    if table.reader_space is None:
        raise LookupError(f"readers don't follow the table {table.name}")
    return table.reader_space


def subject(prefix: bytes, id_: bytes) -> bytes:
    """The prefix of all keys of an id in a space of one byte: its cycles, or its journal.

    Ids contain no control characters, so a zero byte ends an id, and no id's keys are mistaken for
    those of a longer one.
    """
    return prefix + id_ + b"\x00"


def row(prefix: bytes, id_: bytes, number: int) -> bytes:
    """The key of an id's cycle or journal entry; keys of an id order by number.

    The number is the cycle's start in epoch milliseconds, or the entry's offset.
    """
    return b"%b%b\x00%b" % (prefix, id_, (number + _OFFSET).to_bytes(NUMBER_WIDTH, "big"))


def split_row(key: bytes) -> tuple[bytes, int]:
    """(id, number) of a key that `row` made."""
    return key[1 : -NUMBER_WIDTH - 1], from_number(key[-NUMBER_WIDTH:])


def to_number(number: int) -> bytes:
    """A number in a key."""
    return (number + _OFFSET).to_bytes(NUMBER_WIDTH, "big")


def from_number(number: bytes) -> int:
    """The number that `to_number` wrote."""
    return int.from_bytes(number, "big") - _OFFSET


def stored_key(table: Table, key: bytes) -> bytes:
    """The key in a reader's store of a row that has `key` in its table."""
    if not table.windowed:
        return space(table) + key
    id_, start_ms = catalogue.split_cycle_key(key)
    return row(space(table), id_.encode(), start_ms)


def table_key(table: Table, stored: bytes) -> bytes:
    """The key in its table of a row that a reader's store has under `stored`."""
    return catalogue.cycle_key(*split_row(stored)) if table.windowed else stored[1:]
