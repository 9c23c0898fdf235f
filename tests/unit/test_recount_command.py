"""`netsold recount FILE…`: its input, its output, skipped lines and refused files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import typer
from typer.testing import CliRunner, Result

from operations.commands.recount import command
from operations.files import opening as event_files
from operations.files.opening import EventFileUnreadable
from tests.terms import rules_file

if TYPE_CHECKING:
    from collections.abc import Callable


PLACED = (
    b'{"type":"order_placed","id":"e-1","source":"/shops/7/till","occurred_at":"2026-07-01T08:00:00Z","order_id":"o-1","shop_id":"s-7",'
    b'"buyer_id":"b-9","currency":"CNY","lines":[{"line_id":"1","product_id":"p-3","quantity":2,"unit_price":1000}]}\n'
)
RECEIVED = (
    b'{"type":"receipt_confirmed","id":"e-4","source":"/logistics/sf","occurred_at":"2026-07-02T10:00:00+08:00","order_id":"o-1",'
    b'"by":"logistics"}\n'
)
REFUNDED = (
    b'{"type":"refund_succeeded","id":"e-7","source":"/payments","occurred_at":"2026-07-05T09:00:00Z","order_id":"o-1","refund_id":"r-1",'
    b'"reason":"short_weight","lines":[{"line_id":"1","quantity":0,"amount":300}]}\n'
)
ANSWER = {
    "product_id": "p-3",
    "cycle": {"start": "2026-06-06T00:00:00Z", "end": "2026-07-06T00:00:00Z"},
    "units": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0},
    "units_by_currency": {"CNY": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0}},
    "revenue": {"CNY": {"gross": 2000, "reversed": 300, "net": 1700, "reversals_booked": 300}},
    "sold_monthly": 2,
    "successfully_traded": 2,
}


def _run(*arguments: str, given: bytes | None = None) -> Result:
    app = typer.Typer()
    app.command()(command)
    with patch.object(event_files, "_standard_input", lambda: io.BytesIO(given or b"")):
        return CliRunner().invoke(app, list(arguments))


def _products(result: Result, exit_code: int = 0) -> list[dict[str, Any]]:
    assert result.exit_code == exit_code, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["products"]
    return found


def test_events_of_several_files_are_counted_together(tmp_path: Path) -> None:
    """An order's events may be in two files and in reverse order.

    The report has every list, in its order.
    """
    (tmp_path / "a.jsonl").write_bytes(REFUNDED + b"\n" + RECEIVED)
    (tmp_path / "b.jsonl").write_bytes(PLACED.rstrip())
    result = _run(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    assert _products(result) == [ANSWER]
    assert list(json.loads(result.stdout)) == [
        "products",
        "shops",
        "anomalies",
        "shop_service",
        "shop_service_totals",
        "product_service",
        "overdue",
    ]
    assert result.stderr == ""
    assert list(_products(result)[0]) == list(ANSWER)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_files_may_be_compressed(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    """Each file has its own compression."""
    path = tmp_path / f"events.jsonl{suffix}"
    path.write_bytes(pack(PLACED + RECEIVED + REFUNDED))
    assert _products(_run(str(path))) == [ANSWER]


def test_standard_input_is_a_file_too() -> None:
    """Its name is a dash."""
    assert _products(_run("-", given=PLACED + RECEIVED + REFUNDED)) == [ANSWER]


def test_lines_that_are_no_events_are_skipped_and_counted(tmp_path: Path) -> None:
    """The exit code is 1, and the other lines count.

    Stderr has the count of each fault.
    """
    noise = (
        b"\xff\n{\n"
        + PLACED.replace(b'"quantity":2', b'"quantity":2.0')
        + PLACED.replace(b"order_placed", b"order_hidden")
    )
    (tmp_path / "a.jsonl").write_bytes(noise + PLACED + RECEIVED + REFUNDED)
    result = _run(str(tmp_path / "a.jsonl"))
    assert _products(result, exit_code=1) == [ANSWER]
    assert "skipped lines: 4, because of: not JSON (2)" in result.stderr
    assert "lines: quantity: not an integer from 1 to 1000000 (1)" in result.stderr
    assert "unknown type (1)" in result.stderr


def test_cycles_can_be_given(tmp_path: Path) -> None:
    """A rules file replaces the one of the settings."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(PLACED + RECEIVED)
    rules = rules_file(
        tmp_path / "weeks.toml", cycle_days=7, cycle_anchor="2026-06-29T00:00:00+08:00"
    )
    (row,) = _products(_run(str(path), "--rules", str(rules)))
    assert row["cycle"] == {"start": "2026-06-28T16:00:00Z", "end": "2026-07-05T16:00:00Z"}


def test_cycles_are_those_of_the_rules_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So recount and tables agree without any option."""
    rules = rules_file(tmp_path / "days.toml", cycle_days=1, cycle_anchor="2026-01-01T12:00:00Z")
    monkeypatch.setenv("NETSOLD_RULES", str(rules))
    path = tmp_path / "a.jsonl"
    path.write_bytes(PLACED + RECEIVED)
    (row,) = _products(_run(str(path)))
    assert row["cycle"] == {"start": "2026-07-01T12:00:00Z", "end": "2026-07-02T12:00:00Z"}


@pytest.mark.parametrize(
    "name", ["missing.jsonl", "folder", "cut.jsonl.gz", "not.jsonl.xz", "events.jsonl.zst"]
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    """No result is printed for a part of a file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "events.jsonl.zst").write_bytes(b"(\xb5/\xfd...")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(PLACED * 1000)[:-20])
    (tmp_path / "not.jsonl.xz").write_bytes(lzma.compress(PLACED)[:20] + b"\xff" * 20)
    result = _run(str(tmp_path / name))
    assert isinstance(result.exception, EventFileUnreadable)
    assert name in str(result.exception)
    assert result.stdout == ""


INQUIRY = (
    b'{"type":"buyer_messaged","id":"m-1","source":"/chat","occurred_at":"2026-07-02T10:00:00+08:00","shop_id":"s-7","buyer_id":"b-9",'
    b'"message_id":"x-1"}\n'
)
ANSWERED = (
    b'{"type":"seller_replied","id":"m-2","source":"/chat","occurred_at":"2026-07-02T10:03:00+08:00","shop_id":"s-7","buyer_id":"b-9",'
    b'"message_id":"x-2","by":"person"}\n'
)


def _inquiries(result: Result) -> dict[str, int]:
    """The inquiries of all shops, from the first row."""
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["shop_service"]
    return (
        {name: rows[0]["inquiries"][name] for name in ("timely", "late", "overdue")} if rows else {}
    )


def test_what_is_overdue_depends_on_the_instant(tmp_path: Path) -> None:
    """It is the instant of the latest event, or the given one."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(INQUIRY)
    assert _inquiries(_run(str(path))) == {}
    assert _inquiries(_run(str(path), "--as-of", "2026-07-02T10:05:00+08:00")) == {}
    assert _inquiries(_run(str(path), "--as-of", "2026-07-02T10:05:00.001+08:00")) == {
        "timely": 0,
        "late": 0,
        "overdue": 1,
    }
    path.write_bytes(INQUIRY + RECEIVED.replace(b"10:00:00", b"10:05:00.001"))
    assert _inquiries(_run(str(path))) == {"timely": 0, "late": 0, "overdue": 1}
    path.write_bytes(INQUIRY + ANSWERED)
    assert _inquiries(_run(str(path))) == {"timely": 1, "late": 0, "overdue": 0}


def test_an_instant_without_zone_is_refused() -> None:
    """The sentence names the option."""
    result = _run("-", "--as-of", "2026-07-02T10:05:00", given=b"")
    assert result.exit_code == 2
    assert "--as-of: not a time with zone" in result.output


@pytest.mark.parametrize(
    ("name", "value", "inquiries"),
    [
        ("reply_within_seconds", 179, {"timely": 0, "late": 1, "overdue": 0}),
        ("reply_within_seconds", 180, {"timely": 1, "late": 0, "overdue": 0}),
        ("service_hours", "10:01-23:00", {}),
        ("service_zone", "America/New_York", {"timely": 1, "late": 0, "overdue": 0}),
        ("service_zone", "Europe/Berlin", {}),
    ],
)
def test_service_is_counted_by_the_terms(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
    inquiries: dict[str, int],
) -> None:
    """The terms are the time to reply, the service hours and their zone.

    10:00 in Shanghai is 22:00 in New York, and 04:00 in Berlin.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(INQUIRY + ANSWERED)
    rules = rules_file(tmp_path / "rules.toml", **{name: value})
    monkeypatch.setenv("NETSOLD_RULES", str(rules))
    assert _inquiries(_run(str(path))) == inquiries


def test_inquiries_can_be_counted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, two inquiries of one day count as one."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        INQUIRY + ANSWERED + (INQUIRY + ANSWERED).replace(b"T10:", b"T11:").replace(b"m-", b"n-")
    )
    assert _inquiries(_run(str(path)))["timely"] == 1
    rules = rules_file(tmp_path / "rules.toml", count_inquiries_per="inquiry")
    monkeypatch.setenv("NETSOLD_RULES", str(rules))
    assert _inquiries(_run(str(path)))["timely"] == 2


STRUCTURED = (
    b'{"specversion":"1.0","type":"order_placed","id":"e-1","source":"/shops/7/till","time":"2026-07-01T08:00:00Z","subject":"o-1",'
    b'"data":{"shop_id":"s-7","buyer_id":"b-9","currency":"CNY","lines":[{"line_id":"1","product_id":"p-3","quantity":2,'
    b'"unit_price":1000}]}}\n'
)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + PLACED + RECEIVED + REFUNDED,
        b"[" + b",".join([PLACED, RECEIVED, REFUNDED]) + b"]",
        json.dumps([json.loads(line) for line in (PLACED, RECEIVED, REFUNDED)], indent=2).encode(),
        STRUCTURED + RECEIVED + REFUNDED,
        gzip.compress(PLACED + RECEIVED + REFUNDED),
    ],
    ids=["byte order mark", "array", "array over many lines", "structured", "gzip without suffix"],
)
def test_the_same_files_are_read_as_by_import(tmp_path: Path, content: bytes) -> None:
    """They may have any form, also on standard input."""
    (tmp_path / "events").write_bytes(content)
    assert _products(_run(str(tmp_path / "events"))) == [ANSWER]
    assert _products(_run("-", given=content)) == [ANSWER]


def test_a_file_of_another_form_is_one_sentence(tmp_path: Path) -> None:
    """Nothing else is printed."""
    (tmp_path / "events.csv").write_bytes(b"order_id,product_id\no-1,p-3\n")
    result = _run(str(tmp_path / "events.csv"))
    assert isinstance(result.exception, EventFileUnreadable)
    assert "is CSV" in str(result.exception)
    assert result.stdout == ""


def test_empty_files_and_lines_that_are_too_large_are_skipped(tmp_path: Path) -> None:
    """They are counted, and the exit code is 1."""
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(PLACED + b"0" * 300_000 + b"\n" + RECEIVED + REFUNDED)
    result = _run(str(tmp_path / "empty"), str(tmp_path / "large"))
    assert _products(result, exit_code=1) == [ANSWER]
    assert "skipped lines: 2, because of: empty (1); more than 262144 bytes (1)" in result.stderr
