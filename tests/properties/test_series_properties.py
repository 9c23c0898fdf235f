"""Sums by hour, day and cycle of a real reader's store, for random histories, against the recount.

A recount with cycles of an hour, or of a day, has the sums of each hour, or day.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.oracle.events import accept, time_ms
from operations.oracle.order import count_order
from operations.oracle.recount import recount
from schemas import limits, times
from serving.period_reads import PeriodReads
from serving.same_point import same_point
from serving.series import EVERYTHING, Whose, cycle_series, marketplace_in
from streams.rules import built_in
from streams.settings import Settings
from tables.periods import MARKETPLACE
from tests.flow import PARTITIONS
from tests.properties.strategies import EDGE_MS, events
from tests.reading import Changelogs, FedReader
from tests.terms import changed

if TYPE_CHECKING:
    from operations.oracle.order import Sale
    from tables.sales import Tally

Event = dict[str, Any]
LISTS = {"products": "product_id", "shops": "shop_id"}
IDS = {"product_id": ("p-1", "p-2"), "shop_id": ("s-1", "s-2")}
UNITS = {"hour": times.HOUR_MS, "day": times.DAY_MS}
KINDS = ["order_placed", "receipt_confirmed", "refund_succeeded", "refund_reversed"]

hours_around = st.integers(-35 * 24, 20 * 24).map(lambda hour: EDGE_MS + hour * times.HOUR_MS)
instants = st.one_of(hours_around, st.integers(EDGE_MS - times.DAY_MS, EDGE_MS + times.DAY_MS))


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of two orders in any order, most of which sell: over two cycles, or around an edge."""
    kinds = ["order_placed", "receipt_confirmed", "order_placed", "receipt_confirmed"]
    kinds += draw(st.lists(st.sampled_from(KINDS + KINDS[2:3]), max_size=10))
    found = []
    for number, kind in enumerate(kinds):
        event = draw(events(kind=kind)) | {"id": f"e-{number}"}
        if number < 4:
            event = {k: v for k, v in event.items() if k != "line_ids"}
            event["order_id"] = f"o-{1 + number // 2}"
        found.append(event | {"occurred_at": times.format_ms(draw(instants))})
    return draw(st.permutations(found))


CALENDARS = st.sampled_from(
    [(30, EDGE_MS), (1, EDGE_MS + 16 * times.HOUR_MS), (90, EDGE_MS - 1_800_000)]
)
"""(length in days, anchor): full days, days of Shanghai, and a start within an hour."""


class Compared:
    """A reader over a history, and what the recount has of it."""

    def __init__(self, directory: str, calendar: tuple[int, int]) -> None:
        anchor = datetime.fromtimestamp(calendar[1] / 1000, UTC)
        self.settings = Settings(
            _env_file=None,
            partitions=PARTITIONS,
            data_dir=Path(directory),
            rules=changed(built_in(), cycle_days=calendar[0], cycle_anchor=anchor),
        )
        self.logs = Changelogs(self.settings)
        self.reader = FedReader(self.settings, self.logs)
        self.happened: list[Event] = []

    def take(self, event: Event, step: int) -> None:
        """One event more; step 1 applies it, 2 also opens the store again, 0 does neither."""
        self.happened.append(event)
        self.logs.take([event])
        if step:
            self.reader.feed()
            self.sums_agree()
        if step == 2:
            self.reader.reopen()

    def sums_agree(self) -> None:
        """The marketplace's sums are those of the rows of all products, at any moment."""
        answers = self.reader.answers()
        expected: dict[int, dict[str, Any]] = {}
        for id_ in IDS["product_id"]:
            for start_ms, tally in answers.sales_by_cycle("product_id", id_.encode()).items():
                total = expected.setdefault(start_ms, {"restatements": 0})
                _add(total, tally.of_cycle() | {"restatements": tally.restatements})
        for start_ms, total in expected.items():
            found = marketplace_in(answers, start_ms)
            for name, number in total.items():
                assert _numbers(found.model_dump()[name]) == _numbers(number), name

    def periods_agree(self, step: str) -> None:
        """Hours or days are those of the recount, of products, shops and the marketplace."""
        answers = self.reader.answers()
        size = UNITS[step]
        everything = recount(map(_of_one_product, self.happened), size, 0)["products"]
        expected: defaultdict[tuple[str, str], dict[int, Any]] = defaultdict(dict)
        for rows, keyed_by in [
            *((recount(self.happened, size, 0)[name], id_) for name, id_ in LISTS.items()),
            (everything, MARKETPLACE),
        ]:
            for row in rows:
                number = times.parse_any_ms(row["cycle"]["start"]) // size
                expected[keyed_by, row.get(keyed_by, "")][number] = _sums(row)
        first, end = EDGE_MS // size - 40 * times.DAY_MS // size, EDGE_MS // size + 10**3
        for keyed_by, ids in {**IDS, MARKETPLACE: ("",)}.items():
            for id_ in ids:
                reads = PeriodReads(answers.snapshot, answers.calendar, keyed_by, id_.encode())
                found = reads.hours(first, end) if step == "hour" else reads.days(first, end)
                assert _filled(found) == expected[keyed_by, id_], (keyed_by, id_)

    def points_agree(self) -> None:
        """The same point has what the recount's sales had brought until then."""
        answers = self.reader.answers()
        calendar, event_ms = answers.calendar, answers.event_ms("journal")
        start_ms = answers.current_cycle("journal")
        for keyed_by, ids in {**IDS, MARKETPLACE: ("",)}.items():
            for id_ in ids:
                for cycle_ms in (start_ms, start_ms - calendar.length_ms):
                    of = keyed_by, id_.encode(), cycle_ms
                    found = same_point(answers.snapshot, calendar, *of)
                    assert found is not None
                    full_hour_ms = event_ms - event_ms % times.HOUR_MS
                    end_ms = calendar.end_of(cycle_ms)  # perhaps within the last hour
                    until_ms = end_ms if event_ms >= end_ms else max(cycle_ms, full_hour_ms)
                    assert times.parse_any_ms(found.until) == until_ms
                    span_ms = until_ms - cycle_ms
                    this = self._net(keyed_by, id_, cycle_ms, cycle_ms + span_ms)
                    before_ms = cycle_ms - calendar.length_ms
                    last = self._net(keyed_by, id_, before_ms, before_ms + span_ms)
                    assert found.this_cycle.model_dump() == this
                    assert found.last_cycle.model_dump() == last

    def _net(self, keyed_by: str, id_: str, start_ms: int, until_ms: int) -> dict[str, Any]:
        orders = defaultdict(list)
        for event in self.happened:
            orders[event["order_id"]].append(accept(event))
        units, revenue = 0, defaultdict[str, int](int)
        for counted in map(count_order, orders.values()):
            for sale in counted.sales:
                assert counted.placed is not None
                whose = {"product_id": sale.product_id, "shop_id": counted.placed["shop_id"]}
                if whose.get(keyed_by, "") == id_ and start_ms <= sale.received_ms < until_ms:
                    net = _stood(sale, until_ms)
                    units += net[0]
                    revenue[counted.placed["currency"]] += net[1]
        return {"units": units, "revenue": {name: some for name, some in revenue.items() if some}}


def _stood(sale: Sale, until_ms: int) -> tuple[int, int]:
    early = [one for one in sale.reversals if one.at_ms < until_ms]
    return (
        sale.gross[0] - sum(one.units for one in early),
        sale.gross[1] - sum(one.amount for one in early),
    )


def _of_one_product(event: Event) -> Event:
    lines = [line | {"product_id": ""} for line in event.get("lines") or []]
    if event["type"] != "order_placed":
        return event
    return event | {"lines": [line | {"product_id": "all"} for line in lines]}


def _sums(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("units", "units_by_currency", "revenue")}


def _filled(found: dict[int, Tally]) -> dict[int, Any]:
    """The periods with any sum that isn't zero."""
    answered = {number: tally.of_cycle() for number, tally in found.items()}
    return {number: one for number, one in answered.items() if _numbers(one)}


def _numbers(answer: object) -> dict[str, int]:
    """The numbers in an answer that aren't zero, by their path."""
    if isinstance(answer, int):
        return {"": answer} if answer else {}
    assert isinstance(answer, dict)
    return {
        f"{name}.{path}": number
        for name, part in answer.items()
        for path, number in _numbers(part).items()
    }


def _add(total: dict[str, Any], more: dict[str, Any]) -> None:
    for name, part in more.items():
        if isinstance(part, dict):
            _add(total.setdefault(name, {}), part)
        else:
            total[name] = total.get(name, 0) + part


@settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    histories(),
    st.lists(st.sampled_from([0, 0, 1, 2]), min_size=14, max_size=14),
    CALENDARS,
    st.sampled_from([1, 3, 256]),
)
def test_hours_and_days_are_those_of_the_recount(
    happened: list[Event], steps: list[int], calendar: tuple[int, int], loose: int
) -> None:
    """In any order of arrival, with the store opened again between steps, for any calendar."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BRIEF_ENTRIES", 2)
        patch.setattr(limits, "LOOSE_ENTRIES", loose)
        patch.setattr(limits, "LOOSE_COUNTERS", 3)
        compared = Compared(directory, calendar)
        for event, step in zip(happened, steps, strict=False):
            compared.take(event, step)
        latest_ms = max(time_ms(event["occurred_at"]) for event in happened)
        compared.logs.tick(latest_ms)
        compared.reader.feed()
        compared.sums_agree()
        for name in UNITS:
            compared.periods_agree(name)
        compared.points_agree()
        _cycles_agree(compared)
        compared.reader.close()


def _cycles_agree(compared: Compared) -> None:
    """Days add up to the cycles of the tables."""
    answers = compared.reader.answers()
    for whose in [*(Whose(name, id_) for name, ids in IDS.items() for id_ in ids), EVERYTHING]:
        reads = PeriodReads(answers.snapshot, answers.calendar, whose.keyed_by, whose.id.encode())
        found: dict[str, Any] = {}
        if whose is EVERYTHING or answers.is_known(whose.keyed_by, whose.id.encode()):
            for point in json.loads(cycle_series(answers, whose, 60).content)["items"]:
                _add(found, _sums(point))
        current_ms = answers.current_cycle("journal")
        days = reads.days(
            (current_ms - 59 * answers.calendar.length_ms) // times.DAY_MS,
            answers.calendar.end_of(current_ms) // times.DAY_MS + 1,
        )
        expected: dict[str, Any] = {}
        for tally in days.values():
            _add(expected, tally.of_cycle())
        assert _numbers(found) == _numbers(expected)
