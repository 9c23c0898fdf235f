"""How the fields of a JSON Schema stand in a page: name, kind, meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = 12
"""As many values of a list as a page names."""


def rows(schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Of each field: its name, whether it may be absent, its kind, its meaning."""
    required = set(schema.get("required", ()))
    for name, about in schema.get("properties", {}).items():
        yield (
            f"`{name}`",
            "" if name in required else "may be absent",
            kind(about, schema.get("$defs", {})),
            about.get("description", ""),
        )


def kind(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a field's values are, in a few words."""
    if "anyOf" in about:
        return " or ".join(kind(one, definitions) for one in about["anyOf"])
    if "$ref" in about:
        return kind(definitions[about["$ref"].rsplit("/", 1)[-1]], definitions)
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        values = about["enum"]
        return ", ".join(map(str, values)) if len(values) <= FEW else "an ISO 4217 code in use"
    if about.get("type") == "object":
        return _object(about, definitions)
    if about.get("type") == "array":
        return _list(about, definitions)
    if about.get("type") == "integer":
        bounded = "minimum" in about
        return f"integer {about['minimum']} to {about['maximum']}" if bounded else "integer"
    if about.get("format") == "date-time":
        return "instant"
    if about.get("type") == "string":
        longest = about.get("maxLength")
        return "text" if longest is None else f"text of 1 to {longest} characters"
    return str(about.get("type", "any"))


def _object(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "properties" in about:
        inside = about["properties"].items()
        return "{" + ", ".join(f"{name}: {kind(one, definitions)}" for name, one in inside) + "}"
    return f"object of {kind(about.get('additionalProperties', {}), definitions)} by name"


def _list(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "prefixItems" in about:
        places = (_place(one, definitions) for one in about["prefixItems"])
        return f"[{', '.join(places)}]"
    least = " of at least 1" if about.get("minItems") else " of"
    sign = " ×" if about.get("minItems") else ""
    return f"list{least}{sign} {kind(about.get('items', {}), definitions)}"


def _place(one: dict[str, Any], definitions: dict[str, Any]) -> str:
    name = one.get("title")
    return f"{name}: {kind(one, definitions)}" if name else kind(one, definitions)
