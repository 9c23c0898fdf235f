"""Series, the marketplace and the same point of the last cycle, over HTTP and by the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from schemas import times
from schemas.series_answers import (
    CycleSeries,
    CyclesPage,
    MarketplaceAnswer,
    PeriodSeries,
    ProductCycles,
    ProductPeriods,
    ShopCycles,
    ShopPeriods,
)
from serving import series_keys
from serving.api import make_app
from tests.reading import Changelogs, FedReader, settings_in
from tests.served_story import NOW_MS, served
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


TICK_MS = 1_783_727_000_000
"""The event time of the story: 2026-07-10T23:43:20Z, in the fifth day of a cycle."""

STORY = """== of the tests
2026-05-07T08:00Z  placed    o-0  1:p-3:9x1000
2026-05-07T09:00Z  received  o-0
2026-06-10T08:00Z  placed    o-1  1:p-3:3x1000 2:p-4:1x100
2026-06-10T09:30Z  received  o-1
2026-06-10T23:10Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-08T08:00Z  placed    o-2  1:p-3:4x1000 2:p-4:2x100
2026-07-09T08:10Z  received  o-2
2026-07-09T09:00Z  refunded  o-2  r-2 quality  1:1:1000
2026-07-09T10:00Z  refunded  o-1  r-3 quality  1:1:1000
2026-07-10T08:00Z  placed    o-3  1:p-5:1x700 shop=s-8 currency=USD
2026-07-10T23:50Z  received  o-3
2026-07-10T08:00Z  placed    o-4  1:p-9:1x700
"""
ODD = ("a/b", "50% off", "two words", "茶🍵", "x/cycles")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story."""
    with served(tmp_path, monkeypatch, STORY, TICK_MS) as one:
        yield one


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def sums(gross: int, reversed_: int, booked: int) -> dict[str, int]:
    """Sums as they are answered."""
    return {
        "gross": gross,
        "reversed": reversed_,
        "net": gross - reversed_,
        "reversals_booked": booked,
    }


NOTHING = {"units": sums(0, 0, 0), "units_by_currency": {}, "revenue": {}}


def test_a_series_by_cycle_has_no_gaps(client: TestClient) -> None:
    """Oldest first, until the current cycle; zeros before and between sales."""
    answer = client.get("/v1/products/p-3/cycles?last=4").json()
    ProductCycles.model_validate(answer)
    assert [item["cycle"]["start"][:10] for item in answer["items"]] == [
        *("2026-04-07", "2026-05-07", "2026-06-06", "2026-07-06")
    ]
    assert [item["current"] for item in answer["items"]] == [False, False, False, True]
    assert answer["items"][2]["units"] == sums(3, 2, 1)
    assert answer["items"][2]["restatements"] == 1
    assert answer["items"][3] == {
        "units": sums(4, 1, 2),
        "units_by_currency": {"CNY": sums(4, 1, 2)},
        "revenue": {"CNY": sums(4000, 1000, 2000)},
        "cycle": {"start": "2026-07-06T00:00:00Z", "end": "2026-08-05T00:00:00Z"},
        "current": True,
        "restatements": 0,
    }
    assert {name: answer["items"][0][name] for name in NOTHING} == NOTHING
    one = client.get("/v1/shops/s-7/cycles?last=1").json()
    ShopCycles.model_validate(one)
    assert [item["units"]["gross"] for item in one["items"]] == [6]
    assert len(client.get("/v1/marketplace/cycles").json()["items"]) == 12


def test_the_marketplace_is_the_sum_of_all_products(client: TestClient) -> None:
    """In a cycle and of all time, per currency, with the same point of the last cycle."""
    answer = client.get("/v1/marketplace").json()
    MarketplaceAnswer.model_validate(answer)
    assert answer["units"] == sums(7, 1, 2)
    assert answer["revenue"] == {"CNY": sums(4200, 1000, 2000), "USD": sums(700, 0, 0)}
    assert (answer["products"], answer["shops"]) == (3, 2)
    assert answer["all_time"]["units"] == sums(20, 3, 3)
    assert answer["all_time"]["revenue"]["CNY"] == sums(16300, 3000, 3000)
    assert answer["same_point"] == {  # one refund of 10 June was later in that day
        "until": "2026-07-10T23:00:00Z",
        "this_cycle": {"units": 5, "revenue": {"CNY": 3200}},
        "last_cycle": {"units": 4, "revenue": {"CNY": 3100}},
    }
    before = client.get("/v1/marketplace?cycle=2026-06-06T00:00:00Z").json()
    assert before["same_point"] == {
        "until": "2026-07-06T00:00:00Z",
        "this_cycle": {"units": 3, "revenue": {"CNY": 2100}},
        "last_cycle": {"units": 9, "revenue": {"CNY": 9000}},
    }
    assert not before["current"]
    series = client.get("/v1/marketplace/cycles?last=3").json()
    CycleSeries.model_validate(series)
    assert [item["units"]["gross"] for item in series["items"]] == [9, 4, 7]


def test_cycles_are_listed_newest_first(client: TestClient) -> None:
    """Those with sales; the current one with how far through it event time is."""
    answer = client.get("/v1/cycles").json()
    CyclesPage.model_validate(answer)
    assert [item["cycle"]["start"][:10] for item in answer["items"]] == [
        *("2026-07-06", "2026-06-06", "2026-05-07")
    ]
    assert [item["current"] for item in answer["items"]] == [True, False, False]
    assert answer["current"]["share"] == 0.166
    assert answer["current"]["remaining_seconds"] == 25 * 86_400 + 1_000
    found, path = [], "/v1/cycles?limit=1"
    while path:
        page = client.get(path)
        found += page.json()["items"]
        path = page.links["next"]["url"] if "next" in page.links else ""
    assert found == answer["items"]


def test_days_and_hours_are_of_utc_and_without_gaps(client: TestClient) -> None:
    """By default the days of the current cycle, and the last 24 hours."""
    days = client.get("/v1/products/p-3/days").json()
    ProductPeriods.model_validate(days)
    assert (days["zone"], days["step"]) == ("UTC", "day")
    assert [item["start"][:10] for item in days["items"]] == [
        f"2026-07-{day:02}" for day in range(6, 11)
    ]
    assert [item["units"] for item in days["items"]] == [
        *[sums(0, 0, 0)] * 3,
        sums(4, 1, 2),
        sums(0, 0, 0),
    ]
    hours = client.get(
        "/v1/shops/s-7/hours?from=2026-07-09T16:00:00%2B08:00&to=2026-07-09T10:00:00.001Z"
    ).json()
    ShopPeriods.model_validate(hours)
    assert (hours["start"], hours["end"]) == ("2026-07-09T08:00:00Z", "2026-07-09T11:00:00Z")
    assert [item["units"] for item in hours["items"]] == [
        *(sums(6, 1, 0), sums(0, 0, 1), sums(0, 0, 1))
    ]
    last = client.get("/v1/marketplace/hours").json()
    PeriodSeries.model_validate(last)
    assert len(last["items"]) == 24
    assert last["end"] == "2026-07-11T00:00:00Z"
    assert [item["units"]["gross"] for item in last["items"]] == [0] * 23 + [1]
    assert last["items"][0] == {"start": "2026-07-10T00:00:00Z", **NOTHING}


@pytest.mark.parametrize("path", ["cycles", "days", "hours"])
def test_unknown_ids_and_known_ones_without_sales(client: TestClient, path: str) -> None:
    """404 for the one, zeros for the other; the same head, and 304 for the same answer."""
    assert client.get(f"/v1/products/nothing/{path}").status_code == 404
    assert client.get(f"/v1/shops/nothing/{path}").status_code == 404
    answer = client.get(f"/v1/products/p-9/{path}")
    assert answer.status_code == 200
    assert {item["units"]["gross"] for item in answer.json()["items"]} == {0}
    etag = answer.headers["etag"]
    again = client.get(f"/v1/products/p-9/{path}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/v1/products/p-9/{path}")
    assert (head.status_code, head.headers["etag"], head.content) == (200, etag, b"")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("marketplace/cycles?last=0", "less than 1"),
        ("marketplace/cycles?last=121", "more than 120"),
        ("marketplace/days?from=2026-07-10", "no time of day"),
        ("marketplace/days?to=9999-12-31T23:59:59Z", "years 1900 to 2199"),
        ("marketplace/days?from=2026-07-10T00:00:00Z&to=2026-07-10T00:00:00Z", "before `to`"),
        ("marketplace/days?from=2000-07-10T00:00:00Z", "more than 3,660"),
        ("marketplace/hours?from=2026-05-11T22:59:59Z&to=2026-05-12T00:00:00Z", "request days"),
        ("marketplace/hours?from=2026-05-01T00:00:00Z", "more than 1,440"),
        ("marketplace?cycle=2300-01-01T00:00:00Z", "1900 to 2199"),
        ("cycles?cursor=bmV0c29sZAB4eHh4", "another list"),
        ("cycles?cursor=AAAA", "no answer gave this cursor"),
    ],
)
def test_what_is_out_of_bounds_is_refused(client: TestClient, path: str, words: str) -> None:
    """With a sentence that says why."""
    answer = client.get(f"/v1/{path}")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_all_hours_and_ten_years_of_days_are_answered(client: TestClient) -> None:
    """As many as the bounds allow."""
    hours = client.get("/v1/products/p-3/hours?from=2026-05-12T00:00:00Z").json()
    assert len(hours["items"]) == 1440
    assert sum(item["units"]["gross"] for item in hours["items"]) == 7
    span = "from=2016-07-04T00:00:00Z&to=2026-07-11T00:00:00Z"
    days = client.get(f"/v1/products/p-3/days?{span}").json()
    assert len(days["items"]) == 3659
    assert sum(item["units"]["gross"] for item in days["items"]) == 16


def test_hours_that_no_answer_has_are_deleted(reader: FedReader) -> None:
    """With event time; the days stay, also when the store is opened again."""

    def hours_stored() -> int:
        prefix = series_keys.hours_from(0)[:1]
        return sum(1 for _ in reader.store.snapshot().walk(prefix))

    client = TestClient(make_app(reader), raise_server_exceptions=False)
    assert hours_stored()
    days = client.get("/v1/marketplace/days?from=2026-05-01T00:00:00Z").json()["items"]
    reader.logs.tick(TICK_MS + 70 * times.DAY_MS)
    reader.feed()
    reader.reopen()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    assert hours_stored() == 0
    span = "from=2026-05-01T00:00:00Z&to=2026-07-11T00:00:00Z"
    assert client.get(f"/v1/marketplace/days?{span}").json()["items"] == days
    late = "from=2026-07-10T00:00:00Z&to=2026-07-11T00:00:00Z"
    assert "hours are kept from" in client.get(f"/v1/marketplace/hours?{late}").json()["detail"]


def test_sums_may_exceed_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing bounds how many of the largest lines a marketplace sells."""
    monkeypatch.setattr("schemas.limits.PAID_MINOR", 10**19)
    logs = Changelogs(settings_in(tmp_path))
    line: dict[str, Any] = {"quantity": 1000, "unit_price": 10**12}
    for number in range(12):  # of a product and a shop each
        about = {"order_id": f"o-{number}", "source": "/a", "occurred_at": "2026-07-08T08:00:00Z"}
        lines = [line | {"line_id": str(one), "product_id": f"p-{number}"} for one in range(1000)]
        placed = {"shop_id": f"s-{number}", "buyer_id": "b-1", "currency": "CNY", "lines": lines}
        logs.take(
            [
                about | placed | {"type": "order_placed", "id": f"e-{number}"},
                about | {"type": "receipt_confirmed", "id": f"f-{number}", "by": "buyer"},
            ]
        )
    logs.tick(TICK_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    for path in ("marketplace", "marketplace/days", "products/p-1/hours", "marketplace/cycles"):
        assert client.get(f"/v1/{path}").status_code == 200, path
    found = client.get("/v1/marketplace").json()
    assert found["revenue"]["CNY"]["gross"] == 12 * 10**18
    reader.close()


@pytest.mark.parametrize("id_", ODD)
def test_any_id_has_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id_: str) -> None:
    """With slashes, percent signs, spaces, emoji, or an end like an address."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS)
    logs = Changelogs(settings_in(tmp_path))
    story = """== one
    2026-07-08T08:00Z  placed    o-1  1:PRODUCT:2x1000
    2026-07-09T08:00Z  received  o-1
    """
    events = next(parse(story)).events
    for event in events:
        for line in event.get("lines") or []:
            line["product_id"] = id_
        if "shop_id" in event:
            event["shop_id"] = id_
    logs.take(events)
    logs.tick(TICK_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    for kind in ("product", "shop"):
        for path in ("cycles", "days", "hours?from=2026-07-09T00:00:00Z"):
            answer = client.get(f"/v1/{kind}s/{quote(id_, safe='')}/{path}").json()
            assert answer[f"{kind}_id"] == id_
            assert sum(item["units"]["gross"] for item in answer["items"]) == 2
    reader.close()


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/products/p-3/cycles?last=120", ProductCycles),
        ("/v1/shops/s-7/cycles", ShopCycles),
        ("/v1/marketplace/cycles?last=3", CycleSeries),
        ("/v1/products/p-3/days", ProductPeriods),
        ("/v1/products/p-5/hours", ProductPeriods),
        ("/v1/shops/s-7/days", ShopPeriods),
        ("/v1/marketplace/hours", PeriodSeries),
    ],
)
def test_a_series_is_the_json_of_its_form(client: TestClient, path: str, form: Any) -> None:  # noqa: ANN401 - a model's class
    """Byte by byte: it is made without the form."""
    content = client.get(path).content
    assert form.model_validate_json(content).model_dump_json().encode() == content


def test_a_kept_series_changes_with_its_id(reader: FedReader, client: TestClient) -> None:
    """And not with another one's; days and hours, too."""
    paths = [
        f"/v1/{whose}/{last}"
        for whose in ("products/p-3", "shops/s-7")
        for last in ("cycles", "days", "hours")
    ]
    before = [client.get(path).json()["items"] for path in paths]
    assert [client.get(path).json()["items"] for path in paths] == before
    story = "== more\n2026-07-10T12:00Z placed o-9 1:p-3:2x1000\n2026-07-10T13:00Z received o-9\n"
    reader.logs.take([one | {"id": f"more-{one['id']}"} for one in next(parse(story)).events])
    reader.feed()
    after = [client.get(path).json()["items"] for path in paths]
    grown = [
        sum(item["units"]["gross"] for item in new) - sum(item["units"]["gross"] for item in old)
        for new, old in zip(after, before, strict=True)
    ]
    assert grown == [2] * len(paths)
