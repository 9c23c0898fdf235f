"""An import by a mapping that was killed, and continues with what its spool had kept."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from operations.mapping import progress as progress_of
from operations.mapping.mapped import MappedFiles
from operations.mapping.plan import read_mapping
from operations.mapping.spool import Spool
from tests.mapping import AHEAD_S, SAMPLES

DATA = Path(__file__).parents[1] / "data"
KEPT_EVERY = 300
FILES = {
    "foodmart": [
        DATA / "foodmart" / f"{name}.csv" for name in ("products", "transactions_1997", "returns")
    ],
    "online-retail": [DATA / "online-retail" / "invoices.csv"],
    "woocommerce": [SAMPLES / "woocommerce" / name for name in ("orders.jsonl", "refunds.jsonl")],
}


class Killed(Exception):
    """The process ends here: what wasn't kept is lost."""


class _Kills:
    """Kills what keeps, after its `after`-th keeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.after: int | None = None
        keep = Spool.keep

        def kept(spool: Spool, progress: bytes) -> None:
            keep(spool, progress)
            self.count += 1
            if self.count == self.after:
                raise Killed

        monkeypatch.setattr(Spool, "keep", kept)


def _all(files: MappedFiles) -> tuple[list[Any], list[Any], dict[str, Any]]:
    refused = [(line.at, line.event) for line in files.refusals()]
    return refused, [(line.at, line.event) for line in files.lines()], asdict(files.counts)


def _names(sample: str) -> list[str]:
    return [str(path) for path in FILES[sample]]


@pytest.mark.parametrize("sample", FILES)
def test_wherever_it_is_killed_the_result_is_the_same(
    sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In reading, joining or matching: events, refusals and counts are those of one run."""
    monkeypatch.setattr(progress_of, "KEEP_EVERY", KEPT_EVERY)
    kills = _Kills(monkeypatch)
    mapping = read_mapping(SAMPLES / sample / "mapping.toml")
    with closing(MappedFiles(mapping, _names(sample), AHEAD_S, tmp_path / "whole")) as files:
        expected = _all(files)
    times = kills.count
    assert times >= 3
    assert expected[1]
    for after in range(1, times + 1):
        kills.count, kills.after = 0, after
        kept = tmp_path / f"killed-{after}"
        with (
            closing(MappedFiles(mapping, _names(sample), AHEAD_S, kept)) as files,
            pytest.raises(Killed),
        ):
            list(files.refusals())
        kills.after = None
        with closing(MappedFiles(mapping, _names(sample), AHEAD_S, kept)) as files:
            refused, lines, counts = _all(files)
        assert sorted(refused, key=str) == sorted(expected[0], key=str)
        assert lines == expected[1]
        assert counts == expected[2]
        assert kills.count <= times + 3  # what was done is not done again


def test_what_is_confirmed_is_left_out(tmp_path: Path) -> None:
    """Refusals come again, so that the exit code is that of all; confirmed events don't."""
    mapping = read_mapping(SAMPLES / "online-retail" / "mapping.toml")
    names = _names("online-retail")
    with closing(MappedFiles(mapping, names, AHEAD_S, tmp_path / "spool")) as files:
        refused, lines, _ = _all(files)
        files.confirmed(len(refused) + 100)
    with closing(MappedFiles(mapping, names, AHEAD_S, tmp_path / "spool")) as files:
        assert files.confirmed_before == 100
        assert _all(files)[:2] == (refused, lines[100:])
        files.confirmed(len(refused) + 7)
    with closing(MappedFiles(mapping, names, AHEAD_S, tmp_path / "spool")) as files:
        assert files.confirmed_before == 107


def test_nothing_is_left_of_a_temporary_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while it is open: it has no name."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    with closing(Spool()) as spool:
        for number in range(200_000):
            spool.add_event((number, "o", number, b"x" * 500))
        assert sum(1 for _ in spool.events(0)) == 200_000
        assert list(tmp_path.iterdir()) == []
