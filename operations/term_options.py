"""The options of a command that counts by other terms than the settings'."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from operations.option_groups import with_group
from streams.settings import RuleSettings

if TYPE_CHECKING:
    from collections.abc import Callable

Terms = dict[str, Any] | None
"""The terms that are given, by the names of the settings."""


def takes_terms(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each term in place of its parameter `terms`."""
    return with_group(command, "terms", _given, _options())


def _given(**values: Any) -> Terms:  # noqa: ANN401 - as the settings'
    return {name: value for name, value in values.items() if value is not None}


def _options() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[
                (int if field.annotation is int else str) | None,
                typer.Option(help=_help(name, field.description or "")),
            ],
        )
        for name, field in RuleSettings.model_fields.items()
    ]


def _help(name: str, description: str) -> str:
    return f"{description[:1].upper()}{description[1:]}; as NETSOLD_{name.upper()}."
