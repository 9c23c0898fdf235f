"""Arguments and options that several commands have."""

from typing import Annotated

import typer

EventFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE…",
        help="JSONL or a JSON array, plain, gzip, bzip2 or xz; - is standard input.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
