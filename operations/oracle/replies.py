"""Shops' replies in the recount: a conversation's inquiries, and how each is counted (R1, R2).

A conversation is all messages between one shop and one buyer. `operations/oracle/recount.py` lists
how the rules are read where they leave a choice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from operations.oracle.cycles import iso_ms
from operations.oracle.events import Event
from operations.oracle.order import one_of_each

Verdict = Literal["timely", "late", "overdue"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def _zone(name: str) -> ZoneInfo:
    """A zone of the pinned package `tzdata`: the machine's own files may be of other years."""
    with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings of R1.

    Service hours are minutes of the local day, half-open; equal ones mean the whole day.
    """

    reply_within_ms: int = 300_000
    opens_minute: int = 8 * 60
    closes_minute: int = 23 * 60
    zone: str = "Asia/Shanghai"
    each_inquiry: bool = False
    """Whether every inquiry counts by itself; else those of one day count as one."""

    @classmethod
    def of(
        cls,
        reply_within_seconds: int,
        service_hours: str,
        service_zone: str,
        count_inquiries_per: str,
    ) -> Terms:
        """The terms from settings that have been checked."""
        opens, closes = (int(text[:2]) * 60 + int(text[3:]) for text in service_hours.split("-"))
        return cls(
            reply_within_seconds * 1000,
            opens,
            closes,
            service_zone,
            count_inquiries_per == "inquiry",
        )

    def local(self, at_ms: int) -> datetime:
        """An instant in the zone's local time."""
        return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(_zone(self.zone))

    def in_hours(self, at_ms: int) -> bool:
        """Whether an instant is in service hours, which may span midnight."""
        local = self.local(at_ms)
        minute = local.hour * 60 + local.minute
        if self.opens_minute < self.closes_minute:
            return self.opens_minute <= minute < self.closes_minute
        return minute >= self.opens_minute or minute < self.closes_minute


DEFAULT: Final = Terms()


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A buyer's message that opened an inquiry, and the shop's message that answered it."""

    opening: Event
    answer: Event | None

    @property
    def opened_ms(self) -> int:
        """When it was opened."""
        at_ms: int = self.opening["occurred_at"]
        return at_ms

    @property
    def reply_ms(self) -> int | None:
        """The time until the reply; None without a reply."""
        return None if self.answer is None else self.answer["occurred_at"] - self.opened_ms


def messages_in_order(events: Iterable[Event]) -> list[Event]:
    """The messages of one conversation that count (S11), in their order (R1)."""
    messages, _ = one_of_each(events, ("source", "id"))
    return sorted(
        messages,
        key=lambda message: (
            message["occurred_at"],
            message["type"] == "seller_replied",
            message["id"],
            message["source"],
        ),
    )


def counted_inquiries(messages: Iterable[Event], terms: Terms) -> list[Inquiry]:
    """The inquiries, from a conversation's messages in order, that opened in service hours (R1)."""
    found = []
    opening: Event | None = None
    for message in messages:
        if message["type"] == "buyer_messaged":
            opening = opening or message
        elif opening is not None:
            found.append(Inquiry(opening, message))
            opening = None
    if opening is not None:
        found.append(Inquiry(opening, None))
    return [inquiry for inquiry in found if terms.in_hours(inquiry.opened_ms)]


def verdict(inquiry: Inquiry, terms: Terms, as_of_ms: int) -> Verdict | None:
    """How an inquiry counts; None while there is no reply and still time for one (R2)."""
    if inquiry.reply_ms is not None:
        return "timely" if inquiry.reply_ms <= terms.reply_within_ms else "late"
    return "overdue" if as_of_ms > inquiry.opened_ms + terms.reply_within_ms else None


def units(
    inquiries: Iterable[Inquiry], terms: Terms, as_of_ms: int
) -> Iterator[tuple[int, Verdict]]:
    """The counting units of a conversation's inquiries: (instant in the unit's cycle, verdict)."""
    days: dict[date, list[tuple[int, Verdict]]] = defaultdict(list)
    for inquiry in inquiries:
        found = verdict(inquiry, terms, as_of_ms)
        if found is None:
            continue
        if terms.each_inquiry:
            yield inquiry.opened_ms, found
        else:
            days[terms.local(inquiry.opened_ms).date()].append((inquiry.opened_ms, found))
    for decided in days.values():
        verdicts = {found for _, found in decided}
        worst: Verdict = (
            "overdue" if "overdue" in verdicts else "late" if "late" in verdicts else "timely"
        )
        yield min(opened_ms for opened_ms, _ in decided), worst


def overdue_rows(
    inquiries: Iterable[Inquiry], terms: Terms, as_of_ms: int
) -> Iterator[dict[str, Any]]:
    """The overdue inquiries of a conversation, as printed (R2)."""
    for inquiry in inquiries:
        if verdict(inquiry, terms, as_of_ms) == "overdue":
            opening = inquiry.opening
            yield {
                "shop_id": opening["shop_id"],
                "buyer_id": opening["buyer_id"],
                "message_id": opening["message_id"],
                "order_id": opening.get("order_id"),
                "opened_at": iso_ms(inquiry.opened_ms),
                "due_at": iso_ms(inquiry.opened_ms + terms.reply_within_ms),
            }
