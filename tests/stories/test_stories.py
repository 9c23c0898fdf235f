"""Every story, through the real stages, in all or many orders of arrival, with some events twice and chunks cut anywhere."""

import random

import pytest

from schemas.times import parse_ms
from tables import catalogue, conversations, service
from tests.flow import CYCLES, Flow, bare, binary
from tests.story import Story, arrivals, stories, told


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
def test_story(story: Story) -> None:
    """The tables end as the story says, whatever arrives when (S12)."""
    chance = random.Random(story.title)
    states = None
    for count, arrival in enumerate(arrivals(story.events)):
        flow = Flow(chunk=lambda: chance.randint(1, 5), rules=story.rules).take(
            arrival, bare if count % 2 else binary
        )
        if story.as_of:
            flow.tick(parse_ms(story.as_of))
        report = flow.report()
        products, shops, traded, odd = told(report)
        assert products == [row for row in story.rows if not row[0].startswith("s-")]
        expected_shops = [row for row in story.rows if row[0].startswith("s-")]
        assert shops == expected_shops or not expected_shops
        assert story.traded.items() <= traded.items()
        assert odd == story.odd
        assert not flow.parked
        _assert_served(story, flow)
        if count == 0:
            assert [
                (alert["type"], alert["shop_id"], alert["buyer_id"]) for alert in flow.alerts
            ] == story.alerts
        states = states or flow.tables["orders"]
        assert flow.tables["orders"] == states  # equal facts are equal bytes


def _assert_served(story: Story, flow: Flow) -> None:
    """Columns of service, all of them where the story says any; what is overdue.

    And messages in order.
    """
    served = {}
    for table in (catalogue.SHOP_SERVICE_CYCLES, catalogue.PRODUCT_SERVICE_CYCLES):
        for key, state in flow.tables[table.name].items():
            subject, start_ms = catalogue.split_cycle_key(key)
            columns = service.decode(state).columns
            if columns:
                served[subject, CYCLES.iso(start_ms)] = {
                    name: n for name, n in columns.items() if not name.startswith(service.REPLY_MS)
                }
    if story.served or story.overdue:
        assert served == story.served
    assert sorted(
        map(catalogue.split_conversation_key, flow.tables[catalogue.OVERDUE_INQUIRIES.name])
    ) == sorted(story.overdue)
    for state in flow.tables[catalogue.CHATS.name].values():
        written = conversations.decode(state).written
        assert list(written) == sorted(written, key=conversations.place)
