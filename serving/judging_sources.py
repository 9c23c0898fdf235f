"""Judges the sources: how far each partition of events is applied, and what is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import times
from schemas.positions import offset_after
from schemas.status import SourceStatus
from schemas.wording import name_list
from serving.findings import fault, named, notice
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.status import Finding
    from serving.evidence import Bounds, Evidence
    from streams.log import At
    from streams.observe import Observation

BEHIND: Final = "behind"
COPY_BEHIND: Final = "copy_behind"
"""The codes of the only faults that leave the way alive."""

NOTHING_APPLIED_S: Final = 5.0
"""After so long without progress, or half of the session time-out, waiting records are a notice."""


def source_statuses(evidence: Evidence, observation: Observation) -> Iterator[SourceStatus]:
    """Every partition of events, known or not, in the order of topics and numbers."""
    read_by = members_by_partition(observation)
    for topic in catalogue.EVENT_TOPICS:
        for number in range(evidence.settings.partitions):
            at = (evidence.settings.topic(topic), number)
            yield _source_status(evidence, observation, topic, at, read_by.get(at))


def _source_status(
    evidence: Evidence, observation: Observation, topic: str, at: At, read_by: str | None
) -> SourceStatus:
    source = named(at)
    committed = {} if observation.group is None else observation.group.committed
    applied = evidence.progress.of_all().applied.get(source)
    beginning, end = observation.beginnings.get(at), observation.ends.get(at)
    behind: int | None = None
    waiting_s: float | None = None
    watermark_ms = evidence.progress.watermark_of(source)
    if end is not None:
        behind = max(0, end - max(0 if applied is None else offset_after(applied), beginning or 0))
        if behind and observation.waiting.get(at, ...) is None:
            behind = 0  # only control records are left
        waiting_s = (
            _waiting_s(evidence, observation, at, -1 if applied is None else applied)
            if behind
            else 0.0
        )
    return SourceStatus(
        source=source,
        beginning=beginning,
        end=end,
        committed=committed.get(at),
        applied=applied,
        behind=behind,
        waiting_seconds=waiting_s,
        slowest=evidence.progress.slowest(source, topic),
        records_per_second=evidence.rates.get(at),
        read_by=read_by,
        watermark=None if watermark_ms is None else times.format_ms(watermark_ms),
    )


def members_by_partition(observation: Observation) -> dict[At, str]:
    """The name of the worker that reads each partition, by the group's assignment."""
    return {} if observation.group is None else observation.group.readers()


def _waiting_s(evidence: Evidence, observation: Observation, at: At, applied: int) -> float | None:
    """How long the first record behind `applied` has been in the log.

    Since an observation first saw it; without such an observation, since it was written.
    """
    before_ms: int | None = None
    for at_ms, ends in evidence.history:
        if ends.get(at, 0) > offset_after(applied):
            break
        before_ms = at_ms
    first = observation.waiting.get(at)
    since_ms = before_ms
    if first is not None and first.offset > applied and first.written_ms is not None:
        since_ms = max(first.written_ms, before_ms or 0)
    elif since_ms is None and evidence.history:
        since_ms = evidence.history[0][0]
    return None if since_ms is None else max(0, evidence.now_ms - since_ms) / 1000


def find_cut_logs(observation: Observation) -> Iterator[Finding]:
    """Logs that end before the offsets that were applied when the ends were read.

    Offsets applied now may have been written since.
    """
    cut = [
        f"{named(at)} ends at {end}, {last} is applied"
        for at, end in sorted(observation.ends.items())
        if (last := observation.applied.get(at, -1)) >= end
    ]
    if cut:
        yield fault(
            "log_cut",
            f"the log is shorter than what the tables contain: {name_list(cut)}",
            "see docs/runbook.md, Log shorter than the offset",
        )


def find_copy_behind(evidence: Evidence, bounds: Bounds) -> Iterator[Finding]:
    """Records that producers wrote and that wait beyond a bound to be copied into the log."""
    copy = evidence.copy
    if copy is None or not copy.left:
        return
    waits_s = copy.waits_s(evidence.now_ms)
    if waits_s > bounds.seconds or (bounds.records is not None and copy.left > bounds.records):
        app = evidence.settings.app
        yield fault(
            COPY_BEHIND,
            f"{copy.left:,} records are not copied into the log of {app}, the first of them for "
            f"{waits_s:,.0f} s",
            f"run `netsold rebuild copy {app}`; see docs/runbook.md, Rebuild",
        )


def find_sources_behind(sources: Sequence[SourceStatus], bounds: Bounds) -> Iterator[Finding]:
    """Sources whose end is unknown, and events that wait beyond a bound."""
    unknown = [one.source for one in sources if one.end is None]
    if unknown:
        yield fault(
            "end_unknown",
            f"the end of {name_list(unknown)} is unknown",
            "see docs/runbook.md, Kafka unreachable",
        )
    late = [
        one
        for one in sources
        if one.behind and (one.waiting_seconds is None or one.waiting_seconds > bounds.seconds)
    ]
    total = sum(one.behind or 0 for one in sources)
    if late or (bounds.records is not None and total > bounds.records):
        worst = max(
            late or [one for one in sources if one.behind],
            key=lambda one: (one.waiting_seconds or 0.0, one.behind or 0),
        )
        yield fault(BEHIND, _behind(total, worst), "wait, or see docs/runbook.md, No progress")


def find_stalled(
    evidence: Evidence, observation: Observation, sources: Sequence[SourceStatus]
) -> Iterator[Finding]:
    """Sources that a worker should read, of whose waiting records nothing was applied for long.

    A worker that was killed stays in the group until its session times out.
    """
    session_s = evidence.settings.session_timeout_ms / 1000
    stalled = {
        one.source: seconds
        for one in sources
        if one.read_by is not None
        and (seconds := _stalled_s(evidence, one)) > min(NOTHING_APPLIED_S, session_s / 2)
    }
    blocked = [
        name
        for (name, one) in ((named(at), one) for at, one in observation.waiting.items())
        if name in stalled and one is not None and one.written_ms is None
    ]
    if blocked:
        names = name_list(blocked)
        sentence = f"nothing of {names} was applied for a while; an open transaction is in the way"
        yield notice("nothing_applied", sentence, "run `netsold doctor`")
    stalled = {name: seconds for name, seconds in stalled.items() if name not in blocked}
    if stalled:
        longest_s = max(stalled.values())
        sentence = f"nothing of {name_list(stalled)} was applied for {longest_s:,.0f} s"
        if longest_s <= 2 * session_s:
            sentence += (
                f"; a worker that was killed looks alive for up to {session_s:,.0f} s"
                " (session time-out)"
            )
        yield notice("nothing_applied", sentence, "wait, or see docs/runbook.md, No progress")


def _stalled_s(evidence: Evidence, one: SourceStatus) -> float:
    """For how long a source has had records that aren't in all tables, and none was applied."""
    topic, _, number = one.source.rpartition("-")
    at = topic, int(number)
    if not one.behind or one.waiting_seconds is None:
        return 0.0
    since_ms = evidence.now_ms
    for at_ms, applied in reversed(evidence.applied):
        if applied.get(at) != one.applied:
            break
        since_ms = at_ms
    return min(one.waiting_seconds, (evidence.now_ms - since_ms) / 1000)


def _behind(total: int, worst: SourceStatus) -> str:
    records = "1 record is" if total == 1 else f"{total:,} records are"
    waits = (
        "for an unknown time"
        if worst.waiting_seconds is None
        else f"for {worst.waiting_seconds:,.0f} s"
    )
    slowest = f", and {worst.slowest} has applied the least of it" if worst.slowest else ""
    return f"{records} not in all tables; {worst.source} waits {waits}{slowest}"
