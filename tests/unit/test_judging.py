"""What an observation comes to.

Each way in which something can stand, and what is well all the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from serving.judging import REFUSED_IN_A_ROW, Bounds, Evidence, judge
from serving.standing import DIRECT, FOLLOWED, JOURNAL, Reached, Standing
from streams.observe import Group, Member, Observation, PartitionSeen, TopicSeen
from streams.parked import Parked
from streams.settings import Settings
from streams.unapplied import UnappliedRecord
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.judging import Judgement

NOW_MS = 1_800_000_000_000
BOUNDS = Bounds(None, 60.0)
SETTINGS = Settings(_env_file=None, app="shop", topic_prefix="x.", partitions=2)
SOURCES = {(f"x.{topic}", number): 100 for topic in ("orders", "chats") for number in (0, 1)}
READ = [(f"x.{stage.source}", number) for stage in catalogue.STAGES for number in (0, 1)]
TOPICS = {f"x.{stage.source}" for stage in catalogue.STAGES} | {"shop-orders-changelog"}


def standing(
    applied: int = 99,
    *,
    live: bool = True,
    only: Mapping[str, int] | None = None,
    **of_a_mark: Any,  # noqa: ANN401 - any field
) -> Standing:
    """All tables hold the same of every source partition; those in `only` hold something else."""
    reached: dict[str, dict[int, Reached]] = {}
    for name in FOLLOWED:
        at = (only or {}).get(name, applied)
        topics = {
            catalogue.ORDERS.name: ["orders"],
            catalogue.OVERDUE_INQUIRIES.name: ["chats"],
        }.get(name, ["orders", "chats"])
        if name in {JOURNAL, catalogue.PRODUCT_CYCLES.name, catalogue.PRODUCT_SERVICE_CYCLES.name}:
            topics = ["orders"]
        reached[name] = {
            number: Reached(
                at,
                {
                    f"x.{topic}-{one}": (at, 0)
                    for topic in topics
                    for one in ([number] if name in DIRECT else (0, 1))
                },
                **of_a_mark,
            )
            for number in (0, 1)
        }
    return Standing(reached, complete=True, live=live)


def observation(**more: Any) -> Observation:  # noqa: ANN401 - any field
    """Three brokers that answer, all topics with three copies each, and two workers that share all partitions; or as `more` says."""
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
    """All is well; or as `more` says."""
    return replace(
        Evidence(SETTINGS, standing(), {"shop-orders-changelog": "id"}, NOW_MS, observation()),
        **more,
    )


def faults(judgement: Judgement) -> list[str]:
    """The codes of what stands."""
    return [finding.code for finding in judgement.findings if finding.severity == "fault"]


def waiting(
    written_ms: int | None, offset: int = 90
) -> dict[tuple[str, int], UnappliedRecord | None]:
    """The same record waits in every source."""
    return {at: UnappliedRecord(offset, written_ms) for at in SOURCES}


def partitions(**of_each: Any) -> TopicSeen:  # noqa: ANN401 - any field
    """A topic whose partitions differ from those that are well."""
    return TopicSeen(
        "id",
        {number: replace(PartitionSeen(1, (1, 2, 3), (1, 2, 3)), **of_each) for number in (0, 1)},
        2,
    )


def test_where_all_is_well_nothing_is_found() -> None:
    """Live, nothing behind, and who reads what."""
    judged = judge(evidence(), BOUNDS)
    assert (judged.state, judged.findings, judged.records_behind) == ("live", [], 0)
    assert [(one.source, one.behind, one.waiting_seconds, one.read_by) for one in judged.sources] == [
        ("x.orders-0", 0, 0.0, "a"), ("x.orders-1", 0, 0.0, "b"), ("x.chats-0", 0, 0.0, "a"), ("x.chats-1", 0, 0.0, "b"),
    ]  # fmt: skip


def without(*topics: str) -> dict[str, TopicSeen]:
    """The topics that are well, but for some."""
    return {name: seen for name, seen in observation().topics.items() if name not in topics}


EMPTY = Group("Empty", (), {})
REBALANCING = Group("PreparingRebalance", (Member("a", "h", frozenset()),), SOURCES)
HALF = Group("Stable", (Member("a", "h", frozenset(READ[::2])),), SOURCES)
OFFLINE = {
    name: partitions(leader=-1) if name == "x.sales" else seen
    for name, seen in observation().topics.items()
}


@pytest.mark.parametrize(
    ("more", "state", "codes", "sentence"),
    [
        ({"observation": None}, "unknown", ["unobserved"], "the first observation is under way"),
        ({"observation": None, "failure": "no Kafka answers"}, "unknown", ["unobserved"], "no Kafka answers"),
        ({"failure": "no Kafka answers"}, "unknown", ["unobserved"], "no Kafka answers"),
        ({"observation": observation(group=EMPTY)}, "stalled", ["no_worker"], "no worker is in group shop: nobody reads x.orders-0"),
        ({"observation": observation(group=HALF)}, "stalled", ["unread"], "nobody reads x.orders-1, x.chats-1, x.sales-1"),
        ({"observation": observation(group=REBALANCING)}, "live", [], "is being rebalanced for 0 s"),
        ({"observation": observation(group=REBALANCING), "unstable_s": 61.0}, "stalled", ["rebalancing"], "rebalanced for 61 s"),
        ({"observation": observation(group=None, unknown={"group": "why"})}, "stalled", ["group_unknown"], "can't be listed: why"),
        ({"standing": standing(live=False)}, "restoring", [], ""),
        ({"observation": observation(topics=without("x.sales"))}, "stalled", ["topic_missing"], "there is no topic x.sales"),
        ({"followed": {"gone": "id"}}, "stalled", ["topic_missing"], "there is no topic gone"),
        ({"standing": standing(topic_id="former")}, "stalled", ["topic_created_again"], "x.chats, x.orders, x.sales, x.shop-activity"),
        ({"followed": {"shop-orders-changelog": "former"}}, "stalled", ["topic_created_again"], "again was shop-orders-changelog"),
        ({"settings": SETTINGS.model_copy(update={"partitions": 3})}, "stalled", ["end_unknown", "partitions", "unread"], ""),
        ({"standing": standing(refused_in_a_row=1000)}, "stalled", ["paused"], "x.orders-0"),
        ({"standing": standing(refused_in_a_row=REFUSED_IN_A_ROW)}, "stalled", ["refused"], "10 of x.orders-0"),
        ({"standing": standing(refused_in_a_row=REFUSED_IN_A_ROW - 1)}, "live", [], ""),
        ({"observation": observation(applied={("x.orders", 0): 100})}, "stalled", ["log_cut"], "x.orders-0 ends at 100, 100 is applied"),
        ({"observation": observation(ends={at: 100 for at in SOURCES if at[0] == "x.chats"})}, "stalled", ["end_unknown"], "x.orders-0"),
        ({"observation": observation(brokers={1: True, 2: True, 3: False})}, "live", [], "1 of 3 brokers does not answer: 3"),
        ({"observation": observation(brokers={1: True, 2: False, 3: False})}, "stalled", ["broker_away", "below_min_isr"], "2, 3"),
        ({"observation": observation(brokers={1: False, 2: True, 3: True})}, "stalled", ["broker_away", "offline"], "leader that answers"),
        ({"observation": observation(topics=OFFLINE)}, "stalled", ["offline"], "x.sales-0, x.sales-1"),
        ({"silent_s": 61.0}, "stalled", ["reader_cut_off"], "no answer from the log for 61 s"),
        ({"parked": [Parked("x.orders", "not_json", 3, 0, 0, NOW_MS)]}, "live", [], "not_json of x.orders, 3 in all"),
        ({"parked": [Parked("x.orders", "not_json", 3, 0, 0, NOW_MS - 3_600_000)]}, "live", [], ""),
        ({"uncounted": "why"}, "live", [], "dead letters aren't all counted: why"),
    ],
)  # fmt: skip
def test_what_stands_is_found_and_says_what_to_do(
    more: dict[str, Any], state: str, codes: list[str], sentence: str
) -> None:
    """Each by itself, in an application that is otherwise well."""
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
    """In records, or by how long the first one has been there.

    While that isn't known, beyond any bound.
    """
    first = waiting(None if written_s_ago is None else NOW_MS - written_s_ago * 1000)
    judged = judge(evidence(standing=standing(89), observation=observation(waiting=first)), bounds)
    assert (judged.state, judged.records_behind) == (state, 40)
    assert {one.waiting_seconds for one in judged.sources} == {written_s_ago}


def test_what_was_applied_while_the_cluster_was_observed_cuts_no_log() -> None:
    """The ends are from a moment ago.

    The tables have since gone on with what was written after it.
    """
    judged = judge(
        evidence(
            standing=standing(250), observation=observation(applied=dict.fromkeys(SOURCES, 99))
        ),
        BOUNDS,
    )
    assert (judged.state, judged.findings, judged.records_behind) == ("live", [], 0)


def test_control_records_at_the_end_are_not_behind() -> None:
    """Whoever writes in transactions leaves one there, and no stage ever says that it has taken it in."""
    judged = judge(
        evidence(standing=standing(97), observation=observation(waiting=dict.fromkeys(SOURCES))),
        Bounds(0, 0.001),
    )
    assert (judged.state, judged.records_behind) == ("live", 0)


def test_what_was_seen_to_come_waits_since_then_whatever_its_own_time_says() -> None:
    """A copy keeps the times of its records: years old, and here for 5 s.

    A reader that has just begun has only their word.
    """
    seen = observation(waiting=waiting(NOW_MS - 10**9))
    history = [
        (NOW_MS - 9_000, dict.fromkeys(SOURCES, 90)),
        (NOW_MS - 5_000, dict.fromkeys(SOURCES, 90)),
        (NOW_MS, SOURCES),
    ]
    judged = judge(evidence(standing=standing(89), observation=seen, history=history), BOUNDS)
    assert (judged.state, judged.sources[0].waiting_seconds) == ("live", 5.0)
    judged = judge(evidence(standing=standing(89), observation=seen, history=history[2:]), BOUNDS)
    assert (judged.state, judged.sources[0].waiting_seconds) == ("behind", 1e6)


def test_the_table_that_holds_least_is_named() -> None:
    """Where the order stage is at the end and a later one isn't, it says which."""
    slow = standing(99, only={catalogue.PRODUCT_CYCLES.name: 49})
    judged = judge(
        evidence(standing=slow, observation=observation(waiting=waiting(NOW_MS - 90_000, 50))),
        BOUNDS,
    )
    assert [(one.source, one.behind, one.slowest) for one in judged.sources] == [
        ("x.orders-0", 50, "product_cycles"), ("x.orders-1", 50, "product_cycles"), ("x.chats-0", 0, None), ("x.chats-1", 0, None),
    ]  # fmt: skip
    assert (
        judged.findings[0].sentence
        == "100 records are not in all tables; x.orders-0 waits for 90 s, and product_cycles holds least of it"
    )


def test_a_new_application_that_has_counted_nothing_is_behind_by_the_whole_log() -> None:
    """No table has a mark: all that the log has, from its beginning on, is behind."""
    nothing = Standing(
        {name: {0: Reached(), 1: Reached()} for name in FOLLOWED}, complete=True, live=True
    )
    log = observation(
        group=EMPTY, beginnings=dict.fromkeys(SOURCES, 30), waiting=waiting(NOW_MS - 90_000, 30)
    )
    judged = judge(evidence(standing=nothing, observation=log), BOUNDS)
    assert (judged.state, faults(judged), judged.records_behind) == (
        "stalled",
        ["no_worker", "behind"],
        4 * 70,
    )
    assert "while 280 records wait" in judged.findings[0].sentence


def test_an_empty_log_that_a_worker_reads_is_live() -> None:
    """Before the first event there is nothing to wait for."""
    nothing = Standing(
        {name: {0: Reached(), 1: Reached()} for name in FOLLOWED}, complete=True, live=True
    )
    assert (
        judge(
            evidence(standing=nothing, observation=observation(ends=dict.fromkeys(SOURCES, 0))),
            BOUNDS,
        ).state
        == "live"
    )
