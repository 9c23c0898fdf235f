"""Alerts: an inquiry that is overdue, and later its late answer, are told once each (R2)."""

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas import times
from schemas.envelope import Written
from tables.conversations import Alerted
from tables.replies import Inquiry

REPLY_OVERDUE: Final = "reply_overdue"
REPLY_LATE: Final = "reply_late"

_encode: Final = msgspec.json.encode


class _Told(msgspec.Struct, gc=False):
    """An alert; its form is the topic's.

    Instants are ISO 8601; the last two are those of a late answer.
    """

    type: str
    id: str
    source: str
    occurred_at: str
    shop_id: str
    buyer_id: str
    message_id: str
    order_id: str | None
    opened_at: str
    due_at: str
    answered_at: str | msgspec.UnsetType = msgspec.UNSET
    by: str | msgspec.UnsetType | None = msgspec.UNSET


Alert = tuple[bytes, bytes]
"""(key, value) of a record: the shop, and what is told."""


def told(
    alerted: tuple[Alerted, ...],
    come: Sequence[Inquiry],
    overdue: Inquiry | None,
    shop_id: str,
    buyer_id: str,
) -> tuple[list[Alert], tuple[Alerted, ...]]:
    """What is told of a conversation in which inquiries have `come` to be what they are, one of them `overdue`; and what is told then."""
    alerts: list[Alert] = []
    known = {(one.source, one.id): one for one in alerted} if alerted else {}
    if overdue is not None and not (
        known and any((one.source, one.id) in known for one in overdue.asked)
    ):
        first = overdue.asked[0]
        alerts.append(alert(REPLY_OVERDUE, overdue, shop_id, buyer_id))
        known[first.source, first.id] = Alerted(first.source, first.id, late=False)
    if not alerted:  # only what is known to be overdue can be late
        return alerts, tuple(known.values())
    for inquiry in come:
        answer = inquiry.answer
        if answer is None or not inquiry.is_late:
            continue
        for one in inquiry.asked:
            before = known.get((one.source, one.id))
            if before is not None and not before.late:
                known[one.source, one.id] = Alerted(one.source, one.id, late=True)
                alerts.append(alert(REPLY_LATE, inquiry, shop_id, buyer_id, before, answer))
    return alerts, tuple(known.values()) if alerts else alerted


def alert(  # noqa: PLR0913, PLR0917 - all that an alert is
    name: str,
    inquiry: Inquiry,
    shop_id: str,
    buyer_id: str,
    alerted: Alerted | None = None,
    answer: Written | None = None,
) -> Alert:
    """The alert of an overdue inquiry, or of its late answer.

    Its id is made of the message by which the inquiry was first alerted: a replay gives it the
    same.
    """
    first = inquiry.asked[0]
    known, opened_at, due_at = (
        alerted or first,
        times.format_ms(inquiry.opened_ms),
        times.format_ms(inquiry.due_ms),
    )
    alert_id, of = (
        f"{name}:{known.source}:{known.id}",
        (shop_id, buyer_id, first.message_id, first.order_id, opened_at, due_at),
    )
    if answer is None:
        return shop_id.encode(), _encode(_Told(name, alert_id, "netsold", due_at, *of))
    answered_at = times.format_ms(answer.at_ms)
    return shop_id.encode(), _encode(
        _Told(name, alert_id, "netsold", answered_at, *of, answered_at, answer.by)
    )
