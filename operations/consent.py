"""A person's yes to a change that was shown."""

from __future__ import annotations

import sys

import typer

from operations.output import print_error
from operations.waiting import Interrupted
from schemas.errors import NetsoldError


class NotConfirmed(NetsoldError):
    """A change needs a yes, and there is nobody to give it."""

    exit_code = 2


def confirm(question: str, otherwise: str, *, yes: bool, no_input: bool) -> None:
    """Return where the change may be made: with `yes`, or after a yes to the question.

    Raises NotConfirmed with `otherwise` where nobody can be asked, Interrupted at Ctrl-C, and
    typer.Exit after a no.
    """
    if yes:
        return
    if no_input or not sys.stdin.isatty():
        raise NotConfirmed(otherwise)
    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort as error:
        raise Interrupted("interrupted; nothing was changed") from error
    if not confirmed:
        print_error("nothing was changed")
        raise typer.Exit(1)
