"""An order is the set of facts known about it; `absorb` adds the fact of one event (S10, S11, S12).

The state is this set and nothing else: sales are derived from it anew (`counting`), so the order in
which events arrive can't matter. The facts of a kind are sorted by (`occurred_at`, `id`, content):
equal sets give equal bytes, and of facts that contradict each other the first one is valid (S11).

Some facts change no sales: payments, parcels, refused deliveries, reissues (S10), refunds requested
or failed. They are in the set as well. They make a duplicate of their event detectable, and the
shop's service is derived from them.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import astuple

from schemas import events
from schemas.envelope import Received
from tables.formats import reader

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


# --- the facts


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields of every fact. `(source, id)` identifies it (S11)."""

    occurred_at_ms: int
    id: str
    source: str


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line as ordered. Money is in minor units; `discount` is taken off the whole line."""

    line_id: str
    product_id: str
    quantity: int
    unit_price: int
    discount: int | None


class RefundLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a refund claims of a line: units, and an amount in minor units."""

    line_id: str
    quantity: int
    amount: int


class Placed(Fact, frozen=True, array_like=True, gc=False):
    """The order was placed."""

    shop_id: str
    buyer_id: str
    currency: str
    group_id: str | None
    lines: tuple[Line, ...]


class Receipt(Fact, frozen=True, array_like=True, gc=False):
    """Lines were received; None = all lines."""

    line_ids: tuple[str, ...] | None
    parcel_id: str | None
    by: str


class Cancellation(Fact, frozen=True, array_like=True, gc=False):
    """The order was cancelled."""

    reason: str


class Refund(Fact, frozen=True, array_like=True, gc=False):
    """A refund succeeded: of these lines, or of the whole order if `lines` is None."""

    refund_id: str
    reason: str
    lines: tuple[RefundLine, ...] | None


class RefundReturn(Fact, frozen=True, array_like=True, gc=False):
    """The bank returned the money of a successful refund."""

    refund_id: str


class Other(Fact, frozen=True, array_like=True, gc=False):
    """A fact that changes no sales: its event type, and the fields of its event as JSON."""

    type: str
    fields: msgspec.Raw


class Order(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known about an order: its facts by kind.

    Each kind is sorted by `precedence`. `conflicts` has the (source, id) of events that arrived
    with more than one content; of each, only the valid fact is kept.
    """

    version: Literal[1] = VERSION
    placed: tuple[Placed, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()
    refunds: tuple[Refund, ...] = ()
    refund_returns: tuple[RefundReturn, ...] = ()
    others: tuple[Other, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()


EMPTY: Final = Order()

_encoder: Final = msgspec.json.Encoder()
encode_part: Final[Callable[[Any], bytes]] = _encoder.encode
"""A fact, or an identity in `conflicts` → its bytes within the bytes of its order."""
encode: Final[Callable[[Order], bytes]] = _encoder.encode
"""Order → bytes; equal facts give equal bytes."""
decode: Final[Callable[[bytes], Order]] = reader(
    "orders", VERSION, msgspec.json.Decoder(Order).decode
)
"""Bytes → order; raises as `formats.reader`."""


# --- one function per kind: event → fact


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


def _receipt(event: Received) -> Receipt:
    body: events.ReceiptConfirmed = event.body
    return Receipt(
        event.occurred_at_ms, event.id, event.source, body.line_ids, body.parcel_id, body.by
    )


def _cancellation(event: Received) -> Cancellation:
    body: events.OrderCancelled = event.body
    return Cancellation(event.occurred_at_ms, event.id, event.source, body.reason)


def _refund(event: Received) -> Refund:
    body: events.RefundSucceeded = event.body
    lines = (
        None
        if body.lines is None
        else tuple([RefundLine(line.line_id, line.quantity, line.amount) for line in body.lines])
    )
    return Refund(event.occurred_at_ms, event.id, event.source, body.refund_id, body.reason, lines)


def _refund_return(event: Received) -> RefundReturn:
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


class FactKind(NamedTuple):
    """A kind of facts: its field in `Order`, its struct, and the function from event to fact."""

    name: str
    fact: type[Fact]
    fact_of: Callable[[Received], Any]


_OTHER: Final = FactKind("others", Other, _other)
_KIND_OF: Final[dict[str, FactKind]] = dict.fromkeys(events.ORDER_TYPES, _OTHER) | {
    "order_placed": FactKind("placed", Placed, _placed),
    "receipt_confirmed": FactKind("receipts", Receipt, _receipt),
    "order_cancelled": FactKind("cancellations", Cancellation, _cancellation),
    "refund_succeeded": FactKind("refunds", Refund, _refund),
    "refund_reversed": FactKind("refund_returns", RefundReturn, _refund_return),
}
"""By event type: the kind of its fact. Everything below that depends on the kinds uses this."""

KINDS: Final = Order.__struct_fields__[1:-1]
"""The fields of `Order` that have its facts."""

SALE_EVENTS: Final = frozenset(
    event_type for event_type, kind in _KIND_OF.items() if kind is not _OTHER
)
"""The event types whose facts sales are derived from."""

if set(KINDS) != {kind.name for kind in _KIND_OF.values()}:
    raise TypeError("every field of facts in Order needs a kind, and every kind a field")

_FIELD_OF: Final = {
    event_type: (Order.__struct_fields__.index(kind.name), kind.fact_of)
    for event_type, kind in _KIND_OF.items()
}
_TYPE_OF: Final = {kind.fact: event_type for event_type, kind in _KIND_OF.items()}


def fact_of(event: Received) -> tuple[str, Any]:
    """The kind (one of `KINDS`) and the fact of an event."""
    kind = _KIND_OF[event.type]
    return kind.name, kind.fact_of(event)


# --- facts → order


def absorb(order: Order, event: Received) -> Order:
    """The order with the fact of one more event; the same object for a duplicate (S11).

    The order of arrival doesn't matter (S12).
    """
    kind, fact = fact_of(event)
    event_id, source = event.id, event.source
    for facts in astuple(order)[1:-1]:
        for known in facts:
            if known.id == event_id and known.source == source:
                return _contradicted(order, known, kind, fact)
    return _added(order, kind, fact)


class Facts:
    """A mutable builder of an `Order`: like repeated `absorb`, without an `Order` per event.

    It only adds events with new ids; the rest of `absorb` is left to the caller.
    """

    __slots__ = ("_fields", "_ids", "_order")

    def __init__(self, order: Order) -> None:
        fields = astuple(order)
        self._order: Order | None = order
        self._fields = list(fields)
        self._ids = {fact.id for facts in fields[1:-1] if facts for fact in facts}

    @property
    def order(self) -> Order:
        """The order with all events so far; the same object until one is added."""
        order = self._order
        if order is None:
            order = self._order = Order(*self._fields)
        return order

    def add(self, event: Received) -> bool:
        """Add an event's fact.

        False, without a change, if a fact has its id, perhaps of another source (see `absorb`).
        """
        event_id, ids = event.id, self._ids
        if event_id in ids:
            return False
        ids.add(event_id)
        index, fact_from = _FIELD_OF[event.type]
        fields = self._fields
        fields[index] = _with(fields[index], fact_from(event))
        self._order = None
        return True


def _with(facts: tuple[Fact, ...], fact: Fact) -> tuple[Fact, ...]:
    """Sorted facts of one kind with one more."""
    if not facts or facts[-1].occurred_at_ms < fact.occurred_at_ms:  # the usual case, and cheap
        return (*facts, fact)
    return tuple(sorted((*facts, fact), key=precedence))


def _added(order: Order, kind: str, fact: Fact) -> Order:
    return msgspec.structs.replace(order, **{kind: _with(getattr(order, kind), fact)})


def _contradicted(order: Order, known: Fact, kind: str, fact: Fact) -> Order:
    """The order after a second fact with a known identity (S11).

    The same content changes nothing. Of two contents the one with the smaller precedence is valid.
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


def precedence(fact: Fact) -> tuple[int, str, bytes]:
    """The sort key of facts: of two that contradict each other, the smaller one is valid (S11).

    It is (`occurred_at_ms`, `id`, canonical JSON of the content).
    """
    return fact.occurred_at_ms, fact.id, msgspec.json.encode(content(fact), order="sorted")


def content(fact: Fact) -> dict[str, Any]:
    """A fact as the fields of its event that are present, without `occurred_at` and `order_id`."""
    if isinstance(fact, Other):
        own: dict[str, Any] = msgspec.json.decode(fact.fields)
        return {"type": fact.type, "id": fact.id, "source": fact.source} | own
    fields = _given(fact)
    del fields["occurred_at_ms"]
    if isinstance(fact, (Placed, Refund)) and fact.lines is not None:
        fields["lines"] = [_given(line) for line in fact.lines]
    return {"type": _TYPE_OF[type(fact)]} | fields


def _given(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields of a struct that are not None."""
    return {
        name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None
    }
