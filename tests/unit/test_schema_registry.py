"""Schemas are registered with a server that speaks Confluent's API, here one of a page's size."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from operations.commands.schemas import app
from operations.contract import forms
from operations.contract.registry import Registry, RegistryRefused, RegistryUnreachable
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_VALUE = {"dead-letters"}
"""Topics whose values have no form: a dead letter's is whatever was refused."""


class Stub(ThreadingHTTPServer):
    """A registry in memory: subjects with their versions, ids, and levels of compatibility."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.subjects: dict[str, list[dict[str, Any]]] = {}
        self.levels: dict[str, str] = {}
        self.credentials = ""
        self.refuses = ""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def lookup(self, subject: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The version that has this schema."""
        versions = self.subjects.get(subject, [])
        return next((one for one in versions if one["body"] == body), None)


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        body = self._body()
        self.server.levels[unquote(self.path).removeprefix("/config/")] = body["compatibility"]
        self._answer(200, body)

    def do_POST(self) -> None:
        body = self._body()
        path = unquote(self.path).removeprefix("/subjects/")
        subject = path.removesuffix("/versions")
        found = self.server.lookup(subject, body)
        if path != subject and found is None:
            if subject == self.server.refuses:
                message = "Schema being registered is incompatible with an earlier schema"
                return self._answer(409, {"error_code": 409, "message": message})
            for one in body.get("references", ()):
                versions = self.server.subjects.get(one["subject"], [])
                if not 1 <= one["version"] <= len(versions):
                    return self._answer(422, {"error_code": 42201, "message": "Invalid schema"})
            own = self.server.subjects.setdefault(subject, [])
            id_ = sum(map(len, self.server.subjects.values())) + 1
            found = {"body": body, "version": len(own) + 1, "id": id_}
            own.append(found)
        if found is None:
            return self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        if path != subject:
            return self._answer(200, {"id": found["id"]})
        return self._answer(200, {"subject": subject, **body, **found})

    def _body(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/vnd.schemaregistry.v1+json"
        self.server.credentials = self.headers.get("Authorization", "")
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A registry that runs."""
    server = Stub()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_forms_and_topics_are_registered_and_again_are_the_same(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic's subject references its records, by version; a second run adds nothing."""
    monkeypatch.setenv("NETSOLD_TOPIC_PREFIX", "shop.")
    command = ["register", "--url", stub.url, "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    topics = {
        f"shop.{one.name}-value" for one in catalogue.PUBLIC_TOPICS if one.name not in WITHOUT_VALUE
    }
    assert (
        set(stub.subjects)
        == {f"netsold.{form.name}.{form.version}" for form in forms.FORMS} | topics
    )
    (sales,) = stub.subjects["shop.sales-value"]
    assert sales["body"]["schemaType"] == "JSON"
    names = [one["name"] for one in sales["body"]["references"]]
    assert names == ["urn:netsold:entry:1", "urn:netsold:service:1", "urn:netsold:mark:1"]
    assert [one["$ref"] for one in json.loads(sales["body"]["schema"])["oneOf"]] == names
    (entry,) = stub.subjects["netsold.entry.1"]
    assert json.loads(entry["body"]["schema"])["$id"] == "urn:netsold:entry:1"
    assert stub.levels == {}
    assert CliRunner().invoke(app, command).output == done.output
    assert all(len(versions) == 1 for versions in stub.subjects.values())


def test_compatibility_and_credentials_are_sent(stub: Stub) -> None:
    """The level is set for each subject; a password may have any character."""
    url = stub.url.replace("//", "//ann:p%40ss@")
    done = CliRunner().invoke(app, ["register", "--url", url, "--compatibility", "FULL_TRANSITIVE"])
    assert done.exit_code == 0, done.output
    assert "netsold.entry.1, version 1, id " in done.output
    assert set(stub.levels) == set(stub.subjects)
    assert set(stub.levels.values()) == {"FULL_TRANSITIVE"}
    assert stub.credentials == "Basic " + base64.b64encode(b"ann:p@ss").decode()


def test_a_refusal_has_the_registrys_reason(stub: Stub) -> None:
    """Such as a change that the subject's level forbids."""
    stub.refuses = "x"
    with pytest.raises(RegistryRefused, match=r"409\): Schema being registered is incompatible"):
        Registry(stub.url).register("x", {"type": "object"})


def test_without_a_registry_the_address_is_named() -> None:
    """Exit code 5, and no password in the sentence."""
    with pytest.raises(RegistryUnreachable) as found:
        Registry("http://ann:secret@127.0.0.1:1").register("x", {})
    assert found.value.exit_code == 5
    assert "http://127.0.0.1:1" in str(found.value)
    assert "secret" not in str(found.value)
