"""Earlier moments and explanations over HTTP: log time, event time, and both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from fastapi.testclient import TestClient

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from schemas import limits, times
from schemas.explanations import OrderExplanation
from schemas.past_answers import (
    PastOrder,
    PastProduct,
    PastShop,
    ProductExplanation,
    ShopExplanation,
)
from serving.api import make_app
from serving.problems import Kind
from serving.subjects import ORDER
from tests.flow import PARTITIONS, binary
from tests.reading import Changelogs, FedReader, of_reports, settings_in
from tests.story import parse
from tests.unit.test_api import problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CYCLE = "cycle=2026-06-10T00:00:00Z"
STORY = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  placed    o-2  1:p-3:3x1000
2026-07-04T08:00Z  received  o-2
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:1:300
2026-07-08T08:00Z  placed    o-3  1:p-3:1x1000 shop=s-8
2026-07-09T08:00Z  received  o-3
2026-07-04T09:00Z  refunded  o-2  r-2 quality  1:2:2000
2026-07-10T08:00Z  refund-returned o-2 r-2
"""
EVENTS = next(parse(STORY)).events
FIRST_MS = 1_800_000_000_000
"""Log time: when the first event is written; each other one is written a second after the last."""


def written_ms(number: int) -> int:
    """When an event of the story is written, by its number from 0."""
    return FIRST_MS + 1000 * number


@pytest.fixture
def logs(tmp_path: Path) -> Changelogs:
    """A pipeline that has applied the story, one event at a time."""
    logs = Changelogs(settings_in(tmp_path))
    for number, event in enumerate(EVENTS):
        logs.clock_ms = written_ms(number)
        logs.take([event])
    return logs


@pytest.fixture
def reader(
    logs: Changelogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FedReader]:
    """A reader that has applied it."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: written_ms(len(EVENTS)))
    monkeypatch.setattr("serving.past.SETTLE_S", 0.2)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    reader.feed_index()
    yield reader
    reader.close()


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def iso(at_ms: int) -> str:
    """An instant as a parameter."""
    return times.format_ms(at_ms)


def counted(events: list[dict[str, Any]], list_: str, id_: str, start: str) -> dict[str, Any]:
    """The recount's row of an id in a cycle; zeros without one."""
    key = "product_id" if list_ == "products" else "shop_id"
    rows = [row for row in recount(events, 30 * 86_400_000, 0)[list_] if row[key] == id_]
    row = next((row for row in rows if row["cycle"]["start"] == start), None)
    traded = rows[0]["successfully_traded"] if rows else 0
    return {
        "units": row and row["units"],
        "units_by_currency": row["units_by_currency"] if row else {},
        "revenue": row["revenue"] if row else {},
        "successfully_traded": traded,
    }


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The same fields of an answer."""
    units = answer["units"]
    return {
        "units": units if any(units.values()) else None,
        "units_by_currency": answer["units_by_currency"],
        "revenue": answer["revenue"],
        "successfully_traded": answer["successfully_traded"],
    }


@pytest.mark.parametrize("number", range(len(EVENTS) + 1))
def test_known_at_is_what_stood_in_the_log(client: TestClient, number: int) -> None:
    """After each event of the log, both cycles of a product and of a shop are as recounted then."""
    at = iso(written_ms(number - 1) + 999)
    for path, list_, id_ in (("products/p-3", "products", "p-3"), ("shops/s-7", "shops", "s-7")):
        for start in ("2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"):
            answer = client.get(f"/v1/{path}?cycle={start}&known_at={at}").json()
            assert answered(answer) == counted(EVENTS[:number], list_, id_, start), at
            assert answer["service"] is None
            assert sum(end + 1 for end in answer["moment"]["included"].values()) == number
            assert answer["moment"]["known_at"] == at


@pytest.mark.parametrize("day", range(1, 12))
def test_as_of_is_what_had_happened(client: TestClient, day: int) -> None:
    """At each day's end, as recounted from the events until then; refund r-2 counted for days."""
    at = f"2026-07-{day:02}T23:00:00.000Z"
    events = [event for event in EVENTS if time_ms(event["occurred_at"]) <= time_ms(at)]
    for path, list_, id_ in (("products/p-3", "products", "p-3"), ("shops/s-7", "shops", "s-7")):
        for start in ("2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"):
            answer = client.get(f"/v1/{path}?cycle={start}&as_of={at}").json()
            assert answered(answer) == counted(events, list_, id_, start), at
    current = client.get(f"/v1/products/p-3?as_of={at}").json()["cycle"]["start"]
    assert current == ("2026-06-06T00:00:00Z" if day < 6 else "2026-07-06T00:00:00Z")


def test_both_axes_together(client: TestClient) -> None:
    """A late refund is left out where the log did not have it, whenever it happened."""
    before = iso(written_ms(6))
    answer = client.get(f"/v1/products/p-3?{CYCLE}&as_of=2026-07-05T00:00:00Z&known_at={before}")
    assert PastProduct.model_validate_json(answer.content).units.net == 5
    answer = client.get(f"/v1/products/p-3?{CYCLE}&as_of=2026-07-05T00:00:00Z")
    assert PastProduct.model_validate_json(answer.content).units.net == 3


def test_an_order_at_an_earlier_moment(client: TestClient) -> None:
    """Its facts by log time, by event time and by both, and what counted of them."""
    for query, facts, net in (
        (f"known_at={iso(written_ms(3))}", 2, [3]),
        (f"known_at={iso(written_ms(7))}", 3, [1]),
        (f"known_at={iso(written_ms(8))}", 4, [3]),
        ("as_of=2026-07-04T09:00:00Z", 3, [1]),
        ("as_of=2026-07-04T08:00:00Z", 2, [3]),
        (f"as_of=2026-07-05T00:00:00Z&known_at={iso(written_ms(6))}", 2, [3]),
        (f"known_at={iso(FIRST_MS)}", 0, []),
    ):
        answer = client.get(f"/v1/orders/o-2?{query}")
        found = PastOrder.model_validate_json(answer.content)
        assert len(found.facts) == facts, query
        assert [sale.units.net for sale in found.sales] == net, query
    unknown = client.get("/v1/orders/o-9?as_of=2026-07-04T08:00:00Z")
    problem(unknown, 404, ORDER.unknown)


def test_the_current_cycle_then(client: TestClient) -> None:
    """With known_at it is the one of the event time that the log had reached."""
    for number, start in ((4, "2026-06-06T00:00:00Z"), (len(EVENTS), "2026-07-06T00:00:00Z")):
        at = iso(written_ms(number - 1))
        answer = client.get(f"/v1/products/p-3?known_at={at}")
        assert answer.json()["cycle"]["start"] <= start
    nothing = client.get(f"/v1/products/p-3?known_at={iso(FIRST_MS - 1)}")
    assert "the log had no event" in problem(nothing, 422, Kind.INVALID_REQUEST).detail


def test_the_best_of_an_earlier_moment(client: TestClient) -> None:
    """Both lists are ranked by what counted then; pages and other rankings are refused."""
    path = f"/v1/top/products?{CYCLE}"
    now = client.get(path).json()["items"]
    then = client.get(f"{path}&known_at={iso(written_ms(1))}").json()["items"]
    assert [(one["product_id"], one["sold_monthly"]) for one in then] == [("p-4", 5), ("p-3", 2)]
    last = client.get(f"{path}&known_at={iso(written_ms(len(EVENTS)))}").json()["items"]
    assert last == [of_reports(one) for one in now]
    for query in ("as_of=2026-07-31T00:00:00Z", f"known_at={iso(written_ms(9))}"):
        shops = client.get(f"/v1/top/shops?{CYCLE}&{query}").json()["items"]
        assert [(one["shop_id"], one["sold_monthly"]) for one in shops] == [("s-7", 9)]
    more = client.get(f"{path}&as_of=2026-07-31T00:00:00Z&limit=1").json()
    assert (len(more["items"]), more["next_cursor"]) == (1, None)
    problem(client.get(f"{path}&as_of=2026-07-31T00:00:00Z&cursor=x"), 422, Kind.INVALID_REQUEST)
    by = client.get(f"/v1/top/shops?by=good-reviews&known_at={iso(FIRST_MS)}")
    problem(by, 422, Kind.INVALID_REQUEST)


def test_what_the_log_does_not_reach_is_refused(client: TestClient, logs: Changelogs) -> None:
    """The future, a time without zone, and an instant before the log that is left."""
    for query, words in (
        (f"known_at={iso(written_ms(1000))}", "is in the future"),
        ("known_at=2026-07-01", "no zone"),
        ("as_of=yesterday", "RFC 3339"),
    ):
        found = problem(client.get(f"/v1/products/p-3?{query}"), 422, Kind.INVALID_REQUEST)
        assert words in found.detail
    logs.begins = 2
    found = problem(
        client.get(f"/v1/products/p-3?known_at={iso(FIRST_MS)}"), 422, Kind.INVALID_REQUEST
    )
    assert "deleted" in found.detail


def test_an_explanation_ends_with_the_row_of_the_table(client: TestClient) -> None:
    """Its numbers are those of the plain answer; its orders and its steps add up to them."""
    plain = client.get(f"/v1/products/p-3?{CYCLE}").json()
    found = ProductExplanation.model_validate_json(
        client.get(f"/v1/products/p-3/explanation?{CYCLE}").content
    )
    assert found.units.model_dump() == plain["units"]
    assert {name: one.model_dump() for name, one in found.revenue.items()} == plain["revenue"]
    assert found.successfully_traded == plain["successfully_traded"]
    assert [(one.order_id, one.units.net, one.amount.net) for one in found.orders] == [
        ("o-2", 3, 3000),
        ("o-1", 1, 1700),
    ]
    assert (found.order_count, found.orders_left_out) == (2, 0)
    assert [one.others for one in found.orders] == [["s-7"], ["s-7"]]
    steps = [(step.start[:10], step.units, step.running_units) for step in found.movement.steps]
    assert steps == [
        ("2026-07-02", 2, 2),
        ("2026-07-04", 3, 5),
        ("2026-07-05", -1, 4),
    ]
    assert found.movement.steps[-1].running_amounts == {"CNY": 4700}
    assert (found.reversals.units, found.reversals.amounts) == (1, {"CNY": 300})
    assert found.restatements is not None
    assert found.restatements.units == 0
    entries = [entry for order in found.orders for entry in order.entries]
    assert sum(entry.units for entry in entries) == 4
    assert all(entry.position and entry.position.startswith("orders-") for entry in entries)


def test_a_shop_is_explained_at_an_earlier_moment(client: TestClient) -> None:
    """Its orders name their products; the list is as long as past_answers for."""
    path = f"/v1/shops/s-7/explanation?{CYCLE}&limit=1&known_at={iso(written_ms(1))}"
    found = ShopExplanation.model_validate_json(client.get(path).content)
    assert [(one.order_id, one.others, one.units.net) for one in found.orders] == [
        ("o-1", ["p-3", "p-4"], 7)
    ]
    found = ShopExplanation.model_validate_json(
        client.get(f"/v1/shops/s-7/explanation?{CYCLE}&limit=1").content
    )
    assert (found.order_count, found.orders_left_out) == (2, 1)
    (listed,) = found.orders
    assert {entry.product_id for entry in listed.entries} == set(listed.others)
    assert found.sums_left_out.units == found.units.net - listed.units.net > 0
    revenue = found.revenue["CNY"].net - listed.amount.net
    assert found.sums_left_out.amounts == {"CNY": revenue}
    past = client.get(f"/v1/shops/s-7/explanation?{CYCLE}&as_of=2026-07-04T10:00:00Z")
    explained = ShopExplanation.model_validate_json(past.content)
    row = PastShop.model_validate_json(
        client.get(f"/v1/shops/s-7?{CYCLE}&as_of=2026-07-04T10:00:00Z").content
    )
    assert explained.units == row.units
    assert explained.movement.steps[-1].running_units == row.units.net
    assert explained.restatements is None


def test_tables_and_journal_at_other_events_are_waited_for(
    logs: Changelogs, reader: FedReader, client: TestClient
) -> None:
    """Where the journal lacks what the row has, or the other way round, the answer is a 503."""
    event = {**EVENTS[1], "id": "e-late", "occurred_at": "2026-07-01T09:00:00Z"}
    logs.take([event])
    journal = reader.settings.topic("sales")
    reader.feed(only=[at for at in logs.changelogs if at[0] != journal])
    found = problem(client.get(f"/v1/products/p-3/explanation?{CYCLE}"), 503, Kind.NOT_READY)
    assert "journal" in found.detail
    reader.feed()
    explained = client.get(f"/v1/products/p-3/explanation?{CYCLE}").json()
    assert explained["restatements"]["entries"] > 0


def test_work_is_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many entries, and too many such answers at once, are refused with a sentence."""
    monkeypatch.setattr(limits, "WALKED_ENTRIES", 1)
    found = problem(
        client.get(f"/v1/shops/s-7?{CYCLE}&as_of=2026-07-31T00:00:00Z"), 422, Kind.TOO_MUCH
    )
    assert "at most 1 " in found.detail
    monkeypatch.setattr(limits, "EXPLAINED_CYCLE_ENTRIES", 1)
    monkeypatch.setattr(limits, "WALKED_ENTRIES", 100)
    problem(client.get(f"/v1/shops/s-7/explanation?{CYCLE}"), 422, Kind.TOO_MUCH)
    monkeypatch.setattr(limits, "INTRICATE_ORDERS", 0)
    problem(client.get("/v1/top/shops?as_of=2026-07-31T00:00:00Z"), 422, Kind.TOO_MUCH)
    client.app.state.walks.most = 0  # type: ignore[attr-defined]
    problem(client.get("/v1/shops/s-7/explanation"), 503, Kind.BUSY)


def test_events_that_are_read_are_bounded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one order, and of all orders of an answer together."""
    query = f"as_of=2026-07-31T00:00:00Z&known_at={iso(written_ms(7))}"
    assert client.get(f"/v1/top/shops?{query}").status_code == 200
    for bound in ("HISTORY_EVENTS", "HISTORIES_EVENTS"):
        with monkeypatch.context() as patch:
            patch.setattr(limits, bound, 2)
            found = problem(client.get(f"/v1/top/shops?{query}"), 422, Kind.TOO_MUCH)
            assert "more than 2" in found.detail
            problem(client.get(f"/v1/orders/o-2?{query}"), 422, Kind.TOO_MUCH)


def test_an_order_is_explained_at_an_earlier_moment(client: TestClient) -> None:
    """Only the events that the moment includes, and the result that they lead to."""
    types = ["order_placed", "receipt_confirmed", "refund_succeeded"]
    for query, events, net in (
        (f"known_at={iso(written_ms(7))}", 3, 1),
        ("as_of=2026-07-04T08:30:00Z", 2, 3),
        (f"as_of=2026-07-09T00:00:00Z&known_at={iso(written_ms(6))}", 2, 3),
        ("as_of=2026-07-03T09:00:00Z", 1, 0),
    ):
        answer = client.get(f"/v1/orders/o-2/explanation?{query}")
        found = OrderExplanation.model_validate_json(answer.content)
        assert [event.type for event in found.events] == types[:events]
        assert found.result.units.net == net
        assert found.moment is not None
    listed = client.get(f"/v1/orders/o-2/explanation?limit=1&known_at={iso(written_ms(7))}").json()
    assert (len(listed["events"]), listed["earlier"]["left_out"]) == (1, 2)
    assert listed["result"]["units"]["net"] == 1
    none = client.get(f"/v1/orders/o-2/explanation?known_at={iso(FIRST_MS)}").json()
    assert "no event of it is included" in none["sentence"]
    assert client.get("/v1/orders/o-2/explanation").json()["moment"] is None


OVERRULED = next(
    parse("""== a placing whose second content names another product and another shop
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:2:2000
2026-07-09T08:00Z  refund-returned  o-1 r-1
2026-07-01T07:00Z  placed    o-1  1:p-9:2x1000 shop=s-8
""")
).events


@pytest.mark.parametrize("known", range(1, len(OVERRULED) + 2))
@pytest.mark.parametrize("feeds", [True, False])
def test_an_order_was_of_another_product_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int, *, feeds: bool
) -> None:
    """Both axes, where an order left a product or a shop later, by another content (S11)."""
    first, *rest, last = OVERRULED
    events = [
        first,
        *rest,
        last | {name: first[name] for name in ("id", "source")},
        *OVERRULED[1:2],
    ]
    monkeypatch.setattr("serving.reader.now_ms", lambda: written_ms(len(events)))
    logs = Changelogs(settings_in(tmp_path))
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    for number, event in enumerate(events):
        logs.clock_ms = written_ms(number)
        logs.take([event])
        if feeds:
            reader.feed()
    reader.feed()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    start = "2026-06-06T00:00:00Z"
    for as_of in ("2026-07-02T09:00:00Z", "2026-07-04T00:00:00Z", "2026-07-10T00:00:00Z"):
        query = f"cycle={start}&as_of={as_of}&known_at={iso(written_ms(known - 1))}"
        meant = [one for one in events[:known] if time_ms(one["occurred_at"]) <= time_ms(as_of)]
        best = client.get(f"/v1/top/products?{query}").json()["items"]
        for path, list_, id_ in (
            ("products/p-3", "products", "p-3"),
            ("products/p-9", "products", "p-9"),
            ("shops/s-7", "shops", "s-7"),
            ("shops/s-8", "shops", "s-8"),
        ):
            expected = counted(meant, list_, id_, start)
            answer = client.get(f"/v1/{path}?{query}").json()
            assert answered(answer) == expected, (path, query)
            if list_ == "products":
                net = [item["units"]["net"] for item in best if item["product_id"] == id_]
                wanted = (expected["units"] or {"net": 0})["net"]
                assert net == ([wanted] if wanted else []), (path, query)
    reader.close()


JULY = "2026-07-06T00:00:00Z"


def test_the_current_cycle_within_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rebuild one mark stands for many events: those until then are read from the log."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: written_ms(len(EVENTS)))
    logs = Changelogs(settings_in(tmp_path))
    for number, event in enumerate(EVENTS):
        logs.clock_ms = written_ms(number)
        logs.send("orders", *binary(event))
    logs.run()
    logs.take([])
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    for number in range(1, len(EVENTS) + 1):
        latest: dict[int, int] = {}
        for event in EVENTS[:number]:
            place = crc32(event["order_id"].encode()) % PARTITIONS
            latest[place] = max(latest.get(place, 0), time_ms(event["occurred_at"]))
        start_ms = min(map(reader.calendar.start_of, latest.values()))
        query = f"known_at={iso(written_ms(number - 1))}"
        answer = client.get(f"/v1/products/p-3?{query}").json()
        assert answer["cycle"]["start"] == times.format_short(start_ms), number
    monkeypatch.setattr(limits, "HISTORIES_EVENTS", 1)
    found = problem(
        client.get(f"/v1/products/p-3?known_at={iso(written_ms(6))}"), 422, Kind.INVALID_REQUEST
    )
    assert "name one by `cycle`" in found.detail
    assert (
        client.get(f"/v1/products/p-3?known_at={iso(written_ms(6))}&cycle={JULY}").status_code
        == 200
    )
    reader.close()


def test_an_order_has_no_conflict_before_it_happened(tmp_path: Path) -> None:
    """The second content of an event happened later: as of before, nothing was contradictory."""
    logs = Changelogs(settings_in(tmp_path))
    other = EVENTS[1] | {"occurred_at": "2026-07-20T08:00:00Z", "by": "buyer"}
    logs.take([EVENTS[0], EVENTS[1], other])
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    for as_of, anomalies in (("2026-07-19T00:00:00Z", 0), ("2026-07-21T00:00:00Z", 1)):
        answer = client.get(f"/v1/orders/o-1?as_of={as_of}").json()
        assert len(answer["anomalies"]) == anomalies
        assert len(answer["facts"]) == 2
    reader.close()
