"""Writes docs/reference/*.md from the lists in the code: `make docs`. A test compares them, so that they stay true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from operations.cli import COMMANDS, EXIT_CODES
from schemas import events
from schemas.refusals import Reason
from streams import topics
from streams.settings import Kafka, Settings
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parent / "reference"
_MADE = "<!-- Made by `make docs` from the code; don't edit. -->\n\n"


def pages() -> dict[str, str]:
    """The pages by file name."""
    made = {
        "settings.md": _settings(),
        "topics.md": _topics(),
        "tables.md": _tables(),
        "events.md": _events(),
        "refusals.md": _refusals(),
        "metrics.md": _metrics(),
        "commands.md": _commands(),
    }
    return {name: _MADE + text for name, text in made.items()}


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _settings() -> str:
    def rows(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str, str]]:
        for name, field in model.model_fields.items():
            if field.annotation is not Kafka:
                default = "" if field.default is None else f"`{field.default}`"
                yield f"`{prefix}{name.upper()}`", default, field.description or ""

    head = "# Settings\n\nRead from the environment (or `.env`); a command-line flag wins over the environment.\n\n"
    return head + _table(("variable", "default", "meaning"), [*rows(Settings, "NETSOLD_"), *rows(Kafka, "NETSOLD_KAFKA__")])


def _topics() -> str:
    settings = Settings(_env_file=None)
    rows = [
        (f"`{topic.name}`", topic.kind, topic.key, "<br>".join(f"`{key}={value}`" for key, value in topic.configs.items()), topic.meaning)
        for topic in topics.declared(settings)
    ]
    return "# Topics\n\nAs `netsold topics create` declares them with the default settings.\n\n" + _table(
        ("topic", "kind", "key", "policy", "holds"), rows
    )


def _tables() -> str:
    stages = [(stage.name, f"`{stage.source}`", ", ".join(f"`{name}`" for name in stage.sends) or "–") for stage in catalogue.STAGES]
    tables = [
        (f"`{table.name}`", f"`{table.keyed_by}`" + (" and cycle" if table.windowed else ""), table.stage, table.holds)
        for table in catalogue.TABLES
    ]
    return (
        "# Stages and tables\n\n"
        + _table(("stage", "reads", "sends to"), stages)
        + "\n"
        + _table(("table", "key", "written by stage", "holds"), tables)
    )


def _events() -> str:
    parts = [
        "# Events\n\nEvery event has `type`, `id`, `source`, `occurred_at` (RFC 3339 with zone) and `order_id`. Unknown fields pass.\n"
    ]
    for name, model in events.MODELS.items():
        schema = model.model_json_schema()
        required = set(schema.get("required", ()))
        rows = [
            (f"`{field}`", "" if field in required else "may be absent", _kind(about, schema.get("$defs", {})))
            for field, about in schema["properties"].items()
            if field not in {*events.COMMON, "occurred_at_ms"}
        ]
        parts.append(f"\n## {name}\n\n" + (_table(("field", "", "kind"), rows) if rows else "No more fields.\n"))
    return "".join(parts)


def _kind(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_kind(one, definitions) for one in about["anyOf"] if one.get("type") != "null")
    if "$ref" in about:
        inside = definitions[about["$ref"].rsplit("/", 1)[-1]]
        if "properties" in inside:
            return "{" + ", ".join(f"{name}: {_kind(one, definitions)}" for name, one in inside["properties"].items()) + "}"
        return _kind(inside, definitions)
    if "enum" in about:
        values = about["enum"]
        few = 12
        return ", ".join(map(str, values)) if len(values) <= few else "an ISO 4217 code in use"
    if about.get("type") == "array":
        return f"list of 1 to {about.get('maxItems')} × {_kind(about.get('items', {}), definitions)}"
    if about.get("type") == "integer":
        return f"integer {about.get('minimum', '')} to {about.get('maximum', '')}"
    if about.get("type") == "string" and "maxLength" in about:
        return f"text of 1 to {about['maxLength']} characters"
    return str(about.get("const", about.get("type", "any")))


def _refusals() -> str:
    rows = [(f"`{reason.value}`", reason.sentence, reason.remedy) for reason in Reason]
    return "# Refusals\n\nWhy a record is parked, first to last: a record with several faults has the first reason.\n\n" + _table(
        ("reason", "what is wrong", "what to do"), rows
    )


def _metrics() -> str:
    from serving import metrics as readers
    from streams import metrics as workers

    rows = []
    for where, module in (("worker", workers), ("reader", readers)):
        for metric in vars(module).values():
            if hasattr(metric, "describe") and hasattr(metric, "_documentation"):
                (family,) = metric.describe()
                name = family.name + ("_total" if family.type == "counter" else "")
                rows.append((f"`{name}`", family.type, ", ".join(metric._labelnames), where, family.documentation))  # noqa: SLF001
    return "# Metrics\n\n" + _table(("metric", "kind", "labels", "of", "meaning"), rows)


def _commands() -> str:
    rows = [(f"`netsold {command.name}`", command.help) for command in COMMANDS]
    rows += [
        ("`netsold kafka start\\|stop\\|status`", "The local Kafka in the data directory."),
        ("`netsold topics create\\|check`", "The topics."),
    ]
    codes = [(code, meaning) for code, meaning in EXIT_CODES.items()]
    return (
        "# Commands\n\nEach tells its options with `--help`.\n\n"
        + _table(("command", "what it does"), rows)
        + "\n"
        + _table(("exit code", "meaning"), codes)
    )


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
