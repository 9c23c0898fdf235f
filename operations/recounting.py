"""The recount by the terms of a rules file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operations.oracle.recount import recount
from operations.oracle.replies import Terms
from schemas.times import DAY_MS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from streams.rules import TermValues


def recount_by(
    values: TermValues,
    events: Iterable[Mapping[str, object]],
    refused: Counter[str] | None = None,
    *,
    as_of_ms: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """What `recount` counts of events, by these terms."""
    return recount(
        events,
        values.cycle_days * DAY_MS,
        values.anchor_ms,
        refused,
        terms=Terms.of(
            values.reply_within_seconds,
            values.service_hours,
            values.service_zone,
            values.count_inquiries_per,
        ),
        sold_monthly_basis=values.sold_monthly_basis,
        as_of_ms=as_of_ms,
    )
