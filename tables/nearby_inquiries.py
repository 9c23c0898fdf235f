"""The inquiries that one message can change: an incremental form of `replies` (R1).

A message changes no inquiry that was answered before it. So what is derived anew begins at the
shop's last message before it; units of one day (R1) add the inquiries of the days around. Tests
compare each function with `replies`, which derives all of a conversation.
"""

from collections.abc import Sequence
from typing import Final

from schemas import times
from schemas.envelope import SHOP, Written
from tables import replies, service
from tables.replies import Inquiry
from tables.service_hours import ServiceRules

_DAY_MARGIN_MS: Final = 2 * times.DAY_MS
"""Two instants of one local day are never this far apart, whatever its clocks do."""


def first_affected(written: Sequence[Written], at_ms: int) -> int:
    """R1: the place from which inquiries may change when messages from `at_ms` on change.

    That is the place behind the shop's last message before `at_ms`. No inquiry waits there.
    """
    at = len(written)  # usually the place is near the end
    while at and (written[at - 1].side != SHOP or written[at - 1].at_ms >= at_ms):
        at -= 1
    return at


def inquiries_from(
    written: Sequence[Written], at: int, rules: ServiceRules
) -> tuple[list[Inquiry], Inquiry | None]:
    """R1: as `replies.inquiries`, of the messages from a place of `first_affected` on."""
    return replies.inquiries(written[at:], rules, written[at - 1] if at else None)


def waiting_inquiry(written: Sequence[Written], rules: ServiceRules) -> Inquiry | None:
    """R1: the inquiry of a whole conversation that waits for its answer, if there is one.

    Its messages are those after the shop's last message.
    """
    if not written or written[-1].side == SHOP:
        return None
    return inquiries_from(written, first_affected(written, written[-1].at_ms + 1), rules)[1]


def answered_before(written: Sequence[Written], at: int, rules: ServiceRules) -> list[Inquiry]:
    """R1: the inquiries answered before a place that may share a unit with one from there on.

    In order. Empty if each inquiry is a unit of its own.
    """
    if (
        not at
        or written[at - 1].at_ms < written[at].at_ms - _DAY_MARGIN_MS
        or rules.count_per == "inquiry"
    ):  # the usual case
        return []
    begin = first_affected(written, written[at].at_ms - _DAY_MARGIN_MS)
    return inquiries_from(written[:at], begin, rules)[0]


def sharing_units(
    answered: Sequence[Inquiry], changed: Sequence[Inquiry], rules: ServiceRules
) -> list[Inquiry]:
    """R1: the earlier answered inquiries that share a unit (buyer and day) with a changed one.

    `answered` is in order, and so is the result.
    """
    if rules.count_per == "inquiry":
        return []
    since_ms = min([inquiry.opened_ms for inquiry in changed]) - _DAY_MARGIN_MS
    days = {rules.day_of(inquiry.opened_ms) for inquiry in changed}
    sharing = []
    for inquiry in reversed(answered):
        if inquiry.opened_ms < since_ms:
            break
        if rules.day_of(inquiry.opened_ms) in days:
            sharing.append(inquiry)
    return sharing[::-1]


def columns_alone(inquiry: Inquiry) -> tuple[str, ...]:
    """R1, R2: the columns that count one more by a decided inquiry that shares its unit with none.

    As `replies.counted` of it alone: the usual case.
    """
    answer = inquiry.answer
    if answer is None:
        return service.INQUIRIES, service.OVERDUE_COLUMN
    by, reply_ms = replies.reply_columns(answer, inquiry.opened_ms)
    judgement = service.LATE if answer.at_ms > inquiry.due_ms else service.TIMELY
    return service.INQUIRIES, judgement, by, reply_ms
