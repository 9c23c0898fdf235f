"""Which parameters a request may have: those of its address, each once and with a value.

One that is declared as a list may be repeated. Everything else is refused. It is one dependency of
the whole app, so that no address omits it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_origin

from fastapi import Request

from schemas.answers import Fault
from serving.problems import faulty, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from fastapi._compat import ModelField
    from fastapi.dependencies.models import Dependant

FLAGS: Final = frozenset({"verbose"})
"""Parameters without a value: their presence is what counts."""

_WHOLE: Final = re.compile(r"-?[0-9]+")
"""A whole number; pydantic also takes `1_0` and ` 10.0`."""

_EMPTY: Final = "it is empty: give it a value, or leave it out"
YES: Final = frozenset({"", "1", "true"})
"""What may stand as the value of one all the same."""


class MayBeEmpty:
    """Marks a list parameter that means something without a value, in its annotation."""


async def require_known(request: Request) -> None:
    """Refuse a parameter that the address doesn't have, or that is given twice or empty."""
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    if not given:
        return
    known = {field.alias: field for field in _declared(request.scope["route"].dependant)}
    faults = [
        Fault(where=_cut(name), detail=fault)
        for name, values in given.items()
        if (fault := _fault(name, values, known))
    ]
    if faults:
        raise faulty(faults)


def _declared(dependant: Dependant) -> Iterator[ModelField]:
    """The query parameters of an address and of what it depends on."""
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from _declared(inner)


def _fault(name: str, values: list[str], known: Mapping[str, ModelField]) -> str | None:
    if name not in known:
        here = (
            f"the parameters here are {', '.join(known)}"
            if known
            else "this address has no parameters"
        )
        return f"there is no parameter {quoted(name)}{advice(name, known, here)}"
    declared, value = known[name].field_info, values[0]
    if get_origin(declared.annotation) is list:
        may_be_empty = any(isinstance(one, MayBeEmpty) for one in declared.metadata)
        return None if may_be_empty or all(values) else _EMPTY
    if len(values) > 1:
        return f"it is given {len(values)} times: give it once"
    if name in FLAGS:
        return (
            None
            if value in YES
            else f"{quoted(value)} is no value of it: write ?{name}, or leave it out"
        )
    if declared.annotation is int and value and not _WHOLE.fullmatch(value):
        return _not_whole(value)
    return None if value else _EMPTY


def _not_whole(given: str) -> str:
    return f"{quoted(given)} is no whole number"


def advice(name: str, known: Collection[str], rest: str = "") -> str:
    """The end of a sentence about an unknown name: which known one is like it, and the rest."""
    return advice_of(next(iter(get_close_matches(name.lower(), known, 1)), None), rest)


def advice_of(like: str | None, rest: str = "") -> str:
    """The end of a sentence about something unknown: what is like it, if anything, and the rest."""
    if like is None:
        return f"; {rest}" if rest else ""
    return f": did you mean {like}?" + (f" {rest[0].upper()}{rest[1:]}" if rest else "")


def in_plain_words(error: dict[str, Any]) -> Fault:
    """The fault of one part of a request, in plain words, from an error of pydantic's."""
    given, about = error["input"], error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            values = re.findall(r"'([^']*)'", about["expected"])
            text = f"{quoted(given)} is none of {', '.join(values)}{advice(given, values)}"
        case "greater_than_equal":
            text = f"{quoted(given)} is less than {about['ge']}"
        case "less_than_equal":
            text = f"{quoted(given)} is more than {about['le']}"
        case "int_parsing" | "int_parsing_size" | "int_from_float":
            text = _not_whole(given)
        case _:
            text = error["msg"]
    return Fault(where=".".join(map(str, error["loc"][1:] or error["loc"])), detail=text)


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"  # noqa: PLR2004 - as `quoted` does
