"""`netsold worker`: one worker process, which keeps the tables. The engine is `streams/app.py`."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    name: Annotated[
        str, typer.Option(help="This worker's name on this machine: it keeps its stores under it.")
    ] = "1",
) -> None:
    """Run a worker until SIGTERM or Ctrl-C."""
    from operations.local.data_dir import keep_private
    from operations.local.kafka import named_cluster
    from operations.waiting import answer
    from streams import topics
    from streams.app import run_worker

    keep_private()
    settings = named_cluster()
    answer(settings, topics.require(settings))  # the worker checks them too, but reports no wait
    run_worker(settings, name)
