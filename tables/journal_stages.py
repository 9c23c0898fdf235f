"""The stages behind the journal: entries and service rows → the sums by product and by shop."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import msgspec

from schemas import journal, limits
from schemas.envelope import Record
from schemas.journal import (
    Contact,
    Delta,
    Messages,
    ProgressMark,
    Replied,
    Served,
    ServiceDelta,
    ShopActivity,
    Sold,
)
from schemas.refusals import Reason, Refusal
from tables import buyers, catalogue, sales, service, watermarks
from tables.buyers import Buyer
from tables.catalogue import (
    PRODUCT_CYCLES,
    PRODUCT_SERVICE_CYCLES,
    PRODUCT_TOTALS,
    SHOP_BUYERS,
    SHOP_CYCLES,
    SHOP_SERVICE_CYCLES,
    SHOP_SERVICE_TOTALS,
    SHOP_TOTALS,
    StageSpec,
)
from tables.cycles import Calendar
from tables.outcome import Outcome, Readings, States, Stored
from tables.sales import ImpossibleTallyError, Tally
from tables.service import ImpossibleServiceError, ServiceTally
from tables.watermarks import Progress

_State = TypeVar("_State")


class Addition(msgspec.Struct, frozen=True, gc=False):
    """A journal row that has been read: the id it belongs to, the cycle's key, and what to add."""

    key: bytes
    cycle_key: bytes
    delta: Delta | ServiceDelta

    @property
    def restatements(self) -> int:
        """How many entries or rows restate."""
        return int(self.delta.restates)


class ShopAddition(msgspec.Struct, frozen=True):
    """What changed of a shop, read: `sold`, `served` with their cycles' keys.

    `bought`: buyer's key, cycle's key and start, orders.

    `served` has what it replied as well.
    """

    key: bytes
    sold: list[tuple[bytes, Sold]]
    bought: list[tuple[bytes, bytes, int, int]]
    served: list[tuple[bytes, Served | Replied]]
    heard: list[tuple[bytes, Contact | Messages]]
    """Contacts and messages, each with its buyer's key."""

    @property
    def restatements(self) -> int:
        """How many entries and rows restate."""
        return sum([sold.restates for _, sold in self.sold]) + sum(
            [row.restates for _, row in self.served]
        )


class _Work(Protocol):
    """The states that one chunk changes."""

    def apply(self, said: Any) -> None:  # noqa: ANN401 - what its stage reads
        """Take in one record. Raises ImpossibleTallyError or ImpossibleServiceError."""

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The states that changed."""


class _JournalStage:
    """Records of a journal → sums by the id in its key.

    One for all partitions: it holds no state.
    """

    spec: StageSpec
    _id_name: str

    def __init__(
        self, calendar: Calendar, refusals_in_a_row: int, decode: Callable[[bytes], Any]
    ) -> None:
        self._calendar = calendar
        self._refusals_in_a_row = refusals_in_a_row
        self._decode = decode
        self._subject = attrgetter(self._id_name)

    @property
    def terms(self) -> str:
        """The settings by which the tables are made."""
        return self._calendar.terms

    def _work(self, states: States) -> _Work:
        """A chunk's work on these states."""
        raise NotImplementedError

    def read(self, record: Record) -> Addition | ShopAddition | ProgressMark | Refusal:  # noqa: PLR0911 - one return a reason
        """What a record says. Never raises."""
        value, key = record.value, record.key
        if not value:
            return Refusal(Reason.EMPTY_VALUE, "no bytes")
        try:
            said = self._decode(value)
        except msgspec.ValidationError as error:
            return Refusal(Reason.INVALID_FIELD, str(error)[: limits.DETAIL_CHARS])
        except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as error:
            return Refusal(Reason.NOT_JSON, str(error)[: limits.DETAIL_CHARS])
        if type(said) is ProgressMark:
            return said
        if not key:
            return Refusal(Reason.MISSING_KEY, f"expected the {self._id_name}")
        if key != self._subject(said).encode():
            return Refusal(Reason.KEY_MISMATCH, f"the record's key isn't the {self._id_name}")
        try:
            return self._addition(key, said)
        except ValueError as error:
            return Refusal(Reason.INVALID_FIELD, f"cycle: {error}"[: limits.DETAIL_CHARS])

    def _addition(self, key: bytes, said: Any) -> Addition | ShopAddition:  # noqa: ANN401 - what its stage decodes
        """Which sums a record belongs to; ValueError if it names a cycle that isn't one."""
        raise NotImplementedError

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """What a chunk of the partition `place`, as `sales-3`, changes.

        Raises ImpossibleTallyError or ImpossibleServiceError if a sum leaves its bounds: then the
        journal was read twice or with a hole.
        """
        progress = progress or watermarks.START
        offset, refused_in_a_row = progress.offset, progress.refused_in_a_row
        sources, confirmed_ms = dict(progress.sources), progress.confirmed_ms
        work = self._work(states)
        parked: list[tuple[int, Refusal]] = []
        skipped = added = marks = restatements = taken = 0
        for at, said in readings:
            if refused_in_a_row >= self._refusals_in_a_row:
                break
            taken += 1
            if at <= offset:  # never twice, even if handed over twice
                skipped += 1
                continue
            offset = at
            if type(said) is ProgressMark:
                marks += 1
                sources[f"{said.topic}-{said.partition}"] = (said.offset, said.watermark_ms)
                confirmed_ms = watermarks.latest(confirmed_ms, said.confirmed_ms)
            elif type(said) is Refusal:
                parked.append((offset, said))
                refused_in_a_row += 1
            else:
                refused_in_a_row = 0
                added += 1
                restatements += said.restatements
                try:
                    work.apply(said)
                except (ImpossibleTallyError, ImpossibleServiceError) as error:
                    raise type(error)(f"{place}@{offset}: {error}") from error
        return Outcome(
            writes=work.writes(),
            sends={},
            parked=parked,
            progress=Progress(
                offset,
                watermarks.least([mark for _, mark in sources.values()]),
                refused_in_a_row,
                sources,
                confirmed_ms,
            ),
            counts={
                "applied": added,
                "duplicates": 0,
                "refused": len(parked),
                "skipped": skipped,
                "marks": marks,
                "late": restatements,
                "entries": added,
                "restatements": restatements,
            },
            records_covered=taken,
            paused=refused_in_a_row >= self._refusals_in_a_row,
        )


class _Sums(dict[bytes, _State]):
    """Decoded states by key, made when first touched; all that are touched change."""

    def __init__(
        self, states: Stored, new: Callable[[], _State], decode: Callable[[bytes], _State]
    ) -> None:
        super().__init__()
        self._states = states
        self._new = new
        self._decode = decode

    def __missing__(self, key: bytes) -> _State:
        state = self._states[key]
        found = self[key] = self._new() if state is None else self._decode(state)
        return found


def _tallies(states: Stored) -> _Sums[Tally]:
    return _Sums(states, Tally, sales.decode)


def _services(states: Stored) -> _Sums[ServiceTally]:
    return _Sums(states, ServiceTally, service.decode)


def _encoded(sums: _Sums[_State], encode: Callable[[_State], bytes]) -> dict[bytes, bytes | None]:
    return {key: encode(state) for key, state in sums.items()}


# --- products
# ------------------------------------------------------------------------------------------------------------------


class ProductStage(_JournalStage):
    """Journal → what each product sold, and what became of its sales."""

    spec = catalogue.PRODUCT_STAGE
    _id_name = "product_id"

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        super().__init__(calendar, refusals_in_a_row, journal.decode_product)

    def _addition(self, key: bytes, said: Delta | ServiceDelta) -> Addition:
        return Addition(
            key, catalogue.cycle_key(key, self._calendar.start_of_iso(said.cycle)), said
        )

    def _work(self, states: States) -> _Work:
        return _Products(states)


class _Products:
    def __init__(self, states: States) -> None:
        self._cycles = _tallies(states[PRODUCT_CYCLES.name])
        self._totals = _tallies(states[PRODUCT_TOTALS.name])
        self._service = _services(states[PRODUCT_SERVICE_CYCLES.name])

    def apply(self, said: Addition) -> None:
        delta = said.delta
        if isinstance(delta, Delta):
            self._cycles[said.cycle_key].add(delta)
            self._totals[said.key].add(delta)
        else:
            self._service[said.cycle_key].add(delta.columns, restates=delta.restates)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        return {
            PRODUCT_CYCLES.name: _encoded(self._cycles, sales.encode),
            PRODUCT_TOTALS.name: _encoded(self._totals, sales.encode),
            PRODUCT_SERVICE_CYCLES.name: _encoded(self._service, service.encode),
        }


# --- shops
# ---------------------------------------------------------------------------------------------------------------------


class ShopStage(_JournalStage):
    """Journal → what each shop sold, how it served, and who its buyers are."""

    spec = catalogue.SHOP_STAGE
    _id_name = "shop_id"

    def __init__(self, calendar: Calendar, refusals_in_a_row: int) -> None:
        super().__init__(calendar, refusals_in_a_row, journal.decode_activity)

    def _addition(self, key: bytes, said: ShopActivity) -> ShopAddition:
        start_of, shop_id = self._calendar.start_of_iso, said.shop_id
        served: list[Served | Replied] = [*said.served, *said.replied]
        heard: list[Contact | Messages] = [*said.contacts, *said.messages]
        bought = [
            (catalogue.conversation_key(shop_id, one.buyer_id), start_of(one.cycle), one.orders)
            for one in said.bought
        ]
        return ShopAddition(
            key,
            [(catalogue.cycle_key(key, start_of(one.cycle)), one) for one in said.sold],
            [
                (buyer, catalogue.cycle_key(key, start_ms), start_ms, orders)
                for buyer, start_ms, orders in bought
            ],
            [(catalogue.cycle_key(key, start_of(one.cycle)), one) for one in served],
            [(catalogue.conversation_key(shop_id, one.buyer_id), one) for one in heard],
        )

    def _work(self, states: States) -> _Work:
        return _Shops(states, self._calendar)


class _Shops:
    def __init__(self, states: States, calendar: Calendar) -> None:
        self._calendar = calendar
        self._cycles = _tallies(states[SHOP_CYCLES.name])
        self._totals = _tallies(states[SHOP_TOTALS.name])
        self._service = _services(states[SHOP_SERVICE_CYCLES.name])
        self._service_ever = _services(states[SHOP_SERVICE_TOTALS.name])
        self._buyers = _Sums(states[SHOP_BUYERS.name], Buyer, buyers.decode)

    def apply(self, said: ShopAddition) -> None:
        for cycle_key, sold in said.sold:
            self._cycles[cycle_key].add(sold)
            self._totals[said.key].add(sold)
        for key, cycle_key, start_ms, orders in said.bought:  # R6: in the cycle, and of all time
            in_cycle, ever = self._buyers[key].buy(start_ms, orders)
            self._service[cycle_key].add(
                in_cycle
            )  # also if nothing changes: rows mustn't depend on how chunks were cut
            self._service_ever[said.key].add(ever)
        for cycle_key, row in said.served:
            self._service[cycle_key].add(row.columns, restates=row.restates)
            self._service_ever[said.key].add(row.columns, restates=row.restates)
        for (
            key,
            one,
        ) in said.heard:  # R4: a change stands in the cycle in which there was reason to write
            for (_, start_ms), columns in self._buyers[key].hear(one, self._calendar).items():
                self._service[catalogue.cycle_key(said.key, start_ms)].add(columns)
                self._service_ever[said.key].add(columns)

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        return {
            SHOP_CYCLES.name: _encoded(self._cycles, sales.encode),
            SHOP_TOTALS.name: _encoded(self._totals, sales.encode),
            SHOP_SERVICE_CYCLES.name: _encoded(self._service, service.encode),
            SHOP_SERVICE_TOTALS.name: _encoded(self._service_ever, service.encode),
            SHOP_BUYERS.name: _encoded(self._buyers, buyers.encode),
        }
