"""How `netsold audit` and `netsold replay --dry-run` print differing rows, and how to continue."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from operations.commands import replay_run
from operations.commands.audit_view import print_rows
from operations.commands.replay_run import ReplayRun
from operations.replaying.differences import RowDifference, TableResult
from operations.replaying.findings import Findings
from operations.replaying.published_check import TopicResult
from operations.waiting import Interrupted
from streams.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_some_rows_of_each_table_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten of each, however many partitions there are; the JSON has more."""
    found = Findings()
    for table in ("product_totals", "shop_totals"):
        for partition in range(8):
            shown = [
                RowDifference(table, partition, f"{partition}-{n}", "a", "b") for n in range(20)
            ]
            result = TableResult(table, partition, rows=500, differing=30, shown=shown)
            found.tables[table].append(result)
    print_rows(found)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("product_totals-0") for line in lines) == 10
    assert sum(line.startswith("shop_totals-0") for line in lines) == 10
    assert [line for line in lines if line.startswith("and")] == [
        "and 230 more rows of product_totals; --json has 150 of them",
        "and 230 more rows of shop_totals; --json has 150 of them",
    ]
    row = RowDifference("shop-sales", 1, "s-1@all", '{"rules":8}', '{"rules":9}')
    found.published.append(TopicResult("shop-sales", 1, rows=3, differing=1, shown=[row]))
    print_rows(found)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("shop-sales-1 s-1@all differs from its table")
    assert lines[at + 1] == "  topic → table: rules 8 → 9"


def test_an_interrupted_run_is_continued_with_its_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line can be run as it is."""

    def interrupted(_: object, waits: object) -> None:
        waits.close()  # type: ignore[attr-defined]  # a coroutine
        raise Interrupted("interrupted")

    monkeypatch.setenv("NETSOLD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NETSOLD_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setattr(replay_run, "answer", interrupted)
    monkeypatch.setattr(replay_run, "named_version", lambda _: Settings(_env_file=None))
    for of_the_process in ("keep_private", "quiet", "allow_open_files"):
        monkeypatch.setattr(replay_run, of_the_process, lambda: None)
    arguments = ["replay", "--dry-run", "--rules", "our rules.toml", "--explain", "shop:s-1"]
    monkeypatch.setattr(sys, "argv", ["netsold", *arguments, "--resume"])

    async def then(*_: object) -> None:
        raise AssertionError("nothing was found")

    with pytest.raises(Interrupted):
        ReplayRun("replay").findings(then, resume=True, processes=1)
    assert capsys.readouterr().err == (
        "netsold: `netsold replay --dry-run --rules 'our rules.toml' --explain shop:s-1 --resume`"
        " continues\n"
    )
