"""Versions of events: the chain of upcasters, what names a version, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from operations.simulation.traffic import Plan, in_versions, traffic
from operations.writing.event_lines import Outgoing, event_of
from schemas import envelope, event_versions, events
from schemas.event_versions import LATER_MODELS, UPCASTERS, VERSIONS, as_newest
from schemas.refusals import Reason, Refusal
from tests.flow import Record, bare, binary
from tests.story import stories

RECEIPT: dict[str, Any] = {
    "type": "receipt_confirmed",
    "id": "e-1",
    "source": "/logistics",
    "occurred_at": "2026-07-02T08:00:00Z",
    "order_id": "o-1",
    "by": "buyer",
}
SECOND = RECEIPT | {"dataschema": "urn:netsold:receipt_confirmed:2", "line_ids": "all"}


def read(event: dict[str, Any], form: Any = bare) -> Any:  # noqa: ANN401 - what `envelope.read` gives
    """The reading of an event, asserted to be the same by the fast path and by the models."""
    record = Record("orders", 0, 0, 0, *form(event))
    assert envelope.read(record) == envelope.read_plainly(record)
    return envelope.read(record)


def test_every_version_is_reached_by_an_upcaster_with_a_story() -> None:
    """A story has the event in both versions, so it shows that they count the same."""
    shown = {
        (event["type"], int(event.get("dataschema", ":1").rpartition(":")[2]))
        for story in stories()
        for event in story.events
        if story.title.startswith(event["type"])
    }
    for name, version in UPCASTERS:
        assert {(name, version), (name, version + 1)} <= shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda models, _: models.pop(("refund_requested", 2)), "which has no model"),
        (lambda _, casts: casts.pop(("refund_requested", 1)), "no upcaster leads from version 1"),
        (
            lambda models, casts: (
                models.update({("order_paid", 3): events.OrderPaid}),
                casts.update({("order_paid", 2): dict}),
            ),
            "version 3 has no version 2 before it",
        ),
        (lambda models, _: models.update({("order_sung", 2): events.OrderPaid}), "no event has"),
        (
            lambda models, _: models.update({("refund_requested", 2): events.OrderPaid}),
            "is no refund_requested",
        ),
    ],
)
def test_a_gap_in_a_chain_stops_the_start(change: Any, sentence: str) -> None:  # noqa: ANN401 - a lambda
    """Each fault has its sentence, and the chain as it is has none."""
    models, upcasters = dict(LATER_MODELS), dict(UPCASTERS)
    assert event_versions.fault_of(models, upcasters) is None
    change(models, upcasters)
    fault = event_versions.fault_of(models, upcasters)
    assert fault is not None
    assert sentence in fault


@pytest.mark.parametrize("form", [binary, bare])
def test_the_second_version_names_all_lines(form: Any) -> None:  # noqa: ANN401 - a function
    """And the core gets what the first version leaves out."""
    assert read(SECOND, form) == read(RECEIPT, form)
    some = read(SECOND | {"line_ids": ["1"]}, form)
    assert some == read(RECEIPT | {"line_ids": ["1"]}, form)
    assert some.body.line_ids == ("1",)


@pytest.mark.parametrize("line_ids", [..., None])
def test_a_list_that_got_lost_is_refused_in_the_second_version(line_ids: Any) -> None:  # noqa: ANN401 - any value
    """In the first one it means all lines."""
    event = SECOND | {"line_ids": line_ids}
    event = {name: field for name, field in event.items() if field is not ...}
    assert read(event) == Refusal(Reason.MISSING_FIELD, "line_ids: absent")


@pytest.mark.parametrize(
    ("line_ids", "detail"),
    [
        ([], 'line_ids: a list is empty: name at least one, or write "all"'),
        ("some", 'line_ids: "some" is no list, and not "all"'),
        (5, 'line_ids: 5 is no list, and not "all"'),
        (["1", 5], 'line_ids.1: 5 is a number; a text is wanted: "5"'),
    ],
)
def test_another_value_is_refused_in_one_sentence(line_ids: Any, detail: str) -> None:  # noqa: ANN401 - any value
    """It names the field and the remedy."""
    assert read(SECOND | {"line_ids": line_ids}) == Refusal(Reason.INVALID_FIELD, detail)


def test_the_word_is_no_list_in_the_first_version() -> None:
    """What a version does not have is refused in it."""
    found = read(RECEIPT | {"line_ids": "all"})
    assert (found.reason, found.detail) == (
        Reason.INVALID_FIELD,
        'line_ids: "all" is a text; a list is wanted',
    )


@pytest.mark.parametrize("form", [binary, bare])
@pytest.mark.parametrize(
    "name", ["receipt_confirmed:3", "receipt_confirmed:02", "order_paid:1", ""]
)
def test_an_unknown_version_is_refused_with_those_that_are_known(name: str, form: Any) -> None:  # noqa: ANN401 - a function
    """So is the schema of another type: it is never guessed."""
    found = read(RECEIPT | {"dataschema": f"urn:netsold:{name}"}, form)
    assert found == Refusal(
        Reason.UNKNOWN_VERSION,
        f'dataschema: "urn:netsold:{name}" is no schema of receipt_confirmed that this netsold'
        " knows; it knows urn:netsold:receipt_confirmed:1 and urn:netsold:receipt_confirmed:2",
    )


@pytest.mark.parametrize(
    "schema", ["https://a.example/receipt/7", "receipt_confirmed", 7, None, ""]
)
def test_somebody_elses_schema_names_no_version(schema: object) -> None:
    """Such an event is of the first version, as one that names none."""
    assert read(RECEIPT | {"dataschema": schema}) == read(RECEIPT)


def test_a_structured_event_names_its_version() -> None:
    """By CloudEvents' own attribute."""
    whole = {
        "specversion": "1.0", "type": RECEIPT["type"], "id": "e-1", "source": "/logistics",
        "time": RECEIPT["occurred_at"], "subject": "o-1", "dataschema": SECOND["dataschema"],
        "data": {"by": "buyer", "line_ids": "all"},
    }  # fmt: skip
    assert read(whole, lambda event: (b"o-1", msgspec.json.encode(event), [])) == read(RECEIPT)


def test_an_imported_line_keeps_its_version() -> None:
    """The version goes to the header, and a schema of somebody else's stays in the value."""
    for event, schema, value in (
        (SECOND, SECOND["dataschema"], {"by": "buyer", "line_ids": "all"}),
        (RECEIPT, "urn:netsold:receipt_confirmed:1", {"by": "buyer"}),
        (
            RECEIPT | {"dataschema": "https://a.example"},
            "urn:netsold:receipt_confirmed:1",
            {"by": "buyer", "dataschema": "https://a.example"},
        ),
    ):
        out = event_of(msgspec.json.encode(event))
        assert isinstance(out, Outgoing)
        assert dict(out.headers)["ce_dataschema"].decode() == schema
        assert msgspec.json.decode(out.value or b"") == value
        record = Record("orders", 0, 0, 0, out.key, out.value, out.headers)
        assert envelope.read(record) == read(RECEIPT)
    refused = event_of(msgspec.json.encode(SECOND | {"dataschema": "urn:netsold:x:1"}))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNKNOWN_VERSION


def test_a_simulated_share_of_orders_sends_the_newest_versions() -> None:
    """All events of an order are of one producer's build; all or none of them for 1 and 0."""
    plan = Plan(7, "v", 1_783_123_200_000, 1000.0)

    def made(share: float, count: int = 3000) -> list[dict[str, Any]]:
        found = in_versions(traffic(plan), share)
        return [next(found)[1] for _ in range(count)]

    first, newest, half = made(0.0), made(1.0), made(0.5)
    assert newest == [as_newest(event) for event in first]
    assert not any("dataschema" in event for event in first)
    assert {event["type"] for event in newest if "dataschema" in event} <= {
        name for name, versions in VERSIONS.items() if versions[-1] > 1
    }
    changed = [e for e in half if len(VERSIONS[e["type"]]) > 1]
    orders = {event["order_id"] for event in changed}
    new = {event["order_id"] for event in changed if "dataschema" in event}
    assert 0.4 < len(new) / len(orders) < 0.6
    assert all(("dataschema" in event) == (event["order_id"] in new) for event in changed)
