"""Whether the reader is alive and ready, and how far the whole way is.

For probes, for Prometheus and for people.

`/livez` is about the process, `/readyz` about this reader: whether it may receive load. Whether
the way to its tables is alive is the same for all readers, so it makes none of them unready;
`/v1/health` fails by it, and the `state` of each answer has it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas import times
from schemas.journal import RULES
from schemas.status import (
    ClusterStatus,
    DeadLetterStatus,
    Health,
    MemberStatus,
    PartitionStatus,
    Status,
    TableStatus,
)
from serving import metrics
from serving.evidence import Bounds
from serving.problems import RETRY_AFTER_S
from serving.progress import FOLLOWED
from serving.reader import NotReady, Reader
from tables.catalogue import STAGES

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.judging import Judgement

router = APIRouter()

Verbose = Annotated[str | None, Query(description="Present: one line a check, for people.")]
MaxBehind = Annotated[
    int | None,
    Query(
        ge=0,
        description="Most records that may be behind; absent: as NETSOLD_MAX_BEHIND_RECORDS says.",
    ),
]
MaxBehindSeconds = Annotated[
    float | None,
    Query(
        ge=0,
        description="Longest that an event may wait; absent: as NETSOLD_MAX_BEHIND_SECONDS says.",
    ),
]


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """200 while the process and its event loop run; a follower that fails ends the process.

    It does not depend on Kafka.
    """
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(request: Request, verbose: Verbose = None) -> Response:
    """200 while this reader may answer: its tables are complete, and it follows the log's end.

    Faults elsewhere, such as missing workers, are in the text only: it is `ok` while the whole
    way is alive.
    """
    reader: Reader = request.app.state.reader
    ready, checks = _checks(reader)
    state = reader.watch.state
    if verbose is None:
        text = (
            "not ready\n"
            if not ready
            else "ok\n"
            if state == "live"
            else f"answers, but {state}: see /v1/health\n"
        )
    else:
        findings = [
            f"{one.severity} {one.code}: {one.sentence}: {one.remedy}"
            for one in reader.watch.judgement().findings
        ]
        text = "".join(
            f"{line}\n"
            for line in [
                *(f"{name} {check}" for name, check in checks.items()),
                f"state {state}",
                *findings,
            ]
        )
    return (
        PlainTextResponse(text, 200)
        if ready
        else PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_S)})
    )


def _checks(reader: Reader) -> tuple[bool, dict[str, str]]:
    """Whether this reader may answer, and the result of each check."""
    try:
        reader.answers()
        tables = "ok: they are complete"
    except NotReady as error:
        tables = f"not yet: {error}"
    silent = reader.silent_s > reader.settings.max_behind_seconds
    log = f"not any more: no answer for {reader.silent_s:,.0f} s" if silent else "ok: it is read"
    if not reader.live:
        log = f"not yet: {reader.remaining():,} records to go"
    checks = {"tables": tables, "log": log}
    return all(text.startswith("ok") for text in checks.values()), checks


@router.get("/metrics", response_class=PlainTextResponse)
def measures(request: Request) -> Response:
    """The reader's metrics (serving/metrics.py) for Prometheus."""
    reader: Reader = request.app.state.reader
    metrics.BUILD_INFO.labels(version("netsold"), str(RULES)).set(1)
    metrics.READY.set(_checks(reader)[0])
    metrics.RESTORE_REMAINING.set(0 if reader.live else reader.remaining())
    for (topic, partition), (position, end) in reader.behind().items():
        metrics.LAG_RECORDS.labels(topic, str(partition)).set(max(0, end - position))
    try:
        answers = reader.answers()
        lag_s = answers.freshness(answers.progress.of_all()).lag_seconds
    except NotReady:
        lag_s = None
    metrics.EVENT_LAG_SECONDS.set(float("nan") if lag_s is None else lag_s)
    _measure_the_way(reader)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _measure_the_way(reader: Reader) -> None:
    watch, judgement = reader.watch, reader.watch.judgement()
    for source in judgement.sources:
        topic, _, partition = source.source.rpartition("-")
        metrics.SOURCE_BEHIND.labels(topic, partition).set(
            float("nan") if source.behind is None else source.behind
        )
    group = None if watch.observation is None else watch.observation.group
    metrics.GROUP_MEMBERS.set(float("nan") if group is None else len(group.members))
    for one in watch.parked:
        metrics.DEAD_LETTERS.labels(one.topic, one.reason).set(one.count)
    metrics.FAULTS.clear()
    for finding in judgement.findings:
        if finding.severity == "fault":
            metrics.FAULTS.labels(finding.code).set(1)
    metrics.OBSERVATION_AGE_SECONDS.set(watch.age_s)


@router.get("/v1/health", response_model=Health)
async def health(
    request: Request, max_behind: MaxBehind = None, max_behind_seconds: MaxBehindSeconds = None
) -> Response:
    """200 while the whole way from the events' topics to the tables is alive, else 503.

    With the findings, each with its remedy, from an observation made for this request.
    """
    judgement = await _judged(request.app.state.reader, max_behind, max_behind_seconds)
    body = Health(state=judgement.state, findings=judgement.findings)
    alive = judgement.state == "live"
    headers = {"Cache-Control": "no-cache"} | ({} if alive else {"Retry-After": str(RETRY_AFTER_S)})
    return Response(
        body.model_dump_json(), 200 if alive else 503, headers, media_type="application/json"
    )


@router.get("/v1/status", response_model=Status)
async def status(
    request: Request, max_behind: MaxBehind = None, max_behind_seconds: MaxBehindSeconds = None
) -> Response:
    """How far the whole way is now, from the events' topics to each table.

    It is answered while the reader is restoring, too.
    """
    reader: Reader = request.app.state.reader
    judgement = await _judged(reader, max_behind, max_behind_seconds)
    answers = reader.answers(even_incomplete=True, state=judgement.state)
    progress = answers.progress.of_all()
    behind = reader.behind()
    body = Status(
        app=reader.settings.app,
        state=judgement.state,
        findings=judgement.findings,
        cycle=None
        if progress.earliest_ms is None
        else answers.span(reader.calendar.start_of(progress.earliest_ms)),
        freshness=answers.freshness(progress),
        records_behind=judgement.records_behind,
        records_to_read=reader.remaining(),
        sources=judgement.sources,
        cluster=_cluster(reader),
        dead_letters=_dead_letters(reader),
        tables=[
            _table(answers, name, topic, behind)
            for name in FOLLOWED
            for topic, named in reader.names.items()
            if named == name
        ],
    )
    return Response(
        body.model_dump_json(), headers={"Cache-Control": "no-cache"}, media_type="application/json"
    )


async def _judged(
    reader: Reader, max_behind: int | None, max_behind_seconds: float | None
) -> Judgement:
    """The whole way as it is now, judged by the bounds of the request or else of the settings."""
    await reader.watch.fresh()
    default = reader.watch.bounds
    records = default.records if max_behind is None else max_behind
    return reader.watch.judgement(
        Bounds(records, default.seconds if max_behind_seconds is None else max_behind_seconds)
    )


def _cluster(reader: Reader) -> ClusterStatus:
    """What was last observed; of a worker's partitions, those that a stage reads."""
    observation = reader.watch.observation
    if observation is None:
        return ClusterStatus(
            observed_at=None,
            age_seconds=None,
            brokers=[],
            brokers_away=[],
            group_state=None,
            members=[],
        )
    read = {reader.settings.topic(stage.source) for stage in STAGES}
    group = observation.group
    return ClusterStatus(
        observed_at=times.format_ms(observation.at_ms),
        age_seconds=reader.watch.age_s,
        brokers=[broker for broker, answers in observation.brokers.items() if answers],
        brokers_away=[broker for broker, answers in observation.brokers.items() if not answers],
        group_state=None if group is None else group.state,
        members=[
            MemberStatus(
                name=member.name,
                host=member.host,
                holds=[
                    f"{topic}-{partition}"
                    for topic, partition in sorted(member.holds)
                    if topic in read
                ],
            )
            for member in (() if group is None else group.members)
        ],
    )


def _dead_letters(reader: Reader) -> list[DeadLetterStatus]:
    return [
        DeadLetterStatus(
            topic=one.topic,
            reason=one.reason,
            count=one.count,
            since_start=one.since_start,
            oldest=times.format_ms(one.oldest_ms),
            newest=times.format_ms(one.newest_ms),
        )
        for one in reader.watch.parked
    ]


def _table(
    answers: Answers, name: str, topic: str, behind: dict[tuple[str, int], tuple[int, int]]
) -> TableStatus:
    return TableStatus(
        name=name,
        topic=topic,
        freshness=answers.freshness_of(name),
        partitions=[
            PartitionStatus(
                partition=at[1], position=position, end=end, behind=max(0, end - position)
            )
            for at, (position, end) in sorted(behind.items())
            if at[0] == topic
        ],
    )
