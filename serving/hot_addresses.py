"""The hot addresses: products, shops, their series, badges, and the first pages of the best.

Each is answered by the function that its route calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from schemas import http_limits
from schemas.money import CURRENCIES
from serving import keys, top_lists
from serving.api import Named, current_answer
from serving.badge_routes import BadgeText, badge_response
from serving.progress import SALES_JOURNAL
from serving.requests import FreshnessWanted, start_of
from serving.series_routes import CYCLES, cycle_tables, cycles_answer, newest_periods
from serving.subjects import PRODUCT, SHOP
from serving.top_lists import TopWanted, tables_of
from serving.top_routes import require_currency

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fastapi.responses import Response
    from starlette.types import Scope

    from serving.series import SeriesKind
    from serving.subjects import Subject

_NOTHING: Final[Mapping[str, Collection[str] | None]] = MappingProxyType({})
_CYCLE: Final[Mapping[str, Collection[str] | None]] = MappingProxyType({"cycle": None})
_BADGE: Final[Mapping[str, Collection[str] | None]] = MappingProxyType(
    {"cycle": None, "lang": frozenset({"en", "zh"}), "round": frozenset({"true", "false"})}
)


@dataclass(frozen=True, eq=False, slots=True)
class HotAddress:
    """An address: its route's path, and what it is about.

    `parameters` are those that are answered here, with their values; None stands for any value.
    """

    path: str
    subject: Subject[Any]
    parameters: Mapping[str, Collection[str] | None]
    badge: BadgeText | None = None
    series: SeriesKind | None = None
    is_top: bool = False

    def answer(self, scope: Scope) -> Response:
        """What the route answers. Raises ProblemRaised, NotReady, NothingYet."""
        wanted = FreshnessWanted(Request(scope))
        id_, query = scope["id"], scope["query"]
        if self.is_top:
            return self._top(wanted, query)
        if self.series is not None:
            return self._series(wanted, self.series, id_, query)
        answers, cycle = wanted.answers_now(*self.subject.tables), query.get("cycle")
        if self.badge is None:
            return current_answer(wanted, answers, Named(self.subject, id_, cycle))
        lang: Any = query.get("lang")
        text = self.badge._replace(lang=lang, is_rounded=query.get("round") == "true")
        return badge_response(wanted, answers, id_, cycle, text)

    def _series(
        self, wanted: FreshnessWanted, kind: SeriesKind, id_: str, query: Mapping[str, str]
    ) -> Response:
        named = self.subject, id_
        if kind == "cycles":
            answers = wanted.answers_now(*cycle_tables(self.subject))
            return cycles_answer(wanted, answers, named, int(query.get("last", CYCLES)))
        return newest_periods(wanted, wanted.answers_now(SALES_JOURNAL), named, kind)

    def _top(self, wanted: FreshnessWanted, query: Mapping[str, str]) -> Response:
        by, currency = query.get("by", "units"), query.get("currency")
        start_ms = start_of(wanted.reader, query.get("cycle"))
        require_currency(by, currency)
        answers = wanted.answers_now(*tables_of(self.subject, by))
        page = top_lists.top_products if self.subject is PRODUCT else top_lists.top_shops
        limit = int(query.get("limit", TopWanted().limit))
        return wanted.response(page(answers, TopWanted(by, currency, start_ms, limit)))


def _series(subject: Subject[Any], path: str) -> dict[bytes, HotAddress]:
    """The series of an id: few cycles, and hours or days without a span."""
    few = frozenset(map(str, range(1, http_limits.HOT_CYCLES + 1)))
    cycles: Mapping[str, Collection[str] | None] = MappingProxyType({"last": few})
    begin = path.split("/")[2]
    return {
        f"{begin}/cycles".encode(): HotAddress(f"{path}/cycles", subject, cycles, series="cycles"),
        f"{begin}/days".encode(): HotAddress(f"{path}/days", subject, _NOTHING, series="day"),
        f"{begin}/hours".encode(): HotAddress(f"{path}/hours", subject, _NOTHING, series="hour"),
    }


def _top(path: str, subject: Subject[Any]) -> HotAddress:
    """The best of a cycle: as few as are quickly found, and no list that must be made first."""
    few = frozenset(map(str, range(1, http_limits.HOT_ITEMS + 1)))
    by = frozenset(keys.TOP[subject.keyed_by])
    values = {"cycle": None, "by": by, "currency": CURRENCIES, "limit": few}
    return HotAddress(path, subject, MappingProxyType(values), is_top=True)


ADDRESSES: Final[Mapping[bytes, HotAddress]] = MappingProxyType(
    {
        b"products": HotAddress("/v1/products/{product_id:path}", PRODUCT, _CYCLE),
        b"shops": HotAddress("/v1/shops/{shop_id:path}", SHOP, _CYCLE),
        b"products/badge": HotAddress(
            "/v1/products/{product_id:path}/badge", PRODUCT, _BADGE, BadgeText(None)
        ),
        b"products/badge.svg": HotAddress(
            "/v1/products/{product_id:path}/badge.svg", PRODUCT, _BADGE, BadgeText("svg")
        ),
        **_series(PRODUCT, "/v1/products/{product_id:path}"),
        **_series(SHOP, "/v1/shops/{shop_id:path}"),
        b"top/products": _top("/v1/top/products", PRODUCT),
        b"top/shops": _top("/v1/top/shops", SHOP),
    }
)
"""By the parts of a path that aren't an id."""
