"""Alerts of overdue inquiries (R2): one when an inquiry is overdue, one for its late answer."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from schemas import times
from schemas.envelope import Written
from tables.conversations import Alerted
from tables.replies import Inquiry

AlertType = Literal["reply_overdue", "reply_late"]
REPLY_OVERDUE: Final = "reply_overdue"
REPLY_LATE: Final = "reply_late"

_encode: Final = msgspec.json.encode


class AlertForm(msgspec.Struct, gc=False):
    """An alert in the form of the topic `alerts`.

    Instants are ISO 8601. A late answer adds `answered_at` and `by`.
    """

    type: AlertType
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
"""(key, value) of an alert's record: the shop, and the JSON."""


def new_alerts(
    alerted: tuple[Alerted, ...],
    decided: Sequence[Inquiry],
    overdue: Inquiry | None,
    shop_id: str,
    buyer_id: str,
) -> tuple[list[Alert], tuple[Alerted, ...]]:
    """Alerts to send after these inquiries were decided, and the inquiries alerted by then (R2).

    `alerted` are the inquiries alerted before. `overdue` is the one of `decided` that still waits.
    """
    alerts: list[Alert] = []
    known = {(entry.source, entry.id): entry for entry in alerted} if alerted else {}
    if overdue is not None and not (
        known and any((message.source, message.id) in known for message in overdue.questions)
    ):
        first = overdue.questions[0]
        alerts.append(overdue_alert(overdue, shop_id, buyer_id))
        known[first.source, first.id] = Alerted(first.source, first.id, late=False)
    if not alerted:  # an answer is alerted as late only after its inquiry was alerted as overdue
        return alerts, tuple(known.values())
    for inquiry in decided:
        answer = inquiry.answer
        if answer is None or not inquiry.is_late:
            continue
        for message in inquiry.questions:
            before = known.get((message.source, message.id))
            if before is not None and not before.late:
                known[before.source, before.id] = Alerted(before.source, before.id, late=True)
                alerts.append(late_alert(inquiry, answer, before, shop_id, buyer_id))
    return alerts, tuple(known.values()) if alerts else alerted


def overdue_alert(inquiry: Inquiry, shop_id: str, buyer_id: str) -> Alert:
    """The alert of an inquiry that became overdue.

    The id names the inquiry's first message, so a replay sends the same id.
    """
    form = _form(REPLY_OVERDUE, inquiry, inquiry.questions[0], shop_id, buyer_id)
    return shop_id.encode(), _encode(form)


def late_alert(
    inquiry: Inquiry, answer: Written, alerted: Alerted, shop_id: str, buyer_id: str
) -> Alert:
    """The alert of the late answer to an inquiry that was alerted as overdue.

    The id names the message of the overdue alert, which may not be the first one any more.
    """
    form = _form(REPLY_LATE, inquiry, alerted, shop_id, buyer_id)
    form.occurred_at = form.answered_at = times.format_ms(answer.at_ms)
    form.by = answer.by
    return shop_id.encode(), _encode(form)


def _form(
    name: AlertType, inquiry: Inquiry, named_by: Written | Alerted, shop_id: str, buyer_id: str
) -> AlertForm:
    """The common fields; the instant of the alert is the one when the inquiry was due."""
    first, due_at = inquiry.questions[0], times.format_ms(inquiry.due_ms)
    return AlertForm(
        type=name,
        id=f"{name}:{named_by.source}:{named_by.id}",
        source="netsold",
        occurred_at=due_at,
        shop_id=shop_id,
        buyer_id=buyer_id,
        message_id=first.message_id,
        order_id=first.order_id,
        opened_at=times.format_ms(inquiry.opened_ms),
        due_at=due_at,
    )
