"""Every story through the pure stages, and through the recount.

Events arrive in all or many orders, some of them twice, in chunks cut at random.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from operations.oracle.recount import recount
from operations.oracle.replies import Terms
from operations.stories.outcomes import differences, sold
from schemas.times import parse_ms
from tables import catalogue, conversations
from tests.flow import CYCLES, Flow, bare, binary
from tests.story import Story, arrivals, parse, prefixed, stories

if TYPE_CHECKING:
    from tables.service_hours import ServiceRules


def applied(story: Story, count: int, arrival: list[dict[str, object]]) -> Flow:
    """A pipeline in memory that has applied the events, and time ticks at the story's end."""
    chance = random.Random(f"{story.title} {count}")
    flow = Flow(chunk=lambda: chance.randint(1, 5), rules=story.rules).take(
        arrival, bare if count % 2 else binary
    )
    return flow.tick(parse_ms(story.as_of)) if story.as_of else flow


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
def test_story(story: Story) -> None:
    """The tables end with the story's rows, in every order of arrival (S12)."""
    states = None
    for count, arrival in enumerate(arrivals(story.events)):
        flow = applied(story, count, arrival)
        assert not (found := differences(story, flow.terms, flow.tables)), "\n".join(found)
        assert not flow.parked
        _assert_messages_are_in_order(flow)
        if count == 0:
            assert _alerts(flow) == story.alerts
        states = states or flow.tables["orders"]
        assert flow.tables["orders"] == states  # equal facts are equal bytes


def _alerts(flow: Flow) -> list[tuple[str, str, str]]:
    return [(alert["type"], alert["shop_id"], alert["buyer_id"]) for alert in flow.alerts]


def _assert_messages_are_in_order(flow: Flow) -> None:
    for state in flow.tables[catalogue.CHATS.name].values():
        written = conversations.decode(state).written
        assert list(written) == sorted(written, key=conversations.place)


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
def test_recount(story: Story) -> None:
    """The recount's rows are the story's, and its lists are those of the tables."""
    times = [story.as_of] if story.as_of else [event["occurred_at"] for event in story.events]
    as_of_ms = max(map(parse_ms, times))
    counted = recount(
        story.events,
        CYCLES.length_ms,
        CYCLES.anchor_ms,
        terms=terms(story.rules),
        as_of_ms=as_of_ms,
    )
    assert not (found := sold(counted).differences(story)), "\n".join(found)
    flow = applied(story, 0, story.events).tick(as_of_ms)
    assert counted == flow.report()


def terms(rules: ServiceRules) -> Terms:
    """The rules of service in the words of the recount."""
    return Terms.of(rules.reply_within_ms // 1000, rules.hours, rules.zone, rules.count_per)


def test_titles_are_ids() -> None:
    """No two stories have the same title, because reports name a story by it."""
    titles = [story.title for story in stories()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    "line",
    [
        "p-3 2026-06-06 2 0 0 CNY 2000 0 0",
        "traded p-3 1",
        "anomaly o-1 unknown_line 8",
        "served s-7 2026-06-06 buyers=2",
        "overdue s-7 b-9",
    ],
)
def test_a_wrong_row_is_found(line: str) -> None:
    """It is found in every kind of row.

    Products, all time, anomalies, service, and overdue inquiries.
    """
    text = """
== a sale
2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000
2026-07-02T08:00Z  received  o-1
then
"""
    right = "p-3 2026-06-06 3 0 0 CNY 3000 0 0\n" if not line.startswith("p-3") else ""
    (story,) = parse(f"{text}{right}{line}\n")
    flow = applied(story, 0, story.events)
    assert len(differences(story, flow.terms, flow.tables)) >= 1
    (story,) = parse(f"{text}p-3 2026-06-06 3 0 0 CNY 3000 0 0\ntraded p-3 3\n")
    assert differences(story, flow.terms, flow.tables) == []


def test_ids_with_a_prefix_are_compared_apart() -> None:
    """Tables of several stories are compared with each story.

    The prefix of its ids selects its rows.
    """
    text = "== a\n2026-07-01T08:00Z placed o-1 1:p-3:1x5\n2026-07-02T08:00Z received o-1\nthen\n"
    (story,) = parse(f"{text}p-3 2026-06-06 1 0 0 CNY 5 0 0\n")
    events = [event for n in (1, 2) for event in prefixed(story, f"{n}.")]
    flow = Flow().take(events)
    for prefix, differ in (("1.", False), ("2.", False), ("3.", True)):
        assert bool(differences(story, flow.terms, flow.tables, prefix)) is differ
    assert lists_of_shops(flow) == ["1.s-7", "2.s-7"]


def lists_of_shops(flow: Flow) -> list[str]:
    """The ids of all shops with sales."""
    return [row["shop_id"] for row in flow.report()["shops"]]
