"""Whether the reader is alive and ready, and how far the whole way is.

For probes, for Prometheus and for people.

`/livez` is about the process, `/readyz` about this reader: whether it may receive load. Whether
the way to its tables is alive is the same for all readers, so it makes none of them unready;
`/v1/health` fails by it, and the `state` of each answer has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas import times
from schemas.columns import RULES
from schemas.status import (
    ClusterStatus,
    Health,
    IndexStatus,
    MemberStatus,
    PartitionStatus,
    ReaderVersion,
    Status,
    TableStatus,
    WorkersVersion,
)
from serving import metrics
from serving.evidence import Bounds
from serving.findings import named
from serving.letter_routes import counted
from serving.problems import RETRY_AFTER_S
from serving.progress import FOLLOWED
from serving.reader import NotReady, Reader
from serving.store import now_ms
from streams.build import this_build
from tables.catalogue import STAGES

if TYPE_CHECKING:
    from schemas.status import Finding
    from serving.access import Access
    from serving.answers import Answers
    from serving.judging import Judgement
    from serving.version_state import VersionState

router = APIRouter()

_NOT_READY: Final[dict[str, Any]] = {
    "description": "It may not answer: the text says why.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_NOT_LIVE: Final[dict[str, Any]] = {
    "description": "Something is not alive: the findings say what.",
    "model": Health,
}

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


@router.get("/readyz", response_class=PlainTextResponse, responses={503: _NOT_READY})
async def readyz(request: Request, verbose: Verbose = None) -> Response:
    """200 while this reader may answer: its tables are complete, and it follows the log's end.

    Faults elsewhere, such as missing workers, are in the text only: it is `ok` while the whole
    way is alive.
    """
    reader: Reader = request.app.state.versions.answering
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
            for one in _findings(request, reader.watch.judgement())
        ]
        text = "".join(
            f"{line}\n"
            for line in [
                *(f"{name} {check}" for name, check in checks.items()),
                _index_line(_index(reader)),
                *_tokens_lines(request.app.state.access),
                f"state {state}",
                *findings,
            ]
        )
    return (
        PlainTextResponse(text, 200)
        if ready
        else PlainTextResponse(text, 503, {"Retry-After": str(RETRY_AFTER_S)})
    )


def _tokens_lines(access: Access) -> list[str]:
    """A fault of the file of tokens, in a line for people."""
    return [] if access.fault is None else [f"tokens stay as they were: {access.fault}"]


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
    reader: Reader = request.app.state.versions.answering
    metrics.READY.set(_checks(reader)[0])
    metrics.RESTORE_REMAINING.set(0 if reader.live else reader.remaining())
    unread = _index(reader).records_to_read
    metrics.INDEX_BEHIND.set(float("nan") if unread is None else unread)
    metrics.LAG_RECORDS.clear()  # other versions have other topics
    metrics.LAG_RECORDS.clear()  # those of a version that is gone
    for (topic, partition), (position, end) in reader.behind().items():
        metrics.LAG_RECORDS.labels(topic, str(partition)).set(max(0, end - position))
    try:
        answers = reader.answers()
        lag_s = answers.freshness(answers.progress.of_all()).lag_seconds
    except NotReady:
        lag_s = None
    metrics.EVENT_LAG_SECONDS.set(float("nan") if lag_s is None else lag_s)
    _measure_the_way(reader)
    _measure_versions(request.app.state.versions)
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _measure_versions(versions: VersionState) -> None:
    metrics.VERSION_INFO.clear()
    metrics.VERSION_INFO.labels(versions.answering.settings.app).set(1)
    preparing = versions.status().preparing
    records = 0 if preparing is None else preparing.records_to_read
    metrics.VERSION_PREPARING_RECORDS.set(float("nan") if records is None else records)


def _measure_the_way(reader: Reader) -> None:
    watch, judgement = reader.watch, reader.watch.judgement()
    for source in judgement.sources:
        topic, _, partition = source.source.rpartition("-")
        metrics.SOURCE_BEHIND.labels(topic, partition).set(
            float("nan") if source.behind is None else source.behind
        )
    group = None if watch.observation is None else watch.observation.group
    metrics.GROUP_MEMBERS.set(float("nan") if group is None else len(group.members))
    metrics.DEAD_LETTERS.clear()
    for one in watch.letters.parked:
        for state, count in (
            ("open", one.open),
            ("requeued", one.requeued),
            ("discarded", one.discarded),
        ):
            metrics.DEAD_LETTERS.labels(one.topic, one.reason, state).set(count)
    metrics.DEAD_LETTER_AGE_SECONDS.set(watch.letters.oldest_age_s(now_ms()))
    metrics.HANGING_AGE_SECONDS.set(watch.hanging.age_s(now_ms()))
    metrics.FAULTS.clear()
    for finding in judgement.findings:
        if finding.severity == "fault":
            metrics.FAULTS.labels(finding.code).set(1)
    metrics.OBSERVATION_AGE_SECONDS.set(watch.age_s)


@router.get("/v1/health", response_model=Health, responses={503: _NOT_LIVE})
async def health(
    request: Request, max_behind: MaxBehind = None, max_behind_seconds: MaxBehindSeconds = None
) -> Response:
    """200 while the whole way from the events' topics to the tables is alive, else 503.

    With the findings, each with its remedy, from an observation made for this request.
    """
    judgement = await _judged(request.app.state.versions.answering, max_behind, max_behind_seconds)
    body = Health(
        state=judgement.state,
        findings=_findings(request, judgement),
        versions=request.app.state.versions.status(),
    )
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
    reader: Reader = request.app.state.versions.answering
    judgement = await _judged(reader, max_behind, max_behind_seconds)
    answers = reader.answers(even_incomplete=True, state=judgement.state)
    progress = answers.progress.of_all()
    body = Status(
        app=reader.settings.app,
        state=judgement.state,
        findings=_findings(request, judgement),
        versions=request.app.state.versions.status(),
        cycle=None
        if progress.earliest_ms is None
        else answers.span(reader.calendar.start_of(progress.earliest_ms)),
        freshness=answers.freshness(progress),
        records_behind=judgement.records_behind,
        records_to_read=reader.remaining(),
        sources=judgement.sources,
        cluster=_cluster(reader),
        reader=ReaderVersion(build=str(this_build()) or None, rules=RULES),
        workers=[
            WorkersVersion(build=build, rules=rules, partitions=[named(at) for at in partitions])
            for (build, rules), partitions in judgement.versions.items()
        ],
        dead_letters=counted(reader),
        tables=[
            _table(reader, answers, name, topic)
            for name in FOLLOWED
            for topic, named in reader.names.items()
            if named == name
        ],
        index=_index(reader),
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


def _findings(request: Request, judgement: Judgement) -> list[Finding]:
    """What is wrong with the way, and behind it what keeps a version from being answered."""
    versions: VersionState = request.app.state.versions
    return [*judgement.findings, *versions.findings()]


def _index(reader: Reader) -> IndexStatus:
    """How far the event index is. It doesn't make the reader unready, nor a state less live."""
    index = reader.index
    progress = index.progress
    return IndexStatus(
        complete=progress is not None and progress.live,
        records_to_read=None if progress is None else index.remaining(),
        waiting_for=index.waiting_for or None,
    )


def _index_line(index: IndexStatus) -> str:
    """The index in a line, for people."""
    if index.complete:
        return "index ok: it is complete"
    to_go = "" if index.records_to_read is None else f"{index.records_to_read:,} records to go"
    return f"index filling: {index.waiting_for or to_go}"


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


def _table(reader: Reader, answers: Answers, name: str, topic: str) -> TableStatus:
    per_second = reader.watch.rates.per_second(now_ms())
    rates = [rate for at, rate in per_second.items() if at[0] == topic]
    return TableStatus(
        name=name,
        topic=topic,
        freshness=answers.freshness_of(name),
        records_per_second=round(sum(rates), 1) if rates else None,
        partitions=[
            PartitionStatus(
                partition=at[1], position=position, end=end, behind=max(0, end - position)
            )
            for at, (position, end) in sorted(reader.behind().items())
            if at[0] == topic
        ],
    )
