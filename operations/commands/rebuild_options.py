"""Options and arguments of `netsold rebuild`."""

from typing import Annotated

import typer

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; it is recorded.")]
Within = Annotated[
    float,
    typer.Option(
        min=0,
        max=50,
        metavar="SECONDS",
        help="How long rows that are written all the time are waited for.",
    ),
]
Limit = Annotated[int, typer.Option(min=0, max=1000, help="Most rows shown of each list.")]
VersionArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as r1 or netsold.r1.")]
Partitions = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Other than the log's: the rebuild counts a copy of it, made here."
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="POSITION",
        help="Count a copy of the log without this record: orders-0@12; may be repeated.",
    ),
]
CopyRate = Annotated[
    float | None,
    typer.Option(
        "--rate", min=0.1, metavar="RECORDS", help="Most records copied each second; unset = any."
    ),
]
Rebuilt = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The rebuild; unset = the only one.")
]
NewName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Unset = the next of r1, r2 and so on.")
]
NoWorker = Annotated[
    bool,
    typer.Option("--no-worker", help="Only register it and create its topics; nor copy its log."),
]
AcceptDiff = Annotated[
    bool,
    typer.Option("--accept-diff", help="Although it differs, or can't be compared; needs --why."),
]
