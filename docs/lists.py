"""Writes docs/reference/*.md from the lists in the code: `make docs`.

A test compares the pages with the code.
"""

from __future__ import annotations

import inspect
import re
from enum import EnumType
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.core import TyperArgument, TyperOption

from docs import fields, texts, topic_pages
from docs.topic_pages import table
from operations import cli
from operations.cli import COMMANDS, EXIT_CODES, OF_POINTED
from operations.contract import forms, releases
from operations.doctor import checks
from operations.exporting.forms import DATASETS, SQL_TYPES
from operations.exporting.views import VIEWS
from schemas import event_versions, events, http_limits
from schemas.answers import STATES
from schemas.refusals import Reason
from serving.api import make_app
from serving.conditional import FRESHNESS_HEADERS
from serving.problems import Kind
from serving.reader import Reader
from serving.subjects import SUBJECTS
from streams import topics
from streams.settings import Kafka, Settings
from tables import catalogue
from tables.counting import Anomaly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FOLDER: Final = Path(__file__).parent / "reference"
FLOW_BEGIN: Final = "<!-- flow -->"
FLOW_END: Final = "<!-- /flow -->"
FLOW_PAGES: Final = (FOLDER.parent.parent / "README.md", FOLDER.parent / "architecture.md")
"""Pages that show the flow between these marks."""

GROUPS: Final = {group.name: group for group in cli.GROUPS}
"""The commands that have commands of their own."""

_ANOMALIES: Final = {
    Anomaly.CANCELLED_AFTER_RECEIPT: "The order was cancelled after this line's receipt: the sale"
    " counts, and only a refund takes it off (S4).",
    Anomaly.CONFLICTING_EVENT: "The same event, refund or placing arrived with other content: the"
    " earlier one counts (S11).",
    Anomaly.RECEIVED_AFTER_CANCEL: "This line was received after the order was cancelled: no sale"
    " (S4).",
    Anomaly.REFUND_EXCEEDS_SALE: "A refund claims more of this line than is left: it is cut to what"
    " is left (S8).",
    Anomaly.UNKNOWN_LINE: "A receipt or refund names a line that the order doesn't have: it counts"
    " nothing (S8).",
    Anomaly.UNKNOWN_PRODUCT: "A review names a product that the order doesn't have: it counts"
    " nothing (R5).",
}
_MADE = "<!-- Made by `make docs` from the code; don't edit. -->\n\n"


def pages() -> dict[str, str]:
    """The pages by file name."""
    made = {
        "settings.md": _settings(),
        "topics.md": _topics(),
        "tables.md": _tables(),
        "flow.md": f"# The flow\n\n{flow()}",
        "events.md": _events(),
        "refusals.md": _refusals(),
        "anomalies.md": _anomalies(),
        "api.md": _api(),
        "metrics.md": _metrics(),
        "commands.md": _commands(),
        "exports.md": _exports(),
    }
    contract = releases.files()
    files = {releases.ASYNCAPI_FILE: contract.pop(releases.ASYNCAPI_FILE)} | {
        f"schemas/{name}": text for name, text in contract.items()
    }
    files["openapi.json"] = releases.written(_contract())
    return {name: _MADE + text for name, text in made.items()} | files


def _settings() -> str:
    def rows(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str, str]]:
        for name, field in model.model_fields.items():
            if field.annotation is not Kafka:
                has_default = field.default not in {None, PydanticUndefined}
                default = f"`{field.default}`" if has_default else ""
                yield f"`{prefix}{name.upper()}`", default, field.description or ""

    head = (
        "# Settings\n\nRead from the environment (or `.env`); a command-line flag takes precedence"
        " over the environment.\n\n"
    )
    return head + table(
        ("variable", "default", "meaning"),
        [*rows(Settings, "NETSOLD_"), *rows(Kafka, "NETSOLD_KAFKA__")],
    )


def _topics() -> str:
    settings = Settings(_env_file=None)
    rows = [
        (
            f"`{topic.name}`",
            topic.kind,
            topic.key,
            "<br>".join(f"`{key}={value}`" for key, value in topic.configs.items()),
            topic.meaning,
        )
        for topic in topics.declared(settings)
    ]
    head = "# Topics\n\nAs `netsold topics create` declares them with the default settings.\n\n"
    return head + table(("topic", "kind", "key", "policy", "holds"), rows) + "\n" + _partitioners()


def _partitioners() -> str:
    return texts.PARTITIONERS.replace(
        "{clients}", table(("client", "murmur2 by", "differs without"), texts.CLIENTS)
    )


def _tables() -> str:
    stages = [
        (
            stage.name,
            f"`{stage.source}`",
            ", ".join(f"`{name}`" for name in stage.sends) or "–",
            ", ".join(f"`{name}`" for name in stage.emits) or "–",
            ", ".join(f"`{name}`" for name in stage.publishes) or "–",
        )
        for stage in catalogue.STAGES
    ]
    tables = [
        (
            f"`{table.name}`",
            f"`{table.keyed_by}`" + (" and cycle" if table.windowed else ""),
            table.stage,
            table.contents,
        )
        for table in catalogue.TABLES
    ]
    return (
        "# Stages and tables\n\n"
        + table(("stage", "reads", "sends to, with progress marks", "emits", "publishes"), stages)
        + "\n"
        + table(("table", "key", "written by stage", "holds"), tables)
    )


def _exports() -> str:
    views = [(f"`{name}`", view.contents) for name, view in VIEWS.items()]
    parts = [
        "# Files of an export, and views\n\nTypes are those of DuckDB; in files an integer is"
        " `int64`, a time `timestamp[ms, UTC]`. What an export is: [exports](../export.md).\n\n"
        + table(("view of netsold sql", "shows"), views)
    ]
    for one in DATASETS.values():
        folder = f"{one.name}/cycle=…/" if one.by_cycle else f"{one.name}/"
        rows = [(f"`{name}`", f"`{SQL_TYPES[kind]}`", about) for name, kind, about in one.columns]
        parts.append(
            f"\n## {one.name}\n\n{one.contents[0].upper()}{one.contents[1:]}. In `{folder}`,"
            f" sorted by {', '.join(f'`{name}`' for name in one.sorted_by)}.\n\n"
            + table(("column", "type", "holds"), rows)
        )
    return "".join(parts)


def flow() -> str:
    """The flow as a Mermaid picture: topics, stages with their tables, and readers."""
    lines = ["```mermaid", "flowchart LR"]
    for topic in catalogue.PUBLIC_TOPICS:
        key = (
            ""
            if topic.kind in {"dead letters", "decisions", "control"}
            else f"<br/>key {topic.key}"
        )
        lines.append(f"  {_node(topic.name)}([{topic.name}{key}])")
    for stage in catalogue.STAGES:
        tables = "<br/>".join(table.name for table in stage.tables)
        lines.append(f"  {stage.name}_stage[{stage.name} stage<br/>{tables}]")
    for stage in catalogue.STAGES:
        lines.append(f"  {_node(stage.source)} --> {stage.name}_stage")
        lines += [f"  {stage.name}_stage --> {_node(topic)}" for topic in stage.written]
    stages = " & ".join(f"{stage.name}_stage" for stage in catalogue.STAGES)
    decided = _node(catalogue.DECISIONS_TOPIC)
    indexed = " & ".join(map(_node, (catalogue.ORDERS_TOPIC, catalogue.DEAD_LETTERS_TOPIC)))
    return "\n".join(
        [
            *lines,
            f"  {stages} -. refused records .-> {_node(catalogue.DEAD_LETTERS_TOPIC)}",
            f"  {stages} -- changelogs --> reader[reader<br/>own store, HTTP]",
            f"  {_node(catalogue.SALES_TOPIC)} --> reader",
            f"  {_node(catalogue.DEAD_LETTERS_TOPIC)} -. requeue, discard .-> {decided}",
            f"  {indexed} -- event index --> reader",
            f"  {_node(catalogue.NAMES_TOPIC)} --> reader",
            f"  {_node(catalogue.CONTROL_TOPIC)} -- pointer --> reader",
            "```\n",
        ]
    )


def _node(topic: str) -> str:
    """A topic's name as Mermaid's identifiers are written."""
    return topic.replace("-", "_")


def with_flow(page: str) -> str:
    """The text of a page with the picture of the flow in its marked block, if it has one."""
    return re.sub(f"(?<={FLOW_BEGIN}\n).*?(?={FLOW_END})", lambda _: flow(), page, flags=re.DOTALL)


def _events() -> str:
    by_id = {form.id: form for form in forms.FORMS}
    parts = ["# Events\n\n" + texts.EVENTS_HEAD + "\n" + texts.KEYS]
    for name, model in events.MODELS.items():
        about = (inspect.getdoc(model) or "").split("\n\n")[0]
        parts.append(f"\n## {name}\n\n{about} ")
        before: list[tuple[str, str, str, str]] = []
        for form in (by_id[one] for one in event_versions.schema_ids(name)):
            rows = [*fields.rows(forms.schema_of(form))]
            link = f"[schema](schemas/{form.file})"
            parts.append(
                f"Its value's {link}.\n\n"
                if form.version == 1
                else f"\n**Version {form.version}** (`ce_dataschema` or `dataschema` is"
                f" `{form.id}`), its value's {link}. What differs:\n\n"
            )
            differing = [row for row in rows if row not in before]
            parts.append(table(("field", "", "kind", "meaning"), differing))
            before = rows
    return "".join(parts)


def _refusals() -> str:
    rows = [(f"`{reason.value}`", reason.sentence, reason.remedy) for reason in Reason]
    return (
        "# Refusals\n\nWhy a record is parked, in order of precedence: a record with several faults"
        " has the first reason.\n\n" + table(("reason", "what is wrong", "what to do"), rows)
    )


def _metrics() -> str:
    from serving import metrics as readers
    from streams import metrics as workers
    from streams import process_metrics

    rows = []
    for where, module in (
        ("worker", workers),
        ("reader", readers),
        ("worker, reader", process_metrics),
    ):
        for metric in vars(module).values():
            if hasattr(metric, "describe") and hasattr(metric, "_documentation"):
                (family,) = metric.describe()
                name = family.name + ("_total" if family.type == "counter" else "")
                rows.append(
                    (
                        f"`{name}`",
                        family.type,
                        ", ".join(metric._labelnames),  # noqa: SLF001
                        where,
                        family.documentation,
                    )
                )
    return (
        "# Metrics\n\nOf a worker at `NETSOLD_METRICS_HOST` and `_PORT`, of a reader at its own"
        " address; alerts, the dashboard and traces: [monitoring](../monitoring.md)."
        " prometheus_client adds `process_…` and `python_…`.\n\n"
    ) + table(("metric", "kind", "labels", "of", "meaning"), rows)


def _anomalies() -> str:
    rows = [(f"`{anomaly.value}`", _ANOMALIES[anomaly]) for anomaly in Anomaly]
    return (
        "# Anomalies\n\nContradictions in an order that is read and counted all the same. `netsold"
        " get order` shows them; none stops anything.\n\n" + table(("anomaly", "meaning"), rows)
    )


def _commands() -> str:
    parts = [
        "# Commands\n\n"
        + table(
            ("command", "what it does"),
            [(f"`netsold {command.name}`", command.help) for command in COMMANDS],
        )
    ]
    for name, group in GROUPS.items():
        rows = [
            (f"`netsold {name} {one.name}`", inspect.getdoc(one.callback) or "")
            for one in import_module(group.module).app.registered_commands
        ]
        parts.append("\n" + table((f"netsold {name} …", group.help), rows))
    called = {command.name: import_module(command.module).command for command in COMMANDS}
    for name, group in GROUPS.items():
        group_app = import_module(group.module).app
        if group_app.registered_callback is not None:  # the group does something by itself
            called[name] = group_app.registered_callback.callback
        called |= {f"{name} {one.name}": one.callback for one in group_app.registered_commands}
    about = {
        one.name: (inspect.getdoc(called[one.name]) or "")
        + (f"\n\n{OF_POINTED}" if one.asks_reader else "")
        for one in COMMANDS
    }
    about |= {name: inspect.getdoc(called[name]) or "" for name in GROUPS.keys() & called.keys()}
    parts += [_options(name, one, about.get(name)) for name, one in called.items()]
    parts.append(
        "\n## Checks of netsold doctor\n\nEach has the level `ok`, `warning` or `fault`. `--mend`"
        f" ends the faults of {' and '.join(f'`{name}`' for name in checks.MENDED)}.\n\n"
        + table(
            ("check", "what it checks"),
            [(f"`{name}`", inspect.getdoc(check) or "") for name, check in checks.CHECKS.items()],
        )
    )
    parts.append("\n## Exit codes\n\n" + table(("code", "meaning"), EXIT_CODES.items()))
    return "".join(parts)


def _options(name: str, function: Callable[..., None], text: str | None) -> str:
    """The section of a command's arguments and options, below a text; empty if it has none."""
    single = typer.Typer(add_completion=False)
    single.command()(function)
    kinds = {
        parameter: get_args(one.annotation)[0]
        for parameter, one in inspect.signature(function, eval_str=True).parameters.items()
        if get_args(one.annotation)  # not typer's context
    }
    given = [
        one
        for one in typer.main.get_command(single).params
        if isinstance(one, TyperArgument | TyperOption)
    ]
    options = [_option(one, kinds[one.name]) for one in given if one.name in kinds]
    if not options:
        return ""
    above = f"{text}\n\n" if text else ""
    return f"\n## netsold {name}\n\n{above}" + table(("", "default", "meaning"), options)


def _option(option: TyperArgument | TyperOption, kind: object) -> tuple[str, str, str]:
    """How a parameter of a command is given, its default, what it means."""
    name = (
        option.opts[0]
        if option.opts[0].startswith("-")
        else option.metavar or option.opts[0].upper()
    )
    default = (
        "required"
        if option.required
        else ""
        if option.default in {None, False}
        else f"`{option.default}`"
    )
    choices = [
        choice
        for one in (kind, *get_args(kind))  # itself, or within an optional one
        if get_origin(one) is Literal or isinstance(one, EnumType)
        for choice in (one if isinstance(one, EnumType) else get_args(one))
    ]
    one_of = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return f"`{name}`", default, f"{option.help}{one_of}"


def _contract() -> dict[str, Any]:
    """The contract of the API; it doesn't depend on settings."""
    return make_app(Reader(Settings(_env_file=None))).openapi()


def _api() -> str:
    operations = {path: methods["get"] for path, methods in _contract()["paths"].items()}
    rows = [(f"`{path}`", _answer(operation)) for path, operation in operations.items()]
    kinds = (*(subject.unknown for subject in SUBJECTS), *Kind)
    problems = [(f"`{kind.type}`", kind.status, kind.title) for kind in kinds]
    states = [(f"`{state}`", meaning) for state, meaning in STATES.items()]
    return (
        "# HTTP API\n\nA reader answers GET, and HEAD with the same headers. A list's `Link` leads"
        " to its next page. [openapi.json](openapi.json) is the contract (OpenAPI 3.1); a reader"
        " has it at `/openapi.json`, and at `/docs` a page to try it.\n\n"
        "Money is an integer in minor units of its currency by ISO 4217: 2997 is USD 29.97, but JPY"
        " 2,997 and KWD 2.997.\n\n"
        "A parameter that an address doesn't have, that is given twice, or that is empty is refused"
        " (422), and so is a value that can't be used.\n\n"
        + table(("address", "answer"), rows)
        + "\n## Parameters\n\n"
        + table(("parameter", "of", "meaning"), _parameters(operations))
        + "\n"
        + _caching()
        + "\n## States\n\nOf an answer, in `freshness.state`.\n\n"
        + table(("state", "meaning"), states)
        + "\n## Problems\n\nErrors are `application/problem+json` (RFC 9457) with a stable `type`."
        " A 503 has `Retry-After`.\n\n" + table(("type", "status", "title"), problems)
    )


def _parameters(operations: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    """(parameter, addresses, meaning), one row for each meaning; the addresses where it has two."""
    meanings: dict[str, dict[str, list[str]]] = {}
    for path, operation in operations.items():
        for one in operation.get("parameters", ()):
            if one["in"] == "query":
                meaning = one["description"] + _bounds(one["schema"])
                meanings.setdefault(one["name"], {}).setdefault(meaning, []).append(path)
    for name, of in meanings.items():
        for meaning, paths in of.items():
            where = "all that take it" if len(of) == 1 else ", ".join(f"`{one}`" for one in paths)
            yield f"`{name}`", where, meaning


def _bounds(schema: dict[str, Any]) -> str:
    """The least and the largest value of a whole number, if it is bounded by both."""
    if "minimum" not in schema or "maximum" not in schema:
        return ""
    return f" From {schema['minimum']:,} to {schema['maximum']:,}."


def _caching() -> str:
    headers = table(
        ("header", "holds"),
        [(f"`{name}`", meaning) for name, meaning in FRESHNESS_HEADERS.items()],
    )
    return texts.CACHING.replace("{headers}\n", headers).replace(
        "{size}", f"{http_limits.COMPRESSED_BYTES:,}"
    )


def _answer(operation: dict[str, Any]) -> str:
    names = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
    return str(operation["description"]) + (f" Takes {', '.join(names)}." if names else "")


def main() -> None:
    """Write the pages, the picture of the flow into the pages that show it, and topics' facts."""
    (FOLDER / "schemas").mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for page in FLOW_PAGES:
        page.write_text(with_flow(page.read_text(encoding="utf-8")), encoding="utf-8")
    for page in topic_pages.PAGES:
        text = topic_pages.with_facts(page.read_text(encoding="utf-8"), page.stem)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
