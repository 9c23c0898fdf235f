"""Display names: their form, and how a reader follows, shows and finds them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from operations.oracle.recount import read_files
from operations.simulation.naming import Names, display_name
from operations.writing.event_lines import Outgoing, event_of
from schemas import http_limits, limits, names
from schemas.names import DisplayName, UnreadableName
from schemas.refusals import Reason, Refusal
from serving import keys, metrics
from serving.api import make_app
from serving.name_words import is_found, name_words, searched_words
from serving.turns import whole
from streams.log import FollowStep
from tests.flow import Record
from tests.served_story import fed
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reading import FedReader

PRODUCTS = ("p-3", "p/4", "50%", "a b", "😀", "p-3x")
EVENTS = next(
    parse("""== of the tests
    2026-07-08T08:00Z  placed    o-1  1:p-3:2x1000 2:p-3x:5x100
    2026-07-09T08:00Z  received  o-1
    """)
).events
PLACED = next(event for event in EVENTS if event["type"] == "order_placed")
EVENTS = [
    *EVENTS,
    PLACED
    | {
        "id": "e-other",
        "order_id": "o-2",
        "lines": [
            {"line_id": str(number), "product_id": id_, "quantity": 1, "unit_price": 1}
            for number, id_ in enumerate(PRODUCTS)
        ],
    },
]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[FedReader]:
    """A reader that has applied the events."""
    with fed(tmp_path, EVENTS) as reader:
        yield reader


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader), raise_server_exceptions=False)


def send(
    reader: FedReader, *records: tuple[bytes | None, bytes | None], partition: int = 0
) -> None:
    """Write records of the topic `names`, and let the reader apply them."""
    topic = reader.logs.topics["names"]
    log = reader.logs.changelogs[topic, partition]
    for key, value in records:
        log.append(Record(topic, partition, len(log), 0, key, value, []))
    reader.feed()


def named(client: TestClient, path: str) -> tuple[str | None, str | None]:
    """Name and picture in an answer."""
    found = client.get(f"/v1/{path}").json()
    return found["name"], found["picture"]


def found(client: TestClient, q: str, **more: str | int) -> list[tuple[str, str]]:
    """(kind, id) of what a search finds."""
    answer = client.get("/v1/search", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["id"]) for one in answer.json()["items"]]


# --- their form


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"name":""}',
        b'{"name":null}',
        b'{"name":"a\\u0000b"}',
        b'{"name":"\\ud800"}',
        b'{"name":"\xff"}',
        b'{"name":"x","pictures":[]}',
        b'{"name":"x","picture":""}',
        b'{"name":"x","picture":"javascript:alert(1)"}',
        b'{"name":"x","picture":"https://"}',
        b'{"name":"x","picture":"https://a b"}',
        b'{"name":"x","picture":"//a/b"}',
        b'{"name":' + b"[" * 5000,
        json.dumps({"name": "x" * (http_limits.NAME_CHARS + 1)}).encode(),
        json.dumps(
            {"name": "x", "picture": "https://a/" + "x" * http_limits.PICTURE_CHARS}
        ).encode(),
        json.dumps({"name": "x" + " " * limits.VALUE_BYTES}).encode(),
    ],
)
def test_what_is_no_name_is_refused(value: bytes) -> None:
    """Other fields, other kinds of addresses, control characters, and too much of anything."""
    with pytest.raises(UnreadableName):
        names.decode_name(value)


@pytest.mark.parametrize(
    "key",
    [b"", b"p-3", b"product", b"product/", b"Product/p", b"buyer/b", b"product/\xff", b"shop/\x1f"],
)
def test_what_is_no_key_is_refused(key: bytes) -> None:
    """A key begins with the kind and a slash; the rest is an id."""
    with pytest.raises(UnreadableName):
        names.split_name_key(key)


@given(
    st.sampled_from(("product", "shop")),
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=128),
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=200),
)
def test_a_line_gives_the_record_of_any_name(kind: str, id_: str, name: str) -> None:
    """Key and value are read as they were written; without a name it is removed."""
    line = {"type": f"{kind}_named", f"{kind}_id": id_, "name": name, "picture": "https://a/x.jpg"}
    out = event_of(json.dumps(line).encode())
    assert isinstance(out, Outgoing)
    assert (out.topic, out.headers, out.occurred_at_ms) == ("names", [], None)
    assert names.split_name_key(out.key) == (f"{kind}_id", id_.encode())
    assert names.decode_name(out.value or b"") == DisplayName(name, "https://a/x.jpg")
    removed = event_of(json.dumps(line | {"name": None}).encode())
    assert isinstance(removed, Outgoing)
    assert (removed.key, removed.value) == (out.key, None)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": 5},
        {"picture": "ftp://a"},
        {"product_id": ""},
        {"product_id": "a\nb"},
        {"product_id": None},
        {"shop_id": "s"},
        {"remark": "more"},
    ],
)
def test_a_line_that_gives_no_name_is_refused(change: dict[str, object]) -> None:
    """With a sentence, as events are."""
    line = {"type": "product_named", "product_id": "p", "name": "Tea"} | change
    refusal = event_of(json.dumps(line).encode())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.INVALID_FIELD
    other = event_of(b'{"type":"buyer_named","name":"x"}')
    assert isinstance(other, Refusal)
    assert other.reason is Reason.UNKNOWN_TYPE


def test_a_recount_leaves_names_out(tmp_path: Path) -> None:
    """A file for import may be counted as it is."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"type":"shop_named","shop_id":"s","name":"Tea"}\n{"type":"order_paid"}\n')
    refused: Counter[str] = Counter()
    assert [one["type"] for one in read_files([str(path)], refused)] == ["order_paid"]
    assert not refused


def test_simulated_names_are_stable_and_written_once() -> None:
    """Of what an event names first; some are Chinese, and all are names."""
    simulated = Names()
    records = list(simulated.of_event(PLACED))
    assert [one.key for one in records] == [b"shop/s-7", b"product/p-3", b"product/p-3x"]
    assert list(simulated.of_event(PLACED)) == []
    assert list(simulated.of_event({"type": "order_paid"})) == []
    found = [display_name("product", f"p-{number}") for number in range(50)]
    assert found == [display_name("product", f"p-{number}") for number in range(50)]
    assert {name.isascii() for name in found} == {True, False}
    for one in records:
        names.decode_name(one.value or b"")


# --- a reader of them


def test_a_name_is_shown_until_it_is_removed(client: TestClient, reader: FedReader) -> None:
    """The latest one of each id, over restarts; in rows, lists and search."""
    assert named(client, "products/p-3") == (None, None)
    tea = b'{"name":"Green tea 250 g","picture":"https://x.example/t.jpg"}'
    send(reader, (b"product/p-3", b'{"name":"Old"}'), (b"product/p-3", tea))
    send(reader, (b"shop/s-7", b'{"name":"Tea House"}'), partition=1)
    assert named(client, "products/p-3") == ("Green tea 250 g", "https://x.example/t.jpg")
    assert client.get("/v1/top/products").json()["items"][1]["name"] == "Green tea 250 g"
    assert client.get("/v1/shops/s-7/top").json()["items"][1]["name"] == "Green tea 250 g"
    assert found(client, "old") == []
    reader.reopen()
    assert named(client, "shops/s-7") == ("Tea House", None)
    assert found(client, "tea") == [("shop", "s-7"), ("product", "p-3")]
    send(reader, (b"product/p-3", None), (b"product/nothing", None))
    assert named(client, "products/p-3") == (None, None)
    assert found(client, "tea") == [("shop", "s-7")]
    send(reader, (b"shop/s-7", None), partition=1)
    snapshot = reader.store.snapshot()
    assert not [*snapshot.walk(keys.NAME_WORDS["shop_id"]), *snapshot.walk(keys.NAMES["shop_id"])]


@pytest.mark.parametrize("id_", PRODUCTS)
def test_an_id_of_any_characters_has_a_name(
    client: TestClient, reader: FedReader, id_: str
) -> None:
    """It is shown in the row, and found by its words and by the id."""
    send(reader, (f"product/{id_}".encode(), '{"name":"Zebra 龙井茶"}'.encode()))
    answer = client.get("/v1/search", params={"q": "井"}).json()
    assert [(one["id"], one["name"]) for one in answer["items"]] == [(id_, "Zebra 龙井茶")]
    assert found(client, id_)[0] == ("product", id_)


def test_what_can_not_be_read_is_skipped(client: TestClient, reader: FedReader) -> None:
    """The last good name stays; one line of the log has a position, and the metric counts."""
    before = metrics.UNREADABLE_NAMES._value.get()
    bad = [(b"product/p-3", b"{"), (b"product/p-3", b'{"name":"x","more":1}'), (None, b"{}")]
    send(reader, (b"product/p-3", b'{"name":"Good"}'))
    with capture_logs() as logged:
        send(reader, *bad, (b"nobody/x", None))
    assert metrics.UNREADABLE_NAMES._value.get() == before + 4
    assert named(client, "products/p-3") == ("Good", None)
    assert [(one["position"], one["times"]) for one in logged] == [("names-0@1", 1)]


def test_names_change_no_progress(client: TestClient, reader: FedReader) -> None:
    """Freshness stays, a reader is live while they are behind, and early names are kept."""
    before = client.get("/v1/products/p-3").json()["freshness"]
    topic = reader.logs.topics["names"]
    at, ends = dict(reader.applier.positions), dict(reader.applier.ends)
    ends[topic, 0] += 5
    whole(reader.applier.apply(FollowStep({}, at, ends, frozenset({(topic, 0)}))))
    assert reader.live
    assert reader.remaining() == 5
    send(reader, (b"product/later", b'{"name":"Later"}'))
    assert client.get("/v1/products/p-3").json()["freshness"]["applied"] == before["applied"]
    assert found(client, "later") == []
    reader.logs.take(
        [
            PLACED
            | {
                "id": "e-9",
                "order_id": "o-9",
                "lines": [PLACED["lines"][0] | {"product_id": "later"}],
            }
        ]
    )
    reader.feed()
    assert found(client, "later") == [("product", "later")]
    assert named(client, "products/later") == ("Later", None)


# --- search


def test_words_are_folded_and_unspaced_scripts_are_found_anywhere() -> None:
    """Full-width letters, case and punctuation make no difference."""
    assert searched_words("\uff27reen-TEA, 250 g") == ("green", "tea", "250", "g")
    assert name_words("龙井茶 250克") == {"龙井茶", "井茶", "茶", "250", "克"}
    assert searched_words("Straße हिन्दी 😀") == ("strasse", "हिन्दी")
    for text in ("gre", "GREEN T", "茶", "龙井", "tea 250"):
        assert is_found("Green tea 龙井茶 250克", searched_words(text)), text
    for text in ("reen", "green x", "茶井"):
        assert not is_found("Green tea 龙井茶 250克", searched_words(text)), text


@given(st.text(max_size=30), st.data())
def test_a_name_is_found_by_the_beginning_of_any_word(name: str, data: st.DataObject) -> None:
    """And it has at most one word for each character of its folded form."""
    words = searched_words(name)
    assert len(name_words(name)) <= sum(map(len, words))
    if words:
        word = data.draw(st.sampled_from(words))
        begun = word[: data.draw(st.integers(1, len(word)))]
        assert any(one.startswith(begun[: http_limits.WORD_CHARS]) for one in name_words(name))


def test_exact_ids_come_first_then_names_then_ids(client: TestClient, reader: FedReader) -> None:
    """Names are by units; limit and kind hold; each thing is found once."""
    send(
        reader,
        (b"product/50%", b'{"name":"p-3 case"}'),
        (b"product/p-3x", b'{"name":"P-3 cable"}'),
        (b"product/p-3", b'{"name":"P-3"}'),
    )
    expected = [("product", id_) for id_ in ("p-3", "p-3x", "50%")]
    assert found(client, "p-3") == expected
    answer = client.get("/v1/search?q=p-3").json()
    assert [one["units"] for one in answer["items"]] == [2, 5, 0]
    assert answer["complete"] is True
    assert found(client, "p-3", limit=1) == expected[:1]
    assert client.get("/v1/search?q=p-3&limit=1").json()["complete"] is False
    assert found(client, "p") == [
        *expected[1:2],
        *expected[:1],
        ("product", "50%"),
        ("product", "p/4"),
    ]
    assert found(client, "o-", kind="order") == [("order", "o-1"), ("order", "o-2")]
    assert found(client, "o-", kind="shop") == []
    assert found(client, "P") != found(client, "p")
    send(reader, (b"product/50%", b'{"name":"Premium walnuts 1 kg"}'))
    assert found(client, "p-") == [("product", id_) for id_ in ("p-3", "p-3x", "50%")]
    assert found(client, "p-1") == [("product", "50%")]
    send(reader, (b"product/p/4", b'{"name":"P 3 sets"}'))
    assert found(client, "p-3") == [("product", id_) for id_ in ("p-3", "p-3x", "p/4")]


def test_before_the_first_event_nothing_is_found(tmp_path: Path) -> None:
    """A complete answer with its freshness: there is no row that a text could find."""
    with fed(tmp_path, []) as reader:
        client = TestClient(make_app(reader), raise_server_exceptions=False)
        send(reader, (b"product/p-3", b'{"name":"Tea"}'))
        for q in ("p-3", "tea"):
            answer = client.get(f"/v1/search?q={q}").json()
            assert (answer["items"], answer["complete"]) == ([], True)
            assert answer["freshness"]["as_of"] is None


async def test_an_own_name_is_waited_for(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`min_position` takes positions of the topic of names, at every address."""
    monkeypatch.setattr("serving.requests.MIN_POSITION_WAIT_S", 0.05)
    transport = ASGITransport(make_app(reader))
    async with AsyncClient(transport=transport, base_url="http://reader") as client:
        for path in ("products/p-3?", "search?q=p&", "shops/s-7/overdue?"):
            missing = await client.get(f"/v1/{path}min_position=names-0:0")
            assert missing.status_code == 503, path
            assert missing.json()["detail"] == "waited 0.05 s for names-0:0 (at -1)"
        send(reader, (b"product/p-3", b'{"name":"Tea"}'))
        named = await client.get("/v1/products/p-3?min_position=names-0:0")
        assert named.json()["name"] == "Tea"
        assert (await client.get("/v1/products/p-3?min_position=names-9:0")).status_code == 422


def test_a_search_reads_a_bounded_number_of_rows(
    client: TestClient, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more names fit than are compared, the answer is incomplete."""
    send(reader, *[(f"product/{id_}".encode(), b'{"name":"Tea"}') for id_ in PRODUCTS])
    monkeypatch.setattr(http_limits, "SEARCHED_NAMES", 3)
    answer = client.get("/v1/search?q=tea").json()
    assert (len(answer["items"]), answer["complete"]) == (3, False)


@pytest.mark.parametrize("q", ["", " ", "%00", "a%0Ab", "x" * (http_limits.NAME_CHARS + 1)])
def test_a_text_without_anything_to_search_for_is_refused(client: TestClient, q: str) -> None:
    """Empty, blank, with a control character, or too long."""
    assert client.get(f"/v1/search?q={q}").status_code == 422
    assert client.get("/v1/search").status_code == 422
    assert client.get("/v1/search?q=x&limit=51").status_code == 422
