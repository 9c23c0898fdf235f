"""The reader's HTTP API over a filled store: forms, freshness, errors, caching, ids."""

from __future__ import annotations

import asyncio
import json
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from operations.oracle.recount import recount
from schemas.answers import JournalPage, OrderAnswer, Problem
from schemas.journal import Entry
from schemas.shown_answers import FreshProduct, FreshShop, TopProducts
from schemas.status import Health, Status
from serving import keys, requests, watching
from serving.api import make_app
from serving.problems import Kind, UnknownId
from serving.progress import NAMES
from serving.reader import Reader
from serving.subjects import ORDER, PRODUCT, SHOP, SUBJECTS
from streams.parked import Parked
from tables.catalogue import READER_TABLES
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response

TICK_MS = 1_783_728_000_000
NOW_MS = TICK_MS + 500
STORY = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
2026-07-08T08:00Z  placed    o-2  1:p-3:1x1000
2026-07-09T08:00Z  received  o-2
2026-07-09T09:00Z  refunded  o-2  r-2 quality  1:1:5000
2026-07-10T08:00Z  placed    o-3  1:p-5:1x1000 shop=s-8
2026-07-10T09:00Z  paid      o-4  100
"""
EVENTS = next(parse(STORY)).events


@pytest.fixture
def logs(tmp_path: Path) -> Changelogs:
    """A pipeline that has applied the story; event time is 11 July."""
    logs = Changelogs(settings_in(tmp_path))
    logs.take(EVENTS)
    logs.tick(TICK_MS)
    return logs


@pytest.fixture
def reader(
    logs: Changelogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FedReader]:
    """A reader that has applied it, half a second after the last event."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    yield reader
    reader.close()


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def problem(response: Response, status: int, kind: Kind | UnknownId) -> Problem:
    """The problem of a response, after checks of its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert (found.type, found.status) == (kind.type, status)
    assert found.type == found.type.lower()
    if status == 503:
        assert int(response.headers["retry-after"]) > 0
    return found


def test_a_product_is_answered_in_the_form_of_the_events_description(client: TestClient) -> None:
    """Without a cycle, the answer is for the current one.

    All figures are integers, with freshness.
    """
    response = client.get("/v1/products/p-3")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    assert response.json() == {
        "product_id": "p-3",
        "cycle": {"start": "2026-07-06T00:00:00Z", "end": "2026-08-05T00:00:00Z"},
        "units": {"gross": 1, "reversed": 1, "net": 0, "reversals_booked": 1},
        "units_by_currency": {"CNY": {"gross": 1, "reversed": 1, "net": 0, "reversals_booked": 1}},
        "revenue": {"CNY": {"gross": 1000, "reversed": 1000, "net": 0, "reversals_booked": 1000}},
        "sold_monthly": 0,
        "successfully_traded": 2,
        "name": None,
        "picture": None,
        "restatements": 0,
        "same_point": {
            "until": "2026-07-11T00:00:00Z",
            "this_cycle": {"units": 0, "revenue": {}},
            "last_cycle": {"units": 0, "revenue": {}},
        },
        "service": {
            "reviews": {"count": 0, "good": 0, "good_share": None},
            "differences": {"count": 0, "amounts": {}, "by_reason": {}},
            "refusals": {"count": 0, "by_reason": {}},
        },
        "freshness": {
            "as_of": "2026-07-11T00:00:00.000Z",
            "applied": response.json()["freshness"]["applied"],
            "lag_seconds": 0.5,
            "state": "live",
            "version": "netsold",
        },
    }
    assert sum(response.json()["freshness"]["applied"].values()) == len(EVENTS) + 2 - 2
    FreshProduct.model_validate_json(response.content)


@pytest.mark.parametrize(
    "instant",
    [
        "2026-06-06T00:00:00Z",
        "2026-07-05T23:59:59.999Z",
        "2026-07-06T07:59:59+08:00",
        "2026-06-10T00:00:00-11:30",
    ],
)
def test_a_cycle_is_named_by_any_instant_in_it(client: TestClient, instant: str) -> None:
    """The instant may have any zone, with the plus sign encoded or not.

    Ended cycles stay readable (C3).
    """
    for text in (instant, quote(instant)):
        found = client.get(f"/v1/products/p-3?cycle={text}").json()
        assert found["cycle"]["start"] == "2026-06-06T00:00:00Z"
        assert found["revenue"] == {
            "CNY": {"gross": 2000, "reversed": 300, "net": 1700, "reversals_booked": 300}
        }
        assert (found["sold_monthly"], found["successfully_traded"]) == (2, 2)


def test_known_and_sold_nothing_is_another_answer_than_unknown(client: TestClient) -> None:
    """A product that sold in another cycle or was only ordered gives 200 with zeros.

    A product that no event names gives 404.
    """
    for path in (
        "/v1/products/p-4",
        "/v1/products/p-5",
        "/v1/products/p-3?cycle=2020-01-01T00:00:00Z",
        "/v1/shops/s-8",
    ):
        found = client.get(path)
        assert found.status_code == 200, path
        assert found.json()["units"] == {"gross": 0, "reversed": 0, "net": 0, "reversals_booked": 0}
        assert found.json()["units_by_currency"] == found.json()["revenue"] == {}
    assert client.get("/v1/products/p-4").json()["successfully_traded"] == 5
    assert client.get("/v1/products/p-5").json()["successfully_traded"] == 0
    for path, kind in (
        ("/v1/products/p-6", PRODUCT.unknown),
        ("/v1/products/p", PRODUCT.unknown),
        ("/v1/products/p-6/journal", PRODUCT.unknown),
        ("/v1/shops/p-3", SHOP.unknown),
        ("/v1/orders/p-3", ORDER.unknown),
    ):
        problem(client.get(path), 404, kind)


def test_every_subject_has_an_address_and_a_problem_of_its_own(client: TestClient) -> None:
    """An unknown id of any subject is 404; the problem's type and title name the subject."""
    paths = client.get("/openapi.json").json()["paths"]
    for subject in SUBJECTS:
        (path,) = (path for path in paths if path.endswith(f"/{{{subject.keyed_by}}}"))
        answer = client.get(path.replace(f"{{{subject.keyed_by}}}", "nothing"))
        word = subject.keyed_by.removesuffix("_id")
        found = problem(answer, 404, subject.unknown)
        assert found.type == f"urn:netsold:problem:unknown-{word}"
        assert found.detail == f"no event names this {word}: 'nothing'"


def test_no_two_names_of_ids_share_a_space() -> None:
    """Ids that orders name are stored by the name of the id, apart from all other keys."""
    others = [keys.space(table) for table in READER_TABLES]
    others += [keys.ALL_OVERDUE, keys.SHOP_OVERDUE, keys.JOURNAL, keys.SHOP_PRODUCTS]
    others += [one.space for rankings in keys.TOP.values() for one in rankings.values()]
    others += [one.space for one in keys.REVERSED.values()]
    others += [*keys.NAMES.values(), *keys.NAME_WORDS.values()]
    others += [*keys.BRIEF.values(), *keys.INTRICATE.values(), keys.FILLED, keys.CYCLE_BEGINS]
    spaces = [*keys.NAMED.values(), *others]
    assert [(one, other) for one, other in permutations(spaces, 2) if other.startswith(one)] == []


def test_a_shop_is_answered_like_a_product(client: TestClient) -> None:
    """The answer has the shop's own sums, under its id."""
    found = FreshShop.model_validate_json(
        client.get("/v1/shops/s-7?cycle=2026-07-01T00:00:00Z").content
    )
    assert (
        found.shop_id,
        found.units.net,
        found.successfully_traded,
        found.revenue["CNY"].net,
    ) == ("s-7", 7, 7, 2200)


def test_an_order_has_its_facts_its_sales_and_its_anomalies(client: TestClient) -> None:
    """Facts are by time, with their own fields; the sale has its reversals.

    A refund that exceeds the rest is an anomaly.
    """
    found = OrderAnswer.model_validate_json(client.get("/v1/orders/o-2").content)
    assert [(fact["type"], fact["occurred_at"]) for fact in found.facts] == [
        ("order_placed", "2026-07-08T08:00:00.000Z"),
        ("receipt_confirmed", "2026-07-09T08:00:00.000Z"),
        ("refund_succeeded", "2026-07-09T09:00:00.000Z"),
    ]
    assert found.facts[0]["lines"] == [
        {"line_id": "1", "product_id": "p-3", "quantity": 1, "unit_price": 1000}
    ]
    assert (found.shop_id, found.buyer_id, found.currency) == ("s-7", "b-9", "CNY")
    (sale,) = found.sales
    assert sale.model_dump() == {
        "line_id": "1",
        "product_id": "p-3",
        "cycle": {"start": "2026-07-06T00:00:00Z", "end": "2026-08-05T00:00:00Z"},
        "received_at": "2026-07-09T08:00:00.000Z",
        "units": {"gross": 1, "reversed": 1, "net": 0},
        "amount": {"gross": 1000, "reversed": 1000, "net": 0},
        "reversals": [{"at": "2026-07-09T09:00:00.000Z", "units": 1, "amount": 1000}],
    }
    assert [(one.anomaly, one.line_id) for one in found.anomalies] == [("refund_exceeds_sale", "1")]
    waiting = OrderAnswer.model_validate_json(client.get("/v1/orders/o-4").content)
    assert (
        waiting.shop_id,
        waiting.currency,
        len(waiting.facts),
        waiting.sales,
        waiting.anomalies,
    ) == (None, None, 1, [], [])


def test_the_best_sellers_are_paged_with_a_link(client: TestClient) -> None:
    """The product with the most units is first.

    Link and cursor lead to the next page; the last page has neither.
    """
    path = "/v1/top/products?limit=1&cycle=2026-06-06T00:00:00Z"
    first = client.get(path)
    page = TopProducts.model_validate_json(first.content)
    assert [
        (item.product_id, item.sold_monthly, item.successfully_traded) for item in page.items
    ] == [("p-4", 5, 5)]
    assert page.cycle.start == "2026-06-06T00:00:00Z"
    link = first.headers["link"]
    assert link.endswith('>; rel="next"')
    second = client.get(link[1 : link.index(">")])
    assert [item["product_id"] for item in second.json()["items"]] == ["p-3"]
    assert second.json()["next_cursor"] is None
    assert "link" not in second.headers
    current = client.get("/v1/top/products").json()
    assert (current["items"], current["cycle"]["start"]) == ([], "2026-07-06T00:00:00Z")


def test_the_journal_is_read_from_the_newest_entry_back(client: TestClient) -> None:
    """Page by page, with every entry once."""
    path = "/v1/products/p-3/journal"
    forth = JournalPage.model_validate_json(client.get(path).content).items
    back: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"newest": "true", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = JournalPage.model_validate_json(client.get(path, params=query).content)
        assert len(page.items) <= 2
        back += page.items
        cursor = page.next_cursor
    assert len(forth) > 2
    assert back == forth[::-1]


def test_the_journal_gives_the_entries_as_they_are(client: TestClient, logs: Changelogs) -> None:
    """Pages have every field of the public form, unchanged."""
    page = JournalPage.model_validate_json(client.get("/v1/products/p-3/journal?limit=2").content)
    rest = JournalPage.model_validate_json(
        client.get(f"/v1/products/p-3/journal?limit=9&cursor={page.next_cursor}").content
    )
    entries = page.items + rest.items
    sold = [entry for entry in entries if entry["type"] == "entry"]
    of_refund = {"refund_id", "refunded_at"}
    assert [set(entry) | of_refund for entry in sold] == [{"type", *Entry.__struct_fields__}] * len(
        sold
    )
    assert [of_refund <= set(entry) for entry in sold] == [
        entry["units_booked"] + entry["amount_booked"] > 0 for entry in sold
    ]
    assert [entry["id"] for entry in sold] == [
        entry.id for entry in logs.entries if entry.product_id == "p-3"
    ]
    (served,) = [entry for entry in entries if entry["type"] == "service"]
    assert served["columns"] == {"difference.short_weight": 1, "difference.short_weight.CNY": 300}
    assert rest.next_cursor is None
    assert client.get("/v1/products/p-5/journal").json()["items"] == []


def test_the_export_is_the_recount(client: TestClient) -> None:
    """The lines are the rows of an independent recount; the last line marks it as complete."""
    response = client.get("/v1/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    *lines, end = [json.loads(line) for line in response.text.splitlines()]
    expected = recount(EVENTS, 30 * 86_400_000, 0)
    found: dict[str, list[Any]] = {part: [] for part in expected}
    for line in lines:
        ((part, row),) = line.items()
        found[part].append(row)
    assert {part: sorted(rows, key=str) for part, rows in found.items()} == {
        part: sorted(rows, key=str) for part, rows in expected.items()
    }
    assert end["end"]["rows"] == len(lines)
    assert end["end"]["freshness"]["state"] == "live"


# --- required freshness


def test_an_answer_staler_than_max_lag_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`max_lag` may have any form of a duration; a lag equal to it is accepted."""
    for text in ("500ms", "0.5s", "5s", "1m", "1h", "1d", "PT5S"):
        assert client.get(f"/v1/products/p-3?max_lag={text}").status_code == 200
    for path in (
        "products/p-3",
        "shops/s-7",
        "orders/o-1",
        "top/products",
        "products/p-3/journal",
        "export",
    ):
        found = problem(client.get(f"/v1/{path}?max_lag=499ms"), 503, Kind.TOO_STALE)
        assert found.detail == "max_lag is 0.499 s; the lag is 0.5 s"
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS - 10_000)
    assert client.get("/v1/products/p-3?max_lag=0s").json()["freshness"]["lag_seconds"] == 0


async def test_an_own_write_is_waited_for(
    reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`min_position` delays an answer until the tables include it.

    After the time limit the problem names what is missing.
    """
    monkeypatch.setattr(requests, "MIN_POSITION_WAIT_S", 0.2)
    async with AsyncClient(
        transport=ASGITransport(make_app(reader)), base_url="http://reader"
    ) as client:
        applied = (await client.get("/v1/products/p-3")).json()["freshness"]["applied"]
        have = ",".join(f"{source}:{offset}" for source, offset in applied.items())
        assert (await client.get(f"/v1/products/p-3?min_position={have}")).status_code == 200
        path = f"/v1/products/p-3?min_position=orders-0:{applied['orders-0'] + 1}"
        found = problem(await client.get(path), 503, Kind.NOT_APPLIED)
        assert (
            found.detail
            == f"waited 0.2 s for orders-0:{applied['orders-0'] + 1} (at {applied['orders-0']})"
        )
        of_others = await client.get("/v1/overdue?min_position=orders-0:999999")
        assert of_others.status_code == 200  # it contains chats alone

        monkeypatch.setattr(requests, "MIN_POSITION_WAIT_S", 20)
        waiting = asyncio.create_task(client.get(path))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        logs.tick(TICK_MS + 1)
        reader.feed()
        async with reader.changed:
            reader.changed.notify_all()
        assert (await waiting).json()["freshness"]["applied"]["orders-0"] == applied["orders-0"] + 1


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("max_lag=5", "max_lag"),
        ("max_lag=-1s", "max_lag"),
        ("max_lag=PT", "max_lag"),
        ("min_position=orders", "min_position"),
        ("min_position=orders-0@3", "min_position"),
        ("min_position=orders-9:3", "min_position"),
        ("min_position=other-0:3", "min_position"),
        ("cycle=2026-07-01", "cycle"),
        ("cycle=2026-07-01T00:00:00", "cycle"),
        ("cycle=now", "cycle"),
    ],
)
def test_a_fault_of_a_request_is_named_with_its_place(
    client: TestClient, query: str, where: str
) -> None:
    """The answer is 422 with `errors`, also for times without a zone."""
    found = problem(client.get(f"/v1/products/p-3?{query}"), 422, Kind.INVALID_REQUEST)
    assert found.errors is not None
    assert [one.where for one in found.errors] == [where]
    assert found.detail.startswith(where)


def test_bounds_and_cursors_are_checked(client: TestClient) -> None:
    """The framework's own refusals and those of unknown cursors have the same form."""
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=xyz"):
        found = problem(client.get(f"/v1/top/products?{query}"), 422, Kind.INVALID_REQUEST)
        assert found.errors
    problem(client.get("/v1/nothing"), 404, Kind.NO_SUCH_PAGE)
    problem(client.post("/v1/products/p-3"), 405, Kind.WRONG_METHOD)


# --- ids


UNUSUAL_IDS = [
    "a/b",
    "a/journal",
    "/",
    "//",
    "a b",
    "a%2Fb",
    "%",
    "é/ü",
    "100%",
    "?x=1",
    "#",
    "a+b",
    "p@5",
    "😀",
    "...",
    "/journal",
    "a/b/journal",
]


def test_ids_may_contain_anything_printable(
    client: TestClient, reader: FedReader, logs: Changelogs
) -> None:
    """Each id, percent-encoded, is found as product, journal, shop and order."""
    events = []
    for number, id_ in enumerate(UNUSUAL_IDS):
        story = "== x\n2026-07-01T08:00Z placed o 1:p:1x10\n2026-07-02T08:00Z received o\n"
        placed, received = next(parse(story)).events
        placed |= {
            "order_id": id_,
            "shop_id": id_,
            "id": f"x{number}",
            "lines": [placed["lines"][0] | {"product_id": id_}],
        }
        events += [placed, received | {"order_id": id_, "id": f"y{number}"}]
    logs.take(events)
    reader.feed()
    for id_ in UNUSUAL_IDS:
        text = quote(id_, safe="")
        assert client.get(f"/v1/products/{text}").json()["product_id"] == id_
        assert client.get(f"/v1/shops/{text}").json()["shop_id"] == id_
        assert client.get(f"/v1/orders/{text}").json()["order_id"] == id_
        assert [
            entry["product_id"]
            for entry in client.get(f"/v1/products/{text}/journal").json()["items"]
        ] == [id_]
    assert client.get("/v1/products/a/b").json()["product_id"] == "a/b"
    problem(client.get("/v1/products/a%00b"), 404, PRODUCT.unknown)
    problem(client.get("/v1/products/a%01b"), 404, PRODUCT.unknown)


@given(st.binary(max_size=30), st.sampled_from(["products", "shops", "orders"]))
@examples(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_path_makes_the_reader_fail(client: TestClient, path: bytes, kind: str) -> None:
    """For any path the answer is one of the described answers."""
    response = client.get(f"/v1/{kind}/{quote(path, safe='/%')}")
    assert response.status_code in {200, 404}


# --- not ready, damaged, healthy


def test_before_anything_is_read_every_answer_is_not_ready(tmp_path: Path) -> None:
    """Every answer but liveness is 503 with the reason.

    Prometheus gets its numbers.
    """
    client = TestClient(make_app(Reader(settings_in(tmp_path))))
    for path in (
        "products/p-3",
        "shops/s-7",
        "orders/o-1",
        "top/products",
        "status",
        "export",
        "products/p-3?min_position=orders-0:1",
    ):
        assert (
            "no tables yet: it has just started"
            in problem(client.get(f"/v1/{path}"), 503, Kind.NOT_READY).detail
        )
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.text, ready.headers["retry-after"]) == (
        503,
        "not ready\n",
        "2",
    )
    assert "netsold_reader_ready 0.0" in client.get("/metrics").text


def test_while_restoring_the_probes_show_how_much_is_left(tmp_path: Path, logs: Changelogs) -> None:
    """`?verbose` is for people, the status code for machines.

    The status has the rest by partition.
    """
    reader = FedReader(settings_in(tmp_path), logs)
    client = TestClient(make_app(reader))
    reader.feed(most=1)
    ready = client.get("/readyz?verbose")
    assert ready.status_code == 503
    assert "log not yet:" in ready.text
    assert "state restoring" in ready.text
    status = Status.model_validate_json(client.get("/v1/status").content)
    assert status.freshness.state == "restoring"
    assert (
        status.records_to_read
        == sum(one.behind for table in status.tables for one in table.partitions)
        > 0
    )
    problem(client.get("/v1/products/p-3"), 503, Kind.NOT_READY)
    while reader.feed(most=1):
        pass
    ready = client.get("/readyz?verbose")
    assert (ready.status_code, ready.text) == (
        200,
        "tables ok: they are complete\nlog ok: it is read\nindex ok: it is complete\nstate live\n",
    )
    assert client.get("/readyz").text == "ok\n"
    assert status.index.records_to_read is not None
    reader.close()


def test_an_empty_log_is_live_and_has_no_cycle(tmp_path: Path) -> None:
    """Before any event the reader is live, and every id is unknown.

    A list of the current cycle is not ready.
    """
    reader = FedReader(settings_in(tmp_path), Changelogs(settings_in(tmp_path)))
    client = TestClient(make_app(reader))
    reader.feed()
    assert client.get("/readyz").status_code == 200
    problem(client.get("/v1/products/p-3"), 404, PRODUCT.unknown)
    assert (
        "no cycle is current" in problem(client.get("/v1/top/products"), 503, Kind.NOT_READY).detail
    )
    assert client.get("/v1/top/products?cycle=2026-07-01T00:00:00Z").json()["items"] == []
    status = client.get("/v1/status").json()
    assert (status["cycle"], status["freshness"]["as_of"], status["freshness"]["lag_seconds"]) == (
        None,
        None,
        None,
    )
    problem(client.get("/v1/top/products?max_lag=1h"), 503, Kind.TOO_STALE)
    reader.close()


def test_the_status_has_every_table(client: TestClient, reader: FedReader) -> None:
    """Name, topic, freshness and positions of all that is followed, and the current cycle."""
    status = Status.model_validate_json(client.get("/v1/status").content)
    assert status.cycle is not None
    assert status.cycle.start == "2026-07-06T00:00:00Z"
    assert {table.topic: table.name for table in status.tables} == {
        topic: name for topic, name in reader.names.items() if name != NAMES
    }
    assert all(
        len(table.partitions) == 2 and table.freshness.as_of == "2026-07-11T00:00:00.000Z"
        for table in status.tables
    )
    assert (status.records_behind, status.records_to_read) == (0, 0)
    assert [
        (one.source, one.end, one.applied, one.behind, one.read_by) for one in status.sources
    ] == [
        (
            f"{topic}-{partition}",
            len(reader.logs.logs[topic, partition]),
            len(reader.logs.logs[topic, partition]) - 1,
            0,
            "worker",
        )
        for topic in ("orders", "chats")
        for partition in (0, 1)
    ]
    assert (status.cluster.brokers, [member.name for member in status.cluster.members]) == (
        [1],
        ["worker"],
    )


def test_without_a_worker_no_answer_is_live(client: TestClient, reader: FedReader) -> None:
    """Two events wait without a worker.

    Every answer is stalled, `/v1/health` is 503 with the remedy, and `/readyz` stays 200.
    """
    etag = client.get("/v1/products/p-3").headers["etag"]
    reader.logs.send("orders", b"o-9", b"?", [], 1)
    reader.logs.send("orders", b"o-9", b"?", [], 1)
    reader.observe(members=())
    again = client.get("/v1/products/p-3", headers={"If-None-Match": etag})
    assert (again.status_code, again.json()["freshness"]["state"]) == (200, "stalled")
    assert (client.get("/readyz").status_code, client.get("/readyz").text) == (
        200,
        "answers, but stalled: see /v1/health\n",
    )
    answer = client.get("/v1/health")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    health = Health.model_validate_json(answer.content)
    assert health.state == "stalled"
    (finding,) = health.findings
    assert (finding.code, finding.severity) == ("no_worker", "fault")
    assert "nobody reads orders-0, orders-1, chats-0" in finding.sentence
    assert finding.sentence.endswith("while 2 records wait")
    assert finding.sentence in client.get("/readyz?verbose").text
    status = Status.model_validate_json(client.get("/v1/status").content)
    assert (status.state, status.records_behind, status.sources[1].read_by) == ("stalled", 2, None)
    text = client.get("/metrics").text
    assert 'netsold_source_records_behind{partition="1",topic="orders"} 2.0' in text
    assert "netsold_group_members 0.0" in text
    assert 'netsold_faults{code="no_worker"} 1.0' in text
    assert "netsold_reader_ready 1.0" in text


def lived(health: dict[str, Any]) -> bool:
    """Whether nothing is wrong with the way, and the reader answers from its own version."""
    return (health["state"], health["findings"], health["versions"]) == (
        "live",
        [],
        {
            "answered": "netsold",
            "answered_since": None,
            "pointed": None,
            "pointed_since": None,
            "former": None,
            "preparing": None,
            "beside": [],
            "audit": None,
        },
    )


def test_dead_letters_are_answered_by_state(client: TestClient, reader: FedReader) -> None:
    """Open ones are a notice until somebody decides about them."""
    reader.watch.letters.parked = [
        Parked("orders", "not_json", 12, 2, 0, 1000, requeued=3, discarded=1)
    ]
    (one,) = client.get("/v1/status").json()["dead_letters"]
    assert [one[name] for name in ("count", "open", "requeued", "discarded")] == [12, 8, 3, 1]
    labels = 'netsold_dead_letters{reason="not_json",state='
    text = client.get("/metrics").text
    for state, count in (("open", 8), ("requeued", 3), ("discarded", 1)):
        assert f'{labels}"{state}",topic="orders"}} {count}.0' in text
    (notice,) = client.get("/v1/health").json()["findings"]
    assert (notice["code"], notice["severity"]) == ("dead_letters", "notice")
    reader.watch.letters.parked = [Parked("orders", "not_json", 12, 2, 0, 1000, requeued=12)]
    assert lived(client.get("/v1/health").json())
    reader.watch.letters.parked = []
    assert labels not in client.get("/metrics").text


def test_bounds_may_be_given_with_the_request(client: TestClient, reader: FedReader) -> None:
    """Within the settings' bounds the state is live.

    A request may set stricter bounds.
    """
    assert lived(client.get("/v1/health?max_behind=0").json())
    reader.logs.send("orders", b"o-9", b"?", [], 1)
    reader.observe()
    assert client.get("/v1/health").status_code == 200
    answer = client.get("/v1/health?max_behind=0")
    assert (answer.status_code, answer.json()["state"], answer.json()["findings"][0]["code"]) == (
        503,
        "behind",
        "behind",
    )
    assert client.get("/v1/status?max_behind=0").json()["freshness"]["state"] == "behind"
    problem(client.get("/v1/health?max_behind=-1"), 422, Kind.INVALID_REQUEST)


def test_an_old_observation_makes_the_state_unknown(
    client: TestClient, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is never live by default; the finding has the observation's age."""
    monkeypatch.setattr(watching, "MOST_AGE_SECONDS", -1.0)
    assert client.get("/v1/products/p-3").json()["freshness"]["state"] == "unknown"
    found = client.get("/v1/health").json()
    assert (found["state"], found["findings"][0]["code"]) == ("unknown", "unobserved")
    reader.watch.observation = None
    assert "the first observation is under way" in client.get("/readyz?verbose").text


def test_a_reader_that_the_log_no_longer_answers_is_not_ready(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only this reader is cut off, so traffic should go to another one."""
    monkeypatch.setattr(FedReader, "silent_s", 61.0)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready\n")
    assert "log not any more: no answer for 61 s" in client.get("/readyz?verbose").text
    assert client.get("/v1/health").json()["findings"][0]["code"] == "reader_cut_off"


def test_the_metrics_are_named_and_count_by_route(client: TestClient) -> None:
    """No id is ever a label."""
    client.get("/v1/products/p-3")
    client.get("/v1/elsewhere")
    text = client.get("/metrics").text
    assert (
        'netsold_http_requests_total{route="/v1/products/{product_id:path}",status="200"}' in text
    )
    assert 'netsold_http_requests_total{route="none",status="404"}' in text
    assert "p-3" not in text
    assert "netsold_event_lag_seconds 0.5" in text
    assert 'netsold_consumer_lag_records{partition="0",topic="sales"} 0.0' in text
    assert "netsold_reader_ready 1.0" in text


def test_damage_in_the_store_is_not_an_answer(
    client: TestClient, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is 503, and the follower sets the store aside.

    Another internal fault is 500 without any detail.
    """

    def damaged() -> None:
        raise Exception("Corruption: block checksum mismatch")  # noqa: TRY002 - as rocksdict does

    monkeypatch.setattr(reader.store, "snapshot", damaged)
    problem(client.get("/v1/products/p-3"), 503, Kind.NOT_READY)
    assert reader._damage == "Corruption: block checksum mismatch"

    def broken() -> None:
        raise KeyError("inside")

    monkeypatch.setattr(reader.store, "snapshot", broken)
    assert "inside" not in problem(client.get("/v1/products/p-3"), 500, Kind.FAILED).detail


def test_every_kind_of_problem_is_met_in_these_tests() -> None:
    """Every kind of problem that is listed is answered at least once.

    Those of unknown ids have a test for all subjects.
    """
    here = Path(__file__).parent
    files = [
        Path(__file__),
        here / "test_requests.py",
        here / "test_past.py",
        here / "test_access.py",
        here / "test_order_routes.py",
        here / "test_stream.py",
        here.parent / "faults" / "test_crowded_reader.py",
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert all(f"Kind.{kind.name}" in text for kind in Kind)
