"""Other rules on a real log: what a dry run by them names, and which worker is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from operations.local.ports import free_port
from operations.recounting import recount_by
from streams import log, topics
from tests.commands import netsold
from tests.faults.runner import Run, made
from tests.terms import changed, rules_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streams.settings import Settings
    from tests.faults.workers import Worker

ENDS_S = 60.0


async def dry_run(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer of a dry run."""
    code, out, errors = await netsold(settings, "replay", "--dry-run", *arguments, "--json")
    assert code in {0, 3}, errors
    found: dict[str, Any] = json.loads(out)
    return code, found


def net_units(counted: Mapping[str, list[dict[str, Any]]]) -> dict[str, int]:
    """The net units of all products by cycle, as a recount has them."""
    units: dict[str, int] = {}
    for row in counted["products"]:
        start = row["cycle"]["start"].replace("Z", ".000Z")
        units[start] = units.get(start, 0) + row["units"]["net"]
    return {start: count for start, count in units.items() if count}


def net_of(answer: Mapping[str, Any], side: str) -> dict[str, int]:
    """The same of one side of a dry run."""
    units: dict[str, int] = {}
    for one in answer["cycles"]:
        sums = one[side]
        net = sums["units_gross"] - sums["units_reversed"]
        units[one["start"]] = units.get(one["start"], 0) + net
    return {start: count for start, count in units.items() if count}


async def test_a_dry_run_by_other_rules_names_exactly_what_changes(
    settings: Settings, tmp_path: Path
) -> None:
    """Each side is what an independent recount counts by its terms; the live tables stay."""
    weekly = changed(settings.rules, cycle_days=7)
    with Run(settings, tmp_path) as run:
        await run.write(made(93, 1500))
        run.workers.start("a")
        await run.caught_up(restart=False)
        live = recount_by(settings.rules.values, run.events)

        same = rules_file(tmp_path / "same.toml")
        code, answer = await dry_run(settings, "--rules", str(same))
        assert (code, answer["terms"]["live"]) == (0, answer["terms"]["live"])

        path = rules_file(tmp_path / "weekly.toml", cycle_days=7)
        code, answer = await dry_run(settings, "--rules", str(path))
        assert code == 3
        assert net_of(answer, "live") == net_units(live)
        assert net_of(answer, "replayed") == net_units(recount_by(weekly.values, run.events))
        assert answer["sold_monthly_rows"] == 0
        assert answer["movers"]["products"] == []  # sums of all time stay

        path = rules_file(tmp_path / "refund.toml", sold_monthly_basis="refund")
        code, answer = await dry_run(settings, "--rules", str(path))
        other = recount_by(changed(settings.rules, sold_monthly_basis="refund").values, run.events)
        moved = sum(
            one["sold_monthly"] != two["sold_monthly"]
            for name in ("products", "shops")
            for one, two in zip(live[name], other[name], strict=True)
        )
        assert moved > 0
        assert (code, answer["sold_monthly_rows"]) == (3, moved)
        assert net_of(answer, "live") == net_of(answer, "replayed")

        names = set()
        async for records in log.records(settings, settings.topic("sales")):
            names |= {row.get("terms") for row in map(json.loads, (r.value for r in records))}
        assert names <= {settings.terms.name, None}
        assert settings.terms.name in names


async def test_of_two_workers_that_begin_a_group_by_different_terms_one_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    """Whichever is quicker: the log is counted by one of the two files alone."""
    path = rules_file(tmp_path / "weekly.toml", cycle_days=7)
    await topics.create(settings)
    with Run(settings, tmp_path) as run:
        files = {"a": {}, "b": {"RULES": str(path)}}
        workers = [run.workers.start(name, **more) for name, more in files.items()]

        def refused(worker: Worker) -> bool:
            sentences = ("workers count by terms", "the state was made by")
            return any(map(worker.logged, sentences))

        async def one_is_refused() -> bool:
            for worker in workers:  # one may end as the other one has opened its partitions
                if not worker.alive and not refused(worker):
                    run.workers.start(worker.name, **files[worker.name])
            return any(refused(worker) and not worker.alive for worker in workers)

        await run.until(one_is_refused, ENDS_S, restart=False)
        assert [refused(worker) for worker in workers].count(True) == 1, run.workers.tail()
        await run.write(made(95, 300))
        await run.caught_up(restart=False)
        names = {
            row["terms"]
            async for records in log.records(settings, settings.topic("sales"))
            for row in map(json.loads, (one.value for one in records))
            if "terms" in row
        }
    assert len(names) == 1


async def test_a_worker_with_other_terms_than_the_tables_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    """In one sentence with what differs and the remedy; so is a reader."""
    path = rules_file(tmp_path / "weekly.toml", cycle_days=7)
    with Run(settings, tmp_path) as run:
        await run.write(made(94, 300))
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
        refused = run.workers.start("b", RULES=str(path))
        assert refused.ended(ENDS_S) == 1
        sentences = [
            line["event"] for line in refused.lines() if "the state was made by" in line["event"]
        ]
        assert sentences, run.workers.tail()
        assert "made by cycles of 30 days from 1970-01-01T00:00:00Z" in sentences[0]
        assert (
            "this program's terms have cycles of 7 days from 1970-01-01T00:00:00Z" in sentences[0]
        )
        assert "`netsold rebuild start --rules FILE`" in sentences[0]
        assert "sold_monthly" not in sentences[0]
        port = str(free_port(0))
        for days in (15, 7):  # of the latter, rows name cycles that would be none
            rules_file(path, cycle_days=days)
            code, _, errors = await netsold(
                settings,
                "serve",
                RULES=str(path),
                DATA_DIR=str(tmp_path / "reader"),
                READER_PORT=port,
            )
            assert code == 1, errors
            assert (
                "the workers' tables are made by cycles of 30 days from 1970-01-01T00:00:00Z"
                in errors
            )
            assert "set NETSOLD_RULES to the workers' file" in errors
            assert "Traceback" not in errors
        assert not [*(tmp_path / "reader").rglob("store-*")], "no store is filled"
