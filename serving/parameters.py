"""Which parameters a request may have: those of its address, each once and with a value.

Everything else is refused. It is one dependency of the whole app, so that no address omits it.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from schemas.answers import Fault
from serving.problems import faulty, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fastapi.dependencies.models import Dependant

FLAGS: Final = frozenset({"verbose"})
"""Parameters without a value: their presence is what counts."""

_YES: Final = frozenset({"", "1", "true"})


async def require_known(request: Request) -> None:
    """Refuse a parameter that the address doesn't have, or that is given twice or empty."""
    given = request.query_params.multi_items()
    if not given:
        return
    known = list(dict.fromkeys(_declared(request.scope["route"].dependant)))
    times = Counter(name for name, _ in given)
    faults = [
        Fault(where=_cut(name), detail=fault)
        for name, value in dict(given).items()
        if (fault := _fault(name, value, times[name], known))
    ]
    if faults:
        raise faulty(faults)


def _declared(dependant: Dependant) -> Iterator[str]:
    """The names of the query parameters of an address and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _declared(inner)


def _fault(name: str, value: str, times: int, known: Collection[str]) -> str | None:
    if name not in known:
        here = (
            f"the parameters here are {', '.join(known)}"
            if known
            else "this address has no parameters"
        )
        return f"there is no parameter {quoted(name)}{nearest(name, known)}; {here}"
    if times > 1:
        return f"it is given {times} times: give it once"
    if name in FLAGS:
        return (
            None
            if value in _YES
            else f"{quoted(value)} is no value of it: write ?{name}, or leave it out"
        )
    return None if value else "it is empty: give it a value, or leave it out"


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the known one that is most like it, if any."""
    like = get_close_matches(name.lower(), known, 1)
    return f", did you mean {like[0]}?" if like else ""


def in_plain_words(error: dict[str, Any]) -> Fault:
    """The fault of one part of a request, in plain words, from an error of pydantic's."""
    given, about = error["input"], error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            values = re.findall(r"'([^']*)'", about["expected"])
            text = f"{quoted(given)} is none of {', '.join(values)}{nearest(given, values)}"
        case "greater_than_equal":
            text = f"{quoted(given)} is less than {about['ge']}"
        case "less_than_equal":
            text = f"{quoted(given)} is more than {about['le']}"
        case "int_parsing" | "int_parsing_size" | "int_from_float":
            text = f"{quoted(given)} is no whole number"
        case _:
            text = error["msg"]
    return Fault(where=".".join(map(str, error["loc"][1:] or error["loc"])), detail=text)


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"  # noqa: PLR2004 - as `quoted` does
