"""Service in numbers: the columns that shops' and products' service tables add up (R1-R6).

A row is a set of columns by name, each a plain sum of signed changes that is never below zero. What
people read of them is in `figures`.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""

INQUIRIES: Final = "inquiries"
TIMELY: Final = "timely"
LATE: Final = "late"
OVERDUE: Final = "overdue"
REPLY: Final = "reply."
"""Before `person` or `robot`: inquiries that were answered, by whom."""

REPLY_MS: Final = "reply_ms."
"""Before a bin (`reply_times`): inquiries that were answered, by how long it took."""

REFUSAL: Final = "refusal."
REISSUE: Final = "reissue."
DIFFERENCE: Final = "difference."
RETURN: Final = "return."
"""Before a reason, and for differences and returns before `reason.currency` as well: how many,
and how much in minor units."""

REVIEWS: Final = "reviews"
GOOD_REVIEWS: Final = "reviews.good"
CONTACTS: Final = "contacts"
PROACTIVE_CONTACTS: Final = "contacts.proactive"
BUYERS: Final = "buyers"
REPEAT_BUYERS: Final = "buyers.repeat"

GOOD_RATING: Final = 4
"""The least rating that is good (R5)."""

Columns = dict[str, int]
Rows = dict[tuple[str | None, int], Columns]
"""By (product_id, or None for the shop itself; cycle's start): the columns."""


class ImpossibleServiceError(Exception):
    """A column fell below zero.

    It can't by the rules, so rows were read twice, or with a hole: nothing may be written on.
    """


class ServiceTally(msgspec.Struct, array_like=True, gc=False):
    """The columns of a shop or product, in a cycle or of all time; none is zero.

    `restatements` counts changes that came when their cycle was over (C3).
    """

    version: int = VERSION
    columns: Columns = msgspec.field(default_factory=dict)
    restatements: int = 0

    def add(self, changes: Mapping[str, int], *, restates: int = 0) -> None:
        """Add signed changes, so many of which restate.

        ImpossibleServiceError if a column would fall below zero.
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
                columns.pop(name, None)  # as if it had never been: equal sums give equal bytes


encode: Final[Callable[[ServiceTally], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""ServiceTally → bytes; equal sums give equal bytes."""
decode: Final[Callable[[bytes], ServiceTally]] = msgspec.json.Decoder(ServiceTally).decode
"""Bytes → ServiceTally; raises msgspec's errors."""


def difference(before: Rows, after: Rows) -> Rows:
    """What must be added to `before` to get `after`, without zeros."""
    changes: Rows = {}
    for key in before.keys() | after.keys():
        was, now = before.get(key, {}), after.get(key, {})
        changed = without_zeros(
            {name: now.get(name, 0) - was.get(name, 0) for name in was.keys() | now.keys()}
        )
        if changed:
            changes[key] = changed
    return changes


def without_zeros(changes: Columns) -> Columns:
    """The columns that change, by name."""
    return {name: change for name, change in sorted(changes.items()) if change}
