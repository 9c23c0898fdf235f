"""`netsold token new`: tokens with which clients read from a reader."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from operations.arguments import Json
from operations.local.data_dir import keep_private, usable, write_whole
from operations.output import print_error, print_json
from schemas.tokens import SECRET_SIZE, Scope, is_token_name, line_of, token_of

app = typer.Typer()

TOKEN_FILE = "token"  # noqa: S105 - the name of a file
LINES_FILE = "tokens"


@app.command("new")
def new(
    scope: Annotated[
        Scope, typer.Option(help="What it allows: read, or operate, which also shows buyers' ids.")
    ],
    name: Annotated[str, typer.Option(help="Who has it; requests are limited by name.")] = "client",
    save: Annotated[
        Path | None,
        typer.Option(
            help="Print nothing; write DIR/token and its line to DIR/tokens, unless they are there."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and print it with the line by which a reader accepts it.

    It is shown only now: the line has its hash. Put the line into the file that
    NETSOLD_READER_TOKENS_FILE names; a running reader reads it within a second or so.
    """
    if not is_token_name(name):
        raise typer.BadParameter(
            "write 1 to 64 letters, digits, dots, hyphens and underscores", param_hint="--name"
        )
    token = token_of(secrets.token_bytes(SECRET_SIZE))
    line = line_of(scope, name, token)
    if save is not None:
        _save(save, token, line)
    elif as_json:
        print_json({"token": token, "line": line})
    else:
        typer.echo(f"token  {token}\nline   {line}")


def _save(directory: Path, token: str, line: str) -> None:
    keep_private()
    with usable(directory):
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / LINES_FILE).exists():
            print_error(f"{directory / LINES_FILE} is there already: nothing is changed")
            return
        write_whole(directory / TOKEN_FILE, f"{token}\n".encode())
        write_whole(directory / LINES_FILE, f"{line}\n".encode())
