"""`netsold schemas export|check|register`: the contract of the topics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from operations.arguments import Json
from operations.contract import compatibility, forms, registry, releases
from operations.output import print_json
from streams.settings import Settings

app = typer.Typer()

Level = Literal[
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
]


@app.command("export")
def export(
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a file for each; made if it doesn't exist."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schemas of all records, one a line, or write them and asyncapi.json."""
    if to is None:
        for schema in forms.schemas().values():
            print_json(schema)
        return
    to.mkdir(parents=True, exist_ok=True)
    found = releases.files()
    for name, text in found.items():
        (to / name).write_text(text, encoding="utf-8")
    if as_json:
        print_json({"written": [str(to / name) for name in found]})
    else:
        typer.echo(f"{len(found)} files in {to}")


@app.command("check")
def check(as_json: Json = False) -> None:
    """Compare the schemas with those of every release; exit code 3 if a change breaks one."""
    now = forms.schemas()
    kept = releases.kept_schemas(releases.KEPT)
    found = [
        one
        for release, schemas in kept.items()
        for one in compatibility.breaks(schemas, now, release)
    ]
    if as_json:
        about = [asdict(one) | {"remedy": one.remedy} for one in found]
        print_json({"schemas": len(now), "releases": list(kept), "breaks": about})
    elif found:
        typer.echo("\n".join(map(str, found)))
    else:
        typer.echo(f"{len(now)} schemas are compatible with {', '.join(kept)}")
    if found:
        raise typer.Exit(3)


@app.command("register")
def register(
    url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The registry's address; user:password@ if it needs them."
        ),
    ],
    compatibility_level: Annotated[
        Level | None,
        typer.Option(
            "--compatibility",
            help="Set this for each subject; else the registry's own setting stays.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register the schemas with a schema registry (Confluent's API): of each form, and of topics.

    Exit code 5 if none answers.
    """
    found = registry.register_all(registry.Registry(url), Settings(), compatibility_level)
    if as_json:
        print_json({"registered": [asdict(one) for one in found]})
    else:
        for one in found:
            typer.echo(f"{one.subject}, version {one.version}, id {one.id}")
