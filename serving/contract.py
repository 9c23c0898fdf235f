"""The contract of the API (OpenAPI 3.1): the framework's description, completed and made exact.

A route declares its parameters, its form, and the answers that are its own. What all addresses
share is added here: problems with examples, 304, headers, and tags. `docs/reference/openapi.json`
is this contract.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from schemas.answers import Problem
from serving.conditional import FRESHNESS_HEADERS
from serving.parameters import FLAGS, YES
from serving.problems import Kind
from serving.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from serving.problems import UnknownId

_PROBLEM_JSON: Final = "application/problem+json"
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_TAGS: Final = {
    "find": "orders",
    "dead-letters": "reader",
    "overdue": "shops",
    "export": "reader",
    "health": "reader",
    "status": "reader",
    "versions": "reader",
    "livez": "reader",
    "readyz": "reader",
    "metrics": "reader",
}
"""The tag of an address by the first part of its path, where it isn't that part itself."""

_SHARED: Final = {
    401: ("NoToken", "The reader has tokens, and this request has none of them."),
    403: ("ScopeTooSmall", "The token doesn't allow this."),
    413: ("BodyRefused", "The request has a body."),
    421: ("WrongHost", "A reader without tokens doesn't answer to this host."),
    422: ("InvalidRequest", "A part of the request can't be used."),
    429: ("TooMany", "The client sends more requests than it may."),
    500: ("Failed", "The reader has a fault."),
    503: ("Unavailable", "Not ready, too stale, or too busy."),
}
"""Answers of many addresses, by status: their names among the components, and what they mean."""

_UNAVAILABLE: Final = 503
_HEADERS_OF: Final = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

_LONG_NAME: Final = re.compile(r"\b[a-z_]+__([A-Z]\w*?)__([A-Z]\w*)\b")
"""A form's name with its module, as the framework gives it where two forms have one name."""


def contract_of(app: FastAPI) -> dict[str, Any]:
    """The contract of an app, as JSON has it; the same app has the same contract in each byte."""
    raw = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    found: dict[str, Any] = json.loads(_LONG_NAME.sub(r"\1\2", json.dumps(_untitled(raw))))
    found["info"]["title"] = app.title
    found["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    found["servers"] = [{"url": "/", "description": "The reader that this is from."}]
    forms = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # answered by problems instead
        forms.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    forms |= {name: _untitled(form) for name, form in problem.pop("$defs").items()}
    forms["Problem"] = _untitled(problem)
    found["components"]["schemas"] = dict(sorted(forms.items()))
    found["components"]["headers"] = _headers()
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}, {}]  # a reader on loopback may have no tokens
    found["components"]["responses"] = _responses()
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    names = sorted({tag for one in _operations(found) for tag in one["tags"]})
    found["tags"] = [{"name": name} for name in names]
    return found


def _operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for of_path in found["paths"].values():
        yield from of_path.values()


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add to an operation what all addresses have in common."""
    parts = [part for part in path.split("/") if part not in {"", "v1"}]
    operation["tags"] = [_TAGS.get(parts[0], parts[0])]
    operation["summary"] = operation["description"].split("\n\n")[0].replace("\n", " ")
    parameters = operation.get("parameters", [])
    for one in parameters:
        one["schema"] = _given(one["schema"], one["in"])
        if one["name"] in FLAGS:
            one |= {"allowEmptyValue": True, "schema": {"enum": sorted(YES)}}
    names = {one["name"] for one in parameters}
    responses = operation["responses"]
    answer = responses["200"]
    if answer["description"] == "Successful Response":
        answer["description"] = "The answer."
    if "max_lag" in names and "application/json" in answer["content"]:
        headers = {name: _header(name) for name in ("ETag", "Cache-Control", *FRESHNESS_HEADERS)}
        if "cursor" in names:
            headers["Link"] = _header("Link")
        answer["headers"] = headers
        responses["304"] = {"description": "The client has this answer.", "headers": headers}
    responses.pop("422", None)  # the framework's own form, which nothing has
    for status, (name, _) in _SHARED.items():
        if status != _UNAVAILABLE or path.startswith("/v1/"):
            responses.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
    for subject in SUBJECTS:
        if f"{{{subject.keyed_by}}}" in path:
            name = _unknown(subject.unknown)
            responses.setdefault("404", {"$ref": f"#/components/responses/{name}"})
    operation["responses"] = dict(sorted(responses.items()))


def _given(schema: dict[str, Any], place: str) -> dict[str, Any]:
    """The schema of a parameter that is given: not null, which stands for one that isn't.

    An empty text is refused, but in a header.
    """
    some = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "description"}}
    given = rest | (some[0] if len(some) == 1 else {"anyOf": some} if some else {})
    is_free = given.get("type") == "string" and not given.keys() & {"enum", "pattern", "format"}
    if is_free and place != "header":
        given["minLength"] = 1
    return given


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _headers() -> dict[str, Any]:
    meanings = {
        "ETag": "Changes when this answer changes, its progress in `freshness` aside.",
        "Cache-Control": "`no-cache`: an answer is kept, and asked for again by `If-None-Match`.",
        "Link": 'The next page, as `rel="next"`; absent on the last one.',
        "Retry-After": "Seconds after which to try again.",
        "WWW-Authenticate": "How to send a token.",
        **FRESHNESS_HEADERS,
    }
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    }


def _responses() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, (name, meaning) in _SHARED.items():
        found[name] = _problems(meaning, [kind for kind in Kind if kind.status == status])
        if status in _HEADERS_OF:
            found[name]["headers"] = {_HEADERS_OF[status]: _header(_HEADERS_OF[status])}
    for subject in SUBJECTS:
        unknown = subject.unknown
        found[_unknown(unknown)] = _problems(
            f"No event names this {unknown.word}, or the id is empty.", [unknown]
        )
    return found


def _unknown(kind: UnknownId) -> str:
    return f"Unknown{kind.word.title()}"


def _problems(meaning: str, kinds: list[Kind] | list[UnknownId]) -> dict[str, Any]:
    """The answer with one of these problems, with an example of each."""
    examples = {
        kind.type.rsplit(":", 1)[1]: {
            "value": {
                "type": kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.title,
            }
        }
        for kind in kinds
    }
    content = {_PROBLEM_JSON: {"schema": _PROBLEM, "examples": examples}}
    return {"description": meaning, "content": content}


def _untitled(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON without titles that repeat a name; a property of the name `title` is an object."""
    if isinstance(node, dict):
        return {
            name: _untitled(value)
            for name, value in node.items()
            if name != "title" or not isinstance(value, str)
        }
    return [_untitled(one) for one in node] if isinstance(node, list) else node
