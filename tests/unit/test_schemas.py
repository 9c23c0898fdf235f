"""The contract of the topics: schemas fit the records, and a change that breaks them is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema_rs import Draft202012Validator, ValidationError, meta
from typer.testing import CliRunner

from docs import lists
from operations.commands.schemas import app
from operations.contract import asyncapi, compatibility, forms, meanings, releases
from operations.contract.compatibility import Break, breaks
from schemas import audits, control, decisions, envelope, events, names
from schemas.audits import AuditRecord
from schemas.control import Act, Diff, ListDiff, Pointer, RowDiff
from schemas.decisions import Decision
from schemas.letters import ADDED_HEADERS, ATTEMPT, FIRST_FAILED_AT, REQUEUED_FROM
from schemas.names import DisplayName
from schemas.positions import Position
from schemas.refusals import Reason, Refusal
from streams.dead_letters import parked_headers
from streams.settings import Settings
from tables import catalogue
from tests.two_versions import AT, registered

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS = forms.schemas()
POSITION = Position("dead-letters", 1, 17)

Change = Callable[[dict[str, Any]], object]


def planted(name: str, change: Change) -> list[Break]:
    """What is found after a change of one schema, which the release had as it is now."""
    file = f"{name}.1.json"
    changed = copy.deepcopy(SCHEMAS[file])
    change(changed)
    return breaks(SCHEMAS, SCHEMAS | {file: changed}, "0.1.0")


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of a schema."""
    found: dict[str, Any] = schema["properties"]
    return found


def line(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of an order's line."""
    return fields(schema["$defs"]["PlacedLine"])


def sold(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The places of a shop's sums."""
    found: list[dict[str, Any]] = schema["$defs"]["Sold"]["prefixItems"]
    return found


BREAKING: list[tuple[str, Change, str, str]] = [
    ("entry", lambda one: fields(one).pop("refund_id"), "refund_id", "field removed"),
    ("order_placed", lambda one: line(one).pop("discount"), "lines[].discount", "field removed"),
    ("shop_activity", lambda one: sold(one).pop(), "sold[][3]", "field removed"),
    (
        "entry",
        lambda one: fields(one)["orders"].update(type="string"),
        "orders",
        "type changed",
    ),
    (
        "entry",
        lambda one: fields(one).update(orders={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        "orders",
        "type changed",
    ),
    (
        "mark",
        lambda one: (
            fields(one)["watermark_ms"]["anyOf"].append({"type": "string"})
            or fields(one)["watermark_ms"]["anyOf"].remove({"type": "null"})
        ),
        "watermark_ms",
        "type changed",
    ),
    (
        "receipt_confirmed",
        lambda one: fields(one)["by"].pop("enum"),
        "by",
        "type changed",
    ),
    (
        "alert",
        lambda one: fields(one)["by"].update(anyOf=[{"enum": ["person"]}, {"type": "null"}]),
        "by",
        "alternative removed",
    ),
    ("entry", lambda one: one["required"].append("gift"), "gift", "required added"),
    ("entry", lambda one: one["required"].append("refund_id"), "refund_id", "required added"),
    ("entry", lambda one: one["required"].remove("shop_id"), "shop_id", "required removed"),
    (
        "receipt_confirmed",
        lambda one: fields(one)["by"]["enum"].remove("timeout"),
        "by",
        "enum value removed",
    ),
    (
        "alert",
        lambda one: fields(one).update(type={"const": "reply_late"}),
        "type",
        "enum value removed",
    ),
    ("mark", lambda one: fields(one)["type"].update(const="sign"), "type", "value changed"),
    (
        "order_event",
        lambda one: one["oneOf"].pop(),
        "",
        "alternative removed",
    ),
    (
        "order_placed",
        lambda one: line(one)["quantity"].update(maximum=10),
        "lines[].quantity",
        "bound changed",
    ),
    ("order_paid", lambda one: fields(one)["amount"].pop("minimum"), "amount", "bound changed"),
    ("entry", lambda one: fields(one)["sold_at"].pop("format"), "sold_at", "format changed"),
    (
        "order_placed",
        lambda one: fields(one)["shop_id"].pop("pattern"),
        "shop_id",
        "pattern changed",
    ),
    ("mark", lambda one: fields(one)["build"].update(default="?"), "build", "default changed"),
    ("entry", lambda one: one.update(additionalProperties=False), "", "closed"),
    ("display_name", lambda one: one.pop("additionalProperties"), "", "opened"),
    (
        "display_name",
        lambda one: fields(one).update(colour={"type": "string"}),
        "colour",
        "added to a closed form",
    ),
    (
        "diff",
        lambda one: fields(one)["vector"]["additionalProperties"].update(type="string"),
        "vector.*",
        "type changed",
    ),
]
"""Each kind of change that breaks: the schema, the change, the field and the kind."""


@pytest.mark.parametrize(("name", "change", "field", "kind"), BREAKING)
def test_a_change_that_breaks_is_found(name: str, change: Change, field: str, kind: str) -> None:
    """With the field's name and the way out, and nothing else is found."""
    (found,) = {(one.schema, one.field, one.kind) for one in planted(name, change)}
    assert found == (f"{name}.1", field, kind)
    sentence = str(planted(name, change)[0])
    assert field in sentence
    assert compatibility.REMEDIES[kind] in sentence
    assert "its next version" in sentence


def test_every_kind_of_break_is_planted() -> None:
    """The list above has all that a remedy is written for; a whole schema is below."""
    assert {kind for *_, kind in BREAKING} | {"schema removed"} == set(compatibility.REMEDIES)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("entry", lambda one: fields(one).update(gift={"type": "boolean"})),
        ("alert", lambda one: fields(one)["type"]["enum"].append("reply_forgotten")),
        ("entry", lambda one: fields(one).update(type={"enum": ["entry", "gift"]})),
        ("entry", lambda one: one.update(description="better words")),
        ("order_event", lambda one: one["oneOf"].reverse()),
        ("shop_activity", lambda one: sold(one).append({"type": "integer"})),
        ("order_placed", lambda one: one["required"].reverse()),
    ],
)
def test_a_change_that_readers_stand_is_allowed(name: str, change: Change) -> None:
    """New optional fields, values, types of records and places, and other words."""
    assert planted(name, change) == []


def test_a_removed_schema_is_found_and_a_new_version_is_not() -> None:
    """A form that changes gets its next version; the present one stays."""
    gone = {name: one for name, one in SCHEMAS.items() if name != "mark.1.json"}
    (found,) = breaks(SCHEMAS, gone, "0.1.0")
    assert (found.schema, found.kind) == ("mark.1", "schema removed")
    assert breaks(SCHEMAS, SCHEMAS | {"mark.2.json": {}}, "0.1.0") == []


def test_check_accepts_what_it_has_kept() -> None:
    """Every release is compared; there is at least one."""
    done = CliRunner().invoke(app, ["check", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["breaks"] == []
    assert "0.1.0" in found["releases"]
    assert found["schemas"] == len(forms.FORMS)
    assert "compatible with 0.1.0" in CliRunner().invoke(app, ["check"]).output


def test_check_refuses_a_break_of_any_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, in words and as JSON: also where a release before the last one is broken."""
    for release, with_gift in (("0.1.0", True), ("0.2.0", False)):
        (tmp_path / release).mkdir()
        for name, schema in SCHEMAS.items():
            former = copy.deepcopy(schema)
            if with_gift and name == "entry.1.json":
                former["properties"]["gift"] = {"type": "boolean"}
            (tmp_path / release / name).write_text(json.dumps(former), encoding="utf-8")
    monkeypatch.setattr(releases, "KEPT", tmp_path)
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 3
    assert "entry.1: gift: field removed since 0.1.0: put it back" in done.output
    done = CliRunner().invoke(app, ["check", "--json"])
    assert done.exit_code == 3
    (found,) = json.loads(done.output)["breaks"]
    assert (found["schema"], found["field"], found["release"]) == ("entry.1", "gift", "0.1.0")
    assert found["remedy"].startswith("put it back")


def test_export_writes_what_the_repository_has(tmp_path: Path) -> None:
    """A file for each schema, and the AsyncAPI document; without a folder, a line for each."""
    to = tmp_path / "new" / "folder"
    done = CliRunner().invoke(app, ["export", "--to", str(to), "--json"])
    assert done.exit_code == 0, done.output
    written = {file.name: file.read_text(encoding="utf-8") for file in to.iterdir()}
    assert {str(to / name) for name in written} == set(json.loads(done.output)["written"])
    kept = {file.name: file for file in (lists.FOLDER / "schemas").iterdir()}
    kept["asyncapi.json"] = lists.FOLDER / "asyncapi.json"
    assert written == {name: file.read_text(encoding="utf-8") for name, file in kept.items()}
    printed = CliRunner().invoke(app, ["export"]).output.splitlines()
    assert [json.loads(one) for one in printed] == list(SCHEMAS.values())


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_every_field_has_a_meaning(name: str) -> None:
    """2020-12 itself accepts it; its id is the one that records name."""
    schema = SCHEMAS[name]
    meta.validate(schema)
    assert schema["$id"] == f"urn:netsold:{name.removesuffix('.json').replace('.', ':')}"
    for part in (schema, *schema.get("$defs", {}).values()):
        for about in part.get("properties", {}).values():
            assert about["description"]


def test_every_meaning_is_of_a_field() -> None:
    """A field that is gone has no meaning any more."""
    found = {
        about["description"]
        for schema in SCHEMAS.values()
        for part in (schema, *schema.get("$defs", {}).values())
        for about in (*part.get("properties", {}).values(), *part.get("prefixItems", ()))
        if "description" in about
    }
    unused = [name for name, meaning in meanings.MEANINGS.items() if meaning not in found]
    assert not unused


def test_an_event_names_the_schema_of_its_value() -> None:
    """`ce_dataschema` is the id of the schema that its value fits."""
    event = {
        "type": "order_paid", "id": "e", "source": "s", "occurred_at": AT, "order_id": "o",
        "amount": 3,
    }  # fmt: skip
    _, value, headers = envelope.encode(event)
    by_id = {schema["$id"]: schema for schema in SCHEMAS.values()}
    schema = by_id[dict(headers)["ce_dataschema"].decode()]
    Draft202012Validator(schema).validate(json.loads(value))
    bare = Draft202012Validator(SCHEMAS["order_event.1.json"])
    bare.validate(event)
    with pytest.raises(ValidationError):
        bare.validate(event | {"amount": -1})
    assert {form.name for form in forms.FORMS} >= set(events.MODELS)


def test_records_of_commands_fit_their_schemas() -> None:
    """Versions, the pointer, acts, differences, audits, decisions and names, as written."""
    base, weekly = registered(Settings(_env_file=None))
    diff = Diff(
        first="a", second="b", at=AT, by="ann", vector={"orders-0": 3},
        lists={"products": ListDiff(1, 2, 3)}, left_out={"x": "y"},
        examples=[RowDiff("products", {"product_id": "p"}, only_in="a")],
    )  # fmt: skip
    act = Act(act="promote", app="b", at=AT, by="ann", former="a", vector={"orders-0": 3})
    decision = Decision(POSITION, "id", "requeued", "orders", "not_json", None, 1, "ann", "w", AT)
    audit = AuditRecord(app="a", at=AT, build="b", mismatches=0, succeeded_at=None)
    for name, value in (
        ("version", control.encode(base)[1]),
        ("version", control.encode(weekly)[1]),
        ("pointer", control.encode(Pointer("b", AT, "a"))[1]),
        ("act", control.encode(act)[1]),
        ("diff", control.encode(diff)[1]),
        ("audit", audits.encode_audit(audit)),
        ("dead_letter_decision", decisions.encode(decision)[1]),
        ("display_name", names.encode_name(DisplayName("Honey", "https://h.example/1.png"))),
    ):
        Draft202012Validator(SCHEMAS[f"{name}.1.json"]).validate(json.loads(value))


def test_the_headers_of_a_dead_letter_are_those_of_its_schema() -> None:
    """All that parking adds, and no more, also where a record was put back before."""
    again = [(REQUEUED_FROM, b"dead-letters-1@3"), (ATTEMPT, b"1"), (FIRST_FAILED_AT, AT.encode())]
    record: Any = SimpleNamespace(headers=again)
    found = dict(parked_headers(record, POSITION, Refusal(Reason.NOT_JSON, ""), "a"))
    assert set(found) == set(ADDED_HEADERS)
    texts = {name: raw.decode() for name, raw in found.items()}
    Draft202012Validator(SCHEMAS["dead_letter.1.json"]).validate(texts)


def test_asyncapi_has_every_public_topic_with_its_policy() -> None:
    """Each with its records, their keys, its partitions and its retention."""
    document = asyncapi.document()
    assert list(document["channels"]) == [topic.name for topic in catalogue.PUBLIC_TOPICS]
    of_sales = document["channels"]["sales"]
    assert set(of_sales["messages"]) == {"entry", "service", "mark"}
    kafka = of_sales["bindings"]["kafka"]
    assert kafka["partitions"] == 4
    assert kafka["topicConfiguration"]["cleanup.policy"] == ["delete"]
    assert kafka["topicConfiguration"]["retention.ms"] == -1
    messages = document["components"]["messages"]
    assert messages["entry"]["bindings"]["kafka"]["key"]["description"] == "product_id"
    assert messages["mark"]["bindings"]["kafka"]["key"]["type"] == "null"
    actions = {name: one["action"] for name, one in document["operations"].items()}
    assert actions["send-sales"] == "send"
    assert actions["receive-orders"] == "receive"


def test_reference_has_no_schema_that_the_code_has_not() -> None:
    """A schema that is gone leaves no file."""
    assert {file.name for file in (lists.FOLDER / "schemas").iterdir()} == set(SCHEMAS)


def test_a_second_version_is_a_schema_of_its_own() -> None:
    """It may differ from the first, which stays; within each, the same changes are refused."""
    first, second = SCHEMAS["receipt_confirmed.1.json"], SCHEMAS["receipt_confirmed.2.json"]
    assert first["$id"] != second["$id"]
    assert "line_ids" in set(second["required"]) - set(first["required"])
    as_one = breaks({"receipt_confirmed.1.json": first}, {"receipt_confirmed.1.json": second}, "r")
    assert {one.kind for one in as_one} >= {"required added", "type changed"}
    without = {name: one for name, one in SCHEMAS.items() if name != "receipt_confirmed.2.json"}
    (gone,) = breaks(SCHEMAS, without, "0.1.0")
    assert (gone.schema, gone.kind) == ("receipt_confirmed.2", "schema removed")
    looser = copy.deepcopy(second)
    looser["required"].remove("line_ids")
    (found,) = breaks(SCHEMAS, SCHEMAS | {"receipt_confirmed.2.json": looser}, "0.1.0")
    assert (found.schema, found.field) == ("receipt_confirmed.2", "line_ids")


def test_a_bare_event_of_a_later_version_fits_the_schema_of_that_version() -> None:
    """It names its version, so the schema of bare events of that version requires it."""
    event = {
        "type": "refund_succeeded", "id": "e", "source": "s", "occurred_at": AT, "order_id": "o",
        "refund_id": "r", "reason": "other", "lines": "all",
        "dataschema": "urn:netsold:refund_succeeded:2",
    }  # fmt: skip
    second = Draft202012Validator(SCHEMAS["order_event.2.json"])
    second.validate(event)
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMAS["order_event.1.json"]).validate(event)
    del event["dataschema"]
    with pytest.raises(ValidationError):
        second.validate(event)
