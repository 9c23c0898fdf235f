"""The options of a command that counts by other terms than the settings'."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.settings import RuleSettings

if TYPE_CHECKING:
    from collections.abc import Callable


def takes_terms(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each term in place of its parameter `terms`.

    That gets those that are given, by the names of the settings.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for one in signature.parameters.values():
        parameters += _options() if one.name == "terms" else [one]

    @wraps(command)
    def with_options(**arguments: Any) -> None:  # noqa: ANN401 - as the command's
        values = {name: arguments.pop(name) for name in RuleSettings.model_fields}
        terms = {name: value for name, value in values.items() if value is not None}
        command(terms=terms, **arguments)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


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
