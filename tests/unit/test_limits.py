"""The bounds in `schemas.limits`: named by unit, with relations that are checked at import."""

import subprocess
import sys
from pathlib import Path

import pytest

from schemas import http_limits, limits

ROOT = Path(limits.__file__).parent.parent
UNITS = {
    *("BYTES", "CHARS", "MINOR", "MS", "QUANTITY", "BRACKETS", "UNITS", "EVENTS", "TIMERS"),
    *("BUCKETS", "RECORDS", "IDS", "OBSERVATIONS", "BUFFERS", "FILES", "ITEMS", "EXPORTS"),
    *("CONNECTIONS", "HANDLES", "MESSAGES", "ATTEMPTS", "GROUPS", "LETTERS", "CLIENTS"),
    *("LINES", "ORDERS", "FETCHES", "OFFSETS", "ENTRIES", "STEPS", "WALKS", "EXPLANATIONS"),
    *("STREAMS", "SUBJECTS", "ANSWERS", "MARKS", "READS", "LINKS", "PARTITIONS"),
    *("DAYS", "CYCLES", "COUNTERS", "BADGES", "FIELDS", "ROWS", "NAMES", "PRODUCTS"),
}
SIZES = {"KIB", "MIB", "INT64_MAX"}


def test_every_bound_names_its_unit() -> None:
    """The last word of a bound's name is what it counts."""
    bounds = vars(limits) | vars(http_limits)
    bounds = {name: one for name, one in bounds.items() if name.isupper() and name not in SIZES}
    assert {name for name in bounds if name.rpartition("_")[2] not in UNITS} == set()
    assert {name for name, one in bounds.items() if type(one) is not int} == set()


@pytest.mark.parametrize(
    ("bound", "value", "relation"),
    [
        ("ORDER_BYTES", "910_000", "an order of the largest size fits in one batch"),
        (
            "VALUE_BYTES",
            "512 * KIB",
            "two events of the largest size fit in one order, also in a small one",
        ),
        ("BATCH_BYTES", "1_000_000", "a broker accepts a batch with its overhead"),
        ("DEAD_LETTER_BYTES", "MIB", "a record that a broker accepts by default can be parked"),
    ],
)
def test_bounds_that_contradict_each_other_stop_the_import(
    bound: str, value: str, relation: str
) -> None:
    """The error names the relation that is violated."""
    source = (ROOT / "schemas" / "limits.py").read_text(encoding="utf-8")
    start = source.index(f"\n{bound}: Final = ") + 1
    line = source[start : source.index("\n", start)]
    changed = source.replace(line, f"{bound}: Final = {value}")
    found = subprocess.run(
        [sys.executable, "-"], input=changed, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert f"AssertionError: limits: {relation}" in found.stderr
