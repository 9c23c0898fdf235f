"""ETags change with their answer alone; a 304 has the answer's freshness in headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from schemas import http_limits
from schemas.answers import Freshness, JournalPage
from serving.api import make_app
from serving.conditional import FRESHNESS_HEADERS, client_has, etag_of, fresh_response
from tests.served_story import TICK_MS, events_of, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reading import FedReader

PATHS = (
    "/v1/products/p-3",
    "/v1/products/p-3/journal",
    "/v1/top/products?limit=1",
    "/v1/shops/s-7",
    "/v1/find?shop=s-7",
)
ANOTHER_SALE = """== of another shop's product
2026-07-10T10:00Z  placed    o-7  1:p-9:1x1000 shop=s-9
2026-07-10T11:00Z  received  o-7
"""
THIS_SALE = """== of the product
2026-07-09T10:00Z  placed    o-8  1:p-3:1x1000
2026-07-09T12:00Z  received  o-8
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader that has applied the story."""
    with served(tmp_path, monkeypatch) as reader:
        yield reader


@pytest.fixture
def client(reader: FedReader) -> TestClient:
    """A client of its API."""
    return TestClient(make_app(reader))


def test_an_etag_changes_with_its_answer_and_not_with_another_sale(
    reader: FedReader, client: TestClient
) -> None:
    """The 304 after another sale has the new freshness; after the own one there is a new answer."""
    before = {path: client.get(path) for path in PATHS}
    for sale, status in ((ANOTHER_SALE, 304), (THIS_SALE, 200)):
        reader.logs.take(events_of(sale, "more-"))
        reader.logs.tick(TICK_MS + 1)
        reader.feed()
        for path, first in before.items():
            again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert again.status_code == status, path
            assert (again.headers["etag"] == first.headers["etag"]) == (status == 304)
            assert again.headers["netsold-applied"] != first.headers["netsold-applied"]
            assert again.headers.get("link") == first.headers.get("link") or status == 200
            assert (again.content == b"") == (status == 304)


def test_answers_about_earlier_moments_and_explanations_have_etags(
    reader: FedReader, client: TestClient
) -> None:
    """They change with `moment.included`, too: it says which events were looked through."""
    path = "/v1/products/p-3/explanation?as_of=2026-07-10T00:00:00Z"
    known = {"If-None-Match": client.get(path).headers["etag"]}
    assert client.get(path, headers=known).status_code == 304
    reader.logs.take(events_of(ANOTHER_SALE, "more-"))
    reader.feed()
    assert client.get(path, headers=known).status_code == 200


def test_the_headers_have_the_freshness_of_the_body(client: TestClient) -> None:
    """`Netsold-Applied` can be given as `min_position`."""
    answer = client.get("/v1/products/p-3")
    freshness, headers = answer.json()["freshness"], answer.headers
    assert headers["netsold-state"] == freshness["state"] == "live"
    assert headers["netsold-as-of"] == freshness["as_of"]
    applied = dict(one.rsplit(":", 1) for one in headers["netsold-applied"].split(","))
    assert {source: int(offset) for source, offset in applied.items()} == freshness["applied"]
    again = client.get("/v1/products/p-3", params={"min_position": headers["netsold-applied"]})
    assert again.status_code == 200
    assert {name.lower() for name in FRESHNESS_HEADERS} <= set(headers)


def test_a_long_header_is_left_out() -> None:
    """A server of many partitions answers within what proxies accept as headers."""
    few = {"orders-0": 1}
    many = {f"orders-{number}": 10**9 for number in range(http_limits.APPLIED_HEADER_CHARS)}
    assert "netsold-applied" in fresh_response(_request([]), _page(1, few), []).headers
    assert "netsold-applied" not in fresh_response(_request([]), _page(1, many), []).headers


def _page(
    entry: object, applied: dict[str, int], state: str = "live", version: str = "netsold"
) -> JournalPage:
    freshness = Freshness.model_validate(
        {
            "as_of": None,
            "applied": applied,
            "lag_seconds": None,
            "state": state,
            "version": version,
        }
    )
    return JournalPage(items=[{"n": entry}], next_cursor=None, freshness=freshness)


def _request(given: list[str]) -> Request:
    """A request with these lines of If-None-Match."""
    headers = [(b"if-none-match", line.encode("latin-1")) for line in given]
    return Request({"type": "http", "headers": headers})


PAGES = st.tuples(
    st.integers() | st.text(max_size=5) | st.none(),
    st.sampled_from(["live", "behind"]),
    st.sampled_from(["netsold", "netsold.r1"]),
    st.dictionaries(st.sampled_from(["orders-0", "chats-0"]), st.integers(0, 9)),
)


@given(PAGES, PAGES)
def test_answers_have_one_etag_exactly_if_they_differ_in_the_progress_alone(
    one: tuple[object, str, str, dict[str, int]], other: tuple[object, str, str, dict[str, int]]
) -> None:
    """State and version are part of the answer: a client must learn that they changed."""
    etags = []
    for entry, state, version, applied in (one, other):
        page = _page(entry, applied, state, version)
        response = fresh_response(_request([]), page, [])
        assert JournalPage.model_validate_json(bytes(response.body)) == page
        etags.append(response.headers["etag"])
    assert (etags[0] == etags[1]) == (one[:3] == other[:3])


OTHERS = st.sampled_from(['"x"', 'W/"x,y"', '""', "garbage", "", "W/", '"', "*x"])


@given(st.lists(OTHERS, max_size=4), st.lists(OTHERS, max_size=4), st.sampled_from(["", "W/"]))
def test_if_none_match_is_a_list_that_is_compared_weakly(
    before: list[str], after: list[str], weak: str
) -> None:
    """Among other tags and what is none, also over several header lines; `*` is any."""
    etag = etag_of(b"content")
    assert etag.startswith('W/"')
    known = weak + etag.removeprefix("W/")
    whole = [one for one in before if one != '"']
    assert client_has(_request([", ".join([*whole, known, *after])]), etag)
    assert client_has(_request([*whole, known]), etag)
    assert not client_has(_request([", ".join([*before, *after])]), etag)
    assert client_has(_request([" * "]), etag)
    assert not client_has(_request([]), etag)
