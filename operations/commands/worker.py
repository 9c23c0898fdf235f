"""`netsold worker`: one worker process, which keeps the tables. The engine is `streams/app.py`."""

from __future__ import annotations

from typing import Annotated

import typer

Rate = Annotated[
    float | None,
    typer.Option(
        min=0.1, metavar="RECORDS", help="Most events applied each second; unset = any number."
    ),
]
WorkerName = Annotated[
    str, typer.Option(help="This worker's name on this machine: it keeps its stores under it.")
]


def command(
    name: WorkerName = "1",
    version: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Work for this version, as `netsold rebuild start` registered it."
        ),
    ] = None,
    rate: Rate = None,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C."""
    from operations.local.data_dir import keep_private
    from operations.local.kafka import named_cluster
    from operations.waiting import answer
    from streams import topics
    from streams.app import run_worker
    from streams.versions import read_versions

    keep_private()
    settings = named_cluster()
    if version is not None:
        settings = answer(settings, read_versions(settings)).settings_of(version, settings)
    answer(settings, topics.require(settings))  # the worker checks them too, but reports no wait
    run_worker(settings, name, rate)
