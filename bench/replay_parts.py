"""Where an audit's CPU time goes, by parts.

`python -m bench.replay_parts [EVENTS]`.

One worker turns EVENTS simulated events of orders into tables, and stops. Then an audit without
local stores runs in this process. Functions are timed by the CPU time of their thread, without what
they call of other parts. What is left is fetching, the event loop and RocksDB's own threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.replay import live, loaded
from operations.replaying import differences, journal_check, journal_fold, live_tables
from operations.replaying.findings import findings_of
from operations.replaying.processes import quiet
from operations.replaying.row_files import RowFiles
from operations.replaying.row_fold import RowFold
from operations.replaying.row_store import RowStore
from operations.replaying.running import replay
from operations.replaying.source_fold import _Fold
from operations.replaying.source_log import KafkaLog
from operations.replaying.work import Work
from tables.intake import Intake
from tables.journal_stage import JournalStage
from tables.order_fold import OrderFold
from tables.order_journal import OrderJournal
from tables.order_stage import OrderStage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.settings import Settings

PARTS: Final[dict[str, list[tuple[Any, str]]]] = {
    "parsing and admission of events": [(_Fold, "add")],
    "intake of a chunk: event time, events by order": [(Intake, "_take")],
    "facts of orders: decoding, adding, encoding": [(OrderFold, "fold")],
    "journal: deriving, entries, encoding": [(OrderJournal, "add"), (OrderJournal, "sends")],
    "rest of the order stage": [(OrderStage, "fold"), (_Fold, "_fold")],
    "rows of the journal into files": [(_Fold, "_append"), (RowFiles, "append")],
    "rows of the journal from files": [(journal_check, "blocks"), (journal_fold, "blocks")],
    "journal compared": [(journal_check._Check, "add")],  # noqa: SLF001 - a part of it
    "sums: rows decoded": [(RowFold, "_fold")],
    "sums: added, decoded and encoded": [(JournalStage, "fold")],
    "stores written": [(RowStore, "write")],
    "changelogs, without fetching": [(live_tables._Loading, "add")],  # noqa: SLF001 - a part of it
    "tables compared": [(differences, "differing"), (RowStore, "rows")],
}


class Clock:
    """CPU seconds by part."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._local = threading.local()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block, without the parts in it."""
        inner: list[float] = self._local.__dict__.setdefault("inner", [])
        begun = time.thread_time()
        inner.append(0.0)
        try:
            yield
        finally:
            took = time.thread_time() - begun
            self.spent[name] += took - inner.pop()
            if inner:
                inner[-1] += took

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed; of one that yields, each step."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - any function
            with self.part(name):
                found = function(*arguments, **options)
            return self._steps(name, found) if hasattr(found, "__next__") else found

        return call

    def _steps(self, name: str, iterator: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.part(name):
                try:
                    found = next(iterator)
                except StopIteration:
                    return
            yield found


def audit(settings: Settings, directory: Path) -> None:
    """Audit, and print the parts."""
    clock = Clock()
    for name, functions in PARTS.items():
        for owner, function in functions:
            setattr(owner, function, clock.timed(name, getattr(owner, function)))
    quiet()
    work = Work(settings, directory, KafkaLog(settings), compares_journal=True, same_terms=True)
    begun = time.process_time()
    _, results = asyncio.run(replay(work, 1, lambda _what, _total: lambda _done: None))
    total = time.process_time() - begun
    findings = findings_of(results.values())
    if findings.differing:
        raise SystemExit(f"{findings.differing} rows differ")
    clock.spent["fetching, event loop, RocksDB's threads"] = total - sum(clock.spent.values())
    events = sum(last + 1 for _, last in findings.vector.values())
    for name, seconds in sorted(clock.spent.items(), key=lambda one: -one[1]):
        print(f"{name:48}{seconds / events * 1e6:8.2f} µs{seconds / total:8.1%}")
    print(f"{f'{events:,} events':48}{total / events * 1e6:8.2f} µs")


def main() -> None:
    """Make tables, and audit them."""
    with loaded() as (settings, directory, _):
        asyncio.run(live(settings, directory / "worker"))
        audit(settings, directory / "audit")


if __name__ == "__main__":
    main()
