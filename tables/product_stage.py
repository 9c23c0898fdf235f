"""The product stage: the journal `sales` → what each product sold, and its service columns."""

import msgspec

from schemas import journal
from schemas.journal import Delta, ServiceDelta
from tables import catalogue, sales, service
from tables.catalogue import PRODUCT_CYCLES, PRODUCT_SERVICE_CYCLES, PRODUCT_TOTALS
from tables.cycles import Calendar
from tables.journal_stage import ChunkSums, JournalStage, touched_services, touched_tallies
from tables.outcome import States


class ProductAddition(msgspec.Struct, frozen=True, gc=False):
    """A journal row with the keys of its sums."""

    key: bytes
    cycle_key: bytes
    delta: Delta | ServiceDelta

    @property
    def restatements(self) -> int:
        """1 if the row restates (S13)."""
        return int(self.delta.restates)


class ProductStage(JournalStage):
    """Rows of `sales` → sums by product, per cycle and of all time."""

    spec = catalogue.PRODUCT_STAGE
    _id_name = "product_id"

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        super().__init__(calendar, refusals_in_a_row, journal.decode_product)

    def _addition(self, key: bytes, row: Delta | ServiceDelta) -> ProductAddition:
        start_ms = self._calendar.start_of_iso(row.cycle)
        return ProductAddition(key, catalogue.cycle_key(key, start_ms), row)

    def _sums(self, states: States) -> ChunkSums:
        return _ProductSums(states)


class _ProductSums:
    def __init__(self, states: States) -> None:
        self._cycles = touched_tallies(states[PRODUCT_CYCLES.name])
        self._totals = touched_tallies(states[PRODUCT_TOTALS.name])
        self._service = touched_services(states[PRODUCT_SERVICE_CYCLES.name])

    def add(self, addition: ProductAddition, /) -> None:
        delta = addition.delta
        if isinstance(delta, Delta):
            self._cycles[addition.cycle_key].add(delta, delta.currency, delta.restates)
            self._totals[addition.key].add(delta, delta.currency, delta.restates)  # C4
        else:
            self._service[addition.cycle_key].add(delta.columns, restates=delta.restates)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        return {
            PRODUCT_CYCLES.name: self._cycles.encoded(sales.encode),
            PRODUCT_TOTALS.name: self._totals.encoded(sales.encode),
            PRODUCT_SERVICE_CYCLES.name: self._service.encoded(service.encode),
        }
