"""Rules with other terms than the built-in ones, in settings and in files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streams.rules import Rules, TermValues, built_in

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings


def changed(rules: Rules, **values: object) -> Rules:
    """Rules with other values of some terms."""
    found = TermValues.model_validate(rules.values.model_dump() | values)
    return replace(rules, values=found, terms=found.terms())


def by_terms(settings: Settings, **values: object) -> Settings:
    """Settings with other values of some terms."""
    return settings.model_copy(update={"rules": changed(settings.rules, **values)})


def rules_file(path: Path, rules: Rules | None = None, /, **values: object) -> Path:
    """A rules file without examples: these rules, or the built-in ones, with other values."""
    written = changed(rules or built_in(), **values).values.written()
    lines = [f"{name} = {getattr(written, name)!r}" for name in written.__struct_fields__]
    path.write_text("version = 8\n\n[terms]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path
