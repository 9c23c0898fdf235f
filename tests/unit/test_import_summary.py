"""The last line of an import."""

from __future__ import annotations

import pytest

from operations.commands.importing import Summary, _how_far, _show


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (
            Summary(written=1, refused=1, topics={"orders": 1}),
            "1 event (1 to orders), 1 line refused\n",
        ),
        (Summary(written=0, refused=2), "0 events, 2 lines refused\n"),
        (
            Summary(written=1200, topics={"orders": 1200}),
            "1,200 events (1,200 to orders), 0 lines refused\n",
        ),
    ],
)
def test_counts_and_their_nouns_agree(
    summary: Summary, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is singular, and thousands have a separator."""
    _show(summary, as_json=False)
    assert capsys.readouterr().out == line


def test_one_unconfirmed_event_is_singular() -> None:
    """An import that ended early counts one event as one."""
    assert "; 1 event isn't confirmed; " in _how_far(
        Summary(lines=1, unconfirmed=1), can_resume=False
    )
