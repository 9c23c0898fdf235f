"""Judges the whole way: its state, what is wrong with it, and what to do.

Pure: no clock, no requests.

The way begins at the ends of the events' topics and ends at the offsets that this reader's tables
contain. Something unknown is a finding, too: nothing is alive by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.wording import name_list
from serving.findings import fault, named, notice
from serving.judging_cluster import (
    find_brokers_away,
    find_missing_workers,
    find_mixed_builds,
    find_unfit_topics,
    partitions_by_version,
    stage_partitions,
)
from serving.judging_sources import (
    BEHIND,
    COPY_BEHIND,
    find_copy_behind,
    find_cut_logs,
    find_sources_behind,
    find_stalled,
    source_statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.answers import State
    from schemas.status import Finding, SourceStatus
    from serving.evidence import Bounds, Evidence
    from serving.progress import ReaderProgress
    from streams.log import At

REFUSED_IN_A_ROW: Final = 10
"""So many refused records at a partition's end, with none accepted between them, are no longer
single bad records."""

_UNOBSERVED: Final = "unobserved"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The state of the way, its findings, the sources, and the versions that run.

    `versions`: partitions by the build and the rules of their latest marks.
    """

    state: State
    findings: list[Finding]
    sources: list[SourceStatus] = field(default_factory=list)
    versions: dict[tuple[str, int], list[At]] = field(default_factory=dict)

    @property
    def records_behind(self) -> int | None:
        """The records behind in all sources; None while one of them is unknown."""
        behind = [source.behind for source in self.sources if source.behind is not None]
        return sum(behind) if behind and len(behind) == len(self.sources) else None


def judge(evidence: Evidence, bounds: Bounds) -> Judgement:
    """The state of the whole way, and the findings: faults first."""
    observation = evidence.observation
    if observation is None:
        sources = []
        found = [_unobserved(evidence.failure or "the first observation is under way")]
    else:
        sources = list(source_statuses(evidence, observation))
        found = [
            *([_unobserved(evidence.failure)] if evidence.failure is not None else ()),
            *find_brokers_away(evidence, observation),
            *find_unfit_topics(evidence, observation),
            *find_missing_workers(evidence, observation, sources),
            *_find_refusals(evidence),
            *find_cut_logs(observation),
            *find_copy_behind(evidence, bounds),
            *find_sources_behind(sources, bounds),
            *find_stalled(evidence, observation, sources),
        ]
    found += [
        *_find_silence(evidence, bounds),
        *find_mixed_builds(evidence),
        *_find_dead_letters(evidence),
    ]
    found.sort(key=lambda finding: finding.severity)
    faults = {finding.code for finding in found if finding.severity == "fault"}
    versions = partitions_by_version(evidence)
    return Judgement(_state(evidence.progress, faults), found, sources, versions)


def _state(progress: ReaderProgress, faults: set[str]) -> State:
    if not progress.live:
        return "restoring"
    if _UNOBSERVED in faults:
        return "unknown"
    if faults - {BEHIND, COPY_BEHIND}:
        return "stalled"
    return "behind" if faults else "live"


def _unobserved(why: str) -> Finding:
    return fault(
        _UNOBSERVED, f"the cluster isn't observed: {why}", "see docs/runbook.md, Kafka unreachable"
    )


def _find_refusals(evidence: Evidence) -> Iterator[Finding]:
    """Partitions that are paused, or whose last records were all refused, by the tables' marks."""
    most = evidence.settings.refusals_in_a_row
    refused = {at: partition.refused_in_a_row for at, partition in stage_partitions(evidence)}
    paused = sorted(named(at) for at, count in refused.items() if count >= most)
    if paused:
        yield fault(
            "paused",
            f"paused, since {most:,} records in a row could not be read: {name_list(paused)}",
            "see docs/runbook.md, Partition paused",
        )
    bad = sorted(
        f"{count:,} of {named(at)}"
        for at, count in refused.items()
        if REFUSED_IN_A_ROW <= count < most
    )
    if bad:
        yield fault(
            "refused",
            f"the last records could not be read, each of them: {name_list(bad)}",
            "see docs/runbook.md, Dead letters",
        )


def _find_silence(evidence: Evidence, bounds: Bounds) -> Iterator[Finding]:
    """A log that doesn't answer this reader."""
    if evidence.silent_s > bounds.seconds:
        sentence = f"this reader has had no answer from the log for {evidence.silent_s:,.0f} s"
        yield fault("reader_cut_off", sentence, "see docs/runbook.md, Not live")


def _find_dead_letters(evidence: Evidence) -> Iterator[Finding]:
    """Refused records that nobody has decided about, or that can't be counted."""
    each = [f"{one.open:,} {one.reason} of {one.topic}" for one in evidence.parked if one.open]
    if each:
        yield notice(
            "dead_letters",
            f"dead letters are open: {name_list(each)}",
            "see `netsold dead-letters list`, and docs/runbook.md, Dead letters",
        )
    if evidence.uncounted is not None:
        yield notice(
            "dead_letters_uncounted",
            f"dead letters aren't all counted: {evidence.uncounted}",
            "wait, or see docs/runbook.md, Kafka unreachable",
        )
