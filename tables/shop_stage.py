"""The shop stage: the journal `shop-activity` → what each shop sold, its service, its buyers."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from schemas import journal
from schemas.journal import Contact, Late, Messages, Replied, Served, ShopActivity, Sold
from schemas.published import RestatingEntry
from tables import buyers, catalogue, sales, service
from tables.buyers import Buyer
from tables.catalogue import (
    SHOP_BUYERS,
    SHOP_CYCLES,
    SHOP_SERVICE_CYCLES,
    SHOP_SERVICE_TOTALS,
    SHOP_TOTALS,
    Table,
)
from tables.cycles import Calendar
from tables.journal_stage import ChunkSums, JournalStage, RowReader
from tables.outcome import States
from tables.restatements import Restatements
from tables.sales import Tally
from tables.terms import Terms
from tables.touched import TouchedStates, touched_services, touched_tallies

_SHOP_ID: Final = attrgetter("shop_id")


class SoldIn(NamedTuple):
    """The sum of some entries, with the key of its cycle."""

    cycle_key: bytes
    sold: Sold


class BoughtIn(NamedTuple):
    """A change of a buyer's orders in a cycle (R6)."""

    buyer_key: bytes
    cycle_key: bytes
    start_ms: int
    orders: int


class ServedIn(NamedTuple):
    """A change of service columns, with the key of its cycle."""

    cycle_key: bytes
    row: Served | Replied


class BuyerFact(NamedTuple):
    """A reason to write to a buyer, or messages (R4)."""

    buyer_key: bytes
    fact: Contact | Messages


class ShopAddition(msgspec.Struct, frozen=True):
    """A record of `shop-activity` with the keys of its sums."""

    key: bytes
    sold: list[SoldIn]
    bought: list[BoughtIn]
    served: list[ServedIn]
    facts: list[BuyerFact]
    causes: dict[bytes, list[RestatingEntry]]
    """The entries in `sold` that restate, by the key of their cycle."""

    @property
    def about(self) -> str:
        """Whose sums change, for errors and logs."""
        return f"shop {self.key.decode()}"


class ShopStage(JournalStage):
    """Records of `shop-activity` → sums by shop, per cycle and of all time, and its buyers."""

    def __init__(self, terms: Terms, refusals_in_a_row: int, partitions: int | None = None) -> None:
        super().__init__(
            catalogue.SHOP_STAGE,
            terms,
            refusals_in_a_row,
            RowReader(journal.decode_activity, _SHOP_ID),
            partitions,
        )

    def _addition(self, key: bytes, row: ShopActivity, value: bytes) -> ShopAddition:  # noqa: ARG002 - as every stage's
        start_of, shop_id = self._calendar.start_of_iso, row.shop_id
        bought = []
        for one in row.bought:
            start_ms = start_of(one.cycle)
            buyer_key = catalogue.conversation_key(shop_id, one.buyer_id)
            cycle_key = catalogue.cycle_key(key, start_ms)
            bought.append(BoughtIn(buyer_key, cycle_key, start_ms, one.orders))
        served: list[Served | Replied] = [*row.served, *row.replied]
        facts: list[Contact | Messages] = [*row.contacts, *row.messages]
        return ShopAddition(
            key,
            [SoldIn(catalogue.cycle_key(key, start_of(one.cycle)), one) for one in row.sold],
            bought,
            [ServedIn(catalogue.cycle_key(key, start_of(one.cycle)), one) for one in served],
            [BuyerFact(catalogue.conversation_key(shop_id, one.buyer_id), one) for one in facts],
            self._causes(key, row.late) if row.late and self._publisher is not None else {},
        )

    def _causes(self, key: bytes, late: Iterable[Late]) -> dict[bytes, list[RestatingEntry]]:
        causes: dict[bytes, list[RestatingEntry]] = {}
        for one in late:
            cycle_key = catalogue.cycle_key(key, self._calendar.start_of_iso(one.cycle))
            _, *event = msgspec.structs.astuple(one)
            causes.setdefault(cycle_key, []).append(RestatingEntry(*event))
        return causes

    def _sums(self, states: States, restatements: Restatements | None) -> ChunkSums:
        return _ShopSums(states, self._calendar, restatements)


class _ShopSums:
    def __init__(
        self, states: States, calendar: Calendar, restatements: Restatements | None
    ) -> None:
        self._calendar = calendar
        self._restatements = restatements
        self._cycles = touched_tallies(states[SHOP_CYCLES.name])
        self._totals = touched_tallies(states[SHOP_TOTALS.name])
        self._service = touched_services(states[SHOP_SERVICE_CYCLES.name])
        self._service_totals = touched_services(states[SHOP_SERVICE_TOTALS.name])
        self._buyers = TouchedStates(states[SHOP_BUYERS.name], Buyer, buyers.decode)

    def add(self, addition: ShopAddition, /) -> None:
        key, service_totals = addition.key, self._service_totals
        if addition.causes and self._restatements is not None:
            self._restate(self._restatements, addition)
        else:
            self._sell(addition)
        for buyer_key, cycle_key, start_ms, orders in addition.bought:  # R6
            change = self._buyers[buyer_key].buy(start_ms, orders)
            # Added also if nothing changes: rows don't depend on how chunks were cut.
            self._service[cycle_key].add(change.in_cycle)
            service_totals[key].add(change.of_all_time)
        for cycle_key, row in addition.served:
            self._service[cycle_key].add(row.columns, restates=row.restates)
            service_totals[key].add(row.columns, restates=row.restates)
        for buyer_key, fact in addition.facts:
            # R4: the change counts in the cycle in which there was reason to write.
            changes = self._buyers[buyer_key].learn(fact, self._calendar)
            for (_, start_ms), columns in changes.items():
                self._service[catalogue.cycle_key(key, start_ms)].add(columns)
                service_totals[key].add(columns)

    def _sell(self, addition: ShopAddition) -> None:
        for cycle_key, sold in addition.sold:
            self._cycles[cycle_key].add(sold.columns, sold.currency, sold.restates)
            self._totals[addition.key].add(sold.columns, sold.currency, sold.restates)

    def _restate(self, restatements: Restatements, addition: ShopAddition) -> None:
        """Add what restates as well, with a record for each cycle that has ended (C3)."""
        before = {key: restatements.before(key, self._cycles) for key in addition.causes}
        self._sell(addition)
        for cycle_key, causes in addition.causes.items():
            was = before[cycle_key]
            if was is not None:
                restatements.changed(cycle_key, was, self._cycles[cycle_key], causes)

    def sales(self) -> Iterable[tuple[Table, Mapping[bytes, Tally]]]:
        return (SHOP_CYCLES, self._cycles), (SHOP_TOTALS, self._totals)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        return {
            SHOP_CYCLES.name: self._cycles.encoded(sales.encode),
            SHOP_TOTALS.name: self._totals.encoded(sales.encode),
            SHOP_SERVICE_CYCLES.name: self._service.encoded(service.encode),
            SHOP_SERVICE_TOTALS.name: self._service_totals.encoded(service.encode),
            SHOP_BUYERS.name: self._buyers.encoded(buyers.encode),
        }
