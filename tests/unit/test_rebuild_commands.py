"""`netsold rebuild` without Kafka: its JSON, Ctrl-C, and what can't be compared."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pytest
from typer.testing import CliRunner

from operations.commands import rebuild
from operations.versions import changing, registering, showing
from operations.versions.changing import ChangeRefused, Removal
from operations.versions.comparison import Comparison, ListComparison, MovingRow
from operations.versions.moments import NoMoment
from operations.waiting import Interrupted
from schemas.control import Act, Pointer
from schemas.envelope import Handover
from streams import backlog, removing, topics
from streams.backlog import Backlog
from streams.last_marks import LastMarks
from streams.marks import Mark
from streams.settings import Settings
from streams.versions import Versions
from tables.catalogue import REPORT_LISTS
from tests.unit.test_control import FIRST, R1

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType, TracebackType

    from typer.testing import Result

    from schemas.control import ControlRecord, Diff
    from schemas.errors import NetsoldError

SETTINGS = Settings(_env_file=None)
PROMOTED = Act(act="promote", app=R1.app, at="2026-01-02T00:00:00.000Z", by="ann")
BEFORE = Versions("netsold", {FIRST.app: FIRST, R1.app: R1})
AFTER = Versions(
    "netsold", BEFORE.registered, Pointer(R1.app, PROMOTED.at, former=FIRST.app), [PROMOTED]
)
BACK_AT_R1 = Versions("netsold", BEFORE.registered, Pointer(FIRST.app, PROMOTED.at, former=R1.app))


MARKS = LastMarks(
    {
        ("chats-changelog", number): mark
        for number, mark in enumerate(
            [
                Mark(topic="chats", topic_id="t", partition=0, confirmed_ms=7),
                Mark(topic="chats", topic_id="t", partition=1, confirmed_ms=9),
                None,
            ]
        )
    },
    frozenset(),
)


class Writer:
    """Keeps what would be committed."""

    committed: ClassVar[list[ControlRecord]] = []
    handovers: ClassVar[list[Handover | None]] = []

    def __init__(self, settings: Settings) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def commit(
        self,
        records: Sequence[ControlRecord],
        *,
        handover_to: Handover | None = None,
        **_how: object,
    ) -> None:
        self.committed.extend(records)
        self.handovers.append(handover_to)


class World:
    """The commands, with the versions that are recorded and what they record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, versions: Versions) -> None:
        self.diffs: list[Diff] = []
        self.missing: set[str] = set()
        Writer.committed, Writer.handovers = [], []
        for module in (rebuild, changing, registering):
            monkeypatch.setattr(module, "read_versions", giving(versions))
        for module in (changing, registering):
            monkeypatch.setattr(module, "VersionWriter", Writer)
        monkeypatch.setattr(rebuild, "named_cluster", lambda: SETTINGS)
        monkeypatch.setattr(changing, "members", giving(["a worker"]))
        monkeypatch.setattr(changing, "last_marks", giving(MARKS))
        monkeypatch.setattr(backlog, "left_after", giving(0))
        monkeypatch.setattr(topics, "create", giving(None))
        monkeypatch.setattr(topics, "topic_ids", self._topic_ids)
        monkeypatch.setattr(removing, "delete_topics", giving(None))
        monkeypatch.setattr(removing, "delete_group", giving(None))
        monkeypatch.setattr(rebuild, "record_diff", self._record)

    async def _topic_ids(self, settings: Settings) -> dict[str, str]:
        names = {topic.name for topic in topics.declared(settings)}
        return dict.fromkeys(names - self.missing, "id")

    async def _record(self, _settings: Settings, found: Diff) -> None:
        self.diffs.append(found)

    def run(self, *arguments: str) -> Result:
        """Run `netsold rebuild` with these arguments."""
        return CliRunner().invoke(rebuild.app, [*arguments, "--by", "ann"])


def giving(value: object) -> Callable[..., Any]:
    """A coroutine function that returns a value, whatever it gets."""

    async def found(*_arguments: object, **_options: object) -> object:
        return value

    return found


async def interrupted(*_arguments: object, **_options: object) -> None:
    """Ctrl-C while this is at work."""
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)


async def no_moment(*_arguments: object) -> None:
    """Two versions that have no common moment."""
    raise NoMoment("no moment of both logs")


def test_what_cannot_be_compared_is_accepted_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused without --accept-diff; with it the act and the last difference say that."""
    world = World(monkeypatch, BEFORE)
    monkeypatch.setattr(rebuild, "compare_versions", no_moment)
    refused = world.run("promote", "r1", "--yes")
    assert isinstance(refused.exception, NoMoment)
    assert (Writer.committed, world.diffs) == ([], [])
    found = world.run("promote", "r1", "--accept-diff", "--why", "its log is damaged", "--yes")
    assert found.exit_code == 0, found.output
    assert "products: not compared: no moment of both logs" in found.stderr
    pointer, act = Writer.committed
    assert isinstance(pointer, Pointer)
    assert isinstance(act, Act)
    assert Writer.handovers == [Handover(R1.app, 9)]
    assert (pointer.app, act.accepted, act.why) == (R1.app, True, "its log is damaged")
    assert world.diffs[-1].left_out.keys() == REPORT_LISTS.keys()


@pytest.mark.parametrize(
    ("found", "error", "code", "why"),
    [
        (
            {"lists": {"products": ListComparison(5, moving=[MovingRow({"product_id": "p"}, 0)])}},
            changing.Uncompared,
            5,
            "1 of the rows could not be compared within 0 s",
        ),
        (
            {
                "lists": {"products": ListComparison(5)},
                "left_out": {"shop_service": "cycles"},
            },
            changing.Different,
            3,
            "shop_service can't be compared",
        ),
    ],
)
def test_a_promotion_needs_all_rows_compared(
    monkeypatch: pytest.MonkeyPatch,
    found: dict[str, Any],
    error: type[NetsoldError],
    code: int,
    why: str,
) -> None:
    """Rows that are not known may differ; to accept them is recorded."""
    world = World(monkeypatch, BEFORE)
    compared = Comparison(FIRST.app, R1.app, **found)
    monkeypatch.setattr(rebuild, "compare_versions", giving(compared))
    assert world.run("diff", "r1").exit_code == code
    refused = world.run("promote", "r1", "--yes")
    assert isinstance(refused.exception, error)
    assert (refused.exception.exit_code, Writer.committed) == (code, [])
    assert why in str(refused.exception)
    accepted = world.run("promote", "r1", "--accept-diff", "--why", "hot rows", "--yes")
    assert accepted.exit_code == 0, accepted.output
    act = Writer.committed[-1]
    assert isinstance(act, Act)
    assert act.accepted


def test_each_change_prints_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """The act as it is recorded, on standard output alone."""
    world = World(monkeypatch, BEFORE)
    monkeypatch.setattr(rebuild, "compare_versions", no_moment)
    started = world.run("start", "r9", "--no-worker", "--yes", "--json")
    object_ = json.loads(started.stdout)
    assert (object_["format"], object_["app"], object_["known"]) == (1, "netsold.r9", False)
    assert object_["registered"]["orders_topic"] == "shop.orders"
    again = world.run("start", "r1", "--no-worker", "--yes", "--json")
    assert json.loads(again.stdout)["known"] is True
    promoted = json.loads(
        world.run(
            "promote", "r1", "--accept-diff", "--why", "it is right", "--yes", "--json"
        ).stdout
    )
    assert (promoted["act"], promoted["app"], promoted["former"]) == ("promote", R1.app, FIRST.app)
    assert (promoted["accepted"], promoted["by"], promoted["why"]) == (True, "ann", "it is right")
    back = World(monkeypatch, AFTER)
    rolled_back = json.loads(back.run("rollback", "--yes", "--json").stdout)
    assert (rolled_back["act"], rolled_back["app"]) == ("rollback", FIRST.app)
    monkeypatch.setattr(
        changing, "removal", giving(Removal(FIRST.app, {"b", "a"}, [FIRST.app], None))
    )
    dropped = json.loads(back.run("drop", "netsold", "--yes", "--json").stdout)
    assert dropped == {
        "format": 1,
        "act": "drop",
        "app": FIRST.app,
        "at": dropped["at"],
        "by": "ann",
        "why": "",
        "former": None,
        "vector": {},
        "differences": {},
        "accepted": False,
        "topics": ["a", "b"],
        "groups": [FIRST.app],
        "directory": None,
    }


def test_a_version_without_its_topics_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a `drop` that was killed: nothing waits for them, and no reader goes back to it."""
    for versions, run in ((BEFORE, ("diff",)), (BACK_AT_R1, ("rollback", "--yes"))):
        world = World(monkeypatch, versions)
        world.missing = {f"{R1.topic_prefix}sales"}
        found = world.run(*run)
        assert isinstance(found.exception, ChangeRefused), found.output
        assert str(found.exception) == (
            f"topics of {R1.app} are missing ({R1.topic_prefix}sales): `netsold rebuild drop "
            f"{R1.app}` deletes what is left"
        )
        assert Writer.committed == []


def test_status_shows_the_other_versions_beside_one_without_topics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That one is not read."""
    read: list[str] = []

    async def behind(settings: Settings) -> Backlog:
        read.append(settings.app)
        return Backlog({("shop.orders", 0): 7}, {("shop.orders", 0): 0})

    world = World(monkeypatch, BEFORE)
    world.missing = {f"{R1.topic_prefix}sales"}
    for name, value in (("backlog", behind), ("members", giving([]))):
        monkeypatch.setattr(showing, name, value)
    shown = CliRunner().invoke(rebuild.app, ["status"])
    assert shown.exit_code == 0, shown.output
    first, second = shown.stdout.splitlines()
    assert first.startswith("netsold     answered  nothing behind")
    assert (
        "its topics are missing: `netsold rebuild drop netsold.r1` deletes what is left" in second
    )
    found = json.loads(CliRunner().invoke(rebuild.app, ["status", "--json"]).stdout)["versions"]
    assert [one["missing_topics"] for one in found] == [[], [f"{R1.topic_prefix}sales"]]
    assert [one["records_behind"] for one in found] == [0, None]
    assert set(read) == {"netsold"}


def test_status_of_an_application_without_topics_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was never started."""
    world = World(monkeypatch, Versions("netsold"))
    world.missing = {topic.name for topic in topics.declared(SETTINGS)}
    monkeypatch.setattr(showing, "members", giving([]))
    shown = CliRunner().invoke(rebuild.app, ["status"])
    assert shown.exit_code == 0, shown.output
    assert "its topics are missing (" in shown.stdout
    assert "): run `netsold topics create`" in shown.stdout


@pytest.mark.parametrize(
    "text", ["a\x1b[31mred", "a\n2026-01-01T00:00:00.000Z  drop", "\u202eback"]
)
def test_control_characters_are_neither_recorded_nor_shown(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """They would forge lines and colours; a record of an older build shows them written out."""
    world = World(monkeypatch, BEFORE)
    refused = world.run("start", "r9", "--no-worker", "--yes", "--why", text)
    assert (refused.exit_code, Writer.committed) == (2, [])
    assert "has a control character" in refused.stderr
    who = CliRunner().invoke(rebuild.app, ["start", "r9", "--no-worker", "--yes", "--by", text])
    assert (who.exit_code, Writer.committed) == (2, [])
    act = Act(act="start", app=R1.app, at="2026-01-02T00:00:00.000Z", by=text, why=text)
    (line,) = showing.lines(Versions("netsold", {}, None, [act]), [])
    assert line.isprintable()
    assert line.count(f"\\u{ord(next(one for one in text if not one.isprintable())):04x}") == 2


def test_other_writing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with an ideographic space."""
    world = World(monkeypatch, BEFORE)
    found = world.run("start", "r9", "--no-worker", "--yes", "--why", "退款\u3000重复 🙂")
    assert found.exit_code == 0, found.output
    assert isinstance(act := Writer.committed[-1], Act)
    assert act.why == "退款\u3000重复 🙂"


@pytest.mark.parametrize(
    ("arguments", "module", "name", "how"),
    [
        (("start", "r9", "--yes"), registering, "plan", "nothing was changed yet"),
        (("start", "r9", "--yes"), registering, "register", "the same command again registers it"),
        (("promote", "r1", "--yes"), rebuild, "compare_versions", "nothing was changed yet"),
        (
            ("promote", "r1", "--yes", "--accept-diff", "--why", "y"),
            changing,
            "point_at",
            "`netsold rebuild status` shows whether it was done",
        ),
        (("rollback", "--yes"), changing, "members", "nothing was changed yet"),
        (("rollback", "--yes"), changing, "point_at", "shows whether it was done"),
        (("drop", "netsold", "--yes"), changing, "removal", "nothing was changed yet"),
        (("drop", "netsold", "--yes"), changing, "drop", "it deletes what is left"),
    ],
)
def test_after_ctrl_c_the_next_command_is_named(
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    module: ModuleType,
    name: str,
    how: str,
) -> None:
    """Exit code 130, wherever it is at work."""
    versions = AFTER if arguments[0] in {"rollback", "drop"} else BEFORE
    world = World(monkeypatch, versions)
    monkeypatch.setattr(rebuild, "compare_versions", no_moment)
    monkeypatch.setattr(changing, "removal", giving(Removal(FIRST.app, set(), [], None)))
    monkeypatch.setattr(module, name, interrupted)
    found = world.run(*arguments)
    assert isinstance(found.exception, Interrupted), found.output
    assert found.exception.exit_code == 130
    assert found.stdout == ""
    assert how in found.stderr
    assert Writer.committed == []
