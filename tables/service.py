"""The columns of the service tables of shops and products (R1 to R6), and how they add up.

A row is a set of columns by name. Each column is a sum of signed changes and never negative.
`figures` derives what people read.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from tables.formats import reader

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""

INQUIRIES: Final = "inquiries"
TIMELY: Final = "timely"
LATE: Final = "late"
OVERDUE_COLUMN: Final = "overdue"
REPLY: Final = "reply."
"""Prefix of `person` or `robot`: answered inquiries by who answered."""

REPLY_MS: Final = "reply_ms."
"""Prefix of a bin (`reply_times`): answered inquiries by reply time."""

REFUSAL: Final = "refusal."
REISSUE: Final = "reissue."
DIFFERENCE: Final = "difference."
RETURN: Final = "return."
"""Prefixes of a reason: counts. Differences and returns have columns of `reason.currency` as well:
amounts in minor units."""

REVIEWS: Final = "reviews"
GOOD_REVIEWS: Final = "reviews.good"
CONTACTS: Final = "contacts"
PROACTIVE_CONTACTS: Final = "contacts.proactive"
BUYERS: Final = "buyers"
REPEAT_BUYERS: Final = "buyers.repeat"

GOOD_RATING: Final = 4
"""The lowest good rating (R5)."""

Columns = dict[str, int]
Rows = dict[tuple[str | None, int], Columns]
"""The columns by (product_id, or None for the shop itself; cycle's start)."""


class ImpossibleServiceError(Exception):
    """A column would fall below zero.

    The rules exclude it, so journal rows were read twice or left out. Nothing more may be written.
    """


class ServiceTally(msgspec.Struct, array_like=True, gc=False):
    """The columns of a shop or product, in one cycle or over all time; none is zero.

    `restatements` counts the changes made after their cycle was over (C3).
    """

    version: Literal[1] = VERSION
    columns: Columns = msgspec.field(default_factory=dict)
    restatements: int = 0

    def add(self, changes: Mapping[str, int], *, restates: int = 0) -> None:
        """Add signed changes, of which `restates` were made after their cycle was over (C3).

        Raises ImpossibleServiceError if a column would fall below zero.
        """
        self.restatements += restates
        columns = self.columns
        for name, change in changes.items():
            number = columns.get(name, 0) + change
            if number > 0:
                columns[name] = number
            elif number < 0:
                raise ImpossibleServiceError(f"{name} would be {number} after {change:+}")
            else:
                columns.pop(name, None)  # equal sums give equal bytes


encode: Final[Callable[[ServiceTally], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""ServiceTally → bytes; equal sums give equal bytes."""
decode: Final[Callable[[bytes], ServiceTally]] = reader(
    "service", VERSION, msgspec.json.Decoder(ServiceTally).decode
)
"""Bytes → ServiceTally; raises as `formats.reader`."""


def row_changes(before: Rows, after: Rows) -> Rows:
    """The signed changes that lead from `before` to `after`, without zeros."""
    changes: Rows = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key, {}), after.get(key, {})
        changed = without_zeros(
            {name: new.get(name, 0) - old.get(name, 0) for name in old.keys() | new.keys()}
        )
        if changed:
            changes[key] = changed
    return changes


def without_zeros(changes: Columns) -> Columns:
    """The changes that are not zero, in the order of their names."""
    return {name: change for name, change in sorted(changes.items()) if change}
