"""Every story, through the real stages, in all or many orders of arrival, with some events twice and chunks cut anywhere."""

import random

import pytest

from tests.flow import Flow, bare, binary
from tests.story import Story, arrivals, stories, told


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.title)
def test_story(story: Story) -> None:
    """The tables end as the story says, whatever arrives when (S12)."""
    chance = random.Random(story.title)
    states = None
    for count, arrival in enumerate(arrivals(story.events)):
        flow = Flow(chunk=lambda: chance.randint(1, 5)).take(arrival, bare if count % 2 else binary)
        products, shops, traded, odd = told(flow.report())
        assert products == [row for row in story.rows if not row[0].startswith("s-")]
        expected_shops = [row for row in story.rows if row[0].startswith("s-")]
        assert shops == expected_shops or not expected_shops
        assert story.traded.items() <= traded.items()
        assert odd == story.odd
        assert not flow.parked
        states = states or flow.tables["orders"]
        assert flow.tables["orders"] == states  # equal facts are equal bytes
