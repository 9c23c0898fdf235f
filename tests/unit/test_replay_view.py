"""What `netsold replay --dry-run` says of its span, and of what it does not explain."""

from __future__ import annotations

import pytest
import typer

from operations.commands.replay_span import narrowed
from operations.commands.replay_view import json_of, print_answer
from operations.replaying.contributions import Contributions, Subject
from operations.replaying.differences import RowDifference, TableResult
from operations.replaying.findings import Findings
from operations.replaying.running import Terms
from operations.replaying.source_log import KafkaLog
from operations.replaying.work import Work
from streams.settings import Settings

SETTINGS = Settings(_env_file=None, partitions=4)
TERMS = Terms("replay", "", 8, "netsold", [], 4, [], [])


def lines_of(
    found: Findings,
    capsys: pytest.CaptureFixture[str],
    shop: str = "s-1",
    start: str | None = None,
    explained: Contributions | None = None,
) -> list[str]:
    """The lines for people."""
    known = Contributions(3) if explained is None else explained
    print_answer(
        SETTINGS, found, json_of(SETTINGS, TERMS, found, Subject("shop", shop), known), start
    )
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("table", "key"),
    [("shop_service_totals", "s-1"), ("shop_service_cycles", "s-1@1782864000000")],
)
def test_inquiries_are_not_explained(
    table: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a shop's service differs, and none of its orders."""
    found = Findings()
    row = RowDifference(table, 0, key, "[1]", "[2]")
    found.tables[table].append(TableResult(table, 0, rows=1, differing=1, shown=[row]))
    sentence = (
        "service of shop s-1 differs, and no order counts differently for it: inquiries are not"
        " explained"
    )
    assert sentence in lines_of(found, capsys)
    assert sentence in lines_of(found, capsys, explained=Contributions())
    others = lines_of(found, capsys, "s-10")
    assert "orders that count differently for shop s-10: 0" in others
    assert not any("inquiries" in line for line in others)


def test_what_is_before_a_start_shows_as_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, only where there is a start."""
    lines = lines_of(Findings(), capsys, start="orders-0@9")
    sentence = "from orders-0@9 on: the tables include what is before, which shows as lost here"
    assert sentence in lines
    assert not any(line.startswith("from") for line in lines_of(Findings(), capsys))


@pytest.mark.parametrize(("start", "end"), [("orders-9@12", None), (None, "orders-9@12")])
async def test_a_partition_that_does_not_exist_is_named(
    start: str | None,
    end: str | None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one, and with the last that does."""

    async def bounds(*_: object) -> tuple[dict[object, int], dict[object, int]]:
        return {}, {}

    monkeypatch.setattr("streams.log.bounds", bounds)
    work = Work(SETTINGS, tmp_path_factory.mktemp("r"), KafkaLog(SETTINGS))
    with pytest.raises(typer.BadParameter) as refused:
        await narrowed(SETTINGS, work, start, end)
    assert str(refused.value) == "there is no partition orders-9: the last one is orders-3"
