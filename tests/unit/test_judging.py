"""The judgement of an observation: each fault by itself, and observations without fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from serving.evidence import Bounds, Evidence
from serving.judging import REFUSED_IN_A_ROW, judge
from serving.progress import (
    DIRECT,
    FOLLOWED,
    SALES_JOURNAL,
    PartitionProgress,
    ReaderProgress,
)
from streams.copied import CopyState
from streams.copy_plan import Vectors
from streams.observe import Group, Member, Observation, PartitionSeen, TopicSeen
from streams.parked import Parked
from streams.settings import Settings
from streams.unapplied import UnappliedRecord
from tables import catalogue
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.judging import Judgement

NOW_MS = 1_800_000_000_000
BOUNDS = Bounds(None, 60.0)
SETTINGS = Settings(_env_file=None, app="shop", topic_prefix="x.", partitions=2)
SOURCES = {(f"x.{topic}", number): 100 for topic in ("orders", "chats") for number in (0, 1)}
READ = [(f"x.{stage.source}", number) for stage in catalogue.STAGES for number in (0, 1)]
TOPICS = {f"x.{stage.source}" for stage in catalogue.STAGES} | {"shop-orders-changelog"}


def progress(
    applied: int = 99,
    *,
    live: bool = True,
    only: Mapping[str, int] | None = None,
    **of_a_mark: Any,  # noqa: ANN401 - any field
) -> ReaderProgress:
    """Progress of all tables, the same for every source; tables in `only` have other offsets."""
    partitions_: dict[str, dict[int, PartitionProgress]] = {}
    topics = {
        table.name: catalogue.event_topics(table.stage) for table in catalogue.READER_TABLES
    } | {SALES_JOURNAL: ("orders",)}
    for name in FOLLOWED:
        at = (only or {}).get(name, applied)
        partitions_[name] = {
            number: PartitionProgress(
                at,
                {
                    f"x.{topic}-{one}": SourceProgress(at, 0)
                    for topic in topics[name]
                    for one in ([number] if name in DIRECT else (0, 1))
                },
                **of_a_mark,
            )
            for number in (0, 1)
        }
    return ReaderProgress(partitions_, complete=True, live=live)


def observation(**more: Any) -> Observation:  # noqa: ANN401 - any field
    """Three brokers that answer, three copies of each topic, and two workers with all partitions.

    `more` replaces fields.
    """
    seen = TopicSeen("id", {number: PartitionSeen(1, (1, 2, 3), (1, 2, 3)) for number in (0, 1)}, 2)
    members = (
        Member("a", "10.0.0.1", frozenset(READ[::2])),
        Member("b", "10.0.0.2", frozenset(READ[1::2])),
    )
    well = Observation(
        at_ms=NOW_MS, brokers=dict.fromkeys((1, 2, 3), True), topics=dict.fromkeys(TOPICS, seen),
        beginnings=dict.fromkeys(SOURCES, 0), ends=SOURCES, group=Group("Stable", members, SOURCES),
    )  # fmt: skip
    return replace(well, **more)


def evidence(**more: Any) -> Evidence:  # noqa: ANN401 - any field
    """An application without faults; `more` replaces fields."""
    return replace(
        Evidence(SETTINGS, progress(), {"shop-orders-changelog": "id"}, NOW_MS, observation()),
        **more,
    )


def faults(judgement: Judgement) -> list[str]:
    """The codes of the faults."""
    return [finding.code for finding in judgement.findings if finding.severity == "fault"]


def waiting(
    written_ms: int | None, offset: int = 90
) -> dict[tuple[str, int], UnappliedRecord | None]:
    """The same record waits in every source."""
    return {at: UnappliedRecord(offset, written_ms) for at in SOURCES}


def partitions(**of_each: Any) -> TopicSeen:  # noqa: ANN401 - any field
    """A topic whose partitions differ from the healthy ones."""
    return TopicSeen(
        "id",
        {number: replace(PartitionSeen(1, (1, 2, 3), (1, 2, 3)), **of_each) for number in (0, 1)},
        2,
    )


def test_where_all_is_well_nothing_is_found() -> None:
    """The state is live, nothing is behind, and each source has its worker."""
    judged = judge(evidence(), BOUNDS)
    assert (judged.state, judged.findings, judged.records_behind) == ("live", [], 0)
    assert {(one.behind, one.waiting_seconds) for one in judged.sources} == {(0, 0.0)}
    assert [(one.source, one.read_by) for one in judged.sources] == [
        ("x.orders-0", "a"),
        ("x.orders-1", "b"),
        ("x.chats-0", "a"),
        ("x.chats-1", "b"),
    ]


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (
            7,
            (
                "nothing of x.orders-0 was applied for 7 s; a worker that was killed looks alive"
                " for up to 10 s (session time-out)"
            ),
        ),
        (45, "nothing of x.orders-0 was applied for 45 s"),
        (4, None),  # chunks take time
    ],
)
def test_records_of_which_nothing_is_applied_are_a_notice(
    seconds: int, sentence: str | None
) -> None:
    """The state stays live: the worker is in the group, and bounds may be long."""
    at, other = ("x.orders", 0), ("x.orders", 1)
    first = {at: UnappliedRecord(90, NOW_MS - 3_600_000), other: None}
    applied = [(NOW_MS - 1000 * (seconds + 3), {at: 80})]
    applied += [(NOW_MS - 1000 * one, {at: 89}) for one in range(seconds, -1, -1)]
    behind = evidence(
        progress=progress(only={"orders": 89}),
        observation=observation(waiting=first),
        applied=applied,
    )
    judged = judge(behind, Bounds(None, 7200.0))
    assert judged.state == "live"
    assert [one.sentence for one in judged.findings] == ([] if sentence is None else [sentence])
    assert judge(evidence(applied=applied), BOUNDS).findings == []
    blocked = replace(
        behind, observation=observation(waiting=first | {at: UnappliedRecord(90, None)}),
        history=[(NOW_MS - 60_000, dict.fromkeys(SOURCES, 90))],
    )  # fmt: skip
    found = [one.sentence for one in judge(blocked, Bounds(None, 7200.0)).findings]
    assert found == ([] if sentence is None else [
        "nothing of x.orders-0 was applied for a while; an open transaction is in the way"
    ])  # fmt: skip


def without(*topics: str) -> dict[str, TopicSeen]:
    """The healthy topics without some of them."""
    return {name: seen for name, seen in observation().topics.items() if name not in topics}


EMPTY = Group("Empty", (), {})
REBALANCING = Group("PreparingRebalance", (Member("a", "h", frozenset()),), SOURCES)
HALF = Group("Stable", (Member("a", "h", frozenset(READ[::2])),), SOURCES)
OFFLINE = {
    name: partitions(leader=-1) if name == "x.sales" else seen
    for name, seen in observation().topics.items()
}


ENDS_OF_CHATS = {at: 100 for at in SOURCES if at[0] == "x.chats"}
CREATED_AGAIN = {"shop-orders-changelog": "former"}
OF_3 = SETTINGS.model_copy(update={"partitions": 3})
PARKED = Parked("x.orders", "not_json", 3, 0, 0, NOW_MS)
DECIDED = replace(PARKED, requeued=2, discarded=1)


def observed(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Evidence with another observation."""
    return {"observation": observation(**more)}


@pytest.mark.parametrize(
    ("more", "state", "codes", "sentence"),
    [
        ({"observation": None}, "unknown", ["unobserved"], "the first observation is under way"),
        ({"observation": None, "failure": "no answer"}, "unknown", ["unobserved"], "no answer"),
        ({"failure": "no Kafka answers"}, "unknown", ["unobserved"], "no Kafka answers"),
        (observed(group=EMPTY), "stalled", ["no_worker"], "no worker is in group shop: nobody"),
        (observed(group=HALF), "stalled", ["unread"], "nobody reads x.orders-1, x.chats-1"),
        (observed(group=REBALANCING), "live", [], "is being rebalanced for 0 s"),
        (observed(group=REBALANCING) | {"unstable_s": 61.0},
         "stalled", ["rebalancing"], "rebalanced for 61 s"),
        (observed(group=None, unknown={"group": "why"}),
         "stalled", ["group_unknown"], "can't be listed: why"),
        ({"progress": progress(live=False)}, "restoring", [], ""),
        (observed(topics=without("x.sales")),
         "stalled", ["topic_missing"], "there is no topic x.sales"),
        ({"followed": {"gone": "id"}}, "stalled", ["topic_missing"], "there is no topic gone"),
        ({"progress": progress(topic_id="former")},
         "stalled", ["topic_created_again"], "x.chats, x.orders, x.sales"),
        ({"followed": CREATED_AGAIN},
         "stalled", ["topic_created_again"], "applied: shop-orders-changelog"),
        ({"settings": OF_3}, "stalled", ["end_unknown", "partitions", "unread"], ""),
        ({"progress": progress(refused_in_a_row=1000)}, "stalled", ["paused"], "x.orders-0"),
        ({"progress": progress(refused_in_a_row=REFUSED_IN_A_ROW)},
         "stalled", ["refused"], "10 of x.orders-0"),
        ({"progress": progress(refused_in_a_row=REFUSED_IN_A_ROW - 1)}, "live", [], ""),
        (observed(applied={("x.orders", 0): 100}),
         "stalled", ["log_cut"], "ends at 100, 100 is applied"),
        (observed(ends=ENDS_OF_CHATS), "stalled", ["end_unknown"], "x.orders-0"),
        (observed(brokers={1: True, 2: True, 3: False}),
         "live", [], "1 of 3 brokers does not answer: 3"),
        (observed(brokers={1: True, 2: False, 3: False}),
         "stalled", ["broker_away", "below_min_isr"], "2, 3"),
        (observed(brokers={1: False, 2: True, 3: True}),
         "stalled", ["broker_away", "offline"], "leader that answers"),
        (observed(topics=OFFLINE), "stalled", ["offline"], "x.sales-0, x.sales-1"),
        ({"silent_s": 61.0}, "stalled", ["reader_cut_off"], "no answer from the log for 61 s"),
        ({"parked": [PARKED]}, "live", [], "dead letters are open: 3 not_json of x.orders"),
        ({"parked": [DECIDED]}, "live", [], ""),
        ({"uncounted": "why"}, "live", [], "dead letters aren't all counted: why"),
    ],
)  # fmt: skip
def test_each_fault_is_found_with_its_remedy(
    more: dict[str, Any], state: str, codes: list[str], sentence: str
) -> None:
    """Each fault occurs by itself, in an application without other faults."""
    judged = judge(evidence(**more), BOUNDS)
    assert judged.state == state
    assert sorted(faults(judged)) == sorted(codes)
    assert sentence in "; ".join(finding.sentence for finding in judged.findings)
    assert all(finding.remedy and finding.sentence for finding in judged.findings)
    assert bool(judged.findings) == bool(sentence or codes)


@pytest.mark.parametrize(
    ("bounds", "written_s_ago", "state"),
    [
        (Bounds(None, 60.0), 59, "live"),
        (Bounds(None, 60.0), 61, "behind"),
        (Bounds(39, 60.0), 1, "behind"),
        (Bounds(40, 60.0), 1, "live"),
        (Bounds(0, 60.0), 1, "behind"),
        (Bounds(None, 60.0), None, "behind"),
    ],
)
def test_behind_is_a_fault_beyond_a_bound(
    bounds: Bounds, written_s_ago: int | None, state: str
) -> None:
    """The bound is in records, or in the time that the first one has waited.

    While that time is unknown, it counts as beyond any bound.
    """
    first = waiting(None if written_s_ago is None else NOW_MS - written_s_ago * 1000)
    judged = judge(evidence(progress=progress(89), observation=observation(waiting=first)), bounds)
    assert (judged.state, judged.records_behind) == (state, 40)
    assert {one.waiting_seconds for one in judged.sources} == {written_s_ago}


def test_records_applied_since_the_observation_are_no_cut_log() -> None:
    """The ends were read earlier than the tables' progress.

    The tables have since applied records that were written after it.
    """
    judged = judge(
        evidence(
            progress=progress(250), observation=observation(applied=dict.fromkeys(SOURCES, 99))
        ),
        BOUNDS,
    )
    assert (judged.state, judged.findings, judged.records_behind) == ("live", [], 0)


def test_control_records_at_the_end_are_not_behind() -> None:
    """Every transaction of a writer ends with a control record.

    No stage ever marks it as applied.
    """
    judged = judge(
        evidence(progress=progress(97), observation=observation(waiting=dict.fromkeys(SOURCES))),
        Bounds(0, 0.001),
    )
    assert (judged.state, judged.records_behind) == ("live", 0)


def test_a_record_waits_since_it_was_first_observed() -> None:
    """A copied log keeps its records' times.

    They are years old, but in this log for 5 s. Without earlier observations a reader has only
    those times.
    """
    seen = observation(waiting=waiting(NOW_MS - 10**9))
    history = [
        (NOW_MS - 9_000, dict.fromkeys(SOURCES, 90)),
        (NOW_MS - 5_000, dict.fromkeys(SOURCES, 90)),
        (NOW_MS, SOURCES),
    ]
    judged = judge(evidence(progress=progress(89), observation=seen, history=history), BOUNDS)
    assert (judged.state, judged.sources[0].waiting_seconds) == ("live", 5.0)
    judged = judge(evidence(progress=progress(89), observation=seen, history=history[2:]), BOUNDS)
    assert (judged.state, judged.sources[0].waiting_seconds) == ("behind", 1e6)


def test_the_slowest_table_is_named() -> None:
    """If the order stage is at the end and a later stage isn't, the finding names its table."""
    slow = progress(99, only={catalogue.PRODUCT_CYCLES.name: 49})
    judged = judge(
        evidence(progress=slow, observation=observation(waiting=waiting(NOW_MS - 90_000, 50))),
        BOUNDS,
    )
    assert [(one.source, one.behind, one.slowest) for one in judged.sources] == [
        ("x.orders-0", 50, "product_cycles"),
        ("x.orders-1", 50, "product_cycles"),
        ("x.chats-0", 0, None),
        ("x.chats-1", 0, None),
    ]
    assert (
        judged.findings[0].sentence
        == "100 records are not in all tables; x.orders-0 waits for 90 s,"
        " and product_cycles has applied the least of it"
    )


def test_a_new_application_that_has_counted_nothing_is_behind_by_the_whole_log() -> None:
    """No table has a mark.

    The whole log, from its beginning, is behind.
    """
    nothing = ReaderProgress(
        {name: {0: PartitionProgress(), 1: PartitionProgress()} for name in FOLLOWED},
        complete=True,
        live=True,
    )
    log = observation(
        group=EMPTY, beginnings=dict.fromkeys(SOURCES, 30), waiting=waiting(NOW_MS - 90_000, 30)
    )
    judged = judge(evidence(progress=nothing, observation=log), BOUNDS)
    assert (judged.state, faults(judged), judged.records_behind) == (
        "stalled",
        ["no_worker", "behind"],
        4 * 70,
    )
    assert "while 280 records wait" in judged.findings[0].sentence


def test_an_empty_log_that_a_worker_reads_is_live() -> None:
    """Before the first event nothing waits."""
    nothing = ReaderProgress(
        {name: {0: PartitionProgress(), 1: PartitionProgress()} for name in FOLLOWED},
        complete=True,
        live=True,
    )
    assert (
        judge(
            evidence(progress=nothing, observation=observation(ends=dict.fromkeys(SOURCES, 0))),
            BOUNDS,
        ).state
        == "live"
    )


def test_different_builds_are_a_notice() -> None:
    """Workers of another build than the reader's: the partitions and both builds are named."""
    found = judge(evidence(progress=progress(build="0.1.0+a", rules=7), build="0.1.0+b"), BOUNDS)
    (finding,) = found.findings
    assert (found.state, finding.code, finding.severity) == ("live", "mixed_builds", "notice")
    assert "x.orders-0" in finding.sentence
    assert finding.sentence.endswith("by 0.1.0+a; this reader is 0.1.0+b")
    assert {version: len(of) for version, of in found.versions.items()} == {("0.1.0+a", 7): 8}


@pytest.mark.parametrize(("marks", "reader"), [("0.1.0+a", "0.1.0+a"), ("", "0.1.0+a"), ("a", "")])
def test_one_build_or_an_unknown_one_is_none(marks: str, reader: str) -> None:
    """Marks of old do not name their build, and a source tree may have none."""
    assert not judge(evidence(progress=progress(build=marks), build=reader), BOUNDS).findings


def test_a_source_has_its_rate() -> None:
    """Null where it is unknown."""
    first, *others = judge(evidence(rates={("x.orders", 0): 12.5}), BOUNDS).sources
    assert (first.source, first.records_per_second) == ("x.orders-0", 12.5)
    assert {one.records_per_second for one in others} == {None}


def test_records_that_wait_for_the_copier_are_behind() -> None:
    """The way begins where producers write: a copier that is dead leaves no answer live."""
    app = SETTINGS.app
    copy = CopyState(Vectors({}), 7, NOW_MS - 61_000)
    judgement = judge(evidence(copy=copy), BOUNDS)
    assert (judgement.state, faults(judgement)) == ("behind", ["copy_behind"])
    (finding,) = [one for one in judgement.findings if one.code == "copy_behind"]
    assert finding.sentence == (
        f"7 records are not copied into the log of {app}, the first of them for 61 s"
    )
    assert f"netsold rebuild copy {app}" in finding.remedy
    for fine in (replace(copy, oldest_ms=NOW_MS - 59_000), replace(copy, left=0), None):
        assert judge(evidence(copy=fine), BOUNDS).state == "live"
    assert judge(evidence(copy=replace(copy, oldest_ms=None)), Bounds(6, 60.0)).state == "behind"
