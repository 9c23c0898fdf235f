"""The versions of events after the first, and the upcasters that lead from a version to the next.

An event names its version by `dataschema`, such as `urn:netsold:receipt_confirmed:2`; one that does
not, or that names somebody else's schema, is of version 1. Every version stays accepted for good.
An upcaster is pure: the fields of an event in one version → its fields in the next. All of them run
before the core, which knows one form of an event. How to add a version: docs/evolution.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from schemas import events
from schemas.events import LineIds, RefundLines

EventFields = Mapping[str, Any]
Upcaster = Callable[[EventFields], dict[str, Any]]

ALL: Final = "all"
"""In the second versions, what stands for all lines of the order; in Python that is None."""


class AllOrListed:
    """Marks a required field: a list, or `all`, which is None in Python. Absent is no default."""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The check of the list, after `all` has become None."""
        return core_schema.no_info_before_validator_function(_all_as_none, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The list's schema, or `all`."""
        listed = handler(schema)["anyOf"][0]
        return {"anyOf": [listed, {"type": "string", "const": ALL}]}


def _all_as_none(value: object) -> object:
    if value is None:  # null is the same as absent
        raise PydanticKnownError("missing")
    if value == ALL:
        return None
    if not isinstance(value, list):
        raise ValueError('is no list, and not "all"')  # noqa: TRY004 - pydantic reports ValueError
    if not value:
        raise ValueError('is empty: name at least one, or write "all"')
    return value


class ReceiptConfirmed2(events.ReceiptConfirmed):
    """Goods arrived: the lines in `line_ids`, or all lines of the order."""

    line_ids: Annotated[LineIds | None, AllOrListed()]


class DeliveryRefused2(events.DeliveryRefused):
    """The buyer refused these lines, or all, at the door. A receipt stays valid (S4, S10)."""

    line_ids: Annotated[LineIds | None, AllOrListed()]


class RefundRequested2(events.RefundRequested):
    """The buyer requested a refund. It counts only when it succeeds (S5)."""

    lines: Annotated[RefundLines | None, AllOrListed()]


class RefundSucceeded2(events.RefundSucceeded):
    """A refund succeeded (S5): of the claimed lines, or of the whole order (S8)."""

    lines: Annotated[RefundLines | None, AllOrListed()]


LATER_MODELS: Final[dict[tuple[str, int], type[Any]]] = {
    ("receipt_confirmed", 2): ReceiptConfirmed2,
    ("delivery_refused", 2): DeliveryRefused2,
    ("refund_requested", 2): RefundRequested2,
    ("refund_succeeded", 2): RefundSucceeded2,
}
"""By event type and version after the first: its class."""


# --- upcasters


def _name_all(field: str) -> Upcaster:
    """In version 1 an absent list means all lines; in version 2 that is written."""

    def upcast(fields: EventFields) -> dict[str, Any]:
        found = dict(fields)
        if found.get(field) is None:
            found[field] = ALL
        return found

    return upcast


UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {
    ("receipt_confirmed", 1): _name_all("line_ids"),
    ("delivery_refused", 1): _name_all("line_ids"),
    ("refund_requested", 1): _name_all("lines"),
    ("refund_succeeded", 1): _name_all("lines"),
}
"""By event type and version: what makes its fields those of the next version."""


def fault_of(
    models: Mapping[tuple[str, int], type[Any]], upcasters: Mapping[tuple[str, int], Upcaster]
) -> str | None:
    """The first gap in the chains of versions, as a sentence; None without one."""
    for name, version in sorted({*models, *((of, known + 1) for of, known in upcasters)}):
        if name not in events.MODELS:
            return f"{name}: no event has this type"
        if (name, version) not in models:
            return f"{name}: an upcaster leads to version {version}, which has no model"
        if (name, version - 1) not in upcasters:
            return f"{name}: no upcaster leads from version {version - 1} to {version}"
        if version > 2 and (name, version - 1) not in models:  # noqa: PLR2004 - 1 is in `events`
            return f"{name}: version {version} has no version {version - 1} before it"
        if not issubclass(models[name, version], events.MODELS[name]):
            return f"{name}: the model of version {version} is no {name}"
    return None


if (_fault := fault_of(LATER_MODELS, UPCASTERS)) is not None:
    raise TypeError(_fault)

VERSIONS: Final[dict[str, range]] = {
    name: range(1, 2 + sum(of == name for of, _ in LATER_MODELS)) for name in events.MODELS
}
"""By event type: its versions; the last one is the newest."""

_VERSION_OF: Final[dict[tuple[str, object], int]] = {
    (name, events.schema_id(name, version)): version
    for name, versions in VERSIONS.items()
    for version in versions
}


def schema_ids(event_type: str) -> list[str]:
    """The ids of the schemas of all versions of an event type."""
    return [events.schema_id(event_type, version) for version in VERSIONS[event_type]]


def class_of(event_type: str, version: int) -> type[Any]:
    """The class of a known version of an event type."""
    return events.MODELS[event_type] if version == 1 else LATER_MODELS[event_type, version]


def newest_class(event_type: str) -> type[Any]:
    """The class of the newest version of an event type."""
    return class_of(event_type, VERSIONS[event_type][-1])


def version_of(event_type: str, dataschema: object) -> int | None:
    """The version of an event by its `dataschema`; None if it is one of ours that isn't known."""
    if not is_ours(dataschema):
        return 1
    return _VERSION_OF.get((event_type, dataschema))


def is_ours(dataschema: object) -> bool:
    """Whether it names a schema of netsold's; bytes are a text that isn't UTF-8."""
    if isinstance(dataschema, bytes):
        return dataschema.startswith(events.SCHEMAS.encode())
    return isinstance(dataschema, str) and dataschema.startswith(events.SCHEMAS)


def in_headers(event: EventFields) -> tuple[str, ...]:
    """The fields of an event that its headers have in binary mode, not its value."""
    common = events.common_of(str(event["type"]))
    return (*common, "dataschema") if is_ours(event.get("dataschema")) else common


def upcast(event_type: str, version: int, fields: EventFields) -> EventFields:
    """The fields of an event of a known version as those of the newest one."""
    for known in VERSIONS[event_type][version - 1 : -1]:
        fields = UPCASTERS[event_type, known](fields)
    return fields


def as_newest(event: EventFields) -> dict[str, Any]:
    """An event of version 1, given by its fields, as its producer would send the newest version."""
    name = event["type"]
    newest = VERSIONS[name][-1]
    found = dict(upcast(name, 1, event))
    return found if newest == 1 else found | {"dataschema": events.schema_id(name, newest)}
