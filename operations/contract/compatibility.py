"""Which changes of a schema break old records or old readers.

A version of a schema is compatible in both directions with each kept one (FULL_TRANSITIVE): a
reader of the new schema reads records of the old one, and the other way round. Schemas are open, so
readers ignore fields that they don't know, and values of an enum or alternatives may be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Schema = dict[str, Any]
_NULL: Final = {"type": "null"}
_FIXED: Final = (
    ("type", "type changed"),
    ("const", "value changed"),
    ("format", "format changed"),
    ("pattern", "pattern changed"),
    ("default", "default changed"),
    ("minimum", "bound changed"),
    ("maximum", "bound changed"),
    ("minLength", "bound changed"),
    ("maxLength", "bound changed"),
    ("minItems", "bound changed"),
)
"""Keywords whose values may not change, each with the kind of the break."""
_ABSENT: Final = "absent"

REMEDIES: Final = {
    "schema removed": "put it back: records of it stay in the log",
    "field removed": "put it back, and if nothing writes it any more, leave it optional",
    "required added": "make it optional: older records don't have it",
    "required removed": "leave it required: older readers need it",
    "type changed": "leave it, and add a field of another name",
    "value changed": "leave it, and add a form of another name",
    "format changed": "leave it, and add a field of another name",
    "pattern changed": "leave it, and add a field of another name",
    "default changed": "leave it: a record without the field means the old default",
    "bound changed": "leave it, or state the new bound in the page of the topic alone",
    "enum value removed": "put it back: older records have it",
    "alternative removed": "put it back: older records have it",
    "closed": "leave it open: readers ignore what they don't know",
    "opened": "leave it closed: older readers refuse what they don't know",
    "added to a closed form": "add a form of another name: older readers refuse unknown fields",
}
"""By kind of break: the way out within the version."""


@dataclass(frozen=True, slots=True)
class Break:
    """A change that breaks a kept schema, at a field such as `lines[].quantity`.

    `was` and `now` are the values that differ, as texts.
    """

    schema: str
    release: str
    field: str
    kind: str
    was: str
    now: str

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return REMEDIES[self.kind]

    def __str__(self) -> str:
        """One sentence: what changed, since which release, and the way out."""
        where = f"{self.schema}: {self.field}" if self.field else self.schema
        values = f" ({self.was} → {self.now})" if self.was or self.now else ""
        return (
            f"{where}: {self.kind}{values} since {self.release}: {self.remedy}; "
            "or give the form its next version, beside this one"
        )


def breaks(kept: Mapping[str, Schema], now: Mapping[str, Schema], release: str) -> list[Break]:
    """What breaks the kept schemas of a release; both are by file name, such as `mark.1.json`."""
    found = []
    for file, old in sorted(kept.items()):
        name = file.removesuffix(".json")
        if file not in now:
            found.append(Break(name, release, "", "schema removed", "", ""))
            continue
        compared = _Compared(old.get("$defs", {}), now[file].get("$defs", {}))
        found += [
            Break(name, release, field, *rest) for field, *rest in compared.part(old, now[file], "")
        ]
    return found


Found = tuple[str, str, str, str]
"""A field, the kind of break, the old and the new value."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """Two schemas, with the definitions that their references name."""

    old: Schema
    new: Schema

    def part(self, old: Schema, new: Schema, field: str) -> Iterator[Found]:
        """The breaks from one part to another."""
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        if bool(_of(old)) != bool(_of(new)):
            yield field, "type changed", _kind(old), _kind(new)
            return
        yield from self._values(old, new, field)
        yield from self._alternatives(old, new, field)
        yield from self._fields(old, new, field)
        yield from self._items(old, new, field)

    def _values(self, old: Schema, new: Schema, field: str) -> Iterator[Found]:
        was, now = _values_of(old), _values_of(new)
        for keyword, kind in _FIXED:
            one, other = old.get(keyword, _ABSENT), new.get(keyword, _ABSENT)
            listed = keyword == "const" and ("enum" in old or was < now)
            if one != other and not listed:
                yield field, kind, str(one), str(other)
        if "enum" in old and not now:
            yield field, "type changed", "listed values", "any value"
        elif "enum" in old:
            for value in sorted(was - now):
                yield field, "enum value removed", value, ""
        elif "enum" in new and not was:
            yield field, "type changed", "any value", "listed values"

    def _alternatives(self, old: Schema, new: Schema, field: str) -> Iterator[Found]:
        was, now = (
            {_name_of(one, place, definitions): one for place, one in enumerate(_of(schema))}
            for schema, definitions in ((old, self.old), (new, self.new))
        )
        if ("null" in was) != ("null" in now):
            yield field, "type changed", _kind(old), _kind(new)
            return
        for name, one in was.items():
            if name in now:
                yield from self.part(one, now[name], field)
            else:
                yield field, "alternative removed", name, ""

    def _fields(self, old: Schema, new: Schema, field: str) -> Iterator[Found]:
        was, now = old.get("properties", {}), new.get("properties", {})
        for name, about in was.items():
            if name not in now:
                yield _path(field, name), "field removed", "", ""
            else:
                yield from self.part(about, now[name], _path(field, name))
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(needs - needed):
            yield _path(field, name), "required added", "", ""
        for name in sorted((needed - needs) & now.keys()):
            yield _path(field, name), "required removed", "", ""
        closed, closes = (one.get("additionalProperties") is False for one in (old, new))
        if closed != closes:
            yield field, "closed" if closes else "opened", "", ""
        elif closed:
            for name in sorted(now.keys() - was.keys() - needs):
                yield _path(field, name), "added to a closed form", "", ""
        values = [one.get("additionalProperties") for one in (old, new)]
        if isinstance(values[0], dict) and isinstance(values[1], dict):
            yield from self.part(values[0], values[1], f"{field}.*")

    def _items(self, old: Schema, new: Schema, field: str) -> Iterator[Found]:
        was, now = old.get("prefixItems", []), new.get("prefixItems", [])
        for place, about in enumerate(was):
            name = f"{field}[{place}]"
            if place >= len(now):
                yield name, "field removed", "", ""
            else:
                yield from self.part(about, now[place], name)
        items = [one.get("items") for one in (old, new)]
        if isinstance(items[0], dict) and isinstance(items[1], dict):
            yield from self.part(items[0], items[1], f"{field}[]")


def _path(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    return found | {key: about for key, about in schema.items() if key != "$ref"}


def _of(schema: Schema) -> list[Schema]:
    found: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    return found


def _values_of(schema: Schema) -> set[str]:
    """The values that are allowed, where they are listed."""
    return {str(one) for one in schema.get("enum", [schema["const"]] if "const" in schema else [])}


def _kind(schema: Schema) -> str:
    """What values a part allows, in a few words."""
    parts = [_kind(one) for one in _of(schema)]
    return " or ".join(parts) or str(schema.get("type") or schema.get("$ref", "value")[8:])


def _name_of(one: Schema, place: int, definitions: Schema) -> str:
    """An alternative's name: its `type` field's value, the name of its form, `null`, or its place.

    Alternatives of other names are not the same, wherever they are listed.
    """
    if one == _NULL:
        return "null"
    whole = _resolved(one, definitions)
    tag = whole.get("properties", {}).get("type", {}).get("const")
    if tag is not None:
        return str(tag)
    name = one.get("$ref", "").rsplit("/", 1)[-1]
    return name or f"{whole.get('type', 'alternative')} {place}"
