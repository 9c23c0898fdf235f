"""`netsold status`: the whole way from the topics of events to a reader's tables.

It shows what runs, how fresh the tables are, and what is behind; with --watch again and again.
"""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from operations.arguments import Json
from operations.output import print_json, print_table
from operations.reader_client import BadRequest, ReaderError, get
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH_EVERY_S: Final = 1.0
"""Between two answers, and between two pictures."""

SILENT_AFTER_S: Final = 3.0
"""An older answer is shown as one of the past."""

MaxBehind = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="RECORDS",
        help="Fail if more are behind, such as 0; as NETSOLD_MAX_BEHIND_RECORDS.",
    ),
]
MaxBehindSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Fail if an event waits longer; as NETSOLD_MAX_BEHIND_SECONDS.",
    ),
]


def command(
    max_behind: MaxBehind = None,
    max_behind_seconds: MaxBehindSeconds = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every second, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what runs, how fresh the tables are and what is behind.

    Exit code 5 unless the whole way is alive. With --watch and --json: one object a second.
    """
    settings = Settings()
    seconds = None if max_behind_seconds is None else str(max_behind_seconds)
    query = {"max_behind": max_behind, "max_behind_seconds": seconds}

    def read() -> dict[str, Any]:
        return get(settings, "/v1/status", query)

    if watch:
        _watch(read, as_json=as_json)
    answer = read()
    if as_json:
        print_json(answer)
    else:
        from rich.console import Console
        from rich.table import Table

        from operations.commands import status_view

        console = Console(highlight=False, markup=False)
        for part in status_view.parts(answer):
            if isinstance(part, Table):
                print_table(part)
            else:
                console.print(part, soft_wrap=True)
    if answer["state"] != "live":
        raise typer.Exit(5)


class _Answers:
    """Answers of the reader, read every second by a thread of its own.

    A reader that observes a Kafka in trouble answers late; what is shown must not wait for it.
    `last` is the last answer, `at_s` when it arrived, by the monotonic clock. `failure` is why
    there is none since.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self.last: dict[str, Any] | None = None
        self.at_s = time.monotonic()
        self.failure: ReaderError | None = None
        self.count = 0
        self._read = read
        self._fault: Exception | None = None
        Thread(target=self._run, daemon=True).start()

    @property
    def age_s(self) -> float:
        """Seconds since the last answer, or since the start."""
        return time.monotonic() - self.at_s

    @property
    def why_silent(self) -> str | None:
        """Why the last answer is one of the past; None if it is not."""
        if self._fault is not None:
            raise self._fault
        if self.failure is not None:
            return str(self.failure)
        return "the reader has not answered yet" if self.age_s > SILENT_AFTER_S else None

    def _run(self) -> None:
        while self._fault is None:
            try:
                self.last, self.failure = self._read(), None
                self.at_s = time.monotonic()
            except BadRequest as error:  # waiting does not help
                self._fault = error
            except ReaderError as error:
                self.failure = error
            except Exception as error:  # noqa: BLE001 - the main thread raises it
                self._fault = error
            self.count += 1
            time.sleep(WATCH_EVERY_S)


def _watch(read: Callable[[], dict[str, Any]], *, as_json: bool) -> NoReturn:
    """Show answers until Ctrl-C."""
    from rich.console import Console

    console, answers = Console(highlight=False, markup=False), _Answers(read)
    if as_json or not console.is_terminal:
        _print_lines(answers, as_json=as_json)
    from rich.live import Live

    from operations.commands import status_view

    with Live(console=console, auto_refresh=False) as live:
        while True:
            why, last = answers.why_silent, answers.last
            if why is not None:
                live.update(status_view.waiting(why, answers.age_s, last), refresh=True)
            elif last is not None:
                live.update(status_view.picture(last), refresh=True)
            time.sleep(WATCH_EVERY_S / 2)


def _print_lines(answers: _Answers, *, as_json: bool) -> NoReturn:
    """Print every answer as it arrives, or why there is none; also while one is waited for."""
    from operations.commands import status_view

    shown, printed_s = 0, time.monotonic()
    while True:
        why = answers.why_silent
        is_silent = why is not None and time.monotonic() - printed_s >= SILENT_AFTER_S
        if answers.count == shown and not is_silent:
            time.sleep(WATCH_EVERY_S / 10)
            continue
        shown, printed_s = answers.count, time.monotonic()
        if why is not None or answers.last is None:
            print_json({"error": why}) if as_json else typer.echo(f"no answer: {why}")
        else:
            print_json(answers.last) if as_json else typer.echo(status_view.line(answers.last))
