"""Returns that don't know their order, assigned to sales with the same key.

Each unit goes to one sale that isn't later than the return and has units left: the earliest or the
latest of them, as the mapping states. A return without enough sales is refused whole, unless the
mapping names an order for such units.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from operations.mapping.values import RowUnmapped

if TYPE_CHECKING:
    from operations.mapping.spool import SaleRow

SALE, RETURN = 0, 1


class SoldLine(msgspec.Struct, array_like=True):
    """A line that returns can be assigned to; `refunded` of its units are assigned."""

    order_id: str
    line_id: str
    units: int
    amount: int
    refunded: int = 0


class Returned(msgspec.Struct, array_like=True):
    """A return: its event without order and lines, its number in the mapping, and what came back.

    `each` is the price of a unit, and `amount` that of all; without both it is the sale's.
    """

    event: dict[str, Any]
    number: int
    sale: str
    units: int
    each: int | None
    amount: int | None
    unmatched: str | None


decode_sold: Final = msgspec.msgpack.Decoder(SoldLine).decode
decode_returned: Final = msgspec.msgpack.Decoder(Returned).decode
encode: Final = msgspec.msgpack.Encoder().encode

Matched = tuple[str, int, "list[dict[str, Any]] | RowUnmapped"]
"""A return's key, the place of its row, and its events or why there are none."""


def matched(rows: Iterable[SaleRow]) -> Iterator[Matched]:
    """All returns, from sales and returns by key and instant.

    The lines of one key that have units left are in memory.
    """
    for key, some in groupby(rows, key=itemgetter(0)):
        left: deque[SoldLine] = deque()
        for _, _, kind, place, data in some:
            if kind == SALE:
                left.append(decode_sold(data))
                continue
            returned = decode_returned(data)
            try:
                yield key, place, _events(returned, left, key)
            except RowUnmapped as error:
                yield key, place, error


def _events(returned: Returned, left: deque[SoldLine], key: str) -> list[dict[str, Any]]:
    """The events of a return, one for each order; the units are off the sales then."""
    if returned.unmatched is None:
        found = sum(line.units - line.refunded for line in left)
        if found < returned.units:
            raise RowUnmapped(
                f"of {returned.units} returned units of {key!r} {returned.units - found} have no"
                " earlier sale in these files: give the files of the time before, name such rows"
                " by [[file.skip]], or name an order for them by match.unmatched"
            )
    lines: dict[str, list[dict[str, Any]]] = {}
    done = 0
    while done < returned.units and left:
        line = left[0] if returned.sale == "earliest" else left[-1]
        units = min(line.units - line.refunded, returned.units - done)
        lines.setdefault(line.order_id, []).append(
            {
                "line_id": line.line_id,
                "quantity": units,
                "amount": _amount(returned, done, units, line),
            }
        )
        line.refunded += units
        done += units
        if line.refunded == line.units:
            if returned.sale == "earliest":
                left.popleft()
            else:
                left.pop()
    if done < returned.units and returned.unmatched is not None:
        units = returned.units - done
        lines[returned.unmatched] = [
            {"line_id": "1", "quantity": units, "amount": _amount(returned, done, units, None)}
        ]
    event = returned.event
    return [
        event
        | {
            "id": f"{event['id']}-{part}",
            "refund_id": f"{event['refund_id']}-{part}",
            "order_id": order_id,
            "lines": claimed,
        }
        for part, (order_id, claimed) in enumerate(lines.items(), 1)
    ]


def _amount(returned: Returned, done: int, units: int, line: SoldLine | None) -> int:
    """What some units cost: parts of one amount add up to it exactly."""
    if returned.each is not None:
        return returned.each * units
    if returned.amount is not None:
        return _part(returned.amount, returned.units, done, units)
    if line is None:
        raise RowUnmapped("units without a sale have no price: give unit_price or amount")
    return _part(line.amount, line.units, line.refunded, units)


def _part(whole: int, of: int, before: int, units: int) -> int:
    return whole * (before + units) // of - whole * before // of
