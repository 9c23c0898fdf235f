"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

EventFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE…",
        help="JSONL or a JSON array, plain, gzip, bzip2, xz, zstd or zip; - is standard input.",
    ),
]
ImportedFiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…",
        help="JSONL or a JSON array, plain, gzip, bzip2, xz, zstd or zip; - is standard input."
        " With --mapping: files of other systems.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the last run, which was interrupted.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Change without asking: for scripts.")]
NoInput = Annotated[
    bool, typer.Option("--no-input", help="Never ask: without --yes nothing is changed.")
]
VersionName = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="NAME",
        help="Of this version, such as netsold.r1 or r1; else of the one that readers answer from.",
    ),
]
KnownAt = Annotated[
    str | None,
    typer.Option(
        help="ISO 8601 with zone: only events that stood in the log by then (log time)."
        " A page of that time showed less where workers were behind."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(help="ISO 8601 with zone: only what had happened by then (event time)."),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        metavar="FILE",
        help="Count by the terms of this rules file; `netsold rules show` prints one.",
    ),
]
