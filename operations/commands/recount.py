"""`netsold recount`: what really sold and how shops served, counted from files of events.

The counting is in `operations/oracle/`, which shares no code with the tables.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from operations.arguments import EventFiles, RulesFile
from operations.oracle.events import Invalid, time_ms
from operations.oracle.recount import read_files
from operations.output import print_error, print_json
from operations.recounting import recount_by
from streams.rules import read_rules
from streams.settings import Settings


def command(
    files: EventFiles,
    rules: RulesFile = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="An instant with zone: what is overdue then; else the latest event's."),
    ] = None,
) -> None:
    """Count from files of events, by a route that shares no code with the tables.

    It prints one JSON object. Lines that are no events are skipped; then the exit code is 1.
    """
    values = (Settings().rules if rules is None else read_rules(rules)).values
    as_of_ms = None if as_of is None else _instant_ms("--as-of", as_of)
    refused: Counter[str] = Counter()
    events = read_files(files, refused)
    print_json(recount_by(values, events, refused, as_of_ms=as_of_ms))
    if refused:
        faults = "; ".join(f"{fault} ({count})" for fault, count in refused.most_common(10))
        print_error(f"netsold: skipped lines: {refused.total()}, because of: {faults}")
        raise typer.Exit(1)


def _instant_ms(option: str, text: str) -> int:
    try:
        return time_ms(text)
    except Invalid as fault:
        raise typer.BadParameter(f"{option}: {fault}") from fault
