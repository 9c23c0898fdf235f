"""A reader answers by the terms of its tables, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import NetsoldError
from tables.terms import differing

if TYPE_CHECKING:
    from streams.marks import Mark


class TablesByOtherTerms(NetsoldError):
    """The tables are made by other terms than this reader's."""

    def __init__(self, of_tables: str, own: str) -> None:
        lost, new = differing(of_tables, own)
        super().__init__(
            f"the workers' tables are made by {', '.join(lost)}; this reader's terms have"
            f" {', '.join(new)}: set NETSOLD_RULES to the workers' file"
        )


def require_terms(mark: Mark, text: str) -> None:
    """Raise TablesByOtherTerms where a table's mark names other terms than these."""
    of_table = mark.terms.partition("; keys by ")[0]
    if of_table and of_table != text:
        raise TablesByOtherTerms(of_table, text)
