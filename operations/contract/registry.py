"""Registers the schemas with a schema registry that speaks Confluent's API.

Each form has a subject of its own. A topic's subject, `TOPIC-value`, is the union of its records,
and references those. What is registered already stays as it is.
"""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from operations.contract import forms
from schemas.errors import NetsoldError
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.contract.forms import Form
    from streams.settings import Settings

WAIT_S: Final = 10
_TYPE: Final = "application/vnd.schemaregistry.v1+json"


class RegistryRefused(NetsoldError):
    """The registry refused a request; the sentence has its reason."""


class RegistryUnreachable(NetsoldError):
    """The registry gave no answer, or none that is a registry's."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Registered:
    """A subject, the version and the id that the registry gave to its schema."""

    subject: str
    version: int
    id: int


class Registry:
    """A registry at an address; user and password stand before its host."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        self._headers = {"Content-Type": _TYPE, "Accept": _TYPE}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            coded = base64.b64encode(pair.encode()).decode()
            self._headers["Authorization"] = f"Basic {coded}"

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set which changes the registry accepts in a subject, such as `NONE`."""
        self._request("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level})

    def register(
        self, subject: str, schema: dict[str, Any], references: Sequence[dict[str, Any]] = ()
    ) -> Registered:
        """Register a schema under a subject; the same one again is the same version.

        Raises RegistryRefused and RegistryUnreachable.
        """
        path = f"/subjects/{quote(subject, safe='')}"
        body: dict[str, Any] = {"schemaType": "JSON", "schema": json.dumps(schema)}
        if references:
            body["references"] = list(references)
        self._request("POST", f"{path}/versions", body)
        found = self._request("POST", path, body)
        return Registered(subject, found["version"], found["id"])

    def _request(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = Request(  # noqa: S310 - the user's address
            self._base + path, json.dumps(body).encode(), self._headers, method=method
        )
        try:
            with urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            raise RegistryRefused(
                f"the registry refused {method} {path} ({error.code}): {_reason(error)}"
            ) from error
        except (URLError, ValueError, TimeoutError, http.client.HTTPException) as error:
            raise RegistryUnreachable(
                f"no schema registry answers at {self._base}: {getattr(error, 'reason', error)}"
            ) from error
        return found


def _reason(error: HTTPError) -> str:
    """The registry's message, which is JSON, or the answer's own reason."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def register_all(registry: Registry, settings: Settings, level: str | None) -> list[Registered]:
    """Register every form and then each topic's union; with a level, set it for each subject.

    Raises RegistryRefused and RegistryUnreachable; what was registered until then stays.
    """
    found: list[Registered] = []
    by_topic: dict[str, list[tuple[Form, Registered]]] = {
        topic.name: [] for topic in catalogue.PUBLIC_TOPICS
    }

    def add(subject: str, *schema: Any) -> Registered:  # noqa: ANN401 - schema and references
        if level is not None:
            registry.set_compatibility(subject, level)
        found.append(one := registry.register(subject, *schema))
        return one

    for form in forms.FORMS:
        one = add(f"netsold.{form.name}.{form.version}", forms.schema_of(form))
        if form.part in {"data", "value"}:
            for topic in form.topics:
                by_topic[topic].append((form, one))
    for topic, own in by_topic.items():
        if own:
            union = {"$schema": forms.DIALECT, "oneOf": [{"$ref": form.id} for form, _ in own]}
            references = [
                {"name": form.id, "subject": one.subject, "version": one.version}
                for form, one in own
            ]
            add(f"{settings.topic(topic)}-value", union, references)
    return found
