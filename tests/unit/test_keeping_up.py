"""A command that waits for a version says for what, and not that Kafka has not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.versions import keeping_up

if TYPE_CHECKING:
    import pytest


def test_what_a_version_lacks_is_shown_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer counts as one of Kafka's."""
    now_s = 0.0
    monkeypatch.setattr("operations.versions.keeping_up.time.monotonic", lambda: now_s)
    lines: list[str] = []
    shown = keeping_up.Shown("netsold.r1", lines.append)
    seen = {shown.pending()[0]}
    for second in range(25):
        now_s = float(second)
        shown.waiting("counted", 1000 - second)
        seen.add(shown.pending()[0])
    assert lines == [
        "netsold: waits for netsold.r1: 990 records are not counted",
        "netsold: waits for netsold.r1: 980 records are not counted",
    ]
    assert len(seen) == 26
