"""The AsyncAPI 3.0 document of all public topics, from the catalogue, policies and forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from operations.contract import forms
from schemas import envelope, published
from streams import topics
from streams.build import this_build
from streams.settings import Settings
from tables import catalogue

if TYPE_CHECKING:
    from operations.contract.forms import Form, Schema
    from streams.topic_policy import Topic

_BINDING: Final = {"bindingVersion": "0.5.0"}
_SENT: Final = frozenset(topic for stage in catalogue.STAGES for topic in stage.written) | {
    catalogue.DEAD_LETTERS_TOPIC,
    catalogue.DECISIONS_TOPIC,
    catalogue.CONTROL_TOPIC,
}
"""The topics that netsold alone writes. It reads the others, and writes time ticks there."""
_WITHOUT_KEY: Final = frozenset(("mark", envelope.TICK, envelope.HANDOVER))
_MESSAGES: Final = tuple(form for form in forms.FORMS if form.name != "event_headers")
"""The forms that are records, not a part of others."""


def document() -> dict[str, Any]:
    """The document, with the default settings: no prefix, and their number of partitions."""
    settings = Settings(_env_file=None)
    declared = {topic.name: topic for topic in topics.declared(settings)}
    schemas = {form.title: forms.schema_of(form) for form in forms.FORMS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "netsold",
            "version": this_build().version,
            "description": "The topics of netsold with the default settings. Consumers read with"
            " isolation level read_committed. Records on a cluster may have a prefix in the names"
            " of their topics, and another number of partitions.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            topic.name: _channel(topic.name, declared[topic.name], settings)
            for topic in catalogue.PUBLIC_TOPICS
        },
        "operations": {
            f"{_action(topic.name)}-{topic.name}": {
                "action": _action(topic.name),
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "summary": topic.contents,
            }
            for topic in catalogue.PUBLIC_TOPICS
        },
        "components": {
            "messages": {form.title: _message(form, schemas[form.title]) for form in _MESSAGES},
            "schemas": {name: _draft_7(schema, name) for name, schema in schemas.items()},
        },
    }


def _action(topic: str) -> str:
    return "send" if topic in _SENT else "receive"


def _channel(name: str, declared: Topic, settings: Settings) -> dict[str, Any]:
    configs = {key: _config(key, text) for key, text in declared.configs.items()}
    return {
        "address": declared.name,
        "title": name,
        "description": declared.meaning,
        "messages": {
            form.title: {"$ref": f"#/components/messages/{form.title}"}
            for form in _MESSAGES
            if name in form.topics
        },
        "bindings": {
            "kafka": {
                "topic": declared.name,
                "partitions": settings.partitions_of(declared.name),
                "replicas": settings.kafka.replication_factor,
                "topicConfiguration": configs,
                **_BINDING,
            }
        },
    }


def _config(key: str, text: str) -> str | int | list[str]:
    if key == "cleanup.policy":
        return text.split(",")
    return int(text) if text.lstrip("-").isdigit() else text


def _message(form: Form, schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": form.name,
        "title": form.title,
        "summary": str(schema["description"]).split("\n", 1)[0],
        "contentType": "application/json",
    }
    if form.part == "headers":
        found["headers"] = _reference(form.title)
        found["payload"] = {"description": "the refused record's value, unchanged"}
        if form.name in _WITHOUT_KEY:
            found["payload"] = {"type": "object"}
    else:
        found["payload"] = _reference(form.title)
    if form.part == "data":
        found["headers"] = {
            "allOf": [
                _reference("event_headers"),
                {"type": "object", "properties": _named(form)},
            ]
        }
    return found | {"bindings": {"kafka": {"key": _key(form), **_BINDING}}}


def _named(form: Form) -> Schema:
    """The headers that name an event's type, and its version where it isn't the first."""
    found: Schema = {"ce_type": {"const": form.name}}
    return found if form.version == 1 else found | {"ce_dataschema": {"const": form.id}}


def _key(form: Form) -> Schema:
    """The schema of a record's key: a text, or null."""
    if form.name in _WITHOUT_KEY:
        return {"type": "null", "description": "no key"}
    if form.name == "complete_through":
        return {"const": published.COMPLETE_KEY.decode()}
    return {"type": "string", "description": " or ".join(map(catalogue.key_of, form.topics))}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _draft_7(schema: Any, name: str) -> Any:  # noqa: ANN401 - any part of a schema
    """A schema in the form of AsyncAPI's own, which is a superset of draft-07.

    References lead to the document's schemas, and places of lists are `items`.
    """
    if isinstance(schema, list):
        return [_draft_7(one, name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        {"$defs": "definitions", "prefixItems": "items"}.get(key, key): _draft_7(about, name)
        for key, about in schema.items()
        if key not in {"$schema", "$id"}
    }
    if "$ref" in found:
        inner = found["$ref"].rsplit("/", 1)[-1]
        found["$ref"] = f"#/components/schemas/{name}/definitions/{inner}"
    return found
