"""Options that several commands have together: each group stands once, and is one parameter."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def with_group(
    command: Callable[..., None],
    name: str,
    gather: Callable[..., object],
    options: Sequence[inspect.Parameter] | None = None,
) -> Callable[..., None]:
    """A command with options in place of its parameter `name`; that gets what `gather` makes.

    The options are the parameters of `gather`, unless they are given.
    """
    group = options or [*inspect.signature(gather, eval_str=True).parameters.values()]
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        parameters += group if one.name == name else [one]

    @wraps(command)
    def with_options(**arguments: Any) -> None:  # noqa: ANN401 - as the command's
        given = {one.name: arguments.pop(one.name) for one in group}
        command(**{name: gather(**given)}, **arguments)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
