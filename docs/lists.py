"""Writes docs/reference/*.md from the lists in the code: `make docs`.

A test compares them, so that they stay true.
"""

from __future__ import annotations

import inspect
from enum import EnumType
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import typer
from fastapi import FastAPI
from pydantic import BaseModel
from typer.core import TyperArgument, TyperOption

from operations import cli
from operations.cli import COMMANDS, EXIT_CODES
from schemas import events
from schemas.answers import STATES
from schemas.refusals import Reason
from serving import api, health
from serving.problems import Kind
from streams import topics
from streams.settings import Kafka, Settings
from tables import catalogue
from tables.counting import Anomaly

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parent / "reference"
GROUPS: Final = {group.name: group for group in cli.GROUPS}
"""The commands that have commands of their own."""

_ANOMALIES: Final = {
    Anomaly.CANCELLED_AFTER_RECEIPT: "The order was cancelled after this line's receipt: the sale stands, only a refund takes it off (S4).",
    Anomaly.CONFLICTING_EVENT: "The same event, refund or placing came with other content: the earlier one holds (S11).",
    Anomaly.RECEIVED_AFTER_CANCEL: "This line was received after the order was cancelled: no sale (S4).",
    Anomaly.REFUND_EXCEEDS_SALE: "A refund asks for more of this line than is left: it is cut to what is left (S8).",
    Anomaly.UNKNOWN_LINE: "A receipt or refund names a line that the order doesn't have: it counts nothing (S8).",
    Anomaly.UNKNOWN_PRODUCT: "A review is of a product that the order doesn't have: it counts nothing (R5).",
}
_CLIENTS: Final = (
    (
        "Java, Kafka Streams, Kafka Connect",
        "nothing: the default",
        "a `partitioner.class` of its own",
    ),
    ("Python: aiokafka, kafka-python", "nothing: the default", "a `partitioner` of its own"),
    (
        "Python: confluent-kafka",
        '`Producer({"bootstrap.servers": …, "partitioner": "murmur2_random"})`',
        "yes, crc32",
    ),
    (
        "C and C++: librdkafka",
        '`rd_kafka_conf_set(conf, "partitioner", "murmur2_random", …)`',
        "yes, crc32",
    ),
    ("Go: confluent-kafka-go", '`kafka.ConfigMap{"partitioner": "murmur2_random"}`', "yes, crc32"),
    ("Go: franz-go", "nothing: the default", "a `kgo.RecordPartitioner` of its own"),
    (
        "Go: segmentio/kafka-go",
        "`kafka.Writer{Balancer: &kafka.Murmur2Balancer{}}`",
        "yes: round robin, whatever the key",
    ),
    (
        "Go: Sarama",
        "`sarama.NewCustomPartitioner(sarama.WithAbsFirst(), sarama.WithCustomHashFunction(murmur2))`, with a murmur2 of yours",
        "yes: FNV-1a",
    ),
    (
        "Node: kafkajs 2",
        "`kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })`: the default",
        "version 1: a hash of its own",
    ),
    (
        "Node: confluent-kafka-javascript, node-rdkafka",
        "`'partitioner': 'murmur2_random'` in the producer's configuration",
        "to be safe",
    ),
    (
        ".NET: Confluent.Kafka",
        "`new ProducerConfig { Partitioner = Partitioner.Murmur2Random }`",
        "yes, crc32",
    ),
    ("Rust: rdkafka", '`ClientConfig::new().set("partitioner", "murmur2_random")`', "yes, crc32"),
)
"""Of each client: what makes it choose partitions by murmur2, and what it does without."""

_EVENTS_HEAD: Final = """\
Every event has `type`, `id` (unique within `source`), `source` and `occurred_at`. Events of orders have `order_id`; messages have
`shop_id` and `buyer_id`. Ids are texts, without control characters. Unknown fields pass, and null is absent. Money is in minor units.

`occurred_at` is RFC 3339 with zone, read to the millisecond. A leap second (`2016-12-31T23:59:60Z`) is the last millisecond before it,
so that it stays in its day and its cycle.

An event has at most 262,144 bytes. Nothing else bounds how many lines an order or a refund has, or `line_ids` names: some 3,000 usual
lines fit. All lines of an order together come to at most 10^18 minor units.

## Forms

As records of `orders` and `chats`, in files for `netsold import` and `netsold recount` (there without the first), all are read alike:

- CloudEvents 1.0 in binary mode: `ce_id` = `id`, `ce_source` = `source`, `ce_type` = `type`, `ce_time` = `occurred_at`, `ce_subject` =
  `order_id`; the rest is the value.
- CloudEvents 1.0 in structured mode, with `data` or `data_base64`, whatever `datacontenttype` says.
- One bare JSON object with the fields below.

A byte order mark before the JSON is passed over. Of a name that stands twice the last counts; numbers must be integers as written
(`2.0` isn't). NaN, half surrogate pairs and bytes that aren't UTF-8 are refused, in fields that nobody knows too.

A file is JSONL, one event a line, or one JSON array; plain, gzip, bzip2 or xz, known by its first bytes and not by its name. A line or
element that is too large is refused by its number, and the rest is read. UTF-16, CSV, one object over many lines, zip, Parquet, zstd and
folders are refused in one sentence, with the remedy, before anything is written.

From Debezium, send the outbox's events with `table.expand.json.payload=true`; from Kafka Connect, with
`value.converter.schemas.enable=false`, and keys by `StringConverter`: a key in JSON (`"o-1"` in quotes, or schema and payload) isn't
the order's id. A record of a row's change (`op`, `before`, `after`) is no event.
"""
_MADE = "<!-- Made by `make docs` from the code; don't edit. -->\n\n"


_PARTITIONERS: Final = (
    "## Partitioners\n\nAll events of an order, and all messages of a conversation, must lie in one partition, so all producers of a topic"
    " must choose partitions alike. Clients don't by themselves: most use Java's murmur2, those built on librdkafka use crc32 unless they"
    " are configured. `netsold` writes by `NETSOLD_PARTITIONER`, and parks what lies elsewhere"
    " ([wrong_partition](../runbook.md#wrong-partition)).\n\n"
    "{clients}"
    "\nA fleet that is librdkafka's throughout may keep its default: set `NETSOLD_PARTITIONER=crc32` before the first worker runs. A"
    " mirror must keep the partitions' numbers, or choose them anew by the key.\n"
)


_KEYS: Final = (
    "\nThe key of a record is the `order_id`, of a message `shop_id/buyer_id`, and all producers choose the partition by murmur2:"
    " librdkafka's clients need `partitioner=murmur2_random` ([client by client](topics.md#partitioners)).\n"
)


def pages() -> dict[str, str]:
    """The pages by file name."""
    made = {
        "settings.md": _settings(),
        "topics.md": _topics(),
        "tables.md": _tables(),
        "events.md": _events(),
        "refusals.md": _refusals(),
        "anomalies.md": _anomalies(),
        "api.md": _api(),
        "metrics.md": _metrics(),
        "commands.md": _commands(),
    }
    return {name: _MADE + text for name, text in made.items()}


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [
        list(head),
        *([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _settings() -> str:
    def rows(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str, str]]:
        for name, field in model.model_fields.items():
            if field.annotation is not Kafka:
                default = "" if field.default is None else f"`{field.default}`"
                yield f"`{prefix}{name.upper()}`", default, field.description or ""

    head = "# Settings\n\nRead from the environment (or `.env`); a command-line flag wins over the environment.\n\n"
    return head + _table(
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
    return head + _table(("topic", "kind", "key", "policy", "holds"), rows) + "\n" + _partitioners()


def _partitioners() -> str:
    return _PARTITIONERS.replace(
        "{clients}", _table(("client", "murmur2 by", "differs without"), _CLIENTS)
    )


def _tables() -> str:
    stages = [
        (
            stage.name,
            f"`{stage.source}`",
            ", ".join(f"`{name}`" for name in (*stage.sends, *stage.emits)) or "–",
        )
        for stage in catalogue.STAGES
    ]
    tables = [
        (
            f"`{table.name}`",
            f"`{table.keyed_by}`" + (" and cycle" if table.windowed else ""),
            table.stage,
            table.holds,
        )
        for table in catalogue.TABLES
    ]
    return (
        "# Stages and tables\n\n"
        + _table(("stage", "reads", "sends to"), stages)
        + "\n"
        + _table(("table", "key", "written by stage", "holds"), tables)
    )


def _events() -> str:
    parts = ["# Events\n\n" + _EVENTS_HEAD + "\n" + _KEYS]
    for name, model in events.MODELS.items():
        schema = model.model_json_schema()
        required = set(schema.get("required", ()))
        rows = [
            (
                f"`{field}`",
                "" if field in required else "may be absent",
                _kind(about, schema.get("$defs", {})),
            )
            for field, about in schema["properties"].items()
            if field not in {*events.common_of(name), "occurred_at_ms"}
        ]
        parts.append(
            f"\n## {name}\n\n"
            + (_table(("field", "", "kind"), rows) if rows else "No more fields.\n")
        )
    return "".join(parts)


def _kind(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(
            _kind(one, definitions) for one in about["anyOf"] if one.get("type") != "null"
        )
    if "$ref" in about:
        inside = definitions[about["$ref"].rsplit("/", 1)[-1]]
        if "properties" in inside:
            return (
                "{"
                + ", ".join(
                    f"{name}: {_kind(one, definitions)}"
                    for name, one in inside["properties"].items()
                )
                + "}"
            )
        return _kind(inside, definitions)
    if "enum" in about:
        values = about["enum"]
        few = 12
        return ", ".join(map(str, values)) if len(values) <= few else "an ISO 4217 code in use"
    if about.get("type") == "array":
        return f"list of at least 1 × {_kind(about.get('items', {}), definitions)}"
    if about.get("type") == "integer":
        return f"integer {about.get('minimum', '')} to {about.get('maximum', '')}"
    if about.get("type") == "string" and "maxLength" in about:
        return f"text of 1 to {about['maxLength']} characters"
    return str(about.get("const", about.get("type", "any")))


def _refusals() -> str:
    rows = [(f"`{reason.value}`", reason.sentence, reason.remedy) for reason in Reason]
    return (
        "# Refusals\n\nWhy a record is parked, first to last: a record with several faults has the first reason.\n\n"
        + _table(("reason", "what is wrong", "what to do"), rows)
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
                rows.append(
                    (
                        f"`{name}`",
                        family.type,
                        ", ".join(metric._labelnames),  # noqa: SLF001
                        where,
                        family.documentation,
                    )
                )
    return "# Metrics\n\n" + _table(("metric", "kind", "labels", "of", "meaning"), rows)


def _anomalies() -> str:
    rows = [(f"`{anomaly.value}`", _ANOMALIES[anomaly]) for anomaly in Anomaly]
    return (
        "# Anomalies\n\nWhat is odd about an order that can be read and counted all the same. `netsold get order` shows them;"
        " none stops anything.\n\n" + _table(("anomaly", "what it says"), rows)
    )


def _commands() -> str:
    parts = [
        "# Commands\n\n"
        + _table(
            ("command", "what it does"),
            [(f"`netsold {command.name}`", command.help) for command in COMMANDS],
        )
    ]
    for name, group in GROUPS.items():
        rows = [
            (f"`netsold {name} {one.name}`", inspect.getdoc(one.callback) or "")
            for one in import_module(group.module).app.registered_commands
        ]
        parts.append("\n" + _table((f"netsold {name} …", group.help), rows))
    for command in COMMANDS:
        function = import_module(command.module).command
        single = typer.Typer(add_completion=False)
        single.command()(function)
        kinds = {
            name: get_args(one.annotation)[0]
            for name, one in inspect.signature(function, eval_str=True).parameters.items()
        }
        given = [
            one
            for one in typer.main.get_command(single).params
            if isinstance(one, TyperArgument | TyperOption)
        ]
        options = [_option(one, kinds[one.name]) for one in given if one.name in kinds]
        if options:
            parts.append(
                f"\n## netsold {command.name}\n\n" + _table(("", "default", "meaning"), options)
            )
    parts.append("\n## Exit codes\n\n" + _table(("code", "meaning"), EXIT_CODES.items()))
    return "".join(parts)


def _option(option: TyperArgument | TyperOption, kind: object) -> tuple[str, str, str]:
    """How a parameter of a command is given, its default, what it means."""
    name = (
        option.opts[0]
        if option.opts[0].startswith("-")
        else option.metavar or option.opts[0].upper()
    )
    default = "" if option.default in {None, False} else f"`{option.default}`"
    choices = (
        get_args(kind)
        if get_origin(kind) is Literal
        else list(kind)
        if isinstance(kind, EnumType)
        else ()
    )
    one_of = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return f"`{name}`", default, f"{option.help}{one_of}"


def _api() -> str:
    app = FastAPI()
    app.include_router(api.router)
    app.include_router(health.router)
    rows = [
        (f"`{path}`", _told(operations["get"]))
        for path, operations in app.openapi()["paths"].items()
    ]
    asked = {
        one["name"]: one.get("description", "")
        for operations in app.openapi()["paths"].values()
        for one in operations["get"].get("parameters", ())
        if one["in"] == "query"
    }
    asked["limit"] = f"Items of a page, 1 to {api.MOST_ITEMS}."
    problems = [(f"`{kind.type}`", kind.value.status, kind.value.title) for kind in Kind]
    states = [(f"`{state}`", meaning) for state, meaning in STATES.items()]
    return (
        "# HTTP API\n\nA reader answers GET, and HEAD with the same headers. Answers under `/v1` have their `freshness`. Those about"
        " products, shops and orders have an `ETag`, and `If-None-Match` gives 304; a list's `Link` leads to its next page.\n\n"
        "Money is an integer of its currency's minor units by ISO 4217: 2997 is USD 29.97, but JPY 2,997 and KWD 2.997.\n\n"
        "A parameter that an address doesn't have, that comes twice, or that is empty is refused (422), and so is a value that can't be"
        " used. `/openapi.json` has all of it for programs.\n\n"
        + _table(("address", "answer"), rows)
        + "\n## Parameters\n\n"
        + _table(
            ("parameter", "meaning"), [(f"`{name}`", meaning) for name, meaning in asked.items()]
        )
        + "\n## States\n\nOf an answer, in `freshness.state`.\n\n"
        + _table(("state", "meaning"), states)
        + "\n## Problems\n\nErrors are `application/problem+json` (RFC 9457) with a stable `type`. A 503 has `Retry-After`.\n\n"
        + _table(("type", "status", "title"), problems)
    )


def _told(operation: dict[str, Any]) -> str:
    names = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
    return str(operation["description"]) + (f" Takes {', '.join(names)}." if names else "")


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
