"""Requests that can't be used, and the edge cases of those that can.

Parameters, methods, addresses, times, unusual ids.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schemas.answers import Problem
from serving import keys, runbook, site
from serving.api import make_app
from serving.parameters import FLAGS
from serving.problems import Kind
from serving.subjects import ORDER, PRODUCT, SHOP
from tests.reading import Changelogs, FedReader, settings_in
from tests.unit.test_api import EVENTS, NOW_MS, TICK_MS, UNUSUAL_IDS, problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

SCRIPT = "openapi-explorer.min.js"
PATHS = {"product_id": "p-3", "shop_id": "s-7", "order_id": "o-1", "name": SCRIPT}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader that has applied the story of the API's tests."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS)
    logs = Changelogs(settings_in(tmp_path))
    logs.take(EVENTS)
    logs.tick(TICK_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    yield reader
    reader.close()


@pytest.fixture
def app(reader: FedReader) -> FastAPI:
    """The reader's API."""
    return make_app(reader)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A client of the API, with its own host name."""
    return TestClient(
        app, raise_server_exceptions=False, base_url="http://elsewhere", follow_redirects=False
    )


def addresses(app: FastAPI) -> dict[str, list[str]]:
    """Every address of an app, filled in, with the parameters that it declares."""
    found: dict[str, list[str]] = {"/openapi.json": [], "/docs": [], f"/docs/{SCRIPT}": []}
    for path, of_path in app.openapi()["paths"].items():
        names = [
            one["name"] for one in of_path["get"].get("parameters", ()) if one["in"] == "query"
        ]
        found[path.format(**PATHS)] = names
    return found


# --- parameters


def test_no_address_is_outside_of_the_app_s_own_list(app: FastAPI) -> None:
    """So the tests below that use all addresses miss none.

    Each router's routes are described, except the description itself, the page and its runbook.
    """
    of_the_page = {*site.ADDRESSES, runbook.ADDRESS, "/static"}
    routes = [
        route
        for outer in app.routes
        for route in getattr(getattr(outer, "original_router", None), "routes", [outer])
        if getattr(route, "path", "?") not in of_the_page
    ]
    paths = {getattr(route, "path", "?").replace(":path", "").format(**PATHS) for route in routes}
    assert paths == set(addresses(app))
    assert all(getattr(route, "methods", None) == {"GET"} for route in routes)


def test_an_unknown_parameter_is_refused_at_every_address(app: FastAPI, client: TestClient) -> None:
    """422 with its name and the known ones; names are case-sensitive."""
    for path, known in addresses(app).items():
        for name in ("query", "Limit", "revenue", "", "limit ", "cycle[]", "max-lag"):
            assert name not in known
            found = problem(client.get(f"{path}?{urlencode({name: 1})}"), 422, Kind.INVALID_REQUEST)
            assert found.errors is not None
            assert [one.where for one in found.errors] == [name], path
            assert repr(name) in found.detail
            assert all(one in found.detail for one in known or ["no parameters"])


def test_the_nearest_parameter_is_named(client: TestClient) -> None:
    """It is the name that a person most likely meant.

    A name that is similar to none has no suggestion.
    """
    found = problem(client.get("/v1/top/products?Limt=3"), 422, Kind.INVALID_REQUEST)
    known = "by, currency, limit, cursor, cycle, known_at, as_of, max_lag, min_position"
    assert (
        "there is no parameter 'Limt': did you mean limit? The parameters here are" in found.detail
    )
    assert set(found.detail.partition(" are ")[2].split(", ")) == set(known.split(", "))
    found = problem(client.get("/v1/top/products?amount=1"), 422, Kind.INVALID_REQUEST)
    assert "did you mean" not in found.detail


def test_a_parameter_is_given_once_and_with_a_value(app: FastAPI, client: TestClient) -> None:
    """Repeated or empty, it is a 422 at every address that has it.

    A repetition with the same value is refused, too. A flag needs no value. The lists of a stream
    may be repeated: tests/unit/test_stream.py.
    """
    seen = set()
    for path, known in addresses(app).items():
        if path == "/v1/stream":
            known = ["last_event_id"]  # noqa: PLW2901 - the others are lists
        for name in known:
            seen.add(name)
            found = problem(client.get(f"{path}?{name}=1&{name}=1"), 422, Kind.INVALID_REQUEST)
            assert found.detail == f"{name}: it is given 2 times: give it once"
            if name in FLAGS:
                problem(client.get(f"{path}?{name}=no"), 422, Kind.INVALID_REQUEST)
                continue
            for query in (name, f"{name}="):
                found = problem(client.get(f"{path}?{query}"), 422, Kind.INVALID_REQUEST)
                assert found.detail == f"{name}: it is empty: give it a value, or leave it out"
    assert seen >= {"limit", "cursor", "cycle", "by", "max_lag", "min_position"}
    assert seen >= FLAGS
    for flag in ("verbose", "verbose=", "verbose=1", "verbose=true"):
        assert client.get(f"/readyz?{flag}").status_code != 422


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            "by=Units",
            (
                "by: 'Units' is none of units, revenue, growth, reversal-rate, good-reviews,"
                " response-rate: did you mean units?"
            ),
        ),
        ("limit=0", "limit: '0' is less than 1"),
        ("limit=1001", "limit: '1001' is more than 1000"),
        ("limit=many", "limit: 'many' is no whole number"),
        ("limit=1.5", "limit: '1.5' is no whole number"),
        ("limit=1_0", "limit: '1_0' is no whole number"),
        ("limit=%2010", "limit: ' 10' is no whole number"),
        ("limit=-1", "limit: '-1' is less than 1"),
        (f"limit={'9' * 5000}", f"limit: '{'9' * 60}'… is no whole number"),
        (
            "cycle=July",
            "cycle: 'July' is not an RFC 3339 time with zone, such as 2026-07-01T08:00:00Z",
        ),
        ("cursor=!", "cursor: no answer gave this cursor"),
    ],
)
def test_values_are_refused_in_plain_words(client: TestClient, query: str, detail: str) -> None:
    """The fault has the value and the allowed values, in each layer."""
    assert problem(client.get(f"/v1/top/shops?{query}"), 422, Kind.INVALID_REQUEST).detail == detail


def test_several_faults_are_listed_together(client: TestClient) -> None:
    """One answer lists all unknown, repeated and empty parameters."""
    found = problem(
        client.get("/v1/overdue?q=1&limit=&cursor=a&cursor=b"), 422, Kind.INVALID_REQUEST
    )
    assert found.errors is not None
    assert [one.where for one in found.errors] == ["q", "limit", "cursor"]


def test_the_later_of_two_positions_is_waited_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order in the list doesn't matter."""
    applied = client.get("/v1/products/p-3").json()["freshness"]["applied"]["orders-0"]
    assert (
        client.get(f"/v1/products/p-3?min_position=orders-0:{applied},orders-0:1").status_code
        == 200
    )
    monkeypatch.setattr("serving.requests.MIN_POSITION_WAIT_S", 0.05)
    later = f"orders-0:{applied + 5}"
    found = problem(
        client.get(f"/v1/products/p-3?min_position={later},orders-0:1"), 503, Kind.NOT_APPLIED
    )
    assert found.detail == f"waited 0.05 s for {later} (at {applied})"


# --- times and cursors


@pytest.mark.parametrize(
    "instant",
    [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1800-01-01T00:00:00Z",
        "2300-01-01T00:00:00Z",
    ],
)
def test_a_cycle_beyond_all_events_is_refused(client: TestClient, instant: str) -> None:
    """This includes the calendar's ends, at every address with a cycle."""
    for path in ("products/p-3", "shops/s-7", "top/products", "top/shops"):
        found = problem(client.get(f"/v1/{path}?cycle={quote(instant)}"), 422, Kind.INVALID_REQUEST)
        assert "they are from 1900 to 2199" in found.detail


@pytest.mark.parametrize("instant", ["1900-01-01T00:00:00Z", "2199-12-31T23:59:59.999Z"])
def test_a_cycle_at_the_end_of_all_events_is_answered(client: TestClient, instant: str) -> None:
    """Its start, as the answer has it, is a valid cycle, too.

    This holds even if it is before the first possible event.
    """
    for path in ("products/p-3", "shops/s-7", "top/products", "top/shops"):
        first = client.get(f"/v1/{path}?cycle={instant}")
        assert first.status_code == 200, first.text
        cycle = first.json()["cycle"]
        assert client.get(f"/v1/{path}?cycle={cycle['start']}").json()["cycle"] == cycle


def test_a_made_up_cursor_is_refused(client: TestClient) -> None:
    """It has a cycle beyond the calendar, or an instant between two cycles.

    Or it has characters that no cursor has.
    """

    def cursor(key: bytes) -> str:
        return base64.urlsafe_b64encode(b"netsold\0" + key).decode().rstrip("=")

    start_ms, ranking = 1_780_704_000_000, keys.TOP["product_id"]["units"]
    assert (
        client.get(
            f"/v1/top/products?cursor={cursor(ranking.key(start_ms, (1,), b'p'))}"
        ).status_code
        == 200
    )
    made_up = [ranking.key(at_ms, (1,), b"p") for at_ms in (2**62, -(2**62), start_ms + 1)]
    for text in [
        *map(cursor, made_up),
        "!" + cursor(ranking.key(start_ms, (1,), b"p")),
    ]:
        problem(client.get(f"/v1/top/products?cursor={text}"), 422, Kind.INVALID_REQUEST)
    for at_ms in (2**62, -(2**62), start_ms + 1):
        text = cursor(keys.TOP["shop_id"]["units"].key(at_ms, (1,), b"s"))
        problem(client.get(f"/v1/top/shops?cursor={text}"), 422, Kind.INVALID_REQUEST)


# --- methods, addresses, ids


def test_head_is_get_without_the_body_at_every_address(app: FastAPI, client: TestClient) -> None:
    """Status and headers are the same.

    This includes problems and the export.
    """
    for path in [
        *addresses(app),
        "/v1/products/p-9",
        "/v1/nothing",
        "/v1/overdue?limit=x",
        "/v1/top/products?limit=1",
    ]:
        full, head = client.get(path), client.head(path)
        changing = (
            {"content-length"} if path in {"/metrics", "/v1/status", "/v1/health"} else set()
        )  # these answers contain times
        assert head.status_code == full.status_code, path
        assert {name: head.headers[name] for name in head.headers if name not in changing} == {
            name: full.headers[name] for name in full.headers if name not in changing
        }, path
        assert head.content == b"", path


def test_other_methods_are_refused_with_the_allowed_ones(app: FastAPI, client: TestClient) -> None:
    """The answer is 405 with Allow; OPTIONS has Allow, too."""
    for path in addresses(app):
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
            found = client.request(method, path)
            assert repr(method) in problem(found, 405, Kind.WRONG_METHOD).detail
            assert found.headers["allow"] == "GET, HEAD, OPTIONS"
        options = client.options(path)
        assert (options.status_code, options.content, options.headers["allow"]) == (
            204,
            b"",
            "GET, HEAD, OPTIONS",
        )
    problem(client.options("/v1/nothing"), 404, Kind.NO_SUCH_PAGE)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/products", "'/v1/products' names no id: write /v1/products/{product_id}"),
        ("/v1/products/", "'/v1/products/' names no id: write /v1/products/{product_id}"),
        (
            "/v1/products//journal",
            "'/v1/products//journal' names no id: write /v1/products/{product_id}/journal",
        ),
        ("/v1/shops", "'/v1/shops' names no id: write /v1/shops/{shop_id}"),
        (
            "/v1/shops//overdue",
            "'/v1/shops//overdue' names no id: write /v1/shops/{shop_id}/overdue",
        ),
        ("/v1/orders/", "'/v1/orders/' names no id: write /v1/orders/{order_id}"),
        (
            "/v1/overdue/",
            (
                "there is nothing at '/v1/overdue/': did you mean /v1/overdue?"
                " All addresses are in /openapi.json"
            ),
        ),
        (
            "/v1/Top/products",
            (
                "there is nothing at '/v1/Top/products': did you mean /v1/top/products?"
                " All addresses are in /openapi.json"
            ),
        ),
        ("/none", "there is nothing at '/none'; all addresses are in /openapi.json"),
        ("//evil.example/v1/overdue", "there is nothing at '//evil.example/v1/overdue'"),
        ("/redoc", "there is nothing at '/redoc'"),
        (
            "/v1/product/p-1",
            (
                "there is nothing at '/v1/product/p-1': did you mean /v1/products/p-1?"
                " All addresses are in /openapi.json"
            ),
        ),
        (
            "/v1/shop/a%20\\1%2Fb/Days",
            (
                "there is nothing at '/v1/shop/a%20\\\\1%2Fb/Days':"
                " did you mean /v1/shops/a%20\\1%2Fb/days?"
            ),
        ),
        ("/v1/order/" + "x" * 61, f"there is nothing at '/v1/order/{'x' * 50}'…: did you mean"),
        ("/v1/" + "x/" * 3000, f"there is nothing at '/v1/{'x/' * 28}'…; all addresses"),
    ],
)
def test_an_unknown_address_is_refused_with_the_nearest_one(
    client: TestClient, path: str, detail: str
) -> None:
    """The answer is 404, and never a redirect.

    Cases are an unknown list, a missing id, and a slash too many.
    """
    found = client.get(f"http://elsewhere{path}")
    assert problem(found, 404, Kind.NO_SUCH_PAGE).detail.startswith(detail)
    assert "location" not in found.headers


def test_a_browser_gets_the_page_at_an_unknown_address(client: TestClient) -> None:
    """It says so, with a way back; below /v1 the answer is for programs."""
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    found = client.get("/Overdue", headers=browser)
    assert (found.status_code, found.text) == (404, client.get("/overdue", headers=browser).text)
    problem(client.get("/v1/Overdue", headers=browser), 404, Kind.NO_SUCH_PAGE)
    problem(client.get("/Overdue"), 404, Kind.NO_SUCH_PAGE)


def test_the_next_page_is_at_the_same_host_whatever_the_request_calls_it(
    client: TestClient,
) -> None:
    """`Link` has a path and a query without a host.

    It has the parameters of the page before, and the id as it was encoded.
    """
    for path in (
        "/v1/top/products?limit=1&cycle=2026-06-06T08%3A00%3A00%2B08%3A00",
        "/v1/products/p-3/journal?limit=1",
    ):
        first = client.get(path)
        link = first.headers["link"]
        assert link.startswith(f"<{path.partition('?')[0]}?limit=1&")
        assert "elsewhere" not in link
        second = client.get(link[1 : link.index(">")])
        assert second.status_code == 200, second.text
        assert second.json()["items"][0] != first.json()["items"][0]
        assert second.json().get("cycle") == first.json().get("cycle")


def test_an_unknown_id_is_named_as_it_was_given(client: TestClient) -> None:
    """A long id is cut; a slash at its end belongs to it.

    Bytes that aren't UTF-8 are no id.
    """
    assert (
        problem(client.get("/v1/products/p-3/"), 404, PRODUCT.unknown).detail
        == "no event names this product: 'p-3/'"
    )
    assert (
        problem(client.get("/v1/shops/%20"), 404, SHOP.unknown).detail
        == "no event names this shop: ' '"
    )
    long = problem(client.get(f"/v1/orders/{'x' * 9000}"), 404, ORDER.unknown).detail
    assert long == f"no event names this order: '{'x' * 60}'…"
    for path in ("/v1/orders/%00", "/v1/orders/a%0Ab", "/v1/orders/a%7F"):
        problem(client.get(path), 404, ORDER.unknown)


def test_bytes_that_are_no_utf_8_are_no_id(client: TestClient, reader: FedReader) -> None:
    """They are not found as an order whose id has the replacement character."""
    placed = next(event for event in EVENTS if event["type"] == "order_placed")
    reader.logs.take([placed | {"id": "odd", "order_id": "\ufffd"}])
    reader.feed()
    assert client.get("/v1/orders/%EF%BF%BD").json()["order_id"] == "\ufffd"
    problem(client.get("/v1/orders/%FF"), 404, ORDER.unknown)


def test_the_export_is_described_as_json_lines(app: FastAPI) -> None:
    """Its media type is JSON lines, not JSON."""
    answer = app.openapi()["paths"]["/v1/export"]["get"]["responses"]["200"]
    assert list(answer["content"]) == ["application/x-ndjson"]


def test_no_more_exports_run_than_allowed(app: FastAPI, client: TestClient) -> None:
    """One more is a 503 with Retry-After.

    Each frees its place at its end, also after a HEAD or a refusal.
    """
    exports = app.state.exports
    exports.running = exports.most
    assert (
        f"{exports.most} exports are running"
        in problem(client.get("/v1/export"), 503, Kind.BUSY).detail
    )
    exports.running = exports.most - 1
    assert json.loads(client.get("/v1/export").text.splitlines()[-1])["end"]["rows"] > 0
    client.head("/v1/export")
    problem(client.get("/v1/export?max_lag=0s"), 503, Kind.TOO_STALE)
    assert exports.running == exports.most - 1


NAMES = st.sampled_from(
    ["limit", "cursor", "cycle", "by", "max_lag", "min_position", "verbose", "q", "Limit"]
) | st.text(max_size=5)
VALUES = st.sampled_from(
    [
        "",
        "1",
        "-1",
        "1e3",
        "sales",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "5s",
        "999999999h",
        "orders-0:1",
        "orders-9:1",
        "dA",
    ]
) | st.text(max_size=30)
IDS = st.sampled_from(["p-3", "s-7", "o-1", "", "/", *UNUSUAL_IDS]).map(
    lambda id_: quote(id_, safe="")
) | st.binary(max_size=200).map(lambda raw: quote(raw, safe="/%"))


@given(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "X"]),
    st.sampled_from(
        [
            "/v1/products/{}",
            "/v1/products/{}/journal",
            "/v1/shops/{}",
            "/v1/shops/{}/overdue",
            "/v1/orders/{}",
            "/{}",
            "/v1/{}",
        ]
    )
    | st.sampled_from(
        [
            "/v1/top/products",
            "/v1/top/shops",
            "/v1/overdue",
            "/v1/status",
            "/v1/export",
            "/readyz",
            "/openapi.json",
        ]
    ),
    IDS,
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
)
@examples(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_request_makes_the_reader_fail(
    client: TestClient, method: str, path: str, id_: str, query: list[tuple[str, str]]
) -> None:
    """For any request the answer is one of the described answers.

    It is never an internal error, and every refusal is a problem.
    """
    response = client.request(
        method, f"http://elsewhere{path.format(id_)}?{urlencode(query, errors='replace')}"
    )
    assert response.status_code in {200, 204, 404, 405, 422, 503}, response.text
    if response.status_code >= 400 and method != "HEAD" and not path.startswith("/readyz"):
        assert response.headers["content-type"] == "application/problem+json"
        Problem.model_validate_json(response.content)
