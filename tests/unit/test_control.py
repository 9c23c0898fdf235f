"""The records of the topic `control`, and the settings of a version."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from schemas import control
from schemas.control import Act, Diff, FieldDiff, ListDiff, Pointer, RowDiff, Version
from streams.settings import Settings
from streams.topics import declared
from streams.versions import NoSuchVersion, Versions, settings_of
from tables import catalogue
from tests.terms import by_terms, changed

BASE = by_terms(Settings(_env_file=None, topic_prefix="shop."), cycle_days=7)
R1 = Version(
    app="netsold.r1",
    base_app="netsold",
    base_prefix="shop.",
    topic_prefix="shop.netsold.r1.",
    orders_topic="shop.orders",
    chats_topic="shop.chats",
    partitions=4,
    terms=changed(BASE.rules, cycle_days=30).values.written(),
    rules=1,
    build="0.1",
    created_at="2026-01-01T00:00:00Z",
    by="ann@here",
    why="a mended rule",
)
FIRST = msgspec.structs.replace(
    R1,
    app="netsold",
    base_app=None,
    base_prefix=None,
    topic_prefix="shop.",
    terms=BASE.rules.values.written(),
)
ACT = Act(
    act="promote",
    app="netsold.r1",
    at="2026-01-02T00:00:00Z",
    by="ann@here",
    former="netsold",
    vector={"orders-0": 7},
    differences={"products": 1},
    accepted=True,
)

DIFF = Diff(
    first="netsold",
    second="netsold.r1",
    at="2026-01-02T00:00:00Z",
    by="ann@here",
    vector={"orders-0": 7},
    lists={"products": ListDiff(9, 1, 0)},
    left_out={"shops": "why"},
    examples=[RowDiff("products", {"product_id": "p-1"}, [FieldDiff("units.net", "5", None)])],
)


@pytest.mark.parametrize(
    "record", [R1, FIRST, Pointer("netsold.r1", "2026-01-02T00:00:00Z"), ACT, DIFF]
)
def test_a_record_is_read_as_it_was_written(record: control.ControlRecord) -> None:
    """Each form has keys of its own."""
    assert control.decode(*control.encode(record)) == record


def test_acts_of_another_time_have_other_keys() -> None:
    """So compaction keeps them all; a version and the pointer have one key each."""
    later = msgspec.structs.replace(ACT, at="2026-01-03T00:00:00Z")
    assert control.encode(ACT)[0] != control.encode(later)[0]
    assert control.encode(R1)[0] == control.version_key(R1.app) != control.encode(FIRST)[0]
    assert control.encode(DIFF)[0] == control.diff_key(R1.app)


def test_a_record_without_value_removes_a_version() -> None:
    """And only that; what another program wrote is nothing."""
    assert control.removed_version(control.version_key("a.r1"), None) == "a.r1"
    assert control.removed_version(control.version_key("a.r1"), b"{}") is None
    assert control.removed_version(control.POINTER_KEY, None) is None
    assert control.removed_version(None, None) is None
    for key, value in ((b"version/x", b"{}"), (b"other", b"{}"), (None, None), (b"pointer", b"[")):
        assert control.decode(key, value) is None


def test_a_version_has_its_own_journal_and_the_familys_log() -> None:
    """It shares orders, chats, alerts, names and control, and has its own terms."""
    settings = settings_of(R1, BASE)
    assert (settings.app, settings.family) == ("netsold.r1", "netsold")
    assert settings.terms == by_terms(BASE, cycle_days=30).terms
    own: dict[str, int] = {}
    shared: dict[str, int] = {}
    for topic in catalogue.PUBLIC_TOPICS:
        (shared if settings.topic(topic.name) == BASE.topic(topic.name) else own)[topic.name] = 1
    assert tuple(shared) == catalogue.FAMILY_TOPICS
    assert settings.topic("sales") == "shop.netsold.r1.sales"
    assert settings.topic("dead-letters") == "shop.netsold.r1.dead-letters"
    assert not {one.name for one in declared(settings) if one.kind == "changelog"} & {
        one.name for one in declared(BASE)
    }


def test_the_base_is_found_from_the_settings_of_any_version() -> None:
    """So is each other version."""
    versions = Versions("netsold", {one.app: one for one in (FIRST, R1)})
    of_r1 = versions.settings_of("r1", BASE)
    assert of_r1 == settings_of(R1, BASE) == versions.settings_of("netsold.r1", of_r1)
    base = versions.settings_of("netsold", of_r1)
    assert (base.app, base.family, base.base_app, base.rules.values.cycle_days) == (
        "netsold",
        "netsold",
        None,
        7,
    )
    assert {one.name for one in declared(base)} == {one.name for one in declared(BASE)}
    with pytest.raises(NoSuchVersion, match="no version r2 is registered; there are: netsold, n"):
        versions.app_of("r2")


def test_without_a_rebuild_the_base_is_all_there_is() -> None:
    """By the settings of the process."""
    versions = Versions("netsold")
    assert versions.settings_of(versions.pointed, BASE) is BASE
    with pytest.raises(NoSuchVersion, match="there are: netsold"):
        versions.app_of("r1")


@pytest.mark.parametrize(
    "wrong",
    [{"base_app": "a"}, {"base_prefix": ""}, {"app": "a", "base_app": "a", "base_prefix": "b."}],
)
def test_a_version_has_a_base_and_its_prefix(wrong: dict[str, Any]) -> None:
    """One alone is refused, and an application that is its own base."""
    with pytest.raises(ValidationError, match="NETSOLD_BASE_APP and NETSOLD_BASE_PREFIX belong"):
        Settings(_env_file=None, **wrong)
