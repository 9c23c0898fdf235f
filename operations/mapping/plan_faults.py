"""A fault of a mapping as one plain sentence: where it is, what is wrong, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
"""Keys and, from 0, numbers of tables, from the mapping's beginning."""

_UNION_PARTS: Final = {"str", "int", "Cell", "Condition", "fields"}
_WANTED: Final = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a table such as { name = … }",
    "string_too_short": "a text that isn't empty",
    "string_too_long": "one character",
    "string_pattern_mismatch": "a time of day such as 12:00",
}
_VALUE: Final = "a text in quotes, a whole number, or { column | number | money | time = COLUMN }"
_CONDITION: Final = "a text in quotes, or { above | below | one_of | none_of | empty = … }"
_SHOWN_CHARS: Final = 60


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """The nearest of the allowed names, as the end of a sentence; else all of them."""
    known = list(allowed)
    near = get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def sentence(error: ValidationError, keys: Callable[[Path], Sequence[str]]) -> str:
    """The fault that is deepest in a mapping; `keys` are those that a table may have."""
    first = max(error.errors(), key=lambda one: (len(_path(one["loc"])), _order(one["type"])))
    path, kind = _path(first["loc"]), first["type"]
    what = _what(kind, path, first, keys)
    return f"{_where(path) or 'mapping'}: {what}"


def _order(kind: str) -> int:
    """Of the faults of one value's forms, the later one is shown."""
    return {"model_type": 1, "value_error": 2}.get(kind, 0)


def _path(loc: Path) -> Path:
    return tuple(
        part
        for part in loc
        if isinstance(part, int)
        or (part not in _UNION_PARTS and not part.startswith(("function-", "literal[")))
    )


def _where(path: Path) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in path)


def _what(kind: str, path: Path, fault: ErrorDetails, keys: Callable[[Path], Sequence[str]]) -> str:
    given = fault["input"]
    what = f"is {_shown(given)}, and {_WANTED.get(kind, 'another value')} is wanted"
    if kind == "value_error":
        what = fault["msg"].removeprefix("Value error, ")
    elif kind == "extra_forbidden":
        advice = did_you_mean(path[-1], keys(path[:-1]))
        what = f"is no name that a mapping knows there: {advice}"
    elif kind == "missing":
        what = "is missing"
    elif kind == "literal_error":
        allowed = fault["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        what = f"is {_shown(given)}, and isn't one that is known: {did_you_mean(given, allowed)}"
    elif kind in {"list_type", "too_short"}:
        name = ".".join(part for part in path if isinstance(part, str))
        form = f"[[{name}]]" if path[-1] in {"file", "event", "skip"} else 'a list such as ["a"]'
        what = f"is {_shown(given)}, and {form} is wanted"
    elif kind == "model_type":
        form = _CONDITION if "when" in path else _VALUE
        what = f"is {_shown(given)}, and {form} is wanted"
    return what


def _shown(given: object) -> str:
    if isinstance(given, dict):
        return "a table"
    shown = {True: "true", False: "false"}[given] if isinstance(given, bool) else repr(given)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"
