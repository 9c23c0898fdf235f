"""Whether the reader lives, is ready and how far it is: for probes, for Prometheus and for people."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas.answers import PartitionStatus, Status, TableStatus
from schemas.journal import RULES
from serving import metrics
from serving.follow import NotReady, Reader
from serving.problems import RETRY_AFTER_S
from serving.standing import FOLLOWED

if TYPE_CHECKING:
    from serving.look import Look

router = APIRouter()

Verbose = Annotated[str | None, Query(description="Present: one line a check, for people.")]


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """200 while the process and its loop move; a follower that fails ends the process. Kafka isn't asked."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(request: Request, verbose: Verbose = None) -> Response:
    """200 once the tables have come to the end that the log had when the process began; 503 until then."""
    reader: Reader = request.app.state.reader
    try:
        reader.look()
        tables = "ok: they are complete"
    except NotReady as error:
        tables = f"not yet: {error}"
    checks = {"tables": tables, "live": "ok" if reader.live else f"not yet: {reader.remaining():,} records to go"}
    ready = all(text.startswith("ok") for text in checks.values())
    text = "".join(f"{name} {text}\n" for name, text in checks.items()) if verbose is not None else "ok\n" if ready else "not ready\n"
    return PlainTextResponse(text, 200) if ready else PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_S)})


@router.get("/metrics", response_class=PlainTextResponse)
def measures(request: Request) -> Response:
    """The reader's metrics (serving/metrics.py) for Prometheus."""
    reader: Reader = request.app.state.reader
    metrics.BUILD_INFO.labels(version("netsold"), str(RULES)).set(1)
    metrics.READY.set(reader.live)
    metrics.RESTORE_REMAINING.set(0 if reader.live else reader.remaining())
    for (topic, partition), (position, end) in reader.behind().items():
        metrics.LAG_RECORDS.labels(topic, str(partition)).set(max(0, end - position))
    try:
        look = reader.look()
        lag_s = look.freshness(look.standing.least()).lag_seconds
    except NotReady:
        lag_s = None
    metrics.EVENT_LAG_SECONDS.set(float("nan") if lag_s is None else lag_s)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/status", response_model=Status)
async def status(request: Request) -> Response:
    """How far the reader is, table by table; also while it is restoring."""
    reader: Reader = request.app.state.reader
    look = reader.look(even_incomplete=True)
    earliest = look.standing.least()
    behind = reader.behind()
    body = Status(
        app=reader.settings.app,
        cycle=None if earliest.earliest_ms is None else look.span(reader.calendar.start_of(earliest.earliest_ms)),
        freshness=look.freshness(earliest),
        records_behind=reader.remaining(),
        tables=[_table(look, name, topic, behind) for name in FOLLOWED for topic, named in reader.names.items() if named == name],
    )
    return Response(body.model_dump_json(), headers={"Cache-Control": "no-cache"}, media_type="application/json")


def _table(look: Look, name: str, topic: str, behind: dict[tuple[str, int], tuple[int, int]]) -> TableStatus:
    return TableStatus(
        name=name,
        topic=topic,
        freshness=look.freshness(look.standing.extent(name)),
        partitions=[
            PartitionStatus(partition=at[1], position=position, end=end, behind=max(0, end - position))
            for at, (position, end) in sorted(behind.items())
            if at[0] == topic
        ],
    )
