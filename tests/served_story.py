"""A reader over a story that gives every address something to answer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pytest

NOW_MS: Final = 1_783_728_000_500
TICK_MS: Final = 1_783_728_000_000
"""The event time of the whole story: 11 July 2026."""

SOLD: Final = """== one sale more
2026-07-10T08:00Z  placed    o-7  1:p-3:4x1000
2026-07-10T12:00Z  received  o-7
"""

STORY: Final = """== two cycles of sales, refunds, reviews, messages
2026-06-10T08:00Z  placed    o-0  1:p-3:3x1000
2026-06-12T08:00Z  received  o-0
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:5x100
2026-07-02T08:00Z  received  o-1
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
2026-07-08T08:00Z  placed    o-2  1:p-3:4x1000
2026-07-09T08:00Z  received  o-2
2026-07-09T08:30Z  reviewed  o-2  p-3 5
2026-07-09T09:00Z  refunded  o-2  r-2 quality  1:1:1000
2026-07-10T08:00Z  placed    o-3  1:p-5:1x700 shop=s-8 currency=USD buyer=b-8
2026-07-10T09:00Z  received  o-3
2026-07-10T09:10Z  reviewed  o-3  p-5 4
2026-07-10T09:30Z  paid      o-4  100
2026-07-10T01:00Z  asked     s-7  b-9 message=m-1 order=o-2
2026-07-10T01:01Z  replied   s-7  b-9 person message=m-2
2026-07-10T02:00Z  asked     s-7  b-8 message=m-3
2026-07-10T02:00Z  asked     s-8  b-9 message=m-4
"""


def events_of(text: str, prefix: str) -> list[dict[str, Any]]:
    """The events of a story, with ids that begin with a prefix of their own."""
    return [one | {"id": f"{prefix}{one['id']}"} for one in next(parse(text)).events]


@contextmanager
def fed(
    directory: Path, events: Iterable[dict[str, Any]], tick_ms: int | None = None
) -> Iterator[FedReader]:
    """A reader that has applied these events and, if given, a tick."""
    logs = Changelogs(settings_in(directory))
    logs.take(events)
    if tick_ms is not None:
        logs.tick(tick_ms)
    reader = FedReader(settings_in(directory), logs)
    reader.feed()
    yield reader
    reader.close()


@contextmanager
def served(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    story: str = STORY,
    tick_ms: int = TICK_MS,
) -> Iterator[FedReader]:
    """A reader that has applied a story and a tick, and whose clock stands at NOW_MS."""
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS)
    with fed(directory, events_of(story, ""), tick_ms) as reader:
        yield reader
