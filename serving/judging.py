"""From what was observed to what it means: what is behind, what stands, and what to do about it.

Pure: no clock, no requests.

The way is judged from its beginning, the ends of the events' topics, to its end, the offsets that
this reader's tables hold. What isn't known is a finding, too: nothing is alive by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.status import Finding, SourceStatus
from serving.standing import JOURNAL
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from schemas.answers import State
    from serving.standing import Standing
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings

REFUSED_IN_A_ROW: Final = 10
"""This many refused records at a partition's end, and none accepted between them, are more than
single bad ones."""

RECENT_MS: Final = 3_600_000
"""Dead letters younger than this are worth a notice."""

STABLE: Final = "Stable"
"""Kafka's word for a group that isn't being rebalanced."""

_BEHIND: Final = "behind"
_UNOBSERVED: Final = "unobserved"
_STAGE_OF: Final = {table.name: stage for stage in catalogue.STAGES for table in stage.tables}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be behind: `records` of all sources together (None.

    Any number), and `seconds` that an event may wait.
    """

    records: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a judgement is made from.

    `standing` is what the tables hold, `followed` the ids of the topics that they came from.
    `observation` is the last one, None before the first; `failure` why the newest couldn't be made.
    `history`: the ends of the sources as observed, by time, oldest first. `silent_s`: how long the
    reader has read nothing of the log, not even that there is nothing new. `unstable_s`: how long
    the group is being rebalanced. `parked`: dead letters; `uncounted` why they aren't all counted.
    """

    settings: Settings
    standing: Standing
    followed: Mapping[str, str]
    now_ms: int
    observation: Observation | None = None
    failure: str | None = None
    history: Sequence[tuple[int, Mapping[At, int]]] = ()
    silent_s: float = 0.0
    unstable_s: float = 0.0
    parked: Sequence[Parked] = ()
    uncounted: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence comes to."""

    state: State
    findings: list[Finding]
    sources: list[SourceStatus] = field(default_factory=list)

    @property
    def records_behind(self) -> int | None:
        """Of all sources; None where one of them isn't known."""
        behind = [source.behind for source in self.sources if source.behind is not None]
        return sum(behind) if behind and len(behind) == len(self.sources) else None


def judge(evidence: Evidence, bounds: Bounds) -> Judgement:
    """The state of the whole way, and what isn't as it should be: faults first."""
    observation = evidence.observation
    if observation is None:
        sources, found = [], [_unobserved(evidence.failure or "the first observation is under way")]
    else:
        sources = list(_sources(evidence, observation))
        found = [
            *([_unobserved(evidence.failure)] if evidence.failure is not None else ()),
            *_of_brokers(evidence, observation),
            *_of_topics(evidence, observation),
            *_of_group(evidence, observation, sources),
            *_of_marks(evidence),
            *_of_ends(observation),
            *_of_sources(sources, bounds),
        ]
    found += [*_of_reader(evidence, bounds), *_of_dead_letters(evidence)]
    found.sort(key=lambda finding: finding.severity)
    return Judgement(
        _state(
            evidence.standing, {finding.code for finding in found if finding.severity == "fault"}
        ),
        found,
        sources,
    )


def _state(standing: Standing, faults: set[str]) -> State:
    if not standing.live:
        return "restoring"
    if _UNOBSERVED in faults:
        return "unknown"
    if faults - {_BEHIND}:
        return "stalled"
    return "behind" if faults else "live"


def _fault(code: str, sentence: str, remedy: str) -> Finding:
    return Finding(code=code, severity="fault", sentence=sentence, remedy=remedy)


def _notice(code: str, sentence: str, remedy: str) -> Finding:
    return Finding(code=code, severity="notice", sentence=sentence, remedy=remedy)


def _unobserved(why: str) -> Finding:
    return _fault(
        _UNOBSERVED, f"the cluster isn't observed: {why}", "see docs/runbook.md, Kafka unreachable"
    )


# --- sources
# -----------------------------------------------------------------------------------------------------------------------


def _sources(evidence: Evidence, observation: Observation) -> Iterator[SourceStatus]:
    """Every partition of events, known or not, in the order of topics and numbers."""
    settings, applied = evidence.settings, evidence.standing.least().applied
    committed = {} if observation.group is None else observation.group.committed
    read_by = _read_by(observation)
    for topic in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
        for number in range(settings.partitions):
            at = (settings.topic(topic), number)
            source = _name(at)
            beginning, end, last = (
                observation.beginnings.get(at),
                observation.ends.get(at),
                applied.get(source),
            )
            behind = (
                None
                if end is None
                else max(0, end - max(0 if last is None else last + 1, beginning or 0))
            )
            if behind and observation.waiting.get(at, ...) is None:
                behind = 0  # nothing but control records is left
            waited_s = (
                None
                if end is None
                else _waited_s(evidence, observation, at, -1 if last is None else last)
                if behind
                else 0.0
            )
            yield SourceStatus(
                source=source,
                beginning=beginning,
                end=end,
                committed=committed.get(at),
                applied=last,
                behind=behind,
                waiting_seconds=waited_s,
                slowest=evidence.standing.slowest(source, topic),
                read_by=read_by.get(at),
            )


def _waited_s(evidence: Evidence, observation: Observation, at: At, applied: int) -> float | None:
    """How long the first record behind `applied` has been there.

    Since it was seen to come, else since it was written.
    """
    before_ms: int | None = None
    for at_ms, ends in evidence.history:
        if ends.get(at, 0) > applied + 1:
            break
        before_ms = at_ms
    first = observation.waiting.get(at)
    since_ms = before_ms
    if first is not None and first.offset > applied and first.written_ms is not None:
        since_ms = max(first.written_ms, before_ms or 0)
    elif since_ms is None and evidence.history:
        since_ms = evidence.history[0][0]
    return None if since_ms is None else max(0, evidence.now_ms - since_ms) / 1000


def _of_ends(observation: Observation) -> Iterator[Finding]:
    """Logs that end before what the tables held when the ends were read.

    What they hold now may have been written since.
    """
    cut = [
        f"{_name(at)} ends at {end}, {last} is applied"
        for at, end in sorted(observation.ends.items())
        if (last := observation.applied.get(at, -1)) >= end
    ]
    if cut:
        yield _fault(
            "log_cut",
            f"the log is shorter than what the tables hold: {_listed(cut)}",
            "see docs/runbook.md, Log shorter than the offset",
        )


def _of_sources(sources: Sequence[SourceStatus], bounds: Bounds) -> Iterator[Finding]:
    unknown = [one.source for one in sources if one.end is None]
    if unknown:
        yield _fault(
            "end_unknown",
            f"nobody tells where {_listed(unknown)} ends",
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
        waits = (
            "for an unknown time"
            if worst.waiting_seconds is None
            else f"for {worst.waiting_seconds:,.0f} s"
        )
        slowest = f", and {worst.slowest} holds least of it" if worst.slowest else ""
        yield _fault(
            _BEHIND,
            f"{_records(total)} not in all tables; {worst.source} waits {waits}{slowest}",
            "wait, or see docs/runbook.md, No progress",
        )


def _records(count: int) -> str:
    return "1 record is" if count == 1 else f"{count:,} records are"


# --- brokers and topics
# ------------------------------------------------------------------------------------------------------------


def _of_brokers(evidence: Evidence, observation: Observation) -> Iterator[Finding]:
    """Brokers that don't answer, partitions without a leader, and those with fewer copies than a write needs."""
    least = evidence.settings.kafka.min_insync_replicas
    alive = {broker for broker, answers in observation.brokers.items() if answers}
    offline, refusing, thin = [], [], []
    for name, topic in sorted(observation.topics.items()):
        for number, partition in sorted(topic.partitions.items()):
            insync = alive & set(partition.isr)
            if partition.leader not in alive:
                offline.append(f"{name}-{number}")
            elif len(insync) < (topic.min_insync_replicas or least):
                refusing.append(f"{name}-{number}")
            elif len(insync) < len(partition.replicas):
                thin.append(f"{name}-{number}")
    away = [str(broker) for broker, answers in sorted(observation.brokers.items()) if not answers]
    start = "start the brokers that are away, and look at their own logs"
    if away:
        of = f"{len(away)} of {len(observation.brokers)} brokers"
        sentence = f"{of} {'does' if len(away) == 1 else 'do'} not answer: {', '.join(away)}"
        majority = 2 * len(alive) > len(observation.brokers)
        yield (_notice if majority and not offline and not refusing else _fault)(
            "broker_away", sentence, start
        )
    if offline:
        yield _fault(
            "offline",
            f"{_many('partition', offline)} without a leader that answers: {_listed(offline)}",
            start,
        )
    if refusing:
        yield _fault(
            "below_min_isr",
            f"{_many('partition', refusing)} with fewer copies than a write needs: {_listed(refusing)}",
            start,
        )
    if thin:
        yield _notice(
            "under_replicated",
            f"{_many('partition', thin)} with fewer copies than there should be: {_listed(thin)}",
            start,
        )


def _of_topics(evidence: Evidence, observation: Observation) -> Iterator[Finding]:
    """Topics that are missing, are other ones than those that were counted, or have another number of partitions."""
    settings, seen = evidence.settings, observation.topics
    read = {settings.topic(stage.source) for stage in catalogue.STAGES}
    missing = sorted((read | evidence.followed.keys()) - seen.keys())
    if missing:
        yield _fault(
            "topic_missing",
            f"there is no topic {_listed(missing)}",
            "run `netsold topics create`, unless it was deleted by mistake",
        )
    counted = dict(evidence.followed)
    for name, partitions in evidence.standing.reached.items():
        if name != JOURNAL:
            counted |= {
                settings.topic(_STAGE_OF[name].source): one.topic_id
                for one in partitions.values()
                if one.topic_id
            }
    anew = sorted(
        name
        for name, topic_id in counted.items()
        if name in seen and seen[name].topic_id != topic_id
    )
    if anew:
        sentence = (
            f"what was counted is of another log: deleted and created again was {_listed(anew)}"
        )
        yield _fault(
            "topic_created_again", sentence, "see docs/runbook.md, Topic deleted and created again"
        )
    other = [
        f"{name} has {len(seen[name].partitions)}"
        for name in sorted(read & seen.keys())
        if len(seen[name].partitions) != settings.partitions
    ]
    if other:
        sentence = f"topics have another number of partitions than the {settings.partitions} of the settings: {_listed(other)}"
        yield _fault("partitions", sentence, "see docs/runbook.md, Topics unfit")


# --- workers
# -----------------------------------------------------------------------------------------------------------------------


def _read_by(observation: Observation) -> dict[At, str]:
    group = observation.group
    return (
        {}
        if group is None
        else {at: member.name for member in group.members for at in member.holds}
    )


def _of_group(
    evidence: Evidence, observation: Observation, sources: Sequence[SourceStatus]
) -> Iterator[Finding]:
    """Nobody there, partitions that nobody reads, or a group that can't be described."""
    settings, group = evidence.settings, observation.group
    if group is None:
        why = observation.unknown.get("group", "no answer")
        remedy = "see docs/runbook.md, Without rights, or Kafka unreachable"
        yield _fault(
            "group_unknown", f"the workers of group {settings.app} can't be listed: {why}", remedy
        )
        return
    read_by = _read_by(observation)
    wanted = [
        (settings.topic(stage.source), number)
        for stage in catalogue.STAGES
        for number in range(settings.partitions)
    ]
    unread = [_name(at) for at in wanted if at not in read_by]
    waiting = sum(one.behind or 0 for one in sources)
    waits = (
        f", while {waiting:,} {'record waits' if waiting == 1 else 'records wait'}"
        if waiting
        else ""
    )
    if not group.members:
        sentence = f"no worker is in group {settings.app}: nobody reads {_listed(unread)}{waits}"
        yield _fault(
            "no_worker",
            sentence,
            f"start one with `netsold worker`, with NETSOLD_APP={settings.app}",
        )
    elif unread and group.state == STABLE:
        names = ", ".join(member.name for member in group.members)
        yield _fault(
            "unread",
            f"nobody reads {_listed(unread)}{waits}; in group {settings.app}: {names}",
            "restart the workers",
        )
    elif unread:
        sentence = f"group {settings.app} is being rebalanced for {evidence.unstable_s:,.0f} s: nobody reads {_listed(unread)}{waits}"
        late = evidence.unstable_s > settings.max_behind_seconds
        yield (_fault if late else _notice)(
            "rebalancing", sentence, "wait; if it goes on, look at the workers' last lines"
        )


def _of_marks(evidence: Evidence) -> Iterator[Finding]:
    """Partitions that are paused, or of which nothing that came lately could be read, by the tables' marks."""
    settings = evidence.settings
    refused: dict[At, int] = {}
    for name, partitions in evidence.standing.reached.items():
        if name != JOURNAL:
            refused |= {
                (settings.topic(_STAGE_OF[name].source), number): one.refused_in_a_row
                for number, one in partitions.items()
            }
    paused = sorted(
        _name(at) for at, count in refused.items() if count >= settings.refusals_in_a_row
    )
    if paused:
        sentence = f"paused, since {settings.refusals_in_a_row:,} records in a row could not be read: {_listed(paused)}"
        yield _fault("paused", sentence, "see docs/runbook.md, Partition paused")
    bad = sorted(
        f"{count:,} of {_name(at)}"
        for at, count in refused.items()
        if REFUSED_IN_A_ROW <= count < settings.refusals_in_a_row
    )
    if bad:
        yield _fault(
            "refused",
            f"the last records could not be read, each of them: {_listed(bad)}",
            "see docs/runbook.md, Dead letters",
        )


# --- this reader, and dead letters
# -------------------------------------------------------------------------------------------------


def _of_reader(evidence: Evidence, bounds: Bounds) -> Iterator[Finding]:
    if evidence.silent_s > bounds.seconds:
        sentence = f"this reader has had no answer from the log for {evidence.silent_s:,.0f} s"
        yield _fault("reader_cut_off", sentence, "see docs/runbook.md, Not live")


def _of_dead_letters(evidence: Evidence) -> Iterator[Finding]:
    recent = [one for one in evidence.parked if evidence.now_ms - one.newest_ms < RECENT_MS]
    if recent:
        named = [f"{one.reason} of {one.topic}, {one.count:,} in all" for one in recent]
        yield _notice(
            "dead_letters",
            f"records were parked within the last hour: {_listed(named)}",
            "see docs/runbook.md, Dead letters",
        )
    if evidence.uncounted is not None:
        yield _notice(
            "dead_letters_uncounted",
            f"dead letters aren't all counted: {evidence.uncounted}",
            "wait, or see docs/runbook.md, Kafka unreachable",
        )


# --- words
# -------------------------------------------------------------------------------------------------------------------------


def _name(at: At) -> str:
    return f"{at[0]}-{at[1]}"


def _many(word: str, what: Sequence[str]) -> str:
    return f"{len(what)} {word}{'' if len(what) == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    named, most = list(names), 8
    return (
        ", ".join(named)
        if len(named) <= most
        else f"{', '.join(named[:most])} and {len(named) - most} more"
    )
