"""The real stages over tables in memory, by usual terms unless a test names others."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from operations.stories import flow
from operations.stories.flow import PARTITIONS, Record, Rows, binary, reading
from schemas import envelope
from tables.cycles import Calendar
from tables.service_hours import ServiceRules
from tables.terms import Terms

__all__ = ("PARTITIONS", "Flow", "Record", "Rows", "binary", "reading")

CYCLES = Calendar(30 * 86_400_000)
RULES = ServiceRules()
TERMS = Terms(CYCLES, RULES)


def bare(event: Mapping[str, Any]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """An event as a bare JSON object."""
    key, *_ = envelope.encode(event)
    return key, msgspec.json.encode(event), []


class Flow(flow.Flow):
    """A pipeline's logs and tables, with chunks and partitions cut as a test likes."""

    def __init__(
        self,
        calendar: Calendar = CYCLES,
        chunk: Callable[[], int] = lambda: 4000,
        rules: ServiceRules = RULES,
    ) -> None:
        super().__init__(Terms(calendar, rules), chunk)

    @property
    def calendar(self) -> Calendar:
        """The cycles of its terms."""
        return self.terms.calendar
