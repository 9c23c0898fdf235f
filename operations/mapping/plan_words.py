"""Texts of a mapping where there is a number, or one of some words such as who refunds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from operations.mapping.plan_faults import did_you_mean
from schemas import events

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_words(event_type: str, fields: Mapping[str, object]) -> None:
    """Check the texts without a column. Raises ValueError for the first that is no such word."""
    model = events.MODELS.get(event_type)
    for name, value in fields.items():
        field = None if model is None else model.model_fields.get(name)
        words = [] if field is None else _words_of(field.annotation)
        if words and isinstance(value, str) and "{" not in value and value not in words:
            raise ValueError(f"{name} is {value!r}: {did_you_mean(value, words)}")


def check_quantity(line: Mapping[str, object]) -> None:
    """Check that a line's quantity is no text. Raises ValueError."""
    if isinstance(line.get("quantity"), str):
        raise ValueError(  # noqa: TRY004 - what pydantic expects
            "quantity needs { number = COLUMN }, or a whole number"
        )


def _words_of(annotation: Any) -> list[str]:  # noqa: ANN401 - any annotation
    """The words of a Literal, or of one in a union; none of another type."""
    if get_origin(annotation) is Literal:
        return [one for one in get_args(annotation) if isinstance(one, str)]
    return [word for one in get_args(annotation) for word in _words_of(one)]
