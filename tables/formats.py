"""The formats of states: which are read, and what happens to a row of any other.

A state's bytes begin with the number of its format, so rows of two formats stand beside each other
in one table. A build writes one format of each state, and reads those in `ALSO_READ` as well. A
format is read a release before it is written: so in one group workers of two neighbouring releases
read each other's rows, forwards and back (docs/evolution.md). A row of any other format stops the
worker: it is never guessed.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from schemas.errors import NetsoldError

_State = TypeVar("_State")

WRITTEN: Final = 1
"""The number of the set of formats that this build writes, which marks carry.

It rises by one when the written format of any state, or of a journal's row, changes.
"""

READ: Final = 1
"""The highest set of formats that this build reads."""

ALSO_READ: Final[dict[tuple[str, int], Callable[[bytes], Any]]] = {}
"""By state and format that is not written: its bytes → the state. There is no second format yet."""


class UnreadableFormatError(NetsoldError):
    """A row has a format that this build does not read: another release wrote it."""

    def __init__(self, what: str, found: object) -> None:
        super().__init__(
            f"{what} has format {found}, which this build does not read: run a build that does "
            "(docs/runbook.md, State of another release)"
        )


def reader(
    state: str, written: int, decode: Callable[[bytes], _State]
) -> Callable[[bytes], _State]:
    """Bytes of any readable format → the state; `decode` reads the `written` one and no other.

    The function raises UnreadableFormatError, and msgspec's errors for bytes that are damaged.
    """

    def read(found: bytes) -> _State:
        try:
            return decode(found)
        except msgspec.ValidationError:
            number = _number_of(found)
            if number == written:
                raise
            other = ALSO_READ.get((state, number))
            if other is None:
                raise UnreadableFormatError(f"a state of {state}", number) from None
            read_state: _State = other(found)
            return read_state

    return read


def _number_of(found: bytes) -> int:
    """The first element of a state's bytes; -1 if there is none."""
    row = msgspec.json.decode(found)
    return row[0] if isinstance(row, list) and row and isinstance(row[0], int) else -1
