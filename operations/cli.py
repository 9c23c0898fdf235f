"""The command line: `netsold COMMAND`.

Data go to stdout, everything else to stderr; exit codes are listed in `EXIT_CODES`. A command's
module is imported only when that command is called, so that `netsold --help` is quick.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from operations import failures, interrupts

EXIT_CODES = {
    0: "fine",
    1: "failed",
    2: "called with wrong arguments or settings",
    3: "a difference was found",
    4: "not found",
    5: "not ready: no answer, or too stale",
    130: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of commands, in a module of its own.

    A command is that module's `command` function, whose docstring is its own help; a group is its
    `app`. `asks_reader`: its answer is of the version that the pointer names.
    """

    name: str
    module: str
    help: str
    asks_reader: bool = False


OF_POINTED = (
    "It asks the reader, which answers from the version that the last `netsold rebuild promote` or "
    "`rollback` named."
)
"""About the commands that ask the reader."""


COMMANDS = (
    Command(
        "up",
        "operations.commands.up",
        "Run it all here: Kafka, workers, reader, simulated traffic, and a live view.",
    ),
    Command("worker", "operations.commands.worker", "Run a worker: it keeps the tables."),
    Command("serve", "operations.commands.serve", "Run a reader: it answers over HTTP."),
    Command(
        "top",
        "operations.commands.top",
        "List what sells best, or the best shops.",
        asks_reader=True,
    ),
    Command(
        "series",
        "operations.commands.series",
        "Show sales by cycle, day or hour: of a product, a shop or the marketplace.",
        asks_reader=True,
    ),
    Command(
        "overdue",
        "operations.commands.overdue",
        "List the inquiries that shops haven't replied to in time.",
        asks_reader=True,
    ),
    Command(
        "get",
        "operations.commands.get",
        "Show one product, shop or order.",
        asks_reader=True,
    ),
    Command(
        "explain",
        "operations.commands.explain",
        "Show why a number is what it is: an order's events, a product's or a shop's orders.",
        asks_reader=True,
    ),
    Command(
        "find",
        "operations.commands.find",
        "Find orders by refund, shop, product or time.",
        asks_reader=True,
    ),
    Command(
        "search",
        "operations.commands.search",
        "Find products, shops and orders by how their ids or names begin.",
        asks_reader=True,
    ),
    Command(
        "status",
        "operations.commands.status",
        "Show what runs, how fresh it is and what is behind.",
        asks_reader=True,
    ),
    Command(
        "journal",
        "operations.commands.journal",
        "Show what changed in sales since an instant, and by which build and rules.",
    ),
    Command(
        "doctor",
        "operations.commands.doctor",
        "Check all that netsold depends on; mend transactions and offsets.",
    ),
    Command(
        "audit",
        "operations.commands.audit",
        "Count the whole log again and compare every table with it, row by row.",
    ),
    Command(
        "replay",
        "operations.commands.replay",
        "Show what this build, or other terms, would make of the log; changes nothing.",
    ),
    Command(
        "tables",
        "operations.commands.tables",
        "Print all that the tables hold, in the form of recount.",
    ),
    Command("sql", "operations.commands.sql", "Query an export by SQL; changes nothing."),
    Command(
        "bridge",
        "operations.commands.bridge",
        "Lead refunds by basis sale to those by basis refund, by cycle, to the cent.",
    ),
    Command(
        "compare",
        "operations.commands.compare",
        "Compare two versions of the tables, or a version and a recount.",
    ),
    Command(
        "simulate",
        "operations.commands.simulate",
        "Write a simulated marketplace: orders, reviews and messages.",
    ),
    Command("import", "operations.commands.importing", "Write events from files to the log."),
    Command(
        "recount",
        "operations.commands.recount",
        "Count from files of events, by a route that shares no code with the tables.",
    ),
)

GROUPS = (
    Command("kafka", "operations.commands.kafka", "The local Kafka in the data directory."),
    Command("topics", "operations.commands.topics", "The topics of this application."),
    Command(
        "rebuild",
        "operations.commands.rebuild",
        "Another version beside the live one: count the log again, compare, promote, go back.",
    ),
    Command(
        "rules",
        "operations.commands.rules",
        "What decides what counts: show the terms, compare them, run their examples.",
    ),
    Command(
        "schemas",
        "operations.commands.schemas",
        "The contract of the topics: JSON Schemas and AsyncAPI; which changes break them.",
    ),
    Command(
        "export",
        "operations.commands.export",
        "The journal and the tables as Parquet files, at one vector: write, verify.",
    ),
    Command("token", "operations.commands.token", "Tokens with which clients read from a reader."),
    Command(
        "dead-letters",
        "operations.commands.dead_letters",
        "Refused records: list them, show them, put them back, or discard them.",
    ),
)

app = typer.Typer(
    help=(
        "What really sold: order events turned, exactly once,"
        " into tables of sales per product and shop."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_build(wanted: bool) -> None:
    if wanted:
        from schemas.columns import RULES
        from streams.build import this_build

        typer.echo(f"netsold {this_build()}, rules {RULES}")
        raise typer.Exit


@app.callback()
def _options(
    build: Annotated[
        bool,
        typer.Option("--version", callback=_show_build, is_eager=True, help="Show the build."),
    ] = False,
) -> None:
    """What holds for all commands."""


def main() -> None:
    """Run the command line.

    An error that the user can mend is one sentence on stderr and ends the process with its exit
    code.
    """
    _make_writable()
    # aiokafka logs a failed connection and raises it, too; the exception is explained.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    code: int | str | None = 0
    try:
        _register(sys.argv[1:])
        if _called(sys.argv[1:]) and "--help" not in sys.argv:
            _refuse_unknown_settings()
        app(prog_name="netsold")
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = interrupts.INTERRUPTED
    except Exception as error:
        code = _explain(error)
        if code is None:
            raise
    sys.exit(_flushed() or code)


def _make_writable() -> None:
    """Escape what stdout can't encode, and discard what goes to a closed stdout or stderr."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process runs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed() -> int:
    """Flush stdout: 0 if all output is written, else the exit code.

    The error is explained, except that of a closed pipe, such as of `head`.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else _explain(error) or 1
    return 0


def _explain(error: Exception) -> int | None:
    """Explain an error that the user can mend in one sentence; its exit code.

    None for a defect of netsold.
    """
    explained = failures.explained(error)
    if explained is None:
        return None
    with contextlib.suppress(OSError):  # stderr may be on the full disk that the sentence is about
        typer.echo(f"netsold: {explained[0]}", err=True)
    return explained[1]


def _refuse_unknown_settings() -> None:
    from operations import setting_faults

    setting_faults.refuse_unknown()


def _called(arguments: list[str]) -> str | None:
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _register(arguments: list[str]) -> None:
    """Add every command to the app: the called one from its module, the others as name and help."""
    called = _called(arguments)
    for group in GROUPS:
        if group.name != called:
            app.add_typer(typer.Typer(), name=group.name, help=group.help)
            continue
        commands = importlib.import_module(group.module).app
        own = commands.registered_callback  # of a group that is a command, too
        text = group.help if own is None else inspect.getdoc(own.callback)
        app.add_typer(commands, name=group.name, help=text, no_args_is_help=own is None)
    for command in COMMANDS:
        if command.name == called:
            function = importlib.import_module(command.module).command
            app.command(command.name, epilog=OF_POINTED if command.asks_reader else None)(function)
        else:
            app.command(command.name, help=command.help)(_not_loaded)


def _not_loaded() -> None:
    raise AssertionError("a command runs only from its own module")


if __name__ == "__main__":
    with interrupts.handled():
        main()
