"""What the page shows in the first minute of `netsold up` on a new log, at whatever hour.

The clock is faked. The day is the first one of a cycle, when least has happened in it. At night in
Shanghai no inquiry counts, and buyers sleep.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from operations.commands.simulate import history_before, live_plan
from operations.local.stack import HISTORY_DAYS
from operations.oracle.recount import recount
from operations.simulation.traffic import traffic
from schemas.events import CHAT_TYPES
from schemas.times import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from operations.simulation.market import Event

CYCLE_MS: Final = 30 * DAY_MS
FIRST_DAY_MS: Final = 690 * CYCLE_MS
MINUTE_MS: Final = 60_000
RATE: Final = 50.0
SEED: Final = 1

Timed = list[tuple[int, "Event"]]


class Seen(NamedTuple):
    """Events of the log after the first minute, by time, and when that was (epoch ms)."""

    events: Timed
    now_ms: int

    def times(self, kind: str) -> list[int]:
        """When the events of a type happened."""
        return [at_ms for at_ms, event in self.events if event["type"] == kind]

    def restated(self) -> set[int]:
        """The numbers of ended cycles of which a sale was refunded after their end."""
        received: dict[str, int] = {}
        found = set()
        for at_ms, event in self.events:
            if event["type"] == "receipt_confirmed":
                received.setdefault(event["order_id"], at_ms // CYCLE_MS)
            elif event["type"] == "refund_succeeded":
                cycle = received.get(event["order_id"])
                if cycle is not None and cycle < at_ms // CYCLE_MS:
                    found.add(cycle)
        return found

    def overdue(self) -> list[dict[str, Any]]:
        """The inquiries of the last week that are overdue, by an independent count."""
        since_ms = self.now_ms - 7 * DAY_MS
        chats = [
            event
            for at_ms, event in self.events
            if at_ms >= since_ms and event["type"] in CHAT_TYPES
        ]
        return recount(chats, CYCLE_MS, 0, as_of_ms=self.now_ms)["overdue"]


@pytest.fixture(scope="module")
def history() -> Timed:
    """That of a log which begins at the end of the day.

    One that begins earlier on this day has the events until then: its plan is the same.
    """
    plan = live_plan(SEED, RATE, None, FIRST_DAY_MS + DAY_MS - 1)
    return list(history_before(plan, HISTORY_DAYS, None))


@pytest.mark.parametrize("hour", range(24))
def test_the_first_minute_shows_every_part_of_the_page(history: Timed, hour: int) -> None:
    """Charts, restatements, overdue inquiries and reviews; and live sales."""
    start_ms = FIRST_DAY_MS + hour * HOUR_MS + HOUR_MS // 2
    now_ms = start_ms + MINUTE_MS
    live = traffic(live_plan(SEED, RATE, None, start_ms))
    seen = Seen(
        [
            *takewhile(lambda one: one[0] < start_ms, history),
            *takewhile(lambda one: one[0] < now_ms, live),
        ],
        now_ms,
    )
    sold = seen.times("receipt_confirmed")
    charted = {at_ms // HOUR_MS for at_ms in sold if at_ms >= now_ms - 2 * DAY_MS}
    assert len(charted) > 40
    assert sum(at_ms >= start_ms for at_ms in sold) > 50
    now = now_ms // CYCLE_MS
    assert {at_ms // CYCLE_MS for at_ms in sold} == set(range(now - 4, now + 1))
    assert seen.restated() >= {now - 3, now - 2}  # the last cycle has just ended
    assert sum(at_ms >= now * CYCLE_MS for at_ms in seen.times("review_posted")) > 10
    assert len(seen.overdue()) > 5
