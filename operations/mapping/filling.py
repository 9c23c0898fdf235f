"""Rows whose first one says what is true of all: its cells go down to those that belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.mapping.values import RowUnmapped, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from operations.mapping.rows import Read
    from operations.mapping.values import Row


def filled(rows: Iterable[Read], plan: Mapping[str, Sequence[str]]) -> Iterator[Read]:
    """The rows with cells that are empty filled from the row above.

    `plan` has, by the column that belonging rows have in common, the columns to fill. A row that
    can't be read ends what belongs together, as nothing is known of it.
    """
    above: Row = {}
    for line, row, done in rows:
        if isinstance(row, RowUnmapped):
            above = {}
        else:
            for common, columns in plan.items():
                key = text_of(row.get(common))
                if key is not None and key == text_of(above.get(common)):
                    for column in columns:
                        if text_of(row.get(column)) is None:
                            row[column] = above.get(column)
            above = row
        yield line, row, done
