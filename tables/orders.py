"""An order is the set of facts known about it; `absorb` adds one event's fact (S10, S11, S12).

The set is all that is kept: what counts is derived from it anew (`counting`), so the order of
arrival can't matter. Facts of each kind stand sorted by (`occurred_at`, `id`), so that equal sets
are equal bytes and the first of those that contradict each other is the one that holds (S11). Facts
that change no count (payments, parcels, refusals at the door, reissues (S10), refunds asked for or
failed) are kept as well: each is an identity that must not come twice, and shops' service is
counted from them.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from schemas import events
from schemas.envelope import Received

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class _Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What every fact has. `(source, id)` is its identity (S11)."""

    occurred_at_ms: int
    id: str
    source: str


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line as it was ordered; money in minor units, `discount` of the whole line."""

    line_id: str
    product_id: str
    quantity: int
    unit_price: int
    discount: int | None


class RefundLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a refund asks for a line: units, and an amount in minor units."""

    line_id: str
    quantity: int
    amount: int


class Placed(_Fact, frozen=True, array_like=True, gc=False):
    """The order was placed."""

    shop_id: str
    buyer_id: str
    currency: str
    group_id: str | None
    lines: tuple[Line, ...]


class Receipt(_Fact, frozen=True, array_like=True, gc=False):
    """Lines arrived; None = all."""

    line_ids: tuple[str, ...] | None
    parcel_id: str | None
    by: str


class Cancellation(_Fact, frozen=True, array_like=True, gc=False):
    """The order was called off."""

    reason: str


class Refund(_Fact, frozen=True, array_like=True, gc=False):
    """A refund succeeded; lines None = the whole order."""

    refund_id: str
    reason: str
    lines: tuple[RefundLine, ...] | None


class RefundReturn(_Fact, frozen=True, array_like=True, gc=False):
    """The bank returned a refund that had succeeded."""

    refund_id: str


class Other(_Fact, frozen=True, array_like=True, gc=False):
    """A fact that changes no count: its event type, and its own fields as JSON."""

    type: str
    fields: msgspec.Raw


class Order(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known about an order.

    The facts by kind, each kind sorted by (`occurred_at_ms`, `id`, content).

    `conflicts` has the (source, id) of events that came with more than one content; of each only
    the one that holds is kept.
    """

    version: int = VERSION
    placed: tuple[Placed, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    refunds: tuple[Refund, ...] = ()
    refund_returns: tuple[RefundReturn, ...] = ()
    others: tuple[Other, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()


EMPTY: Final = Order()
KINDS: Final = ("placed", "receipts", "cancellations", "refunds", "refund_returns", "others")

_encoder: Final = msgspec.json.Encoder()
encode_part: Final[Callable[[Any], bytes]] = _encoder.encode
"""A fact, or an identity in `conflicts` → the bytes that it has within those of its order."""
encode: Final[Callable[[Order], bytes]] = _encoder.encode
"""Order → bytes; equal facts give equal bytes."""
decode: Final[Callable[[bytes], Order]] = msgspec.json.Decoder(Order).decode
"""Bytes → order; raises msgspec's errors."""


# --- one function per event type: event → fact -------------------------------------------------------------------------------


def _placed(event: Received) -> Placed:
    body: events.OrderPlaced = event.body
    lines = tuple(
        [
            Line(line.line_id, line.product_id, line.quantity, line.unit_price, line.discount)
            for line in body.lines
        ]
    )
    return Placed(
        event.occurred_at_ms,
        event.id,
        event.source,
        body.shop_id,
        body.buyer_id,
        body.currency,
        body.group_id,
        lines,
    )


def _receipt_confirmed(event: Received) -> Receipt:
    body: events.ReceiptConfirmed = event.body
    return Receipt(
        event.occurred_at_ms, event.id, event.source, body.line_ids, body.parcel_id, body.by
    )


def _order_cancelled(event: Received) -> Cancellation:
    body: events.OrderCancelled = event.body
    return Cancellation(event.occurred_at_ms, event.id, event.source, body.reason)


def _refund_succeeded(event: Received) -> Refund:
    body: events.RefundSucceeded = event.body
    lines = (
        None
        if body.lines is None
        else tuple([RefundLine(line.line_id, line.quantity, line.amount) for line in body.lines])
    )
    return Refund(event.occurred_at_ms, event.id, event.source, body.refund_id, body.reason, lines)


def _refund_reversed(event: Received) -> RefundReturn:
    body: events.RefundReversed = event.body
    return RefundReturn(event.occurred_at_ms, event.id, event.source, body.refund_id)


def _other(event: Received) -> Other:
    return Other(
        event.occurred_at_ms,
        event.id,
        event.source,
        event.type,
        msgspec.Raw(_encoder.encode(event.body)),
    )


_FACTS: Final[dict[str, tuple[str, Callable[[Received], Any]]]] = {
    "order_placed": ("placed", _placed),
    "order_paid": ("others", _other),
    "order_shipped": ("others", _other),
    "receipt_confirmed": ("receipts", _receipt_confirmed),
    "order_cancelled": ("cancellations", _order_cancelled),
    "delivery_refused": ("others", _other),
    "refund_requested": ("others", _other),
    "refund_succeeded": ("refunds", _refund_succeeded),
    "refund_failed": ("others", _other),
    "refund_reversed": ("refund_returns", _refund_reversed),
    "reissue_shipped": ("others", _other),
    "review_posted": ("others", _other),
}


def fact_of(event: Received) -> tuple[str, Any]:
    """An event's fact, and which of `KINDS` it is."""
    kind, make = _FACTS[event.type]
    return kind, make(event)


# --- facts → order
# ------------------------------------------------------------------------------------------------------------


def absorb(order: Order, event: Received) -> Order:
    """The order with one more fact; the same object if the event tells nothing new (S11).

    Its order of arrival doesn't matter (S12).
    """
    kind, make = _FACTS[event.type]
    event_id, source = event.id, event.source
    for fact in _all(order):
        if fact.id == event_id and fact.source == source:
            return _contradicted(order, fact, kind, make(event))
    return _added(order, kind, make(event))


class Facts:
    """An order that is being told of.

    For what is new the same as `absorb`, without an `Order` for each event in between.

    It has the attributes of an `Order`, by name.
    """

    __slots__ = (
        "_ids",
        "_order",
        "cancellations",
        "conflicts",
        "others",
        "placed",
        "receipts",
        "refund_returns",
        "refunds",
    )

    def __init__(self, order: Order) -> None:
        self._order: Order | None = order
        self.placed, self.receipts, self.cancellations = (
            order.placed,
            order.receipts,
            order.cancellations,
        )
        self.refunds, self.refund_returns, self.others = (
            order.refunds,
            order.refund_returns,
            order.others,
        )
        self.conflicts = order.conflicts
        self._ids = {fact.id for fact in _all(order)}

    @property
    def order(self) -> Order:
        """What is known by now; one object until there is more."""
        order = self._order
        if order is None:
            order = self._order = Order(
                VERSION,
                self.placed,
                self.receipts,
                self.cancellations,
                self.refunds,
                self.refund_returns,
                self.others,
                self.conflicts,
            )
        return order

    def add(self, event: Received) -> bool:
        """Add an event's fact.

        False if there is one of its id, perhaps of another source: `absorb` says what that means
        (S11).
        """
        if event.id in self._ids:
            return False
        self._ids.add(event.id)
        kind, make = _FACTS[event.type]
        setattr(self, kind, _with(getattr(self, kind), make(event)))
        self._order = None
        return True


def _all(order: Order) -> tuple[_Fact, ...]:
    return (
        *order.placed,
        *order.receipts,
        *order.cancellations,
        *order.refunds,
        *order.refund_returns,
        *order.others,
    )


def _with(facts: tuple[_Fact, ...], fact: _Fact) -> tuple[_Fact, ...]:
    """Sorted facts of one kind with one more."""
    if not facts or facts[-1].occurred_at_ms < fact.occurred_at_ms:  # the usual case, and cheap
        return (*facts, fact)
    return tuple(sorted((*facts, fact), key=precedence))


def _added(order: Order, kind: str, fact: _Fact) -> Order:
    return msgspec.structs.replace(order, **{kind: _with(getattr(order, kind), fact)})


def _contradicted(order: Order, known: _Fact, kind: str, fact: _Fact) -> Order:
    """The order after a second event with a known identity: the same content changes nothing.

    Else the earlier one holds (S11).
    """
    if precedence(known) == precedence(fact):
        return order
    conflicts = tuple(sorted({*order.conflicts, (fact.source, fact.id)}))
    order = (
        order
        if conflicts == order.conflicts
        else msgspec.structs.replace(order, conflicts=conflicts)
    )
    if precedence(known) < precedence(fact):
        return order
    kind_before = next(name for name in KINDS if known in getattr(order, name))
    without = tuple(one for one in getattr(order, kind_before) if one is not known)
    return _added(msgspec.structs.replace(order, **{kind_before: without}), kind, fact)


_TYPES: Final = {
    Placed: "order_placed",
    Receipt: "receipt_confirmed",
    Cancellation: "order_cancelled",
    Refund: "refund_succeeded",
    RefundReturn: "refund_reversed",
}


def precedence(fact: _Fact) -> tuple[int, str, bytes]:
    """What decides which of two contradicting facts holds, the smaller.

    (`occurred_at_ms`, `id`, canonical JSON of the content) (S11).
    """
    return fact.occurred_at_ms, fact.id, msgspec.json.encode(content(fact), order="sorted")


def content(fact: _Fact) -> dict[str, Any]:
    """A fact as its event's fields, those that are present, without `occurred_at` and `order_id`."""
    if isinstance(fact, Other):
        own: dict[str, Any] = msgspec.json.decode(fact.fields)
        return {"type": fact.type, "id": fact.id, "source": fact.source} | own
    fields = _given(fact)
    del fields["occurred_at_ms"]
    if isinstance(fact, (Placed, Refund)) and fact.lines is not None:
        fields["lines"] = [_given(line) for line in fact.lines]
    return {"type": _TYPES[type(fact)]} | fields


def _given(struct: msgspec.Struct) -> dict[str, Any]:
    return {
        name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None
    }
