"""What `netsold up` shows: best sellers, service and freshness, as the reader's API answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from operations.commands.show_service import percent
from operations.in_words import sold_line
from operations.reader_client import NoAccess, NotTrusted, ReaderError, get
from schemas.positions import offset_after

if TYPE_CHECKING:
    from streams.settings import Settings

RATE_OVER_S: Final = 5.0
ANSWER_WITHIN_S: Final = 2.0
"""How long an answer may take: the processes are not tended meanwhile."""


@dataclass(frozen=True, slots=True)
class View:
    """One set of answers of the reader.

    `records` counts the records of the event topics that the answers include, with ticks and dead
    letters. `shops` is how many shops `counted` and `timely` cover: inquiries in the current cycle
    (R2). `overdue` covers all shops, now.
    """

    items: tuple[dict[str, Any], ...]
    state: str
    lag_seconds: float | None
    records: int
    shops: int
    counted: int
    timely: int
    overdue: int


class Rate:
    """Records per second over the last few seconds, from readings of a growing counter."""

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        self._over_s = over_s
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, now_s: float, count: int) -> float:
        """Add a reading; the rate is 0.0 at the first one and after the counter was reset."""
        if self._readings and count < self._readings[-1][1]:
            self._readings.clear()
        self._readings.append((now_s, count))
        while len(self._readings) > 2 and self._readings[1][0] <= now_s - self._over_s:  # noqa: PLR2004 - two readings make a rate
            self._readings.popleft()
        first_s, first = self._readings[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0


def read_view(settings: Settings) -> View | str:
    """Query the reader for best sellers and service; else the sentence that is shown instead.

    A reader that starts is waited for. One that refuses this command will refuse it again.
    """
    try:
        best, shops, overdue = (
            get(settings, path, {"limit": limit}, ANSWER_WITHIN_S)
            for path, limit in (("/v1/top/products", 10), ("/v1/top/shops", 10), ("/v1/overdue", 1))
        )
    except (NoAccess, NotTrusted) as error:
        return f"all runs; this view can't be shown: {error}"
    except ReaderError:
        return "waiting for the reader …"
    freshness = best["freshness"]
    last_offsets = freshness["applied"] | overdue["freshness"]["applied"]  # of orders and of chats
    inquiries = [shop["service"]["inquiries"] for shop in shops["items"]]
    return View(
        items=tuple(best["items"]),
        state=freshness["state"],
        lag_seconds=freshness["lag_seconds"],
        records=sum(map(offset_after, last_offsets.values())),
        shops=len(inquiries),
        counted=sum(of["counted"] for of in inquiries),
        timely=sum(of["timely"] for of in inquiries),
        overdue=overdue["count"],
    )


def picture(view: View | str, per_second: float) -> Group:
    """The live view: best sellers with their figures, below them service and freshness."""
    if isinstance(view, str):
        return Group(Text(view))
    table = Table("product", "", box=None, pad_edge=False, header_style="dim")
    for item in view.items:
        table.add_row(str(item["product_id"]), sold_line(item))
    return Group(table, Text(_service(view)), Text(_freshness(view, per_second), style="dim"))


def line(view: View | str, per_second: float) -> str:
    """The view in one line, for logs and pipes."""
    if isinstance(view, str):
        return view
    best = f"; best: {view.items[0]['product_id']} {sold_line(view.items[0])}" if view.items else ""
    return f"{_freshness(view, per_second)}; {_service(view)}{best}"


def _freshness(view: View, per_second: float) -> str:
    behind = (
        "event time not known yet"
        if view.lag_seconds is None
        else f"{view.lag_seconds:.1f} s behind"
    )
    return f"{view.state}, {behind}, {per_second:,.0f} records/s, {view.records:,} records in all"


def _service(view: View) -> str:
    """The best-selling shops' replies in this cycle, and all shops' overdue inquiries."""
    if view.counted:
        replied = (
            f"{percent(view.timely / view.counted)} of {view.counted:,} inquiries replied in time"
        )
    else:
        replied = "no inquiry counted yet"
    return f"{view.shops} best-selling shops: {replied}; all shops: {view.overdue:,} overdue"
