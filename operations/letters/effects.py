"""What events of dead letters would change, by a reader's answers about their orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from operations.reader_client import ReaderError, UnknownId, get, in_path
from schemas import envelope
from schemas.envelope import Received
from streams.verdicts import Requeued
from tables import counting, orders
from tables.explanation import result_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.letters import Letter
    from streams.settings import Settings
    from streams.verdicts import LetterVerdict
    from tables.orders import Order


@dataclass(frozen=True, slots=True)
class Effect:
    """What one event changes of its order: net units, and net money in minor units by currency."""

    units: int = 0
    amounts: dict[str, int] = field(default_factory=dict)


COUNTED_ALREADY = Effect()
"""The effect of an event that its order has: it changes nothing (S11)."""


def effects_of(
    settings: Settings, judged: Iterable[tuple[Letter, LetterVerdict]]
) -> tuple[dict[str, Effect], str | None]:
    """By position of a letter, its effect if the letters are put back in this order.

    COUNTED_ALREADY itself where the event is among the facts of its order. Only accepted events of
    orders are looked up; the second part is why others aren't known, None if a reader answered.
    """
    known: dict[str, Order] = {}
    effects: dict[str, Effect] = {}
    for letter, verdict in judged:
        event = verdict.event
        if verdict.outcome != "accepted" or not isinstance(event, Received):
            continue
        try:
            before = known.get(event.order_id) or _order(settings, event.order_id)
        except ReaderError as error:
            return effects, str(error)
        if before is None:
            continue
        after = known[event.order_id] = orders.absorb(before, event)
        effects[str(letter.position)] = (
            COUNTED_ALREADY if after is before else _difference(before, after)
        )
    return effects, None


def _order(settings: Settings, order_id: str) -> Order | None:
    """The order that a reader's tables have, from the facts in its answer.

    None if the present decoder refuses one of them.
    """
    try:
        facts = get(settings, f"/v1/orders/{in_path(order_id)}")["facts"]
    except UnknownId:
        return orders.EMPTY
    order = orders.EMPTY
    for fact in facts:
        value = msgspec.json.encode(fact | {"order_id": order_id})
        event = envelope.read_content(Requeued("", 0, 0, b"", value, []))
        if not isinstance(event, Received):
            return None
        order = orders.absorb(order, event)
    return order


def _difference(before: Order, after: Order) -> Effect:
    was, now = result_of(counting.derive(before)), result_of(counting.derive(after))
    amounts = {
        currency: now.amounts[currency].net if currency in now.amounts else 0
        for currency in {**was.amounts, **now.amounts}
    }
    for currency, sums in was.amounts.items():
        amounts[currency] -= sums.net
    return Effect(
        now.units.net - was.units.net,
        {currency: amount for currency, amount in sorted(amounts.items()) if amount},
    )
