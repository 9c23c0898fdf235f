"""The order stage: events of orders → the facts of each order, and the journal of their changes."""

from operator import attrgetter, itemgetter
from typing import Final

from schemas import envelope
from tables import catalogue, watermarks
from tables.catalogue import ORDERS, StageSpec
from tables.intake import Intake
from tables.order_fold import OrderFold
from tables.order_journal import OrderJournal
from tables.outcome import Outcome, Readings, States
from tables.terms import Terms
from tables.watermarks import Progress

_ORDER_ID: Final = attrgetter("order_id")


class OrderStage:
    """Events of orders → facts and journal. It has no state: one serves all partitions."""

    spec: Final[StageSpec] = catalogue.ORDER_STAGE

    def __init__(self, terms: Terms, refusals_in_a_row: int) -> None:
        self._terms, self._calendar = terms, terms.calendar
        self._refusals_in_a_row = refusals_in_a_row

    @property
    def terms(self) -> str:
        """The terms by which the tables are made."""
        return self._terms.text

    read = staticmethod(envelope.read)

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """The changes by a chunk of the partition `place`, such as `orders-3`.

        First the chunk in its order, then order by order. An event is refused here only if its
        order would outgrow a record of the changelog with it.
        """
        intake = Intake(
            readings,
            progress or watermarks.START,
            self._calendar,
            self._refusals_in_a_row,
            _ORDER_ID,
        )
        fold = OrderFold(self._calendar)
        keys = [order_id.encode() for order_id in intake.events_by_subject]
        stored = states[ORDERS.name].get_many(keys)
        for key, state, events in zip(keys, stored, intake.events_by_subject.values(), strict=True):
            fold.fold(key, state, events)
        parked = sorted([*intake.parked, *fold.refused], key=itemgetter(0))
        # ---- nothing is refused past this line ----
        journal = OrderJournal(self._terms, place)
        for change in fold.changes:
            journal.add(change)
        counts = intake.counts() | {
            "entries": journal.rows,
            "restated_up": journal.restated_up,
            "restated_down": journal.restated_down,
        }
        return Outcome(
            writes={ORDERS.name: fold.writes},
            sends=journal.sends(),
            parked=parked,
            progress=intake.progress,
            counts=counts,
            records_covered=intake.records,
            paused=intake.paused,
            events=intake.event_counts(fold.duplicates, fold.refused_types),
        )
