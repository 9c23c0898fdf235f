"""Which cycles have ended in a partition of a stage, and which subjects' records of that are sent.

A cycle ends once the least watermark of all source partitions is past its end (C2): from then on no
entry of it arrives that doesn't restate. Its rows are many, so they are walked through in steps,
each one transaction. A row behind the walk has ended, one before it hasn't.
"""

from typing import Final

import msgspec

from tables import catalogue

NOWHERE: Final = ""
"""Before the first key."""


class CycleEnds(msgspec.Struct, frozen=True):
    """How far cycles have ended. It is part of the progress of a stage.

    Every cycle that starts before `before_ms` has ended; None: none has. While those before
    `ending_ms` end, `last` is the last key of the walk: through the rows of the table, then, if
    `in_shares`, through the shares of the marketplace.
    """

    before_ms: int | None = None
    ending_ms: int | None = None
    last: str = NOWHERE
    in_shares: bool = False

    def begins(self, start_ms: int) -> bool:
        """Whether the walk under way ends the cycle that starts there."""
        return (
            self.ending_ms is not None
            and start_ms < self.ending_ms
            and (self.before_ms is None or start_ms >= self.before_ms)
        )

    def has_ended(self, cycle_key: bytes, start_ms: int) -> bool:
        """Whether the end of a row's cycle was sent."""
        if self.before_ms is not None and start_ms < self.before_ms:
            return True
        return self.begins(start_ms) and (self.in_shares or cycle_key <= self.last.encode())

    def share_has_ended(self, start_ms: int) -> bool:
        """Whether the end of a cycle's share of the marketplace was sent."""
        if self.before_ms is not None and start_ms < self.before_ms:
            return True
        return self.begins(start_ms) and (
            self.in_shares and share_key(start_ms) <= self.last.encode()
        )


NONE_ENDED: Final = CycleEnds()

_KEY_SHIFT: Final = 2**63


def share_key(start_ms: int) -> bytes:
    """The key of a cycle's share of the marketplace; keys are in the order of their cycles."""
    return b"%020d" % (start_ms + _KEY_SHIFT)


def start_of_share(key: bytes) -> int:
    """The start of the cycle that a share is of."""
    return int(key) - _KEY_SHIFT


def start_of_row(key: bytes) -> int:
    """The start of the cycle in the key of a windowed table."""
    return catalogue.split_cycle_key(key)[1]
