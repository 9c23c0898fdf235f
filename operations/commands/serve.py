"""`netsold serve`: one reader process. The reader is in `serving/`."""

from __future__ import annotations

from importlib import import_module

import typer


def command() -> None:
    """Run a reader until SIGTERM or Ctrl-C: it follows the tables and answers over HTTP."""
    from operations.local.data_dir import keep_private
    from operations.local.kafka import named_cluster

    keep_private()

    # By name: operations and serving don't import each other.
    if import_module("serving.server").run(named_cluster()):
        raise typer.Exit(130)
