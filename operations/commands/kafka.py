"""`netsold kafka start|stop|status`: the local Kafka in the data directory."""

from __future__ import annotations

from dataclasses import asdict

import typer

from operations.arguments import Json
from operations.local.data_dir import keep_private
from operations.local.kafka import LocalKafka, Status
from operations.output import print_json
from streams.settings import Settings

app = typer.Typer()


@app.command("start")
def start(as_json: Json = False) -> None:
    """Start the local Kafka and leave it running; print its address."""
    keep_private()
    kafka = _local_kafka()
    kafka.start()
    _show(kafka.status(), as_json=as_json)


@app.command("stop")
def stop(as_json: Json = False) -> None:
    """Stop the local Kafka; its data stay."""
    stopped = _local_kafka().stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo("stopped" if stopped else "it wasn't running")


@app.command("status")
def status(as_json: Json = False) -> None:
    """Show whether the local Kafka runs, and at which address; exit code 5 if it doesn't."""
    status = _local_kafka().status()
    _show(status, as_json=as_json)
    if not status.running:
        raise typer.Exit(5)


def _local_kafka() -> LocalKafka:
    return LocalKafka(Settings().data_dir)


def _show(status: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(status))
    elif status.running:
        typer.echo(
            f"Kafka runs at {status.bootstrap}"
            f" (pid {status.pid}, cluster {status.cluster_id}, log {status.log})"
        )
    else:
        typer.echo(f"Kafka doesn't run (log {status.log})")
