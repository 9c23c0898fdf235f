"""`netsold topics create|check`: the topics of this application."""

from __future__ import annotations

from dataclasses import asdict

import typer

from operations.arguments import Json
from operations.local.kafka import named_cluster
from operations.output import print_json
from operations.waiting import answer
from streams import topics

app = typer.Typer()


@app.command("create")
def create(as_json: Json = False) -> None:
    """Create the topics that are missing, with their policies; existing ones stay as they are."""
    settings = named_cluster()
    created = answer(settings, topics.create(settings))
    if as_json:
        print_json({"created": created})
    else:
        typer.echo("\n".join(created) if created else "all topics exist")


@app.command("check")
def check(as_json: Json = False) -> None:
    """Compare the cluster's topics with what netsold needs; exit code 3 if any doesn't fit."""
    settings = named_cluster()
    mismatches = answer(settings, topics.check(settings))
    if as_json:
        print_json({"mismatches": [asdict(mismatch) for mismatch in mismatches]})
    else:
        typer.echo("\n".join(map(str, mismatches)) if mismatches else "all topics fit")
    if mismatches:
        raise typer.Exit(3)
