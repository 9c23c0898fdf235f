"""The command line: `netsold COMMAND`.

Data go to stdout, everything else to stderr; exit codes are listed in `EXIT_CODES`.

A command's module is imported only when that command is called, so that `netsold --help` is quick.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from operations import failures, interrupts
from operations.output import Json, print_json

if TYPE_CHECKING:
    from operations.local.kafka import LocalKafka, Status

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
    """A command that lives in a module of its own, as that module's `command` function."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command(
        "up",
        "operations.commands.up",
        "Run it all here: Kafka, workers, reader, simulated traffic, and a live view.",
    ),
    Command("worker", "operations.commands.worker", "Run a worker: it keeps the tables."),
    Command("serve", "operations.commands.serve", "Run a reader: it answers over HTTP."),
    Command("top", "operations.commands.top", "List what sells best, or the best shops."),
    Command(
        "overdue",
        "operations.commands.overdue",
        "List the inquiries that shops haven't replied to in time.",
    ),
    Command("get", "operations.commands.get", "Show one product, shop or order."),
    Command(
        "status",
        "operations.commands.status",
        "Tell what runs, how fresh it is and what is behind.",
    ),
    Command(
        "tables",
        "operations.commands.tables",
        "Print all that the tables hold, in the form of recount.",
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

app = typer.Typer(
    help="What really sold: order events turned, exactly once, into tables of sales per product and shop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
kafka_app = typer.Typer(help="The local Kafka in the data directory.", no_args_is_help=True)
topics_app = typer.Typer(help="The topics of this application.", no_args_is_help=True)


@kafka_app.command("start")
def kafka_start(as_json: Json = False) -> None:
    """Start the local Kafka and leave it running; print its address."""
    from operations.local.data_dir import keep_private

    keep_private()
    kafka = _local_kafka()
    kafka.start()
    _show_kafka(kafka.status(), as_json=as_json)


@kafka_app.command("stop")
def kafka_stop(as_json: Json = False) -> None:
    """Stop the local Kafka; its data stay."""
    stopped = _local_kafka().stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo("stopped" if stopped else "it wasn't running")


@kafka_app.command("status")
def kafka_status(as_json: Json = False) -> None:
    """Tell whether the local Kafka runs, and where; exit code 5 if it doesn't."""
    status = _local_kafka().status()
    _show_kafka(status, as_json=as_json)
    if not status.running:
        raise typer.Exit(5)


@topics_app.command("create")
def topics_create(as_json: Json = False) -> None:
    """Create the topics that are missing, with their policies.

    Topics that exist are left as they are.
    """
    from operations.local.kafka import named_cluster
    from operations.waiting import answer
    from streams import topics

    settings = named_cluster()
    created = answer(settings, topics.create(settings))
    if as_json:
        print_json({"created": created})
    else:
        typer.echo("\n".join(created) if created else "all topics exist")


@topics_app.command("check")
def topics_check(as_json: Json = False) -> None:
    """Compare the cluster's topics with what netsold needs; exit code 3 if any doesn't fit."""
    from operations.local.kafka import named_cluster
    from operations.waiting import answer
    from streams import topics

    settings = named_cluster()
    mismatches = answer(settings, topics.check(settings))
    if as_json:
        print_json({"mismatches": [asdict(mismatch) for mismatch in mismatches]})
    else:
        typer.echo("\n".join(map(str, mismatches)) if mismatches else "all topics fit")
    if mismatches:
        raise typer.Exit(3)


def main() -> None:
    """Run the command line.

    An error that a person can mend is said in one sentence and ends the process with its exit code.
    """
    _make_writable()
    # What aiokafka logs of a failed connection comes as an exception too, and that one is
    # explained.
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
    """Let what stdout can't encode come out escaped, and what goes to a closed stdout or stderr go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process runs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed() -> int:
    """0 if all output is written, else the exit code.

    ChatMessage in a sentence, but for a reader that has gone away, such as `head`.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the interpreter flushes once more at its end
        return 1 if isinstance(error, BrokenPipeError) else _explain(error) or 1
    return 0


def _explain(error: Exception) -> int | None:
    """Say what a person can mend in one sentence, and return the exit code.

    None for a fault of ours.
    """
    explained = failures.explained(error)
    if explained is None:
        return None
    with contextlib.suppress(OSError):  # stderr may lie on the full disk that the sentence is about
        typer.echo(f"netsold: {explained[0]}", err=True)
    return explained[1]


def _refuse_unknown_settings() -> None:
    from operations import setting_faults

    setting_faults.refuse_unknown()


def _called(arguments: list[str]) -> str | None:
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _register(arguments: list[str]) -> None:
    """Add every command to the app.

    The called one from its module, the others by name and help only.
    """
    called = _called(arguments)
    app.add_typer(kafka_app, name="kafka")
    app.add_typer(topics_app, name="topics")
    for command in COMMANDS:
        function = (
            importlib.import_module(command.module).command
            if command.name == called
            else _not_loaded
        )
        app.command(command.name, help=command.help)(function)


def _not_loaded() -> None:
    raise AssertionError("a command runs only from its own module")


def _local_kafka() -> LocalKafka:
    from operations.local.kafka import LocalKafka
    from streams.settings import Settings

    return LocalKafka(Settings().data_dir)


def _show_kafka(status: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(status))
    elif status.running:
        typer.echo(
            f"Kafka runs at {status.bootstrap} (pid {status.pid}, cluster {status.cluster_id}, log {status.log})"
        )
    else:
        typer.echo(f"Kafka doesn't run (log {status.log})")


if __name__ == "__main__":
    with interrupts.handled():
        main()
