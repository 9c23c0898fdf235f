"""The forms of all records on public topics, and their JSON Schemas (2020-12), from the models.

A form is never changed so that an old record or an old reader breaks (`compatibility`): such a
change is a form of the same name with the next version, beside the old one.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from pydantic import TypeAdapter

from operations.contract.headers import HEADERS
from operations.contract.meanings import INSTANTS, meaning_of
from schemas import audits, control, decisions, event_versions, events, journal, names, published
from tables import alerts, catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Part = Literal["data", "value", "bare", "headers"]
"""What a schema is of: an event's value in binary mode (CloudEvents' data), another record's value,
an event as one bare JSON object, or a record's headers."""

Schema = dict[str, Any]
ROW_TOPICS: Final = tuple(topic.name for topic in catalogue.PUBLIC_TOPICS if topic.kind == "rows")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Form:
    """A form of records of one topic (without prefix), or of two; `made` has its schema anew."""

    name: str
    topics: tuple[str, ...]
    part: Part
    made: Callable[[], Schema]
    version: int = 1

    @property
    def title(self) -> str:
        """Its name in documents: with its version, except for the first."""
        return self.name if self.version == 1 else f"{self.name}.{self.version}"

    @property
    def file(self) -> str:
        """The name of its file, such as `order_paid.1.json`."""
        return f"{self.name}.{self.version}.json"

    @property
    def id(self) -> str:
        """The schema's id, which `ce_dataschema` names, such as `urn:netsold:order_paid:1`."""
        return events.schema_id(self.name, self.version)


def _event_data(name: str, version: int) -> Schema:
    """The fields of an event's value in binary mode: those that no header has."""
    schema: Schema = event_versions.class_of(name, version).model_json_schema()
    common = events.common_of(name)
    schema["properties"] = {
        field: about for field, about in schema["properties"].items() if field not in common
    }
    schema["required"] = [field for field in schema.get("required", ()) if field not in common]
    return schema


def _bare(types: frozenset[str]) -> Schema:
    schema: Schema = TypeAdapter(events.Event).json_schema()
    refs = {
        name: {"$ref": ref}
        for name, ref in schema["discriminator"]["mapping"].items()
        if name in types
    }
    about = "An event as one bare JSON object, by its `type`: in a file, or as a record's value."
    whole: Schema = {"description": about, "oneOf": list(refs.values())}
    needed = set(_references(whole, schema["$defs"]))
    return whole | {"$defs": {name: one for name, one in schema["$defs"].items() if name in needed}}


def _later_bare(version: int, types: frozenset[str]) -> Schema:
    """The bare events of a version after the first, which `dataschema` names."""
    found: Schema = {}
    inside: Schema = {}
    for name in sorted(types):
        if version not in event_versions.VERSIONS[name]:
            continue
        schema = event_versions.class_of(name, version).model_json_schema()
        inside |= schema.pop("$defs", {})
        schema["properties"]["dataschema"] = {"const": events.schema_id(name, version)}
        schema["required"] = [*schema["required"], "dataschema"]
        found[schema["title"]] = schema
    about = f"An event of version {version} as one bare JSON object, by its `dataschema`."
    refs = [{"$ref": f"#/$defs/{name}"} for name in found]
    return {"description": about, "oneOf": refs, "$defs": found | inside}


def _references(schema: object, definitions: Schema) -> Iterator[str]:
    """The names of the definitions that a schema needs, directly or by others."""
    if isinstance(schema, dict):
        for key, about in schema.items():
            if key == "$ref":
                name = about.rsplit("/", 1)[-1]
                yield name
                yield from _references(definitions[name], definitions)
            else:
                yield from _references(about, definitions)
    elif isinstance(schema, list):
        for about in schema:
            yield from _references(about, definitions)


def _of_struct(struct: type[msgspec.Struct]) -> Schema:
    """The schema of a struct, with those of the structs inside in `$defs`."""
    (_,), found = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    by_name = {one.__name__: one for one in _structs(struct)}
    for name, about in found.items():
        if "prefixItems" in about:
            fields = by_name[name].__struct_fields__
            for field, item in zip(fields, about["prefixItems"], strict=True):
                item["title"] = field
    whole: Schema = found.pop(struct.__name__)
    whole |= {"$defs": found} if found else {}
    # defaults of Python, such as tuples, as JSON has them
    return msgspec.json.decode(msgspec.json.encode(whole), type=Schema)


def _structs(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """A struct and all structs inside."""
    yield struct
    for field in msgspec.structs.fields(struct):
        for inner in _inside(field.type):
            yield from _structs(inner)


def _inside(annotation: Any) -> Iterator[type[msgspec.Struct]]:  # noqa: ANN401 - any type
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _inside(argument)


def _struct_forms() -> Iterator[Form]:
    sales, activity = catalogue.SALES_TOPIC, catalogue.SHOP_ACTIVITY_TOPIC
    of: tuple[tuple[str, tuple[str, ...], type[msgspec.Struct]], ...] = (
        ("entry", (sales,), journal.Entry),
        ("service", (sales,), journal.Service),
        ("shop_activity", (activity,), journal.ShopActivity),
        ("mark", (sales, activity), journal.ProgressMark),
        ("product_sales", (catalogue.PRODUCT_SALES_TOPIC,), published.ProductSales),
        ("shop_sales", (catalogue.SHOP_SALES_TOPIC,), published.ShopSales),
        ("complete_through", (*ROW_TOPICS, catalogue.CYCLES_TOPIC), published.CompleteThrough),
        ("cycle_ended", (catalogue.CYCLES_TOPIC,), published.CycleEnded),
        ("restated", (catalogue.CYCLES_TOPIC,), published.Restated),
        ("alert", (catalogue.ALERTS_TOPIC,), alerts.AlertForm),
        ("dead_letter_decision", (catalogue.DECISIONS_TOPIC,), decisions.Decision),
        ("display_name", (catalogue.NAMES_TOPIC,), names.DisplayName),
        ("version", (catalogue.CONTROL_TOPIC,), control.Version),
        ("pointer", (catalogue.CONTROL_TOPIC,), control.Pointer),
        ("act", (catalogue.CONTROL_TOPIC,), control.Act),
        ("diff", (catalogue.CONTROL_TOPIC,), control.Diff),
        ("audit", (catalogue.CONTROL_TOPIC,), audits.AuditRecord),
    )
    for name, topics, struct in of:
        yield Form(name, topics, "value", lambda struct=struct: _of_struct(struct))  # type: ignore[misc]


def _event_forms() -> Iterator[Form]:
    for name, versions in event_versions.VERSIONS.items():
        for version in versions:
            yield Form(
                name,
                (events.topic_of(name),),
                "data",
                lambda name=name, version=version: _event_data(name, version),  # type: ignore[misc]
                version,
            )
    yield Form("order_event", (catalogue.ORDERS_TOPIC,), "bare", lambda: _bare(events.ORDER_TYPES))
    yield Form("chat_event", (catalogue.CHATS_TOPIC,), "bare", lambda: _bare(events.CHAT_TYPES))
    for name, topic, types in (
        ("order_event", catalogue.ORDERS_TOPIC, events.ORDER_TYPES),
        ("chat_event", catalogue.CHATS_TOPIC, events.CHAT_TYPES),
    ):
        newest = max(event_versions.VERSIONS[one][-1] for one in types)
        for version in range(2, newest + 1):
            yield Form(
                name,
                (topic,),
                "bare",
                lambda version=version, types=types: _later_bare(version, types),  # type: ignore[misc]
                version,
            )


FORMS: Final = (
    *_event_forms(),
    *_struct_forms(),
    *(
        Form(one.name, one.topics, "headers", lambda one=one: one.schema())  # type: ignore[misc]
        for one in HEADERS
    ),
)
"""Every form, in all its versions."""


def schema_of(form: Form) -> Schema:
    """A form's JSON Schema: open, with a meaning for each field."""
    made = form.made()
    about = made.pop("$defs", {})
    class_name = made.pop("title", form.name)
    head: Schema = {"$schema": DIALECT, "$id": form.id, "title": form.title}
    if "description" in made:
        head["description"] = inspect.cleandoc(made.pop("description"))
    whole: Schema = head | _described(made, class_name)
    if about:
        whole["$defs"] = {name: _described(one, name) for name, one in sorted(about.items())}
    return whole


def _described(schema: Any, class_name: str) -> Any:  # noqa: ANN401 - any part
    """A part of a schema with the meanings of its fields, and without titles made of names."""
    if isinstance(schema, list):
        return [_described(one, class_name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: _described(about, class_name) if key not in {"properties", "enum"} else about
        for key, about in schema.items()
        if key != "title"
    }
    if "description" in found:
        found["description"] = inspect.cleandoc(found["description"])
    if len(found.get("enum", ())) == 1:
        found = {"const": found.pop("enum")[0]} | found
    if "prefixItems" in found:
        found["prefixItems"] = [
            _field(about, class_name, about["title"]) | {"title": about["title"]}
            if "title" in about
            else _described(about, class_name)
            for about in schema["prefixItems"]
        ]
    if "properties" in found:
        found["properties"] = {
            name: _field(about, class_name, name) for name, about in found["properties"].items()
        }
    return found


def _field(about: Schema, class_name: str, name: str) -> Schema:
    inner: Schema = _described(about, class_name)
    if "description" not in inner:
        inner = {"description": meaning_of(class_name, name)} | inner
    if name in INSTANTS:
        kinds = [inner, *inner.get("anyOf", ())]
        for one in kinds:
            if one.get("type") == "string":
                one["format"] = "date-time"
    return inner


def schemas() -> dict[str, Schema]:
    """All schemas by file name."""
    return {form.file: schema_of(form) for form in FORMS}
