"""The stories of the folder `stories`, and the orders in which their events may arrive."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from operations.stories.parsing import Story, event, parse

__all__ = ("Story", "arrivals", "event", "parse", "prefixed", "stories")

FOLDER = Path(__file__).parent / "stories"
MOST_ORDERS_OF_ARRIVAL = 120
PREFIXED = {"order_id", "product_id", "shop_id", "buyer_id"}


def prefixed(story: Story, prefix: str) -> list[dict[str, Any]]:
    """The events of a story with a prefix on the ids of orders, products, shops and buyers.

    So several stories can be in one log.
    """
    return [_prefixed(event, prefix) for event in story.events]


def _prefixed(fields: dict[str, Any], prefix: str) -> dict[str, Any]:
    found = {}
    for name, value in fields.items():
        if name in PREFIXED:
            found[name] = prefix + value
        elif isinstance(value, list):
            found[name] = [
                _prefixed(item, prefix) if isinstance(item, dict) else item for item in value
            ]
        else:
            found[name] = value
    return found


def stories() -> list[Story]:
    """All stories of the folder, in the order of the files."""
    return [
        story
        for path in sorted(FOLDER.glob("*.story"))
        for story in parse(path.read_text(encoding="utf-8"))
    ]


def arrivals(events: list[dict[str, Any]], seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """The events in the story's order, backwards, and in all (or many) other orders.

    In all but the first two, some events arrive twice. A seed gives the same orders each time.
    """
    yield events
    yield events[::-1]
    chance = random.Random(seed)
    if len(events) <= 4:
        orders = list(itertools.permutations(events))
    else:
        orders = [tuple(chance.sample(events, len(events))) for _ in range(MOST_ORDERS_OF_ARRIVAL)]
    for order in orders:
        arrival = list(order)
        for again in chance.sample(events, chance.randint(0, len(events))):
            arrival.insert(chance.randint(0, len(arrival)), again)
        yield arrival
