"""The addresses that explain and find orders, over a filled store and index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from fastapi.testclient import TestClient

from schemas import http_limits
from schemas.explanations import FoundOrders, OrderExplanation
from schemas.letters import REQUEUED_FROM
from serving.api import make_app
from serving.problems import Kind, UnknownId
from serving.subjects import ORDER
from streams.errors import KafkaUnreachable
from tests.flow import PARTITIONS, binary
from tests.reading import Changelogs, FedReader
from tests.served_story import fed
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx import Response

EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
    2026-07-02T08:00Z  received  o-1
    2026-07-05T08:00Z  refunded  o-1  r-1 quality  1:1:1000
    2026-07-08T08:00Z  placed    o-2  1:p-3:1x1000
    2026-07-09T08:00Z  cancelled o-2  buyer
    2026-07-10T08:00Z  received  o-2
    2026-07-10T08:00Z  placed    o-3  1:p-5:1x1000 shop=s-8
    """)
).events


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[FedReader]:
    """A reader of the story, one event twice, one with another content, one bad."""
    with fed(tmp_path, EVENTS) as one:
        one.logs.take([EVENTS[1], EVENTS[2] | {"reason": "other"}])
        one.logs.send("orders", b"o-1", b"{", binary(EVENTS[2])[2])
        one.logs.send("orders", b"o-9", b"[]", [])
        one.logs.take([])
        one.feed()
        yield one


@pytest.fixture
def logs(reader: FedReader) -> Changelogs:
    """Its logs."""
    return reader.logs


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def detail(response: Response, status: int, kind: Kind | UnknownId) -> str:
    """The sentence of a problem."""
    assert response.status_code == status, response.text
    assert response.json()["type"] == kind.type
    text: str = response.json()["detail"]
    return text


def test_an_order_is_explained_event_by_event(client: TestClient) -> None:
    """Each record with its verdict, rules, effect and the result so far; then one sentence."""
    response = client.get("/v1/orders/o-1/explanation")
    assert response.status_code == 200, response.text
    OrderExplanation.model_validate_json(response.content)
    found = response.json()
    assert [
        (one["type"], one["verdict"], one["rules"], one["units"], one["amounts"])
        for one in found["events"]
    ] == [
        ("order_placed", "applied", ["S1"], 0, {}),
        ("receipt_confirmed", "applied", ["S1", "S2", "S3"], 7, {"CNY": 2500}),
        ("refund_succeeded", "applied", ["S6"], -1, {"CNY": -1000}),
        ("receipt_confirmed", "duplicate", ["S11"], 0, {}),
        ("refund_succeeded", "conflicting", ["S6", "S11"], 0, {}),
        (None, "parked", [], 0, {}),
    ]
    positions = [one["position"] for one in found["events"]]
    assert all(one.startswith("orders-") and "@" in one for one in positions)
    assert found["events"][-1]["parked"]["reason"] == "not_json"
    assert found["events"][-1]["parked"]["dead_letter"].startswith("dead-letters-")
    assert found["events"][-1]["result"] == found["result"]
    assert found["result"] == {
        "units": {"gross": 7, "reversed": 1, "net": 6},
        "amounts": {"CNY": {"gross": 2500, "reversed": 1000, "net": 1500}},
    }
    assert found["sentence"] == (
        "counts 6 of 7 units, CNY 15.00, in the cycle from 2026-06-06T00:00:00Z, because"
        " line 1 was received (S2) and a refund took 1 unit and CNY 10.00 off (S6);"
        f" line 2 was received (S2); {positions[-1]} is parked (not_json):"
        f" `netsold dead-letters show {positions[-1]}`"
    )
    assert found["anomalies"] == [{"anomaly": "conflicting_event", "line_id": None}]
    assert found["earlier"] is None
    entries = [one["id"] for event in found["events"] for one in event["entries"]]
    assert entries[0] == f"{positions[1]}#0"


@pytest.mark.parametrize(
    ("order_id", "sentence"),
    [
        (
            "o-2",
            (
                "counts nothing of 1 unit, because line 1 was not received before the order was"
                " cancelled (S4)"
            ),
        ),
        ("o-3", "counts nothing of 1 unit, because line 1 was not received (S1)"),
        (
            "o-9",
            (
                "counts nothing, because all records that name it are parked; orders-0@10 is parked"
                " (not_an_object): `netsold dead-letters show orders-0@10`"
            ),
        ),
    ],
)
def test_an_order_of_which_nothing_counts_names_the_rule(
    client: TestClient, order_id: str, sentence: str
) -> None:
    """Not received, cancelled before, or never applied."""
    assert client.get(f"/v1/orders/{order_id}/explanation").json()["sentence"] == sentence


def test_parked_records_are_named_until_they_are_put_back(
    logs: Changelogs, reader: FedReader, client: TestClient
) -> None:
    """A receipt under a wrong key has its type and time; put back, it is no longer missing."""
    receipt = EVENTS[1] | {"id": "e-71", "order_id": "o-3"}
    key, value, headers = binary(receipt)
    wrong = len(logs.logs.get(("orders", crc32(b"o-x") % PARTITIONS), ()))
    logs.send("orders", b"o-x", value, headers)
    logs.run()
    reader.feed()
    position = f"orders-{crc32(b'o-x') % PARTITIONS}@{wrong}"
    found = client.get("/v1/orders/o-3/explanation").json()
    row = found["events"][-1]
    assert (row["verdict"], row["type"]) == ("parked", "receipt_confirmed")
    assert row["occurred_at"] == "2026-07-02T08:00:00.000Z"
    assert row["parked"]["reason"] == "key_mismatch"
    assert row["parked"]["put_back_to"] is None
    assert found["sentence"] == (
        f"counts nothing of 1 unit, because line 1 was not received (S1); {position} is parked"
        f" (key_mismatch): `netsold dead-letters show {position}`"
    )
    letter = row["parked"]["dead_letter"]
    logs.send("orders", key, value, [*headers, (REQUEUED_FROM, letter.encode())])
    logs.run()
    reader.feed()
    found = client.get("/v1/orders/o-3/explanation").json()
    by_position = {one["position"]: one for one in found["events"]}
    (later,) = [one for one in found["events"] if one["put_back_from"] == letter]
    assert by_position[position]["parked"]["put_back_to"] == later["position"]
    assert "is parked" not in found["sentence"]
    assert found["sentence"].startswith("counts 1 of 1 unit")


def test_a_parked_record_is_of_the_moment_when_it_happened(
    logs: Changelogs, reader: FedReader, client: TestClient
) -> None:
    """Before that it is not among the events."""
    _, value, headers = binary(EVENTS[1] | {"id": "e-71", "order_id": "o-3"})
    logs.send("orders", b"o-x", value, headers)
    logs.run()
    reader.feed()
    address = "/v1/orders/o-3/explanation?as_of="
    before = client.get(f"{address}2026-07-02T07:59:59Z").json()
    assert (before["events"], "is parked" in before["sentence"]) == ([], False)
    then = client.get(f"{address}2026-07-02T08:00:00Z").json()
    assert [one["verdict"] for one in then["events"]] == ["parked"]


def test_only_the_newest_events_are_listed(client: TestClient) -> None:
    """The result stays that of the table; the others are counted, and what they led to."""
    found = client.get("/v1/orders/o-1/explanation?limit=4").json()
    whole = client.get("/v1/orders/o-1/explanation").json()
    assert found["events"][-1] == whole["events"][-1]
    assert found["result"] == whole["result"]
    assert found["earlier"]["left_out"] == 2
    assert not found["earlier"]["left_out_at_least"]
    assert found["earlier"]["facts"] == 1  # the receipt is listed, as it was written twice
    assert len(found["events"]) == 4


def test_events_that_the_log_lacks_come_from_the_table(
    reader: FedReader, client: TestClient
) -> None:
    """Retention has deleted the placing: its fact is there, and the result is the same."""
    whole = client.get("/v1/orders/o-1/explanation").json()
    topic, _, place = whole["events"][0]["position"].rpartition("-")
    partition, _, offset = place.partition("@")
    log: Any = reader.index.log
    log.deleted[topic, int(partition)] = int(offset) + 1
    found = client.get("/v1/orders/o-1/explanation").json()
    assert found["events"] == whole["events"][1:]
    assert (found["earlier"]["facts"], found["earlier"]["deleted"]) == (1, 1)
    assert found["sentence"] == whole["sentence"]


def test_an_unknown_order_is_a_404(client: TestClient) -> None:
    """As at every address of an order."""
    assert "'o-99'" in detail(client.get("/v1/orders/o-99/explanation"), 404, ORDER.unknown)


def test_an_id_that_ends_like_the_address_is_an_id(client: TestClient) -> None:
    """With an encoded slash it is the order's own address."""
    assert "o/explanation" in detail(client.get("/v1/orders/o%2Fexplanation"), 404, ORDER.unknown)


@pytest.mark.parametrize("path", ["/v1/orders/o-1/explanation", "/v1/find?shop=s-8"])
def test_an_index_behind_is_a_503(
    logs: Changelogs,
    reader: FedReader,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    """The sentence says how far it is; the tables are answered all the same."""
    monkeypatch.setattr("serving.event_index.FOLLOW_S", 0.05)
    monkeypatch.setattr(reader, "feed_index", lambda: None)
    logs.take([EVENTS[0] | {"id": "e-98", "order_id": "o-5"}])
    reader.feed()
    text = detail(client.get(path), 503, Kind.INDEX_BEHIND)
    assert "the event index isn't that far yet" in text
    assert client.get("/v1/orders/o-5").status_code == 200


def test_a_damaged_index_is_filled_anew_alone(
    reader: FedReader, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is a 503; the tables' store isn't set aside."""
    what = f"Corruption: block checksum mismatch in {reader.index.directory}/store-1/7.sst"

    def damaged() -> None:
        raise Exception(what)  # noqa: TRY002 - as rocksdict does

    monkeypatch.setattr(reader.indexing.store, "snapshot", damaged)
    detail(client.get("/v1/find?product=p-3"), 503, Kind.NOT_READY)
    assert (reader.index._damage, reader._damage) == (what, None)
    assert client.get("/v1/orders/o-1").status_code == 200


def test_an_unchanged_explanation_is_a_304(
    logs: Changelogs, reader: FedReader, client: TestClient
) -> None:
    """Until the order has another event; a dead letter of something else does not change it."""
    first = client.get("/v1/orders/o-1/explanation")
    known = {"If-None-Match": first.headers["etag"]}
    assert client.get("/v1/orders/o-1/explanation", headers=known).status_code == 304
    logs.send("dead-letters", None, b"", [], 0)
    reader.feed_index()
    assert client.get("/v1/orders/o-1/explanation", headers=known).status_code == 304
    logs.take([EVENTS[1] | {"id": "later"}])
    reader.feed()
    assert client.get("/v1/orders/o-1/explanation", headers=known).status_code == 200


def test_a_log_that_cannot_be_read_is_a_503(
    reader: FedReader, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence has the reason."""

    async def away(*_: object) -> None:
        raise KafkaUnreachable("no Kafka answers at x")

    monkeypatch.setattr(reader.index.log, "read", away)
    response = client.get("/v1/orders/o-1/explanation")
    assert "no Kafka answers at x" in detail(response, 503, Kind.LOG_AWAY)


def test_explanations_take_turns(
    reader: FedReader, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than may be made at once waits, and then is refused."""
    monkeypatch.setattr("serving.order_routes.TURN_S", 0.05)
    monkeypatch.setattr(reader.index.turns, "_value", 0)
    response = client.get("/v1/orders/o-1/explanation")
    assert f"{http_limits.EXPLANATIONS} explanations" in detail(response, 503, Kind.BUSY)


# --- find


def ids(response: Response) -> list[str]:
    """The ids of the found orders."""
    assert response.status_code == 200, response.text
    return [item.order_id for item in FoundOrders.model_validate_json(response.content).items]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("refund=r-1", ["o-1"]),
        ("refund=r", []),
        ("shop=s-7", ["o-1", "o-2"]),
        ("shop=s-8", ["o-3"]),
        ("shop=s-", []),
        ("product=p-3", ["o-1", "o-2"]),
        ("product=p-3&from=2026-07-01T08:00:00.001Z", ["o-2"]),
        ("product=p-3&from=2026-07-01T08:00:00Z&to=2026-07-08T08:00:00Z", ["o-1"]),
        ("from=2026-07-08T16:00:00%2B08:00", ["o-2", "o-3"]),
        ("to=2026-07-08T08:00:00.001Z", ["o-1", "o-2"]),
        ("from=2026-07-11T00:00:00Z", []),
        ("product=p-3&counted=false", ["o-2"]),
        ("shop=s-7&counted=true", ["o-1"]),
    ],
)
def test_orders_are_found(client: TestClient, query: str, expected: list[str]) -> None:
    """By exactly this id, half-open in time, sorted by the placing."""
    assert ids(client.get(f"/v1/find?{query}")) == expected


def test_a_found_order_has_what_counts_of_it(client: TestClient) -> None:
    """Who, when, net units and money now, and why it was found."""
    (item,) = client.get("/v1/find?refund=r-1").json()["items"]
    assert item == {
        "order_id": "o-1",
        "placed_at": "2026-07-01T08:00:00.000Z",
        "shop_id": "s-7",
        "buyer_id": item["buyer_id"],
        "currency": "CNY",
        "units": 6,
        "amount": 1500,
        "product_units": None,
        "product_amount": None,
        "refund": "took 1 unit and CNY 10.00 off line 1 (S6)",
        "uncounted": None,
        "found_by": "refund r-1",
    }
    (item,) = client.get("/v1/find?product=p-4").json()["items"]
    assert (item["product_units"], item["product_amount"], item["units"]) == (5, 500, 6)
    (item,) = client.get("/v1/find?shop=s-8").json()["items"]
    assert (item["units"], item["amount"]) == (0, 0)


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ("2026-07-12T08:00Z refund-failed o-3 r-9 bank", "did not succeed (bank) (S5)"),
        ("2026-07-12T08:00Z refunded o-3 r-9 quality", "gave the money back before any receipt"),
        ("2026-07-12T08:00Z refunded o-3 r-9 quality 7:1:1", "names line 7, which"),
        (
            """2026-07-12T08:00Z  refunded        o-3 r-9 quality
               2026-07-13T08:00Z  refund-returned o-3 r-9""",
            "was returned by the bank (S5)",
        ),
    ],
)
def test_a_refund_that_did_not_count_states_why(
    logs: Changelogs, reader: FedReader, client: TestClient, events: str, verdict: str
) -> None:
    """In the order that it is found by."""
    more = next(parse(f"== of the tests\n{events}")).events
    logs.take([event | {"id": f"more-{number}"} for number, event in enumerate(more)])
    reader.feed()
    (item,) = client.get("/v1/find?refund=r-9").json()["items"]
    assert verdict in item["refund"]


def test_a_search_for_what_does_not_count_is_bounded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that has looked through as many as it may leads to the next."""
    monkeypatch.setattr(http_limits, "SEARCHED_ORDERS", 1)
    page = client.get("/v1/find?product=p-3&counted=false").json()
    assert (page["items"], page["next_cursor"] is None) == ([], False)
    address = f"/v1/find?product=p-3&counted=false&cursor={page['next_cursor']}"
    assert ids(client.get(address)) == ["o-2"]


def test_the_explanation_of_a_product_has_the_orders_that_do_not_count(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those placed in the cycle, the newest first, with why; only some of many are looked at."""
    address = "/v1/products/p-3/explanation?cycle="
    found = client.get(f"{address}2026-07-06T00:00:00Z").json()["uncounted"]
    (one,) = found.pop("newest")
    assert found == {"searched": 1, "is_all": True, "count": 1}
    assert (one["order_id"], one["placed_at"]) == ("o-2", "2026-07-08T08:00:00.000Z")
    assert "before the order was cancelled (S4)" in one["why"]
    found = client.get(f"{address}2026-06-06T00:00:00Z").json()["uncounted"]
    assert found == {"searched": 1, "is_all": True, "count": 0, "newest": []}
    monkeypatch.setattr(http_limits, "UNCOUNTED_ORDERS", 0)
    assert client.get(f"{address}2026-06-06T00:00:00Z").json()["uncounted"]["is_all"] is False
    past = client.get(f"{address}2026-06-06T00:00:00Z&as_of=2026-07-04T00:00:00Z").json()
    assert past["uncounted"] is None


def test_pages_lead_through_all_found_orders(client: TestClient) -> None:
    """Each once, also with bounds of time; a cursor of another list is refused."""
    found: list[str] = []
    address = "/v1/find?product=p-3&to=2026-07-20T00:00:00Z&limit=1"
    response = client.get(address)
    while True:
        found += ids(response)
        cursor = response.json()["next_cursor"]
        if cursor is None:
            break
        assert response.links["next"]["url"].startswith("/v1/find?product=p-3&to=")
        response = client.get(f"{address}&cursor={cursor}")
    assert found == ["o-1", "o-2"]
    cursor = client.get(address).json()["next_cursor"]
    detail(client.get(f"/v1/find?shop=s-7&cursor={cursor}"), 422, Kind.INVALID_REQUEST)


def test_an_order_is_found_by_the_placing_that_holds(
    logs: Changelogs, reader: FedReader, client: TestClient
) -> None:
    """Once, whatever other placings of it stand in the log (S11); the next page follows."""
    other = EVENTS[0] | {"id": "e-90", "occurred_at": "2026-07-03T08:00:00Z", "shop_id": "s-8"}
    logs.take([other, EVENTS[0] | {"occurred_at": "2026-07-04T08:00:00Z"}])
    reader.feed()
    assert ids(client.get("/v1/find?product=p-3")) == ["o-1", "o-2"]
    assert ids(client.get("/v1/find?shop=s-8")) == ["o-3"]
    assert ids(client.get("/v1/find?from=2026-07-02T00:00:00Z")) == ["o-2", "o-3"]
    page = client.get("/v1/find?shop=s-8&limit=1").json()
    assert page["items"] == []
    assert ids(client.get(f"/v1/find?shop=s-8&limit=1&cursor={page['next_cursor']}")) == ["o-3"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "give refund, shop, product, from or to"),
        ("shop=s-1&product=p-1", "it can't be given beside shop"),
        ("refund=r-1&from=2026-07-01T00:00:00Z", "a refund's orders are not found by time"),
        ("from=2026-07-01", "has no time of day and no zone"),
        ("shop=s%00", "control character"),
        ("shop=s-1&limit=1000", "is more than 200"),
    ],
)
def test_what_cannot_be_found_is_refused(client: TestClient, query: str, sentence: str) -> None:
    """One sentence with the part of the request."""
    assert sentence in detail(client.get(f"/v1/find?{query}"), 422, Kind.INVALID_REQUEST)
