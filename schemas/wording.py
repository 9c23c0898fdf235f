"""How sentences count and list things; no sentence grows with what it lists."""

from collections.abc import Iterable, Sequence
from typing import Final

LISTED_NAMES: Final = 8
"""Most names that a sentence lists."""


def with_count(word: str, what: Sequence[object]) -> str:
    """A number with its word, such as `2 partitions`."""
    return f"{len(what):,} {word}{'' if len(what) == 1 else 's'}"


def name_list(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    first = list(names)
    return (
        ", ".join(first)
        if len(first) <= LISTED_NAMES
        else f"{', '.join(first[:LISTED_NAMES])} and {len(first) - LISTED_NAMES} more"
    )
