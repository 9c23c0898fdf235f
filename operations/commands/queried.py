"""What `netsold sql` and `netsold bridge` query: an export, or a new one of what Kafka has now."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from operations.exporting.manifest import Complete
from operations.exporting.places import place_of
from operations.exporting.scratch import scratch
from operations.exporting.views import close_in, complete_of, database
from operations.output import print_error
from operations.waiting import ANSWER_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from operations.exporting.places import Place
    from operations.exporting.running import Exported

Export = Annotated[
    str | None,
    typer.Option(
        "--export",
        metavar="DIR",
        help="The directory or URI of the export; else all is read from Kafka first.",
    ),
]


class Queried(NamedTuple):
    """An export as a database from which only its own files can be read."""

    connection: DuckDBPyConnection
    complete: Complete


@contextmanager
def queried(directory: str | None, version: str | None) -> Iterator[Queried]:
    """The export in a directory; without one, a new one, removed at the end.

    Raises NoExport, ExportDamaged, and what exporting raises.
    """
    if directory is None:
        with _exported(version) as place, _opened(place) as found:
            yield found
    elif version is not None:
        raise typer.BadParameter("an export is of one version", param_hint="--version")
    else:
        with _opened(place_of(directory)) as found:
            yield found


@contextmanager
def _opened(place: Place) -> Iterator[Queried]:
    complete = complete_of(place)
    place.require(complete.files)
    connection = database(place, complete)
    try:
        close_in(connection, place, complete)
        yield Queried(connection, complete)
    finally:
        connection.close()


@contextmanager
def _exported(version: str | None) -> Iterator[Place]:
    from operations.commands.export_run import ExportRun
    from operations.local.kafka import named_cluster

    with scratch(named_cluster().data_dir, "sql") as directory:
        place = place_of(str(directory / "export"))
        ExportRun(place, version, ANSWER_WITHIN_S, _print_exported).once()
        yield place


def _print_exported(found: Exported) -> None:
    through = found.complete.complete_through or "no known instant"
    print_error(f"netsold: read from Kafka, complete through {through}")
