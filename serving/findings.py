"""How findings are made and worded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.status import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.log import At

LISTED_NAMES: Final = 8
"""Most names that a sentence lists."""


def fault(code: str, sentence: str, remedy: str) -> Finding:
    """A finding that makes the state another one than live."""
    return Finding(code=code, severity="fault", sentence=sentence, remedy=remedy)


def notice(code: str, sentence: str, remedy: str) -> Finding:
    """A finding that leaves the state as it is."""
    return Finding(code=code, severity="notice", sentence=sentence, remedy=remedy)


def named(at: At) -> str:
    """A partition's name, such as `orders-0`."""
    return f"{at[0]}-{at[1]}"


def counted(word: str, what: Sequence[str]) -> str:
    """A number with its word, such as `2 partitions`."""
    return f"{len(what)} {word}{'' if len(what) == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    first = list(names)
    return (
        ", ".join(first)
        if len(first) <= LISTED_NAMES
        else f"{', '.join(first[:LISTED_NAMES])} and {len(first) - LISTED_NAMES} more"
    )
