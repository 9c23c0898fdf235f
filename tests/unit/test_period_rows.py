"""The rows of sums by hour and day: what restarts and time leave of them, and tombstones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from schemas import limits, times
from serving import series_keys
from serving.api import make_app
from serving.loose_entries import loose
from streams.marks import MARK_KEY
from tables import catalogue
from tests.flow import Record
from tests.reading import Changelogs, FedReader, settings_in
from tests.served_story import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESTARTS = 60
AT_MS = times.parse_any_ms("2026-07-08T08:00:00Z")
TICK_MS = times.parse_any_ms("2026-07-10T23:43:20Z")

STORY = """== of the tests
2026-06-10T08:00Z  placed    o-1  1:p-3:3x1000
2026-06-10T09:30Z  received  o-1
2026-07-08T08:00Z  placed    o-2  1:p-3:4x1000
2026-07-09T08:10Z  received  o-2
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story."""
    with served(tmp_path, monkeypatch, STORY, TICK_MS) as one:
        yield one


def get(reader: FedReader, path: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON that the reader answers."""
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    return client.get(path).json()


def sold(number: int) -> list[dict[str, Any]]:
    """An order of one product and its receipt."""
    about = {"source": "/s", "order_id": f"o-{number}"}
    line = {"line_id": "1", "product_id": "p-1", "quantity": 1, "unit_price": 100}
    placed = {"shop_id": "s-1", "buyer_id": "b-1", "currency": "CNY", "lines": [line]}
    placed |= {"type": "order_placed", "id": f"a-{number}", "occurred_at": times.format_ms(AT_MS)}
    at = times.format_ms(AT_MS + number * times.HOUR_MS)
    received = {"type": "receipt_confirmed", "id": f"b-{number}", "occurred_at": at, "by": "buyer"}
    return [about | placed, about | received]


def test_a_reader_that_restarts_after_each_entry_leaves_few_loose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counters are lost with the process; no entry is, and none counts twice."""
    monkeypatch.setattr(limits, "LOOSE_ENTRIES", 4)
    logs = Changelogs(settings_in(tmp_path))
    reader = FedReader(settings_in(tmp_path), logs)
    for number in range(RESTARTS):
        logs.take(sold(number))
        reader.feed()
        reader.reopen()
    logs.tick(TICK_MS)
    reader.feed()
    answers = reader.answers()
    start_ms = answers.calendar.start_of(AT_MS)
    for keyed_by, id_, path in (
        ("product_id", b"p-1", "products/p-1"),
        ("shop_id", b"s-1", "shops/s-1"),
    ):
        left = loose(answers.snapshot, keyed_by, id_, start_ms).hours
        assert sum(sums.units_gross for sums in left.get("CNY", {}).values()) < RESTARTS
        assert answers.snapshot.get(series_keys.added(keyed_by, id_, start_ms)) is not None
        hours = get(reader, f"/v1/{path}/hours?from=2026-07-08T08:00:00Z")["items"]
        assert [item["units"]["gross"] for item in hours[:RESTARTS]] == [1] * RESTARTS
    reader.close()


def test_hours_within_their_bound_stay(reader: FedReader) -> None:
    """Older ones are deleted with event time, of each id and of the marketplace."""

    def days_stored() -> set[int]:
        walk = reader.store.snapshot().walk(series_keys.hours_from(0)[:1])
        epoch = int.from_bytes(series_keys.hours_from(0)[1:5], "big")
        return {int.from_bytes(key[1:5], "big") - epoch for key, _ in walk}

    june, july = (
        times.parse_any_ms(day) // times.DAY_MS
        for day in ("2026-06-10T00:00:00Z", "2026-07-09T00:00:00Z")
    )
    path = "/v1/marketplace/hours?from=2026-07-09T08:00:00Z&to=2026-07-09T09:00:00Z"
    before = get(reader, path)["items"]
    assert days_stored() == {june, july}
    reader.logs.tick(TICK_MS + 35 * times.DAY_MS)
    reader.feed()
    assert days_stored() == {july}
    assert get(reader, path)["items"] == before
    assert before[0]["units"]["gross"] == 4


def test_the_marketplace_forgets_a_cycle_whose_rows_are_deleted(reader: FedReader) -> None:
    """As when all that was sold in it proves to be of another one."""
    logs, calendar = reader.logs.changelogs, reader.calendar
    start_ms = calendar.start_of(times.parse_any_ms("2026-06-10T09:30:00Z"))
    row = series_keys.marketplace_cycle(start_ms)
    listed = [item["cycle"]["start"] for item in get(reader, "/v1/cycles")["items"]]
    assert calendar.iso(start_ms) in listed
    for table in (catalogue.PRODUCT_CYCLES, catalogue.SHOP_CYCLES):
        assert reader.store.snapshot().get(row) is not None
        for (topic, number), log in logs.items():
            if topic != reader.logs.topics[table.name]:
                continue
            mark = next((one for one in reversed(log) if one.key == MARK_KEY), None)
            if mark is None:
                continue
            gone = {
                one.key
                for one in log
                if one.key not in {None, MARK_KEY}
                and catalogue.split_cycle_key(one.key)[1] == start_ms
            }
            for key in sorted(gone):
                log.append(Record(topic, number, len(log), 0, key, None, []))
            log.append(Record(topic, number, len(log), 0, MARK_KEY, mark.value, []))
        reader.feed()
    assert reader.store.snapshot().get(row) is None
    listed = [item["cycle"]["start"] for item in get(reader, "/v1/cycles")["items"]]
    assert calendar.iso(start_ms) not in listed
    answer = get(reader, "/v1/marketplace?cycle=2026-06-10T09:30:00Z")
    assert (answer["units"]["gross"], answer["products"], answer["shops"]) == (0, 0, 0)
    assert answer["revenue"] == {}
