"""Exports of a pipeline in memory, and what their files contain."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from operations.exporting.manifest import COMPLETE, Complete
from operations.exporting.places import Place, place_of
from operations.exporting.running import export
from operations.exporting.table_rows import table_rows
from operations.exporting.views import complete_of, database
from schemas.times import DAY_MS, parse_ms
from tests.faults.runner import made
from tests.replaying import AllChangelogs, ReplayedLogs, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from operations.exporting.places import HashedStream
    from operations.exporting.running import Exported


def written(seed: int = 7, events: int = 600) -> list[dict[str, Any]]:
    """The events of a pipeline, late ones and refunds among them."""
    return [item for item in made(seed, events) if isinstance(item, dict)]


class ExportedFlow:
    """A pipeline in memory with an export of its own."""

    def __init__(
        self, directory: Path, seed: int = 7, events: int = 600, **changes: object
    ) -> None:
        chance = Random(seed)
        settings = settings_of(directory / "data").model_copy(update=changes)
        self.flow = AllChangelogs(settings, lambda: chance.randint(1, 90)).begin()
        self.settings = settings
        self.events = written(seed, events)
        self._left = iter(self.events)
        self.place = place_of(str(directory / "export"))

    def take(self, events: int | None = None) -> ExportedFlow:
        """Apply the next events; all that are left, and a day more, unless a number is given."""
        self.flow.take(islice(self._left, events))
        if events is None:
            latest_ms = max(parse_ms(event["occurred_at"]) for event in self.events)
            self.flow.tick(latest_ms + DAY_MS)
        return self

    async def export(
        self,
        place: Place | None = None,
        logs: ReplayedLogs | None = None,
        family: Collection[str] = (),
    ) -> Exported:
        """Export what is new."""
        logs = logs or ReplayedLogs(self.flow)
        with table_rows(self.settings, logs) as rows:
            return await export(rows, logs, place or self.place, lambda *_: lambda _: None, family)


def copied(place: Place) -> dict[str, bytes]:
    """The bytes of all files by path, without the lock."""
    return {path: place.read(path) or b"" for path in place.files() if path != "_lock"}


class Killed(Exception):
    """The process ends here."""


class KilledPlace(Place):
    """A place whose process is killed at one of its changes, before or in the middle of it."""

    def __init__(self, place: Place, at: int) -> None:
        super().__init__(place.file_system, place.root)
        self._left = at

    def _kill(self, leave: Callable[[], object] = lambda: None) -> None:
        self._left -= 1
        if self._left == 0:
            leave()
            raise Killed

    @contextmanager
    def writing(self, path: str) -> Iterator[HashedStream]:
        self._kill()
        with super().writing(path) as stream:
            yield stream
            self._kill()

    def move(self, path: str, target: str) -> None:
        self._kill()
        super().move(path, target)

    def remove(self, path: str) -> None:
        self._kill()
        super().remove(path)

    def remove_below(self, path: str) -> None:
        self._kill()
        super().remove_below(path)


def content(place: Place) -> dict[str, Any]:
    """All files of an export by path, but for its time in `_COMPLETE.json`."""
    found: dict[str, Any] = {path: place.read(path) for path in place.files()}
    found.pop("_lock")
    complete = msgspec.json.decode(found[COMPLETE], type=Complete)
    found[COMPLETE] = msgspec.structs.replace(complete, written_at="")
    return found


def queried(place: Place, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query over an export."""
    connection = database(place, complete_of(place))
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


_SUMS = (
    "units_gross", "units_reversed", "units_booked",
    "amount_gross", "amount_reversed", "amount_booked",
)  # fmt: skip

Sums = dict[tuple[str, str, str], list[int]]
"""By id, start of the cycle or of the day, and currency."""


def cycle_sums(place: Place, table: str, id_name: str) -> Sums:
    """The rows of a table of sales in an export."""
    return _sums(place, table, f"{id_name}, cycle_start, currency")


def day_sums(place: Place, id_name: str) -> Sums:
    """The view of sales by day, by one id."""
    return _sums(place, "sales_by_day", f"{id_name}, day, currency")


def _sums(place: Place, view: str, keys: str) -> Sums:
    summed = ", ".join(f"sum({name})::BIGINT" for name in _SUMS)
    query = f"SELECT {keys}, {summed} FROM {view} GROUP BY ALL"
    return {
        (id_, f"{start:%Y-%m-%d}T00:00:00Z", currency): sums
        for id_, start, currency, *sums in queried(place, query)
        if any(sums)
    }


def sums_of(rows: list[dict[str, Any]], id_name: str) -> Sums:
    """Rows of a recount as the sums of an export: by id, start of the cycle and currency."""
    found = {}
    for row in rows:
        for currency in row["units_by_currency"].keys() | row["revenue"].keys():
            found[row[id_name], row["cycle"]["start"], currency] = [
                row[measure].get(currency, {}).get(column, 0)
                for measure in ("units_by_currency", "revenue")
                for column in ("gross", "reversed", "reversals_booked")
            ]
    return found
