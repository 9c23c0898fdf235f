"""Tables as topics, and the ends of cycles: what a consumer reads is what the recount counts."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.oracle.recount import recount
from operations.simulation.faults import disturbed, parse
from operations.simulation.traffic import Plan, traffic
from schemas import envelope, limits, published
from schemas.times import DAY_MS
from tables import catalogue
from tables.cycle_ends import CycleEnds, share_key
from tables.cycles import Calendar
from tables.publishing import Publisher
from tables.sales import CurrencySums, Tally
from tests.flow import CYCLES, PARTITIONS, Flow, binary
from tests.published import of_topic, problems

if TYPE_CHECKING:
    from tables.catalogue import StageSpec
    from tables.outcome import Outcome

FIRST_MS = 1_780_000_000_000
END_MS = 1_900_000_000_000
WAYS = parse(["duplicates=5%", "out_of_order=20%", "late=40d", "conflicts=2%"])


def events_of(seed: int, count: int = 600) -> list[dict[str, Any]]:
    """Events of some months, some late by weeks."""
    plan = Plan(seed, f"p{seed}", FIRST_MS, every_ms=DAY_MS / 2, shops=3, products=9, buyers=7)
    made = disturbed(islice(traffic(plan), count), WAYS, seed=seed, day_ms=DAY_MS, live=False)
    return [event for _, event in islice(made, count) if isinstance(event, dict)]


@pytest.mark.parametrize("seed", range(12))
def test_topics_are_the_recount(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, ends and restatements, wherever chunks and steps are cut."""
    chance = random.Random(seed)
    monkeypatch.setattr(limits, "WALKED_ROWS", chance.choice([1, 2, 5, 10_000]))
    monkeypatch.setattr(limits, "ENDED_ROWS", chance.choice([1, 3, 10_000]))
    events, flow = events_of(seed), Flow(chunk=lambda: chance.randint(1, 30))
    left = iter(events)
    while some := list(islice(left, chance.randint(1, 60))):
        flow.take(some)
    flow.tick(END_MS)
    counted = recount(events, CYCLES.length_ms, 0, as_of_ms=END_MS)
    assert problems(flow.logs, counted) == []


def test_traffic_restates_and_ends_cycles() -> None:
    """So the test above has something to find."""
    seen = set()
    for seed in range(6):
        flow = Flow()
        for event in events_of(seed, 300):
            flow.take([event])
        flow.tick(END_MS)
        seen |= {(one["type"], one["subject"]) for _, _, one in of_topic(flow.logs, "cycles")}
    subjects = ("product", "shop", "marketplace")
    assert seen >= {(kind, one) for kind in ("cycle_ended", "restated") for one in subjects}


def test_a_step_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many products end, each transaction ends some of them."""
    monkeypatch.setattr(limits, "WALKED_ROWS", 4)
    monkeypatch.setattr(limits, "ENDED_ROWS", 2)
    flow, sizes = Flow(), []
    commit = flow._commit

    def counted(at: tuple[str, int], outcome: Outcome, spec: StageSpec) -> None:
        sizes.append(sum(map(_is_end, outcome.sends.get(catalogue.CYCLES_TOPIC, ()))))
        commit(at, outcome, spec)

    monkeypatch.setattr(flow, "_commit", counted)
    flow.take(events_of(2)).tick(END_MS)
    ends = [one for _, _, one in of_topic(flow.logs, "cycles") if one["type"] == "cycle_ended"]
    assert sum(sizes) == len(ends) > 10
    assert max(sizes) == 2


def _is_end(record: tuple[bytes, bytes]) -> bool:
    return b'"cycle_ended"' in record[1]


def test_no_cycle_ends_while_a_source_partition_is_unknown() -> None:
    """Its events could still belong to the cycle, and would be no restatements."""
    flow = Flow()
    events = events_of(1)
    partition = 0
    flow.send(catalogue.ORDERS_TOPIC, *binary(events[0]), partition)
    value, headers = envelope.tick(END_MS)
    flow.send(catalogue.ORDERS_TOPIC, None, value, headers, partition)
    flow.run()
    assert list(of_topic(flow.logs, "cycles")) == []
    through = [one["as_of"] for _, _, one in of_topic(flow.logs, "product-sales")]
    assert set(through) == {None}


tallies = st.builds(
    lambda sums: Tally(restatements=len(sums), currencies=sums),
    st.dictionaries(
        st.sampled_from(["CNY", "EUR", "JPY"]),
        st.builds(CurrencySums, *[st.integers(0, 3)] * 6),
        max_size=2,
    ),
)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), tallies)
def test_the_fast_row_is_the_plain_one(product_id: str, tally: Tally) -> None:
    """Byte by byte, with any id and any sums."""
    publisher = Publisher(catalogue.PRODUCT_STAGE, Calendar(30 * DAY_MS), PARTITIONS)
    id_ = product_id.encode()
    of_cycle, of_all_time = catalogue.cycle_key(id_, 0), id_
    for table, key in (
        (catalogue.PRODUCT_CYCLES, of_cycle),
        (catalogue.PRODUCT_TOTALS, of_all_time),
    ):
        ((_, value),) = publisher.rows(table, [(key, tally)])
        assert value == publisher.plain_row(table, key, tally)


def test_keys_of_rows_are_distinct() -> None:
    """A product whose id looks like the key of another one's cycle has other keys."""
    publisher = Publisher(catalogue.PRODUCT_STAGE, Calendar(30 * DAY_MS), PARTITIONS)
    odd = b"p@1970-01-01T00:00:00Z"
    keys = [
        key
        for table, some in (
            (catalogue.PRODUCT_CYCLES, [b"p@0", odd + b"@0"]),
            (catalogue.PRODUCT_TOTALS, [b"p", odd]),
        )
        for key, _ in publisher.rows(table, [(one, Tally()) for one in some])
    ]
    assert len(set(keys)) == len(keys) == 4
    assert published.COMPLETE_KEY not in keys


def test_an_end_that_was_sent_stays_sent() -> None:
    """What the steps have passed has ended, what they have not passed has not."""
    ends = CycleEnds(before_ms=0, ending_ms=60, last="b@30")
    assert ends.has_ended(b"z@-30", -30)
    assert ends.has_ended(b"b@30", 30)
    assert not ends.has_ended(b"c@30", 30)
    assert not ends.has_ended(b"a@60", 60)
    assert not ends.share_has_ended(30)
    shares = CycleEnds(before_ms=0, ending_ms=60, last=share_key(0).decode(), in_shares=True)
    assert shares.has_ended(b"c@30", 30)
    assert shares.share_has_ended(0)
    assert not shares.share_has_ended(30)
