"""The record of a comparison, from which readers show how a rebuild differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.control import Diff, FieldDiff, ListDiff, RowDiff

if TYPE_CHECKING:
    from operations.versions.comparison import Comparison, DifferentRow
    from operations.versions.registering import Signature

EXAMPLES: Final = 5
"""The most rows of a list that are recorded, so that a record is small."""

FIELDS: Final = 8
"""The most fields of such a row."""

_PERSONAL: Final = "buyer_id"
"""Readers answer to tokens that may see pseudonyms of buyers only."""


def diff_of(found: Comparison, sign: Signature) -> Diff:
    """What is recorded of a comparison of the version that is answered with a rebuild."""
    return Diff(
        first=found.first,
        second=found.second,
        at=sign.at,
        by=sign.by,
        vector=found.vector,
        lists={
            name: ListDiff(one.same, one.differing, one.uncompared)
            for name, one in found.lists.items()
        },
        left_out=found.left_out,
        examples=[
            _example(found, name, row)
            for name, one in found.lists.items()
            for row in one.different[:EXAMPLES]
        ],
    )


def _example(found: Comparison, name: str, row: DifferentRow) -> RowDiff:
    key = {field: text for field, text in row.key.items() if field != _PERSONAL}
    if row.first is None or row.second is None:
        return RowDiff(name, key, only_in=found.second if row.first is None else found.first)
    changed = [one for one in row.fields() if one[0] != _PERSONAL]
    fields = [FieldDiff(field, _text(one), _text(two)) for field, one, two in changed[:FIELDS]]
    return RowDiff(name, key, fields)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
