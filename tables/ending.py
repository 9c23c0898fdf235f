"""The ends of cycles, step by step: each step is a transaction of its own, of bounded work (C2).

First the rows of the stage's table of cycles are walked through, in the order of their keys, and
each one's end is sent; then those of the marketplace's shares, which are added up on the way; at
last, that all of it is complete.
"""

from collections.abc import Callable, Iterator

import msgspec

from schemas import limits, times
from tables import marketplace, sales
from tables.catalogue import MARKETPLACE_SHARES, StageSpec, Table
from tables.cycle_ends import CycleEnds, share_key, start_of_row, start_of_share
from tables.cycles import Calendar
from tables.outcome import Outcome, States
from tables.publishing import Publisher, Records, by_topic
from tables.restatements import share_of
from tables.sales import Tally
from tables.touched import TouchedStates, touched_tallies
from tables.watermarks import Progress

Walk = Callable[[str, bytes], Iterator[tuple[bytes, bytes]]]
"""By the table's name, and a key: the rows behind that key, in order of key. Read on access."""


class CycleEnding:
    """Ends the cycles of one stage. It has no state: one serves all partitions."""

    def __init__(self, spec: StageSpec, calendar: Calendar, publisher: Publisher) -> None:
        self._calendar = calendar
        self._publisher = publisher
        (self._table,) = (
            table for table in spec.tables if table.form == "sales" and table.windowed
        )
        self._shares: Table | None = next(
            (table for table in spec.tables if table is MARKETPLACE_SHARES), None
        )

    def is_due(self, progress: Progress) -> bool:
        """Whether cycles have ended whose ends were not sent yet."""
        ends = progress.ends
        if ends.ending_ms is not None:
            return True
        through_ms = self._publisher.through_ms(progress)
        if through_ms is None:
            return False
        return ends.before_ms is None or self._calendar.end_of(ends.before_ms) <= through_ms

    def step(self, place: str, walk: Walk, states: States, progress: Progress) -> Outcome:
        """The next step: what it writes and sends, and the progress with it."""
        through_ms = self._publisher.through_ms(progress)
        assert through_ms is not None  # noqa: S101 - a source partition is never forgotten
        ends, writes = progress.ends, {}
        if ends.ending_ms is None:
            ends = CycleEnds(ends.before_ms, self._calendar.start_of(through_ms))
        step = _Step(self._publisher, ends, share_of(place), times.format_ms(through_ms))
        if ends.in_shares:
            step.end_shares(walk(MARKETPLACE_SHARES.name, ends.last.encode()))
        else:
            shares = touched_tallies(states[self._shares.name]) if self._shares else None
            step.end_rows(walk(self._table.name, ends.last.encode()), shares)
            if self._shares is not None and shares is not None:
                writes[self._shares.name] = shares.encoded(sales.encode)
        after = msgspec.structs.replace(progress, ends=step.ends)
        if step.ends.ending_ms is None and step.ends.before_ms is not None:
            step.records.append(self._publisher.cycles_complete(after, step.ends.before_ms))
        return Outcome(
            writes=writes,
            sends=by_topic(self._publisher, [], step.records),
            parked=[],
            progress=after,
            counts={},
            records_covered=0,
            paused=False,
        )


class _Step:
    """One step: the records that it sends, and how far the ends are behind it."""

    def __init__(self, publisher: Publisher, ends: CycleEnds, share: int, as_of: str) -> None:
        self._publisher = publisher
        self._share = share
        self._as_of = as_of
        self.ends = ends
        self.records: Records = []

    def end_rows(
        self, rows: Iterator[tuple[bytes, bytes]], shares: TouchedStates[Tally] | None
    ) -> None:
        """End the next rows of a table of cycles, and add them to the shares, if there are any."""
        for walked, (key, state) in enumerate(rows, 1):
            start_ms = start_of_row(key)
            if self.ends.begins(start_ms):
                tally = sales.decode(state)
                self.records.append(self._publisher.ended(key, tally, self._as_of))
                if shares is not None:
                    marketplace.change(shares[share_key(start_ms)], tally, 1)
            if walked == limits.WALKED_ROWS or len(self.records) == limits.ENDED_ROWS:
                self.ends = msgspec.structs.replace(self.ends, last=key.decode())
                return
        before_ms, ending_ms = self.ends.before_ms, self.ends.ending_ms
        self.ends = (
            CycleEnds(ending_ms)
            if shares is None
            else CycleEnds(before_ms, ending_ms, in_shares=True)
        )

    def end_shares(self, rows: Iterator[tuple[bytes, bytes]]) -> None:
        """End the next shares of the marketplace."""
        for walked, (key, state) in enumerate(rows, 1):
            start_ms = start_of_share(key)
            if self.ends.begins(start_ms):
                record = self._publisher.share_ended(
                    self._share, start_ms, sales.decode(state), self._as_of
                )
                self.records.append(record)
            if walked == limits.ENDED_ROWS:
                self.ends = msgspec.structs.replace(self.ends, last=key.decode())
                return
        self.ends = CycleEnds(self.ends.ending_ms)
