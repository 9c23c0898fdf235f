"""A reader's answers about earlier moments, and its explanations, for random histories.

The reader has a real store, filled in steps of any size. It is compared with the recount.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from schemas import limits, times
from serving.past import PastWanted
from serving.past_answers import PastAnswers
from serving.subjects import PRODUCT, SHOP, Subject
from tests.properties.strategies import happenings, instants
from tests.properties.test_time_travel_properties import LISTS, NEAR, sold_orders
from tests.reading import Changelogs, FedReader, settings_in

if TYPE_CHECKING:
    from pydantic import BaseModel

Event = dict[str, Any]
SUBJECTS: dict[str, Subject[Any]] = {"product_id": PRODUCT, "shop_id": SHOP}
DAYS_30_MS = 30 * times.DAY_MS


def filled(directory: Path, happened: list[Event], first: int, most: int, chunk: int) -> FedReader:
    """A reader that has applied `first` events at once, and the others in steps of `most` records.

    Event number n, from 1, is written at n milliseconds.
    """
    logs = Changelogs(settings_in(directory), chunk=lambda: chunk)
    reader = FedReader(settings_in(directory), logs)
    for number, event in enumerate(happened, 1):
        logs.clock_ms = number
        logs.take([event])
        if number == first:
            reader.feed()
    while reader.feed(most=most):
        pass
    reader.feed()
    while reader.feed_index(most=most):
        pass
    return reader


class Questions:
    """Asks a reader about ids in cycles, at one moment."""

    def __init__(self, reader: FedReader, known_at_ms: int | None, as_of_ms: int | None) -> None:
        known_at, as_of = (
            None if at_ms is None else times.format_ms(at_ms) for at_ms in (known_at_ms, as_of_ms)
        )
        self._past = PastWanted(known_at, as_of)
        self._reader = reader

    async def _answers(self, *_: str) -> object:
        return self._reader.answers()

    def _of(self, keyed_by: str) -> PastAnswers:
        wanted: Any = SimpleNamespace(reader=self._reader, answers=self._answers)
        return PastAnswers(wanted, self._past, SUBJECTS[keyed_by])

    async def rows(self, keyed_by: str, id_: str, start_ms: int) -> list[dict[str, Any]]:
        """The row of the plain answer, and that of the explanation, whose parts add up to it."""
        asking = self._of(keyed_by)
        explained = await asking.explanation(id_, start_ms, limits.EXPLAINED_ORDERS)
        assert sum(order.units.net for order in explained.orders) == explained.units.net
        steps = explained.movement.steps
        assert (steps[-1].running_units if steps else 0) == explained.units.net
        net = {currency: one.net for currency, one in explained.revenue.items() if one.net}
        assert {k: v for k, v in (steps[-1].running_amounts if steps else {}).items() if v} == net
        plain = [await asking.about(id_, start_ms)] if self._past.given else []
        return [row_of(answer) for answer in (explained, *plain)]


def row_of(answer: BaseModel) -> dict[str, Any]:
    """The sums in an answer."""
    return answer.model_dump(
        include={"units", "units_by_currency", "revenue", "successfully_traded"}
    )


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    happenings(14) | sold_orders() | sold_orders(),
    st.integers(0, 14),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 14) | st.none(),
    NEAR | NEAR | instants | st.none(),
)
def test_a_reader_answers_as_recounted(  # noqa: PLR0917 - what hypothesis draws
    happened: list[Event],
    first: int,
    most: int,
    chunk: int,
    known: int | None,
    as_of_ms: int | None,
) -> None:
    """Now, by log time, by event time and by both; explanations add up to the same rows."""
    meant = [
        event
        for event in happened[:known]
        if as_of_ms is None or time_ms(event["occurred_at"]) <= as_of_ms
    ]
    now, then = (recount(events, DAYS_30_MS, 0) for events in (happened, meant))
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BRIEF_ENTRIES", 2)
        reader = filled(Path(directory), happened, first, most, chunk)
        asyncio.run(_agree(Questions(reader, known, as_of_ms), now, then))
        reader.close()


async def _agree(questions: Questions, now: dict[str, Any], then: dict[str, Any]) -> None:
    for name, keyed_by in LISTS.items():
        expected = {(row[keyed_by], row["cycle"]["start"]): row for row in then[name]}
        traded = {row[keyed_by]: row["successfully_traded"] for row in then[name]}
        for row in [*now[name], *then[name]]:
            id_, start = row[keyed_by], row["cycle"]["start"]
            wanted = expected.get((id_, start)) or {
                "units": dict.fromkeys(row["units"], 0),
                "units_by_currency": {},
                "revenue": {},
                "successfully_traded": traded.get(id_, 0),
            }
            found = await questions.rows(keyed_by, id_, times.parse_any_ms(start))
            for one in found:
                assert one == {field: wanted[field] for field in one}, (id_, start)
