"""Judges the group, what is behind, dead letters, committed offsets against marks, event time.

Pure: no clock, no requests. Whether state fits its source is decided by the worker's own function
(`streams.unfit.why_unfit`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from operations.doctor.results import MEND, CheckResult, fault, ok, warning
from operations.in_words import duration
from schemas.times import format_short
from schemas.wording import name_list, with_count
from streams.observe import STABLE_GROUP
from tables.catalogue import EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.copied import CopyState
    from streams.lane_offsets import LaneOffsets
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings
    from streams.unapplied import UnappliedRecord
    from tables.cycles import Calendar

AHEAD_WARNING_MS: Final = 60_000
"""Event time this long after the clock is a warning: clocks of sources differ."""

_REBUILD: Final = "see docs/runbook.md, Rebuild"
_END_IT: Final = "end the transaction first: see the check `transactions`"


def judge_group(
    observation: Observation, lanes: Sequence[LaneOffsets], app: str
) -> Iterator[CheckResult]:
    """The group's members, and who reads which partition."""
    group = observation.group
    if group is None:
        why = observation.unknown.get("group", "no answer")
        yield warning("group", f"group {app} could not be observed: {why}", "netsold doctor")
        return
    for member in group.members:
        # Faust assigns changelogs, too, which its worker restores by itself
        reads = sorted(lane.name for lane in lanes if lane.at in member.holds)
        details = [{"member": member.name, "host": member.host, "reads": reads}]
        sentence = f"{member.name} at {member.host} reads {' '.join(reads) or 'nothing'}"
        yield ok("group", sentence, details)
    readers = group.readers()
    unread = [lane.name for lane in lanes if lane.at not in readers]
    names = f"{with_count('partition', unread)} of {len(lanes)}: {name_list(unread)}"
    if not group.members:
        unmet = f"; nobody reads {names}" if lanes else ""
        yield warning("group", f"group {app} has no worker{unmet}", "netsold worker")
    elif group.state != STABLE_GROUP:
        sentence = f"group {app} is being rebalanced ({group.state}); nobody reads {names}"
        yield warning("group", sentence, "netsold doctor   # again in a minute")
    elif unread:
        yield fault("group", f"nobody reads {names}", "restart the workers")


LATE_MS: Final = 5_000
"""Workers are watched for a moment if a record waits for longer."""


def judge_lag(
    lanes: Sequence[LaneOffsets],
    waiting: Mapping[At, UnappliedRecord | None],
    again: Mapping[At, int],
    settings: Settings,
    now_ms: int,
) -> Iterator[CheckResult]:
    """What is behind the committed offsets, and of which partitions nothing is applied.

    `again` are committed offsets read a few seconds later; empty where no record waits for long.
    """
    yield _judge_behind(lanes, waiting, settings, now_ms)
    stalled = {
        lane.name: (now_ms - first.written_ms) / 1000
        for lane in lanes
        if (first := waiting.get(lane.at)) is not None
        and first.written_ms is not None
        and now_ms - first.written_ms > LATE_MS
        and lane.committed is not None
        and again.get(lane.at) == lane.committed
    }
    if stalled:
        session_s = settings.session_timeout_ms / 1000
        yield warning(
            "lag",
            f"nothing of {name_list(stalled)} was applied while doctor watched, and a record"
            f" waits for {duration(max(stalled.values()))}; a worker that was killed looks alive"
            f" for up to {session_s:,.0f} s (session time-out)",
            "netsold status   # in a minute; then docs/runbook.md, No progress",
            [{"partition": name, "waiting_seconds": s} for name, s in stalled.items()],
        )


def _judge_behind(
    lanes: Sequence[LaneOffsets],
    waiting: Mapping[At, UnappliedRecord | None],
    settings: Settings,
    now_ms: int,
) -> CheckResult:
    """How many records each partition is behind, and for how long the oldest of them waits."""
    details, longest_s, blocked = [], 0.0, []
    for lane in lanes:
        first = waiting.get(lane.at)
        if first is None:  # nothing is behind, or control records alone
            continue
        waits_s = None if first.written_ms is None else max(0, now_ms - first.written_ms) / 1000
        if waits_s is None:
            blocked.append(lane.name)
        longest_s = max(longest_s, waits_s or 0.0)
        details.append(
            {
                "partition": lane.name,
                "committed": lane.committed,
                "end": lane.end,
                "behind": lane.end - first.offset,
                "waiting_seconds": waits_s,
            }
        )
    total = sum(lane.end - first.offset for lane in lanes if (first := waiting.get(lane.at)))
    if not details:
        return ok(
            "lag",
            "nothing is behind the group's committed offsets; `netsold status` compares with a"
            " reader's tables",
        )
    sentence = (
        f"{total:,} {'record is' if total == 1 else 'records are'} behind the group's committed "
        f"offsets in {with_count('partition', details)}; the oldest waits for {duration(longest_s)}"
    )
    if blocked:
        sentence += f"; an open transaction is in the way in {name_list(blocked)}"
    most = settings.max_behind_records
    if blocked or longest_s > settings.max_behind_seconds or (most is not None and total > most):
        return warning("lag", sentence, "netsold status", details)
    return ok("lag", sentence, details)


def judge_letters(parked: Sequence[Parked]) -> CheckResult:
    """Dead letters that nobody has decided about, by reason."""
    waiting = [one for one in parked if one.open]
    if not waiting:
        decided = sum(one.count for one in parked)
        return ok("dead_letters", f"no dead letter is open; {decided:,} were decided about")
    total = sum(one.open for one in waiting)
    each = name_list(f"{one.open:,} {one.reason} of {one.topic}" for one in waiting)
    are = "dead letter is" if total == 1 else "dead letters are"
    return warning(
        "dead_letters",
        f"{total:,} {are} open: {each}",
        "netsold dead-letters list   # then docs/runbook.md, Dead letters",
        [{"topic": one.topic, "reason": one.reason, "open": one.open} for one in waiting],
    )


def judge_beginnings(lanes: Sequence[LaneOffsets], settings: Settings) -> CheckResult:
    """Whether a replay can read every event that was ever written."""
    sources = {settings.topic(name) for name in EVENT_TOPICS}
    events = [lane for lane in lanes if lane.topic in sources]
    cut = [lane for lane in events if lane.beginning > 0]
    if not cut:
        records = sum(lane.end for lane in events)
        return ok("retention", f"a replay reaches back to the first of {records:,} records")
    names = name_list(f"{lane.name} begins at {lane.beginning:,}" for lane in cut)
    return warning(
        "retention",
        f"a replay can't read what was deleted before: {names}",
        "write the older events again: `netsold import FILE`, then a rebuild "
        "(docs/runbook.md, Log shorter than the offset)",
        [{"partition": lane.name, "beginning": lane.beginning} for lane in cut],
    )


def judge_copy(state: CopyState, app: str, at_ms: int) -> CheckResult:
    """The copy of a version's log: a fault where a record has been waiting for it for too long."""
    waits_s = state.waits_s(at_ms)
    if waits_s * 1000 <= LATE_MS:
        return ok("lag", f"the log is copied, but for {state.left:,} records that just came")
    return fault(
        "lag",
        f"{state.left:,} records are not copied into the log of {app}, the first of them for "
        f"{waits_s:,.0f} s",
        f"netsold rebuild copy {app}",
    )


def judge_offsets(lanes: Sequence[LaneOffsets], app: str) -> Iterator[CheckResult]:
    """Each committed offset against the marks of its tables; one result for each remedy."""
    refused: defaultdict[str, list[LaneOffsets]] = defaultdict(list)
    for lane in lanes:
        if (lane.moving or lane.why_refused(app) is None) and lane.why_never_fits(app) is None:
            continue
        mendable = lane.right_offset(app) is not None
        refused[_END_IT if lane.blocked else MEND if mendable else _REBUILD].append(lane)
    for remedy, some in refused.items():
        whole = some[0].why_never_fits(app) or str(some[0].why_refused(app))
        sentence = whole.partition("; ")[0]
        if len(some) > 1:
            sentence += f"; and so in {name_list(lane.name for lane in some[1:])}"
        details = [
            {
                "partition": lane.name,
                "committed": lane.committed,
                "offset": lane.right_offset(app),
                "sentence": lane.why_never_fits(app) or lane.why_refused(app),
            }
            for lane in some
        ]
        if remedy == _END_IT:  # what they are is known once the transaction has ended
            names = name_list(lane.name for lane in some)
            sentence = f"an open transaction hides the newest marks of {names}"
            yield warning("offsets", sentence, remedy, details)
        else:
            yield fault("offsets", sentence, remedy, details)
    if not refused:
        used = [lane for lane in lanes if not lane.unused]
        yield ok("offsets", f"the offsets of {with_count('partition', used)} follow their marks")


def judge_event_time(
    lanes: Sequence[LaneOffsets], settings: Settings, calendar: Calendar, now_ms: int
) -> CheckResult:
    """The event time of each source against this machine's clock."""
    sources = {settings.topic(name) for name in EVENT_TOPICS}
    at = {
        lane.name: mark.watermark_ms
        for lane in lanes
        if lane.topic in sources
        for mark in lane.marks.values()
        if mark is not None and mark.watermark_ms is not None
    }
    if not at:
        return ok("event_time", "no event has been applied yet")
    latest, name = max((watermark_ms, name) for name, watermark_ms in at.items())
    details = [{"partition": one, "watermark": format_short(at[one])} for one in sorted(at)]
    sentence = f"the latest event time is {format_short(latest)}, in {name}"
    if latest - now_ms <= AHEAD_WARNING_MS:
        return ok("event_time", sentence, details)
    sentence += f", {duration((latest - now_ms) / 1000)} in the future"
    remedy = "see docs/runbook.md, Event time lies in the future"
    if calendar.start_of(latest) > now_ms:
        return fault("event_time", f"{sentence}, in a cycle that has not begun", remedy, details)
    return warning("event_time", sentence, remedy, details)
