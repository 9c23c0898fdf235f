"""Figures that people read, made from service columns: shares, quantiles and sums by reason.

They are derived from integers, and no state is made from them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tables import reply_times, service
from tables.service import Columns


def of_shop(columns: Columns) -> dict[str, Any]:
    """A shop's service as it is answered; a share is null where it would divide by 0."""
    counted, timely = columns.get(service.INQUIRIES, 0), columns.get(service.TIMELY, 0)
    occasions, first = columns.get(service.CONTACTS, 0), columns.get(service.PROACTIVE_CONTACTS, 0)
    buyers, repeat = columns.get(service.BUYERS, 0), columns.get(service.REPEAT_BUYERS, 0)
    return {
        "inquiries": {
            "counted": counted,
            "timely": timely,
            "late": columns.get(service.LATE, 0),
            "overdue": columns.get(service.OVERDUE_COLUMN, 0),
            "response_rate": _share(timely, counted),
            "answered_by": {
                who: columns.get(service.REPLY + who, 0) for who in ("person", "robot")
            },
            "reply_ms": _reply_times(columns),
        },
        "after_sales": {
            "refusals": _by_reason(columns, service.REFUSAL),
            "reissues": _by_reason(columns, service.REISSUE),
            "differences": _by_reason(columns, service.DIFFERENCE, money=True),
            "returns": _by_reason(columns, service.RETURN, money=True),
        },
        "proactive_contact": {
            "occasions": occasions,
            "first": first,
            "share": _share(first, occasions),
        },
        "reviews": _reviews(columns),
        "buyers": {"count": buyers, "repeat": repeat, "repeat_share": _share(repeat, buyers)},
    }


def of_product(columns: Columns) -> dict[str, Any]:
    """A product's service as it is answered."""
    return {
        "reviews": _reviews(columns),
        "differences": _by_reason(columns, service.DIFFERENCE, money=True),
        "refusals": _by_reason(columns, service.REFUSAL),
    }


FIGURES: Final[Mapping[str, Callable[[Columns], dict[str, Any]]]] = {
    "product_id": of_product,
    "shop_id": of_shop,
}
"""How service is answered, by the key of its table."""


def _reviews(columns: Columns) -> dict[str, Any]:
    count, good = columns.get(service.REVIEWS, 0), columns.get(service.GOOD_REVIEWS, 0)
    return {"count": count, "good": good, "good_share": _share(good, count)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _by_reason(columns: Columns, kind: str, *, money: bool = False) -> dict[str, Any]:
    reasons: dict[str, dict[str, Any]] = {}
    amounts: dict[str, int] = {}
    for name, number in sorted(columns.items()):
        if name.startswith(kind):
            reason, _, currency = name.removeprefix(kind).partition(".")
            case = reasons.setdefault(
                reason, {"count": 0, "amounts": {}} if money else {"count": 0}
            )
            if currency:
                case["amounts"][currency] = number
                amounts[currency] = amounts.get(currency, 0) + number
            else:
                case["count"] = number
    count = sum(case["count"] for case in reasons.values())
    return (
        {"count": count}
        | ({"amounts": dict(sorted(amounts.items()))} if money else {})
        | {"by_reason": reasons}
    )


def _reply_times(columns: Columns) -> dict[str, int] | None:
    bins = {
        int(name.removeprefix(service.REPLY_MS)): count
        for name, count in columns.items()
        if name.startswith(service.REPLY_MS)
    }
    return (
        None
        if not bins
        else {
            "p50": reply_times.quantile(bins.items(), 0.5),
            "p90": reply_times.quantile(bins.items(), 0.9),
        }
    )
