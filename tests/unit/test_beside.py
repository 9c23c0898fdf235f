"""What a reader shows of the versions that it does not answer from, and of the last audit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import msgspec

from operations.versions.comparison import Comparison, compare_rows
from operations.versions.recording import EXAMPLES, FIELDS, diff_of
from operations.versions.registering import Signature
from schemas.audits import AuditRecord
from schemas.control import Diff, FieldDiff, ListDiff, RowDiff
from serving import beside
from serving.beside import BesideWatch
from serving.pointer import Pointing
from serving.reader import Reader
from serving.version_state import VersionState
from streams.backlog import Backlog
from streams.errors import KafkaUnreachable
from tests import virtual_time
from tests.reading import settings_in
from tests.unit.test_control import DIFF

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

BASE, R1, R2 = "netsold", "netsold.r1", "netsold.r2"
SIGN = Signature("ann", 0, "")
CYCLE = {"start": "2026-07-01T00:00:00Z", "end": "2026-07-31T00:00:00Z"}


def state_of(tmp_path: Path, *diffs: Diff, answered: str = BASE) -> VersionState:
    """A process that answers from one of three versions."""
    base = settings_in(tmp_path)
    versions = {name: base.model_copy(update={"app": name}) for name in (BASE, R1, R2)}
    state = VersionState(Reader(versions[answered], tmp_path / "reader"))
    found = {one.second: one for one in diffs}
    state.pointing = Pointing(answered, versions, diffs=found)
    return state


def test_versions_beside_have_their_difference_from_the_answered_one(tmp_path: Path) -> None:
    """From either side, and none that is from a third version."""
    shown = {one.app: one for one in state_of(tmp_path, DIFF).status().beside}
    assert list(shown) == [R1, R2]
    difference = shown[R1].difference
    assert difference is not None
    assert difference.model_dump() == msgspec.to_builtins(DIFF)
    assert shown[R2].difference is None
    back = {one.app: one for one in state_of(tmp_path, DIFF, answered=R1).status().beside}
    assert back[BASE].difference == difference
    assert back[R2].difference is None


def test_the_newer_of_two_differences_is_shown(tmp_path: Path) -> None:
    """A version that was promoted may be compared with its former one in both directions."""
    later = msgspec.structs.replace(DIFF, first=R1, second=BASE, at="2026-01-03T00:00:00Z")
    (shown, _) = state_of(tmp_path, DIFF, later).status().beside
    assert shown.difference is not None
    assert shown.difference.at == later.at


def test_the_last_audit_of_the_answered_version_is_shown(tmp_path: Path) -> None:
    """Once there was one."""
    state = state_of(tmp_path)
    assert state.status().audit is None
    at = "2026-07-02T10:00:00.000Z"
    state.answering.audits.found = AuditRecord(
        app=BASE, at=at, build="1", mismatches=3, succeeded_at=None
    )
    audit = state.status().audit
    assert audit is not None
    assert (audit.at, audit.mismatches, audit.succeeded_at) == (at, 3, None)


def test_how_far_a_version_is_behind_is_known_or_unknown(tmp_path: Path) -> None:
    """It is read again and again; of a version that is gone nothing is kept."""
    state = state_of(tmp_path)
    left = {R1: 9}

    async def read(settings: Settings) -> Backlog:
        if settings.app not in left:
            raise KafkaUnreachable("away")
        at = ("orders", 0)
        return Backlog({at: 1}, {at: left[settings.app]})

    async def lived() -> None:
        task = asyncio.create_task(BesideWatch(state, read).run())
        seen = []
        for now in ({R1: 9}, {R2: 4}, {R1: 1, R2: 3}):
            left.clear()
            left.update(now)
            await asyncio.sleep(beside.READ_S)
            seen.append(dict(state.behind))
        assert seen == [{R1: 9}, {R2: 4}, {R1: 1, R2: 3}]
        assert [one.records_behind for one in state.status().beside] == [1, 3]
        pointing = cast("Pointing", state.pointing)
        versions = {name: one for name, one in pointing.versions.items() if name != R2}
        state.pointing = pointing._replace(versions=versions)
        await asyncio.sleep(beside.READ_S)
        assert state.behind == {R1: 1}
        task.cancel()

    virtual_time.run(lived())


def shops(*units: int) -> list[dict[str, object]]:
    """Rows of a list of shops."""
    return [
        {"shop_id": f"s-{number}", "cycle": CYCLE, "sold_monthly": one}
        for number, one in enumerate(units)
    ]


def test_the_record_of_a_comparison_has_counts_and_a_few_rows() -> None:
    """With both values; not more rows of a list than a record may have."""
    found = Comparison(BASE, R1, {"orders-0": 7}, left_out={"overdue": "why"})
    found.lists["shops"] = compare_rows("shops", shops(1, *[2] * 9), shops(1, *[3] * 8))
    record = diff_of(found, SIGN)
    assert (record.first, record.second, record.by) == (BASE, R1, "ann")
    assert (record.vector, record.left_out) == ({"orders-0": 7}, {"overdue": "why"})
    assert record.lists == {"shops": ListDiff(1, 9, 0)}
    assert len(record.examples) == EXAMPLES < record.lists["shops"].different
    key = {"shop_id": "s-1", "cycle": CYCLE["start"]}
    assert record.examples[0] == RowDiff("shops", key, [FieldDiff("sold_monthly", "2", "3")])


def test_the_record_of_a_comparison_names_no_buyer() -> None:
    """Readers show it to tokens that see pseudonyms; a row of one version says which."""
    row = {"shop_id": "s-1", "buyer_id": "b-1", "due_at": CYCLE["start"]}
    found = Comparison(BASE, R1)
    found.lists["overdue"] = compare_rows("overdue", [row], [])
    assert diff_of(found, SIGN).examples == [RowDiff("overdue", {"shop_id": "s-1"}, only_in=BASE)]
    found.lists["overdue"] = compare_rows("overdue", [], [row])
    assert diff_of(found, SIGN).examples[0].only_in == R1


def test_the_record_of_a_row_has_a_few_fields() -> None:
    """Those that differ, from the first on."""
    many = {f"f-{number}": number for number in range(FIELDS + 3)}
    one, two = ({"shop_id": "s-1", "cycle": CYCLE, **many} for _ in range(2))
    two |= {name: value + 1 for name, value in many.items()}
    found = Comparison(BASE, R1)
    found.lists["shops"] = compare_rows("shops", [one], [two])
    assert [field.field for field in diff_of(found, SIGN).examples[0].fields] == list(many)[:FIELDS]
