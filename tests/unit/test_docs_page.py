"""The interactive page: it loads its own files alone, and those are what they are said to be."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from serving.api import make_app
from serving.docs_page import CSP
from serving.problems import Kind
from tests.served_story import served
from tests.unit.test_api import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

STATIC = Path(str(files("serving"))) / "static"
VENDORED: list[dict[str, Any]] = json.loads((STATIC / "vendored.json").read_text())
OURS = {"docs.html", "docs.js", "vendored.json"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a reader's API."""
    with served(tmp_path, monkeypatch) as reader:
        yield TestClient(make_app(reader))


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: package["package"])
def test_vendored_files_are_those_of_the_listed_version(package: dict[str, Any]) -> None:
    """By their hashes; each package has its version, its licence, and the licence's text."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
    assert package["license"]
    assert any(name.endswith("LICENSE") or "/licences/" in name for name in package["files"])
    for name, digest in package["files"].items():
        assert sha256((STATIC / name).read_bytes()).hexdigest() == digest, name


def test_every_static_file_is_ours_or_listed() -> None:
    """Nothing is vendored without its licence."""
    listed = {name for package in VENDORED for name in package["files"]}
    found = {str(path.relative_to(Path(str(STATIC)))) for path in _files()}
    page = {name for name in found if name.startswith("page/")}
    vendored = {name for name in page if name.startswith("page/vendor/")}
    assert found - page | vendored == listed | OURS


def _files() -> list[Path]:
    return [path for path in STATIC.rglob("*") if path.is_file()]


def test_a_wheel_has_the_static_files() -> None:
    """The project's package data names each of them."""
    project = tomllib.loads((files("docs") / ".." / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["serving"]
    for path in _files():
        name = f"static/{path.relative_to(Path(str(STATIC)))}"
        assert any(fnmatch(name, pattern.replace("**/", "")) for pattern in patterns), name


class _Page(HTMLParser):
    """The addresses that a page names, and whether it has scripts or styles of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.is_inline = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.is_inline |= tag == "style" or (tag == "script" and "src" not in given)
        self.is_inline |= any(name.startswith("on") or name == "style" for name in given)
        self.addresses += [
            value for name, value in attrs if value and name in {"src", "href", "spec-url"}
        ]


def test_the_page_loads_from_this_reader_alone(client: TestClient) -> None:
    """By relative addresses, as a proxy may add a prefix; without scripts in the page."""
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == CSP
    assert "script-src 'self';" in CSP
    assert "http" not in CSP
    page = _Page(answer.text)
    assert not page.is_inline
    # not the contract, which the component would give up after 5 s: `docs.js` loads it
    assert set(page.addresses) == {"data:,", "docs/openapi-explorer.min.js", "docs/docs.js"}
    for address in page.addresses:
        if address != "data:,":
            assert client.get(f"/{address}").status_code == 200


def test_its_files_are_sent_once(client: TestClient) -> None:
    """Each has an ETag; other names, of files too, are no addresses."""
    for path, kind in (
        ("/docs", "text/html"),
        ("/docs/openapi-explorer.min.js", "text/javascript"),
        ("/docs/docs.js", "text/javascript"),
        ("/openapi.json", "application/json"),
    ):
        first = client.get(path)
        assert first.headers["content-type"].startswith(kind)
        known = {"If-None-Match": first.headers["etag"]}
        again = client.get(path, headers=known)
        assert (again.status_code, again.content) == (304, b"")
    for name in ("vendored.json", "%2e%2e%2fapi.py", "docs.html"):
        problem(client.get(f"/docs/{name}"), 404, Kind.NO_SUCH_PAGE)


def test_a_reader_sends_the_contract_of_the_reference(client: TestClient) -> None:
    """As it is in the repository."""
    reference = json.loads(
        (files("docs") / "reference" / "openapi.json").read_text(encoding="utf-8")
    )
    assert client.get("/openapi.json").json() == reference
