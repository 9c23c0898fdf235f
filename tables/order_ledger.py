"""An order with many facts, updated event by event: its facts, its size, and what each changes.

It is the incremental twin of `orders.absorb`, `counting`, `entries` and `aftersales`, which derive
the whole order for each event. Here an event costs what it changes.
"""

from bisect import bisect_left, bisect_right
from typing import Any, Final, NamedTuple

from msgspec import structs

from schemas.columns import SaleColumns
from schemas.envelope import Received
from schemas.refusals import Reason, Refusal
from tables import aftersales, orders
from tables.cycles import Calendar
from tables.entries import RowKey
from tables.orders import Refund, RefundReturn
from tables.sale_ledger import SaleLedger
from tables.service_ledger import ServiceLedger

_EMPTY_BYTES: Final = len(orders.encode(orders.EMPTY))


class _Known(NamedTuple):
    """A fact and its kind, one of `orders.KINDS`."""

    kind: str
    fact: Any


class OrderLedger:
    """The facts of one order, and what counts of them; `state` is its bytes, None if new."""

    def __init__(self, state: bytes | None, calendar: Calendar) -> None:
        order = orders.EMPTY if state is None else orders.decode(state)
        self.size = _EMPTY_BYTES if state is None else len(orders.encode(order))
        """How many bytes `encode` returns."""

        self._facts: dict[str, list[Any]] = {
            kind: list(getattr(order, kind)) for kind in orders.KINDS
        }
        self._known = {
            (fact.source, fact.id): _Known(kind, fact)
            for kind, facts in self._facts.items()
            for fact in facts
        }
        self._conflicts = set(order.conflicts)
        self._refunds: dict[str, list[Refund]] = {}
        """By refund_id, its facts, sorted; the first one is valid (S11)."""

        self._returned: dict[str, int] = {}
        """By refund_id, how many facts say that the bank returned it (S5)."""

        self._service = ServiceLedger(calendar)
        self._sales = SaleLedger(calendar, self._service)
        # The placing comes last: it counts all lines at once, by the facts that are there.
        for kind in sorted(orders.KINDS, key=lambda kind: kind == "placed"):
            for fact in self._facts[kind][:1] if kind == "placed" else self._facts[kind]:
                self._count(kind, fact, removed=False)
        self._sales.changes()
        self._service.changes()
        self._service.contact_changes()

    def encode(self) -> bytes:
        """The order's bytes."""
        facts = {kind: tuple(facts) for kind, facts in self._facts.items()}
        return orders.encode(
            structs.replace(orders.EMPTY, conflicts=tuple(sorted(self._conflicts)), **facts)
        )

    def add(self, event: Received, most_bytes: int) -> bool | Refusal:
        """Add an event's fact.

        False for a duplicate (S11); a refusal if the order would have more than `most_bytes`.
        """
        kind, fact = orders.fact_of(event)
        identity, size, is_valid = (event.source, event.id), self.size, True
        known = self._known.get(identity)
        if known is not None:
            before, after = orders.precedence(known.fact), orders.precedence(fact)
            is_valid = after < before
            if before == after or (identity in self._conflicts and not is_valid):
                return False
            if identity not in self._conflicts:
                size += len(orders.encode_part(identity)) + bool(self._conflicts)
            if is_valid:
                size -= len(orders.encode_part(known.fact)) + (len(self._facts[known.kind]) > 1)
        if is_valid:
            beside = len(self._facts[kind]) - (known is not None and known.kind == kind)
            size += len(orders.encode_part(fact)) + (beside > 0)
        if size > most_bytes:
            return Refusal(Reason.ORDER_FULL, f"{size} bytes with this event, at most {most_bytes}")
        self.size = size
        if known is not None:
            self._conflicts.add(identity)
        if is_valid:
            if known is not None:
                self._remove(known)
            self._insert(identity, _Known(kind, fact))
        return True

    def sales(self) -> dict[RowKey, SaleColumns]:
        """The changes of journal rows since the last call, for `entries.listed`."""
        return self._sales.changes()

    def service(self) -> list[aftersales.ServiceDifference]:
        """The same as `aftersales.changes`, since the last call."""
        return self._service.changes()

    def contacts(self) -> list[aftersales.ContactChange]:
        """The same as `aftersales.contact_changes`, since the last call."""
        return self._service.contact_changes()

    # --- facts ------------------------------------------------------------------------------------

    def _insert(self, identity: tuple[str, str], known: _Known) -> None:
        self._known[identity] = known
        facts = self._facts[known.kind]
        facts.insert(_index(facts, known.fact), known.fact)
        self._count(known.kind, known.fact, removed=False)

    def _remove(self, known: _Known) -> None:
        facts = self._facts[known.kind]
        del facts[_index(facts, known.fact)]
        self._count(known.kind, known.fact, removed=True)

    def _count(self, kind: str, fact: Any, *, removed: bool) -> None:  # noqa: ANN401 - a fact of any kind
        if kind == "others":
            self._service.change(fact, removed=removed)
        elif kind == "refunds":
            self._refund(fact, removed=removed)
        elif kind == "refund_returns":
            self._return(fact, removed=removed)
        elif kind == "receipts":
            self._sales.receive(fact.line_ids or None, fact.occurred_at_ms, removed=removed)
        elif kind == "cancellations":
            self._sales.cancel(fact.occurred_at_ms, removed=removed)
        else:
            placed = self._facts["placed"][0] if self._facts["placed"] else None  # S11
            self._sales.place(placed)
            self._service.place(placed, self._facts["others"])

    def _refund(self, fact: Refund, *, removed: bool) -> None:
        """S11: of the facts of one refund the first is valid. S5: it counts unless returned."""
        facts = self._refunds.setdefault(fact.refund_id, [])
        before = facts[0] if facts else None
        if removed:
            del facts[_index(facts, fact)]
        else:
            facts.insert(_index(facts, fact), fact)
        after = facts[0] if facts else None
        if before is after:
            return
        counts = not self._returned.get(fact.refund_id)
        if before is not None:
            self._service.change_refund(before.occurred_at_ms, before.reason, removed=True)
            if counts:
                self._sales.refund(before, removed=True)
        if after is not None:
            self._service.change_refund(after.occurred_at_ms, after.reason)
            if counts:
                self._sales.refund(after)

    def _return(self, fact: RefundReturn, *, removed: bool) -> None:
        before = self._returned.get(fact.refund_id, 0)
        after = self._returned[fact.refund_id] = before - 1 if removed else before + 1
        facts = self._refunds.get(fact.refund_id)
        if facts and not before:
            self._sales.refund(facts[0], removed=True)
        elif facts and not after:
            self._sales.refund(facts[0])


def _index(facts: list[Any], fact: Any) -> int:  # noqa: ANN401 - facts of any kind
    """The index of a fact, present or not, among the sorted facts of its kind."""
    if not facts or facts[-1].occurred_at_ms < fact.occurred_at_ms:
        return len(facts)
    instant = fact.occurred_at_ms, fact.id
    begin = bisect_left(facts, instant, key=_instant)
    end = bisect_right(facts, instant, begin, key=_instant)
    return (
        begin
        if begin == end
        else bisect_left(facts, orders.precedence(fact), begin, end, key=orders.precedence)
    )


def _instant(fact: Any) -> tuple[int, str]:  # noqa: ANN401 - a fact of any kind
    return fact.occurred_at_ms, fact.id
