"""How findings are made and worded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.status import Finding

if TYPE_CHECKING:
    from streams.log import At


def fault(code: str, sentence: str, remedy: str) -> Finding:
    """A finding that makes the state another one than live."""
    return Finding(code=code, severity="fault", sentence=sentence, remedy=remedy)


def notice(code: str, sentence: str, remedy: str) -> Finding:
    """A finding that leaves the state as it is."""
    return Finding(code=code, severity="notice", sentence=sentence, remedy=remedy)


def named(at: At) -> str:
    """A partition's name, such as `orders-0`."""
    return f"{at[0]}-{at[1]}"
