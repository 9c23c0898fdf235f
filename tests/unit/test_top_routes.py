"""The addresses of the best of a cycle: what is compared, pages, and what is refused."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from operations.simulation.traffic import Plan, traffic
from schemas import http_limits
from serving.api import make_app
from serving.problems import Kind
from serving.subjects import SHOP
from tests.reading import Changelogs, FedReader, settings_in
from tests.unit.test_api import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

CYCLE = "cycle=2026-01-15T00:00:00Z"
PLAN = Plan(5, "t", 1_767_225_600_000, 3_600_000.0, shops=4, products=40)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FedReader]:
    """A reader of a small marketplace over some cycles, filled in steps of any size."""
    directory, rng = tmp_path_factory.mktemp("reader"), Random(5)
    logs = Changelogs(settings_in(directory), chunk=lambda: rng.randint(1, 200))
    logs.take([event for _, (_, event) in zip(range(4000), traffic(PLAN), strict=False)])
    reader = FedReader(settings_in(directory), logs)
    while reader.feed(most=rng.randint(50, 500)):
        pass
    yield reader
    reader.close()


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def items(client: TestClient, path: str, limit: int = 7) -> list[dict[str, Any]]:
    """All items of a list, page by page; the cursor names the cycle itself."""
    found: list[dict[str, Any]] = []
    query = f"{path}&limit={limit}"
    while True:
        answer = client.get(query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["complete"] is True
        found += page["items"]
        assert ("link" in answer.headers) == (page["next_cursor"] is not None)
        if page["next_cursor"] is None:
            return found
        query = f"{path}&limit={limit}&cursor={page['next_cursor']}"


@pytest.mark.parametrize("word", ["product", "shop"])
def test_every_list_is_sorted_by_what_it_compares(client: TestClient, word: str) -> None:
    """The most first, then by id; items without anything to compare are left out."""
    path = f"/v1/top/{word}s?{CYCLE}&by"
    name = f"{word}_id"
    rows = items(client, f"{path}=units")
    assert len(rows) > 3
    assert rows == sorted(rows, key=lambda one: (-one["units"]["net"], one[name]))
    by_revenue = items(client, f"{path}=revenue&currency=CNY")
    net = {one[name]: one["revenue"]["CNY"]["net"] for one in by_revenue}
    assert [*net] == sorted(net, key=lambda id_: (-net[id_], id_))
    assert {one[name] for one in rows if one["revenue"].get("CNY", {}).get("net")} <= net.keys()
    rated = items(client, f"{path}=reversal-rate")
    assert rated
    assert all(one["units"]["gross"] >= http_limits.RATED_UNITS for one in rated)
    rates = [one["units"]["reversed"] / one["units"]["gross"] for one in rated]
    assert rates == sorted(rates, reverse=True)
    reviewed = [one["service"]["reviews"]["good"] for one in items(client, f"{path}=good-reviews")]
    assert reviewed
    assert reviewed == sorted(reviewed, reverse=True)
    assert all({"name", "same_point", "restatements"} <= one.keys() for one in rows)


def test_the_products_of_a_shop_add_up_to_its_entries(
    client: TestClient, reader: FedReader
) -> None:
    """By shop, cycle and product; every product is of one shop here, so its sums are the same."""
    totals: Counter[tuple[str, str]] = Counter()
    for entry in reader.logs.entries:
        if entry.cycle == "2026-01-07T00:00:00Z":
            totals[entry.shop_id, entry.product_id] += entry.units_gross - entry.units_reversed
    for shop_id in ("s-1", "s-2", "s-3", "s-4"):
        path = f"/v1/shops/{shop_id}/top?{CYCLE}"
        found = items(client, f"{path}&by=units", limit=3)
        sold = {one["product_id"]: one["in_shop"]["units"] for one in found}
        assert sold
        assert sold == {
            product: n for (shop, product), n in totals.items() if shop == shop_id and n
        }
        assert [*sold] == sorted(sold, key=lambda id_: (-sold[id_], id_))
        assert [one["units"]["net"] for one in found] == [*sold.values()]
        for one in items(client, f"{path}&by=revenue&currency=CNY", limit=3):
            assert one["in_shop"]["revenue"]["CNY"] == one["revenue"]["CNY"]["net"]
    problem(client.get("/v1/shops/nobody/top"), 404, SHOP.unknown)
    assert client.get("/v1/shops/s-1/top?cycle=2020-01-01T00:00:00Z").json()["items"] == []


def test_a_shop_with_too_many_products_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer ranks a bounded number of products."""
    monkeypatch.setattr(http_limits, "COMPARED_PRODUCTS", 2)
    problem(client.get(f"/v1/shops/s-1/top?{CYCLE}"), 422, Kind.TOO_MUCH)


@pytest.mark.parametrize("cycle", ["2026-01-15T00:00:00Z", "2026-01-03T00:00:00Z"])
def test_growth_is_one_page_of_what_grew(client: TestClient, cycle: str) -> None:
    """By each item's own comparison of both cycles; what did not grow is left out."""
    grown = {}
    for number in range(1, 41):
        row = client.get(f"/v1/products/p-{number}?cycle={cycle}").json()
        point = row["same_point"]
        growth = point["this_cycle"]["units"] - point["last_cycle"]["units"]
        if growth > 0:
            grown[row["product_id"]] = growth
    assert len(grown) > 3
    answer = client.get(f"/v1/top/products?cycle={cycle}&by=growth&limit=100").json()
    ids = [one["product_id"] for one in answer["items"]]
    assert ids == sorted(grown, key=lambda id_: (-grown[id_], id_))
    assert (answer["next_cursor"], answer["complete"], answer["by"]) == (None, True, "growth")
    few = client.get(f"/v1/top/products?cycle={cycle}&by=growth&limit=3").json()
    assert [one["product_id"] for one in few["items"]] == ids[:3]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("by=revenue", "currency: revenue is compared in one currency: give one, such as CNY"),
        ("by=revenue&currency=cny", "currency: 'cny' is no ISO 4217 code, such as CNY"),
        ("currency=CNY", "currency: only revenue is compared in a currency, not units"),
        ("by=growth&cursor=x", "cursor: a list by growth is one page"),
        ("by=growth&limit=101", "limit: a list by growth has at most 100 items"),
        ("by=units&cursor=bmV0c29sZAB4eHh4", "cursor: the cursor is of another list"),
        (
            "by=revenue&currency=CNY&as_of=2026-01-20T00:00:00Z",
            "by: of an earlier moment shops are compared by units, not by revenue",
        ),
        (
            "currency=CNY&as_of=2026-01-20T00:00:00Z",
            "currency: only revenue is compared in a currency, not units",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(client: TestClient, query: str, detail: str) -> None:
    """In a sentence with the remedy, of shops and of products."""
    for word in ("shop", "product"):
        found = problem(client.get(f"/v1/top/{word}s?{query}"), 422, Kind.INVALID_REQUEST)
        assert found.detail.replace("product", "shop") == detail


def test_a_cursor_is_of_its_list_currency_and_shop(client: TestClient) -> None:
    """Each other list refuses it."""
    lists = [
        "top/products?by=units",
        "top/products?by=revenue&currency=CNY",
        "top/products?by=revenue&currency=USD",
        "top/shops?by=units",
        "shops/s-1/top?by=units",
        "shops/s-2/top?by=units",
        "shops/s-1/top?by=revenue&currency=CNY",
    ]
    with_more = 0
    for one in lists:
        cursor = client.get(f"/v1/{one}&{CYCLE}&limit=1").json()["next_cursor"]
        if cursor is None:
            continue
        with_more += 1
        for other in lists:
            answer = client.get(f"/v1/{other}&cursor={quote(cursor)}")
            assert answer.status_code == (200 if other == one else 422), (one, other)
        other_cycle = f"/v1/{one}&cursor={quote(cursor)}&cycle=2026-03-20T00:00:00Z"
        found = problem(client.get(other_cycle), 422, Kind.INVALID_REQUEST)
        assert "another cycle" in found.detail
    assert with_more >= len(lists) - 2
