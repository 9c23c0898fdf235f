"""The HTTP API keeps its contract, `docs/reference/openapi.json`, over a reader with a story.

Every test takes the addresses from the contract, so a new address is tested without a change here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck
from hypothesis import settings as examples
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from schemas import limits
from serving.api import make_app
from serving.subjects import SUBJECTS
from tests.served_story import events_of, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from schemathesis import Case

    from tests.reading import FedReader

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
CONTRACT: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
PATHS: Final = tuple(CONTRACT["paths"])
WITH_ID: Final = tuple(path for path in PATHS if "_id}" in path)

KNOWN: Final = {"product_id": "p-3", "shop_id": "s-7", "order_id": "o-1"}
"""Ids of the story, by the name of their parameter."""

NEEDED: Final[dict[str, dict[str, Any]]] = {
    "/v1/find": {"shop": "s-7"},
    "/v1/dead-letters/samples": {"topic": "orders", "reason": "not_json"},
    "/v1/search": {"q": "p-"},
    "/v1/stream": {"product": ["p-3"]},
}
"""What else a request must have, by address."""

DEPENDENT: Final = {
    "/v1/find",
    "/v1/shops/{shop_id}/top",
    "/v1/top/products",
    "/v1/top/shops",
    "/v1/search",
    "/v1/stream",
}
"""Addresses that accept only some parameters together, which a contract can't describe."""

VALID: Final = {
    "min_position": "orders-0:1",
    "max_lag": "5s",
    "cycle": "2026-07-01T00:00:00Z",
    "as_of": "2026-07-09T00:00:00Z",
    "known_at": "2026-07-09T00:00:00Z",
    "from": "2026-07-09T00:00:00Z",
    "to": "2026-07-10T00:00:00Z",
}
"""Values that this reader accepts where not every one that the contract describes is."""

schema = schemathesis.openapi.from_dict(CONTRACT)
schema.config.max_stream_events = 1  # a stream has no end
schema.config.request_timeout = 60  # a loaded machine is slow; 10 by default


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FedReader]:
    """A reader that has applied the story."""
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("r"), patch) as one:
        yield one


@pytest.fixture(scope="module")
def app(reader: FedReader) -> FastAPI:
    """Its API."""
    return make_app(reader)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    """A client of it."""
    return TestClient(app, raise_server_exceptions=False)


def filled(path: str, **ids: str) -> str:
    """A path with ids, percent-encoded; those of the story where none is given."""
    return path.format(
        **{name: quote(id_, safe="").replace(".", "%2E") for name, id_ in {**KNOWN, **ids}.items()}
    )


# --- the contract itself


def test_it_is_openapi_without_gaps() -> None:
    """Valid by OpenAPI 3.1; every operation and parameter is described, once and by one name."""
    validate(CONTRACT)
    assert CONTRACT["openapi"].startswith("3.1.")
    assert [server["url"] for server in CONTRACT["servers"]] == ["/"]
    names = []
    for path, operations in CONTRACT["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["operationId"].isidentifier(), path
            assert operation["summary"], path
            assert operation["tags"], path
            assert all(one["description"] for one in operation.get("parameters", ())), path
            assert {"200", "422", "500"} <= set(operation["responses"]), path
    assert len(names) == len(set(names))
    used = json.dumps(CONTRACT)
    for kind in ("schemas", "headers", "responses"):
        for name in CONTRACT["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in used


@pytest.mark.parametrize("path", PATHS)
def test_errors_are_problems_in_the_contract(path: str) -> None:
    """Except where a status is what the address is about (readiness, health), and for images."""
    for status, answer in CONTRACT["paths"][path]["get"]["responses"].items():
        own = {("/readyz", "503"), ("/v1/health", "503")}
        own |= {(f"/v1/products/{{product_id}}/{name}", "404") for name in ("badge", "badge.svg")}
        if int(status) >= 400 and (path, status) not in own:
            assert answer["$ref"].startswith("#/components/responses/"), (path, status)
    for answer in CONTRACT["components"]["responses"].values():
        assert list(answer["content"]) == ["application/problem+json"]


# --- answers


@pytest.mark.parametrize("path", PATHS)
def test_every_address_is_answered_as_described(path: str, app: FastAPI) -> None:
    """With an id of the story it is a 200 in its form, so that no check runs on errors alone."""
    case = schema[path]["GET"].Case(
        path_parameters={name: id_ for name, id_ in KNOWN.items() if f"{{{name}}}" in path},
        query=NEEDED.get(path, {}),
    )
    assert case.call_and_validate(app=app).status_code == 200


@schema.parametrize()
@examples(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_contract(case: Case[Any], app: FastAPI) -> None:
    """See `_keeps`; few examples of each address, and every kind of invalid request."""
    _keeps(case, app)


@pytest.mark.long
@schema.parametrize()
@examples(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_contract_in_many_examples(case: Case[Any], app: FastAPI) -> None:
    """As above."""
    _keeps(case, app)


def _keeps(case: Case[Any], app: FastAPI) -> None:
    """Check status, media type, headers, form, refusal of what is invalid, and methods.

    A 503 is an answer (`max_lag`), a 500 never is.
    """
    excluded: list[Any] = [not_a_server_error]
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        _make_acceptable(case)
        if case.path in DEPENDENT:
            excluded.append(positive_data_acceptance)
    response = case.call_and_validate(app=app, excluded_checks=excluded)
    assert response.status_code != 500


def _make_acceptable(case: Case[Any]) -> None:
    """Replace what the contract can't describe exactly, and half of the ids by known ones.

    A cursor is opaque, a position must exist, an instant must be in a cycle with events.
    """
    case.query = {
        name: VALID.get(name, value) for name, value in case.query.items() if name != "cursor"
    }
    case.path_parameters = {
        name: KNOWN[name] if len(str(value)) % 2 else value
        for name, value in case.path_parameters.items()
    }


# --- ids

IDS: Final = (
    "a/b", "a/journal", "/", "//", "/journal", "a//b/", "a b", " a", "%", "100%", "a%2Fb", "%00",
    "?x=1", "#", "a#b?c=d&e", "a+b", "p@5;v=1", ".", "..", "...", "a/../b", "../x", "é/ü", "😀",
    "龙井茶", "e\u0301", "x" * limits.ID_CHARS, "😀" * limits.ID_CHARS,
)  # fmt: skip
"""Ids that addresses must not confuse with their own parts."""


@pytest.fixture(scope="module")
def with_odd_ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a reader with an order, a product and a shop of each of IDS."""
    story = "== x\n2026-07-10T08:00Z placed o 1:p:1x10\n2026-07-10T09:00Z received o\n"
    events = []
    for number, id_ in enumerate(IDS):
        placed, received = events_of(story, f"x{number}-")
        placed["lines"][0]["product_id"] = id_
        events += [placed | {"order_id": id_, "shop_id": id_}, received | {"order_id": id_}]
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("i"), patch) as one:
        one.logs.take(events)
        one.feed()
        yield TestClient(make_app(one), raise_server_exceptions=False)


@pytest.mark.parametrize("path", WITH_ID)
def test_an_id_may_be_any_text(path: str, with_odd_ids: TestClient) -> None:
    """With every character but unreserved ones percent-encoded, dots too, it is that id's answer.

    A longer one than ids may be, and one with a control character, is unknown.
    """
    (parameter,) = (name for name in KNOWN if f"{{{name}}}" in path)
    for id_ in IDS:
        found = with_odd_ids.get(filled(path, **{parameter: id_}))
        assert found.status_code == 200, (id_, found.text)
        if "json" in found.headers["content-type"]:
            assert found.json().get(parameter, id_) == id_
    subject = next(one for one in SUBJECTS if one.keyed_by == parameter)
    for id_ in ("x" * 1000, "/" * 1000, "a\x00", "a\n", "\x7f", "nobody's"):
        unknown = with_odd_ids.get(filled(path, **{parameter: id_}))
        if unknown.status_code == 200:  # a list, which is empty
            assert unknown.json()["items"] == []
        elif "svg" in unknown.headers["content-type"]:  # an image, which says so
            assert unknown.status_code == 404
        else:
            assert (unknown.status_code, unknown.json()["type"]) == (404, subject.unknown.type)
