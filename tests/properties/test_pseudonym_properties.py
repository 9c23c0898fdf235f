"""No answer to a token that only reads has a buyer's id, whatever the id is; cursors are sealed."""

from __future__ import annotations

import json
import re
import tempfile
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
from fastapi.testclient import TestClient
from hypothesis import Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schemas.letters import REQUEUED_FROM
from schemas.tokens import Scope
from serving.api import make_app
from serving.pages import BadCursor
from serving.pseudonyms import Pseudonyms
from tests.access import by, guarded_settings
from tests.flow import binary
from tests.reading import Changelogs, FedReader
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response

MARK = "ZQXJ"
STORY = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100 buyer=FIRST
2026-07-02T08:00Z  shipped   o-1
2026-07-02T09:00Z  received  o-1
2026-07-05T08:00Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-05T09:00Z  reviewed  o-1  p-3 4
2026-07-08T08:00Z  placed    o-2  1:p-3:1x1000 buyer=SECOND
2026-07-09T08:00Z  received  o-2
2026-07-09T10:00:00+08:00  asked  s-7  FIRST  message=m-1
2026-07-09T10:00:00+08:00  asked  s-7  SECOND message=m-2
2026-07-09T10:00:00+08:00  asked  s-7  THIRD  message=m-3
"""
EVENTS = next(parse(STORY)).events
TICK_MS = 1_783_728_000_000
IDS = {"product_id": ["p-3", "p-4"], "shop_id": ["s-7"], "order_id": ["o-1", "o-2"]}
QUERIES: dict[str, list[dict[str, str]]] = {
    "/v1/find": [
        {"refund": "r-1"},
        {"shop": "s-7", "limit": "1"},
        {"product": "p-3", "counted": "true"},
        {"from": "2026-06-01T00:00:00Z"},
    ],
    "/v1/search": [{"q": "p"}, {"q": MARK}],
}
MOMENT = {"as_of": "2026-07-10T00:00:00Z"}
ENDLESS = "text/event-stream"

odd_ids = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    min_size=4,
    max_size=40,
).map(lambda text: f"{MARK}{text}")


def _events(buyers: dict[str, str]) -> list[dict[str, Any]]:
    return [
        event | ({"buyer_id": buyers[event["buyer_id"]]} if "buyer_id" in event else {})
        for event in EVENTS
    ]


def _reader(folder: Path, buyers: dict[str, str]) -> FedReader:
    """A reader of the story with these buyers, and with two records that quote them."""
    settings = guarded_settings(folder)
    logs = Changelogs(settings)
    events = _events(buyers)
    logs.take(events)
    bad = events[0] | {"id": "e-bad", "buyer_id": buyers["FIRST"] + "\x07"}
    key, value, headers = binary(bad)
    logs.send("orders", key, value, headers)
    _, value, headers = binary(events[2])
    requeued = [*headers, (REQUEUED_FROM, buyers["FIRST"].encode())]
    logs.send("orders", key, value, requeued)
    logs.take([])
    logs.tick(TICK_MS)
    reader = FedReader(settings, logs)
    reader.feed()
    return reader


def _addresses(client: TestClient) -> Iterator[tuple[str, dict[str, str]]]:
    """Every address of the contract, with ids and parameters that it answers to."""
    for path, methods in (
        client.get("/openapi.json", headers=by(Scope.READ)).json()["paths"].items()
    ):
        operation = methods["get"]
        if ENDLESS in operation["responses"]["200"].get("content", {}):
            continue  # tests of streams read them
        names = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        found = re.search(r"\{(\w+)\}", path)
        for id_ in IDS[found[1]] if found else [""]:
            whole = re.sub(r"\{.*?\}", quote(id_, safe=""), path)
            for query in QUERIES.get(path, [{}]):
                yield whole, query
                if "cursor" in names:
                    yield whole, query | {"limit": "1"}
                if "as_of" in names:
                    yield whole, query | MOMENT


def _answers(client: TestClient, scope: Scope) -> Iterator[tuple[str, Response]]:
    """All answers of all addresses, and of all pages behind them."""
    for path, query in _addresses(client):
        more: dict[str, str] | None = query
        while more is not None:
            answer = client.get(path, params=more, headers=by(scope))
            yield f"{path} {more}", answer
            is_page = answer.status_code == 200 and "limit" in more
            cursor = answer.json().get("next_cursor") if is_page else None
            more = more | {"cursor": cursor} if cursor else None


def _texts(answer: Response) -> Iterator[str]:
    """Everything in an answer in which an id could be, also in base64 and percent-encoded."""
    for text in (answer.text, str(answer.headers)):
        yield text
        yield unquote(text)
        for word in re.findall(r"[\w-]{8,}", text, re.ASCII):
            whole = word[: len(word) - (len(word) % 4 == 1)]
            yield urlsafe_b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")
    if answer.headers["content-type"].startswith("application/json"):
        yield json.dumps(answer.json(), ensure_ascii=False)
        yield from _strings(answer.json())


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *_strings(one))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value


@examples(max_examples=4, phases=[Phase.generate])  # an example takes seconds
@given(buyers=st.lists(odd_ids, min_size=3, max_size=3, unique=True))
def test_no_answer_to_a_reading_token_has_a_buyers_id(buyers: list[str]) -> None:
    """Of no address, page, moment, export or header; where operators see it, it's a pseudonym."""
    names = dict(zip(("FIRST", "SECOND", "THIRD"), buyers, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        reader = _reader(Path(folder), names)
        try:
            client = TestClient(make_app(reader), raise_server_exceptions=False)
            seen: dict[str, set[str]] = {}
            for where, answer in _answers(client, Scope.READ):
                assert answer.status_code in {200, 403}, (where, answer.text)
                for text in _texts(answer):
                    assert not any(id_ in text for id_ in buyers), where
                    assert MARK not in text, where
                if "buyer-" in answer.text:
                    seen.setdefault("read", set()).add(where.split("?")[0].split(" ")[0])
            for where, answer in _answers(client, Scope.OPERATE):
                if any(id_ in text for text in _strings_of(answer) for id_ in buyers):
                    seen.setdefault("operate", set()).add(where.split(" ")[0])
            assert seen["read"] == seen["operate"]
            assert {
                "/v1/orders/o-1",
                "/v1/orders/o-1/explanation",
                "/v1/products/p-3/journal",
                "/v1/shops/s-7/overdue",
                "/v1/overdue",
                "/v1/find",
                "/v1/export",
            } <= seen["operate"]
        finally:
            reader.close()


def _strings_of(answer: Response) -> Iterator[str]:
    if answer.headers["content-type"].startswith("application/json"):
        yield from _strings(answer.json())
    elif "ndjson" in answer.headers["content-type"]:
        for line in answer.text.splitlines():
            yield from _strings(json.loads(line))


@given(key=st.binary(max_size=100), cursor=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_sealed_cursor_is_opened_by_its_key_alone(key: bytes, cursor: str) -> None:
    """The same cursor is sealed alike; another key, and the cursor itself, open nothing."""
    one, other = Pseudonyms(key + b"1"), Pseudonyms(key + b"2")
    sealed = one.seal(cursor)
    assert sealed == Pseudonyms(key + b"1").seal(cursor)
    assert one.opened(sealed) == cursor
    with pytest.raises(BadCursor):
        other.opened(sealed)
    with pytest.raises(BadCursor):
        one.opened(cursor)


@given(key=st.binary(min_size=1), ids=st.sets(odd_ids, max_size=20))
def test_each_buyer_has_one_pseudonym_of_a_key(key: bytes, ids: set[str]) -> None:
    """The same with the same key, others with another; no two of a few buyers share one."""
    found = {id_: Pseudonyms(key).of(id_) for id_ in ids}
    assert found == {id_: Pseudonyms(key).of(id_) for id_ in ids}
    assert len(set(found.values())) == len(ids)
    assert all(re.fullmatch(r"buyer-[0-9a-f]{16}", name) for name in found.values())
    assert not ids or found != {id_: Pseudonyms(key + b"x").of(id_) for id_ in ids}
