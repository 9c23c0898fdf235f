"""The changes of cycles that have ended: a record of each, with the sums before and after (C3)."""

from collections.abc import Mapping, Sequence

from schemas.columns import SaleColumns
from schemas.published import RestatingEntry, SoldSums
from tables import sales
from tables.catalogue import StageSpec
from tables.cycle_ends import CycleEnds, share_key, start_of_row
from tables.outcome import States
from tables.publishing import Publisher, Records, sold_sums
from tables.sales import Tally
from tables.touched import touched_tallies


class Restatements:
    """The records of one chunk of the partition `place`, such as `sales-3`, and its shares."""

    def __init__(
        self,
        publisher: Publisher,
        ends: CycleEnds,
        place: str,
        states: States,
        spec: StageSpec,
    ) -> None:
        self._publisher = publisher
        self._ends = ends
        self._share = share_of(place)
        self._shares = {
            table.name: touched_tallies(states[table.name])
            for table in spec.tables
            if table.form == "share"
        }
        self.records: Records = []
        """For the topic `cycles`, in order."""

    def before(self, cycle_key: bytes, rows: Mapping[bytes, Tally]) -> SoldSums | None:
        """The sums of a row whose cycle has ended; None if it hasn't."""
        if not self._ends.has_ended(cycle_key, start_of_row(cycle_key)):
            return None
        return sold_sums(rows[cycle_key])

    def changed(
        self, cycle_key: bytes, before: SoldSums, tally: Tally, causes: Sequence[RestatingEntry]
    ) -> None:
        """A row whose cycle has ended is `tally` now."""
        self.records.append(self._publisher.restated(cycle_key, before, tally, causes))

    def share_changed(
        self, cycle_key: bytes, columns: SaleColumns, currency: str, cause: RestatingEntry
    ) -> None:
        """Add a restating entry to the marketplace's share of its cycle."""
        start_ms = start_of_row(cycle_key)
        for shares in self._shares.values():
            tally = shares[share_key(start_ms)]
            before = sold_sums(tally)
            tally.add(columns, currency, 1)
            if self._ends.share_has_ended(start_ms):
                record = self._publisher.share_restated(self._share, start_ms, before, tally, cause)
                self.records.append(record)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The changed shares, by table."""
        return {name: shares.encoded(sales.encode) for name, shares in self._shares.items()}


def share_of(place: str) -> int:
    """The number of a partition such as `sales-3`: its share of the marketplace."""
    return int(place.rpartition("-")[2])
