"""What a value of a setting or of a term must be, in words, and how a wrong one is shown."""

from __future__ import annotations

import re
from datetime import date, time
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, FilePath

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_LENGTH: Final = re.compile(r"\[a-z0-9\.-\]\{(\d+),(\d+)\}")


def must_be(field: FieldInfo) -> str:
    """A description of the values that a field may have."""
    kinds = kinds_of(field)
    bounds = {
        name: getattr(one, name)
        for one in field.metadata
        for name in ("ge", "le", "gt", "pattern")
        if hasattr(one, name)
    }
    choices = [
        str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)
    ]
    choices += ["true", "false"] if bool in kinds else []
    length = _LENGTH.search(bounds.get("pattern") or "")
    if choices:
        return f"one of {', '.join(choices)}"
    if length:
        return f"{length[1]} to {length[2]} of the characters a to z, 0 to 9, dot and hyphen"
    if int in kinds:
        most = (
            f"from {bounds['ge']} to {bounds['le']}"
            if "le" in bounds
            else f"of at least {bounds['ge']}"
            if "ge" in bounds
            else ""
        )
        return f"a whole number {most}".strip()
    if float in kinds:
        return f"a number above {bounds['gt']:g}" if "gt" in bounds else "a number"
    if AwareDatetime in kinds:
        return "an instant with its zone, such as 2026-01-01T00:00:00Z"
    return (
        "the path of a file that is there"
        if FilePath in kinds
        else "a path"
        if Path in kinds
        else "text"
    )


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    """The types of a field's values, besides None."""
    annotation = field.annotation
    return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)


def shown_value(value: object) -> str:
    """A wrong value, as a sentence shows it: at most 80 characters."""
    text = value.isoformat() if isinstance(value, date | time) else repr(value)  # as TOML has them
    return shortened(text, 80)


def shortened(text: str, most: int = 300) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[:most]}…"
