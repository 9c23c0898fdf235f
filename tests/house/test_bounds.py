"""Bounds on data stand in `schemas/limits.py` and `http_limits.py`, relations in the former."""

import re

import pytest

from tests.house.bounds import bounds
from tests.house.sources import ROOT, listed, planted, product

LIMITS = (ROOT / "schemas" / "limits.py").read_text(encoding="utf-8")
HOMES = {"schemas.limits", "schemas.http_limits"}
# Tools of one machine bound their own memory and screen, and the oracle is independent.
ROOMS = ("schemas", "tables", "streams", "serving")
ALLOWED: dict[str, str] = {
    "streams.build.COMMIT_CHARS": "how long the name of a commit is shown",
}


def test_bounds_are_in_limits() -> None:
    """No other module of the rooms that hold data has a bound at its top."""
    found = bounds(one for one in product() if one.room in ROOMS and one.module not in HOMES)
    elsewhere = sorted(set(found) - set(ALLOWED))
    assert not elsewhere, listed("move to schemas/limits.py", elsewhere)


def test_exceptions_are_still_needed() -> None:
    """A bound that is allowed elsewhere is there."""
    assert set(ALLOWED) <= set(bounds(product()))


def test_a_bound_elsewhere_is_found() -> None:
    """By its name, private or not; other constants, and bounds from `limits`, are none."""
    text = (
        "PAGE_BYTES = 2 * 1024\n_MOST_ROWS: Final = 7\nMAX_ITEMS = 10**3\nLIMIT = 5\n"
        "FEW_ITEMS = 3\n"
        "WAIT_MS = 10\nSEP_BYTES = b'x'\nOWN_BYTES = limits.VALUE_BYTES\nRECORDS = [1]\n"
        "def f():\n    HERE_BYTES = 1\n"
    )
    assert bounds(planted(streams__a=text)) == [
        "streams.a.PAGE_BYTES",
        "streams.a._MOST_ROWS",
        "streams.a.MAX_ITEMS",
        "streams.a.LIMIT",
        "streams.a.FEW_ITEMS",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALUE_BYTES", 400_000),  # two events no longer fit in one order
        ("ORDER_BYTES", 910_000),  # an order no longer fits in a batch of 900,000 bytes
        ("BATCH_BYTES", 1_000_000),  # a batch no longer fits into the broker's default
        ("FEW_MESSAGES", 100),  # a small conversation with that many no longer fits in a record
        ("BATCH_BYTES", 800_000),  # an order no longer fits in a batch
        ("PAID_MINOR", 10**14),  # a line's revenue can no longer be paid at once
        ("INT64_MAX", 10**17),  # a payment no longer fits in an integer of 64 bits
        ("OCCURRED_FIRST_MS", 1),  # the epoch is before all events
    ],
)
def test_relations_are_checked_at_import(name: str, value: int) -> None:
    """A bound that breaks one is refused where it is written, not where data are lost."""
    exec(LIMITS, {})  # noqa: S102 - our own module, as it is
    changed, times = re.subn(
        rf"^{name}: Final = .*$", f"{name}: int = {value}", LIMITS, flags=re.MULTILINE
    )
    assert times == 1
    with pytest.raises(AssertionError, match="limits: "):
        exec(changed, {})  # noqa: S102 - our own module, with one number changed
