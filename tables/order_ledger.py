"""An order while a chunk's events are added to it.

Its facts, its size, and what each event changes.

The same as `orders.absorb`, `counting`, `entries` and `aftersales` say, which derive all of an
order each time: dear where an order has many facts. Here an event costs what it changes.
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
    """A fact, and which kind of `orders.KINDS` it is."""

    kind: str
    fact: Any


class OrderLedger:
    """The facts of one order, and what counts of them. `state` are its bytes, None if it is new."""

    def __init__(self, state: bytes | None, calendar: Calendar) -> None:
        order = orders.EMPTY if state is None else orders.decode(state)
        self.size = _EMPTY_BYTES if state is None else len(state)
        """How many bytes `encode` has."""

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
        """By refund_id, the facts of it, sorted; the first holds (S11)."""

        self._returned: dict[str, int] = {}
        self._service = ServiceLedger(calendar)
        self._sales = SaleLedger(calendar, self._service)
        for kind in (
            "receipts",
            "cancellations",
            "refund_returns",
            "refunds",
            "others",
            "placed",
        ):  # placed last: all at once
            for fact in self._facts[kind][:1] if kind == "placed" else self._facts[kind]:
                self._count(kind, fact, gone=False)
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

        False if it tells nothing new (S11), a Refusal if the order would be too large with it.
        """
        kind, fact = orders.fact_of(event)
        identity, size, holds = (event.source, event.id), self.size, True
        known = self._known.get(identity)
        if known is not None:
            was, now = orders.precedence(known.fact), orders.precedence(fact)
            holds = now < was
            if was == now or (identity in self._conflicts and not holds):
                return False
            if identity not in self._conflicts:
                size += len(orders.encode_part(identity)) + bool(self._conflicts)
            if holds:
                size -= len(orders.encode_part(known.fact)) + (len(self._facts[known.kind]) > 1)
        if holds:
            beside = len(self._facts[kind]) - (known is not None and known.kind == kind)
            size += len(orders.encode_part(fact)) + (beside > 0)
        if size > most_bytes:
            return Refusal(Reason.ORDER_FULL, f"{size} bytes with this event, at most {most_bytes}")
        self.size = size
        if known is not None:
            self._conflicts.add(identity)
        if holds:
            if known is not None:
                self._remove(known)
            self._insert(identity, _Known(kind, fact))
        return True

    def sales(self) -> dict[RowKey, SaleColumns]:
        """The journal's rows that changed since the last call, as `entries.listed` wants them."""
        return self._sales.changes()

    def service(self) -> list[aftersales.ServiceChange]:
        """As `aftersales.changes`, since the last call."""
        return self._service.changes()

    def contacts(self) -> list[aftersales.ContactChange]:
        """As `aftersales.contact_changes`, since the last call."""
        return self._service.contact_changes()

    # --- facts ------------------------------------------------------------------------------------

    def _insert(self, identity: tuple[str, str], known: _Known) -> None:
        self._known[identity] = known
        facts = self._facts[known.kind]
        facts.insert(_place(facts, known.fact), known.fact)
        self._count(known.kind, known.fact, gone=False)

    def _remove(self, known: _Known) -> None:
        facts = self._facts[known.kind]
        del facts[_place(facts, known.fact)]
        self._count(known.kind, known.fact, gone=True)

    def _count(self, kind: str, fact: Any, *, gone: bool) -> None:  # noqa: ANN401 - a fact of any kind
        if kind == "others":
            self._service.judge(fact, gone=gone)
        elif kind == "refunds":
            self._refund(fact, gone=gone)
        elif kind == "refund_returns":
            self._return(fact, gone=gone)
        elif kind == "receipts":
            self._sales.receive(fact.line_ids or None, fact.occurred_at_ms, gone=gone)
        elif kind == "cancellations":
            self._sales.cancel(fact.occurred_at_ms, gone=gone)
        else:
            holds = self._facts["placed"][0] if self._facts["placed"] else None
            self._sales.place(holds)
            self._service.place(holds, self._facts["others"])

    def _refund(self, fact: Refund, *, gone: bool) -> None:
        """S11: of the facts of one refund the first holds. S5: unless it came back."""
        facts = self._refunds.setdefault(fact.refund_id, [])
        before = facts[0] if facts else None
        if gone:
            del facts[_place(facts, fact)]
        else:
            facts.insert(_place(facts, fact), fact)
        after = facts[0] if facts else None
        if before is after:
            return
        counts = not self._returned.get(fact.refund_id)
        if before is not None:
            self._service.ask_for_contact(before.occurred_at_ms, before.reason, gone=True)
            if counts:
                self._sales.refund(before, gone=True)
        if after is not None:
            self._service.ask_for_contact(after.occurred_at_ms, after.reason)
            if counts:
                self._sales.refund(after)

    def _return(self, fact: RefundReturn, *, gone: bool) -> None:
        before = self._returned.get(fact.refund_id, 0)
        after = self._returned[fact.refund_id] = before - 1 if gone else before + 1
        facts = self._refunds.get(fact.refund_id)
        if facts and not before:
            self._sales.refund(facts[0], gone=True)
        elif facts and not after:
            self._sales.refund(facts[0])


def _place(facts: list[Any], fact: Any) -> int:  # noqa: ANN401 - facts of any kind
    """Where a fact stands, or belongs, among sorted ones of its kind."""
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
