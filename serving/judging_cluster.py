"""Judges the cluster: brokers, topics, and the group of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.wording import name_list, with_count
from serving.findings import fault, named, notice
from serving.judging_sources import members_by_partition
from serving.progress import SALES_JOURNAL
from streams.observe import STABLE_GROUP
from streams.replication import short_partitions
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.status import Finding, SourceStatus
    from serving.evidence import Evidence
    from serving.progress import PartitionProgress
    from streams.log import At
    from streams.observe import Group, Observation

_STAGE_OF: Final = {table.name: stage for stage in catalogue.STAGES for table in stage.tables}


def find_brokers_away(evidence: Evidence, observation: Observation) -> Iterator[Finding]:
    """Brokers that don't answer, and partitions that lack a leader or copies because of them."""
    short = short_partitions(observation, evidence.settings.kafka.min_insync_replicas)
    alive = {broker for broker, answers in observation.brokers.items() if answers}
    away = [str(broker) for broker, answers in sorted(observation.brokers.items()) if not answers]
    remedy = "start the brokers that are away, and look at their own logs"
    if away:
        of = f"{len(away)} of {len(observation.brokers)} brokers"
        sentence = f"{of} {'does' if len(away) == 1 else 'do'} not answer: {', '.join(away)}"
        majority = 2 * len(alive) > len(observation.brokers)
        yield (notice if majority and not short.offline and not short.below_min_isr else fault)(
            "broker_away", sentence, remedy
        )
    for code, partitions, lack, make in (
        ("offline", short.offline, "without a leader that answers", fault),
        ("below_min_isr", short.below_min_isr, "with fewer copies than a write needs", fault),
        (
            "under_replicated",
            short.under_replicated,
            "with fewer copies than there should be",
            notice,
        ),
    ):
        if partitions:
            sentence = f"{with_count('partition', partitions)} {lack}: {name_list(partitions)}"
            yield make(code, sentence, remedy)


def find_unfit_topics(evidence: Evidence, observation: Observation) -> Iterator[Finding]:
    """Topics that are missing, were created again, or have another number of partitions."""
    settings, seen = evidence.settings, observation.topics
    read = {settings.topic(stage.source) for stage in catalogue.STAGES}
    missing = sorted((read | evidence.followed.keys()) - seen.keys())
    if missing:
        yield fault(
            "topic_missing",
            f"there is no topic {name_list(missing)}",
            "run `netsold topics create`, unless it was deleted by mistake",
        )
    applied = dict(evidence.followed) | {
        at[0]: partition.topic_id
        for at, partition in stage_partitions(evidence)
        if partition.topic_id
    }
    recreated = sorted(
        name
        for name, topic_id in applied.items()
        if name in seen and seen[name].topic_id != topic_id
    )
    if recreated:
        yield fault(
            "topic_created_again",
            f"deleted and created again since its records were applied: {name_list(recreated)}",
            "see docs/runbook.md, Topic deleted and created again",
        )
    other = [
        f"{name} has {len(seen[name].partitions)}"
        for name in sorted(read & seen.keys())
        if len(seen[name].partitions) != settings.partitions
    ]
    if other:
        yield fault(
            "partitions",
            "topics have another number of partitions than the"
            f" {settings.partitions} of the settings: {name_list(other)}",
            "see docs/runbook.md, Topics unfit",
        )


def stage_partitions(evidence: Evidence) -> Iterator[tuple[At, PartitionProgress]]:
    """Each partition that a stage reads, with the progress that a table of it has by its mark."""
    for name, partitions in evidence.progress.partitions.items():
        if name != SALES_JOURNAL:
            topic = evidence.settings.topic(_STAGE_OF[name].source)
            for number, partition in partitions.items():
                yield (topic, number), partition


def partitions_by_version(evidence: Evidence) -> dict[tuple[str, int], list[At]]:
    """By the build and the rules of their latest marks: the partitions that stages read.

    Partitions without a mark, or with one that names no build, are left out.
    """
    found = {at: (one.build, one.rules) for at, one in stage_partitions(evidence) if one.build}
    return {
        version: sorted(at for at, of in found.items() if of == version)
        for version in sorted(set(found.values()))
    }


def find_mixed_builds(evidence: Evidence) -> Iterator[Finding]:
    """Tables that different builds wrote last, or another one than this reader's."""
    versions = partitions_by_version(evidence)
    builds = {build for build, _ in versions} | ({evidence.build} if evidence.build else set())
    if versions and len(builds) > 1:
        each = "; ".join(
            f"{name_list(map(named, partitions))} by {build}"
            for (build, _), partitions in versions.items()
        )
        reader = f"; this reader is {evidence.build}" if evidence.build else ""
        yield notice(
            "mixed_builds",
            f"the tables were last written by different builds: {each}{reader}",
            "restart what runs an older build, unless an update is under way or its events pause",
        )


def find_missing_workers(
    evidence: Evidence, observation: Observation, sources: Sequence[SourceStatus]
) -> Iterator[Finding]:
    """No worker, partitions that no worker reads, or a group that can't be described."""
    settings, group = evidence.settings, observation.group
    if group is None:
        why = observation.unknown.get("group", "no answer")
        yield fault(
            "group_unknown",
            f"the workers of group {settings.app} can't be listed: {why}",
            "see docs/runbook.md, Without rights, or Kafka unreachable",
        )
        return
    read_by = members_by_partition(observation)
    unread = [
        named(at)
        for stage in catalogue.STAGES
        for number in range(settings.partitions)
        if (at := (settings.topic(stage.source), number)) not in read_by
    ]
    if unread:
        yield _unread(evidence, group, f"{name_list(unread)}{_waiting(sources)}")


def _unread(evidence: Evidence, group: Group, partitions: str) -> Finding:
    app = evidence.settings.app
    if not group.members:
        return fault(
            "no_worker",
            f"no worker is in group {app}: nobody reads {partitions}",
            f"start one with `netsold worker`, with NETSOLD_APP={app}",
        )
    if group.state == STABLE_GROUP:
        names = ", ".join(member.name for member in group.members)
        return fault(
            "unread", f"nobody reads {partitions}; in group {app}: {names}", "restart the workers"
        )
    late = evidence.unstable_s > evidence.settings.max_behind_seconds
    return (fault if late else notice)(
        "rebalancing",
        f"group {app} is being rebalanced for {evidence.unstable_s:,.0f} s:"
        f" nobody reads {partitions}",
        "wait; if it continues, look at the workers' last lines",
    )


def _waiting(sources: Sequence[SourceStatus]) -> str:
    waiting = sum(one.behind or 0 for one in sources)
    if not waiting:
        return ""
    return f", while {waiting:,} {'record waits' if waiting == 1 else 'records wait'}"
