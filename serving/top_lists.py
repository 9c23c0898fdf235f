"""Answers that are pages of the best of a cycle: products, shops, and products of a shop.

A cursor of such a list names its cycle itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from schemas import times
from schemas.shown_answers import (
    ShopProduct,
    TopProducts,
    TopShopProducts,
    TopShops,
)
from serving import keys, rendering
from serving.conditional import Rendered
from serving.growth import most_grown
from serving.heads import PLACES
from serving.pages import BadCursor, key_of, page_of, read_page
from serving.progress import SALES_JOURNAL
from serving.rendering import json_text
from serving.shop_products import Ranked, net_sums, ranked_products
from serving.subjects import PRODUCT, SHOP
from tables.report import span

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.keys import Ranking
    from serving.subjects import Subject

GROWTH = "growth"
"""The comparison of which there is no ranking in the store."""

PRODUCTS_OF_SHOP = (*PRODUCT.tables, SALES_JOURNAL)
"""What the answer about the products of a shop is read from."""


class TopWanted(NamedTuple):
    """Which page of which list: a cycle's start, the current cycle if None."""

    by: str = "units"
    currency: str | None = None
    start_ms: int | None = None
    limit: int = 10
    cursor: str | None = None


def tables_of(subject: Subject[Any], by: str) -> tuple[str, ...]:
    """What a list is read from."""
    return (*subject.tables, SALES_JOURNAL) if by == GROWTH else subject.tables


def top_products(answers: Answers, wanted: TopWanted) -> Rendered:
    """A page of a cycle's best products. Raises NothingYet, BadCursor."""
    return _best(answers, PRODUCT, TopProducts, wanted)


def top_shops(answers: Answers, wanted: TopWanted) -> Rendered:
    """A page of a cycle's best shops. Raises NothingYet, BadCursor."""
    return _best(
        answers, SHOP, TopShops, wanted, {"service_rules": answers.service_rules.model_dump()}
    )


def top_products_of(answers: Answers, shop_id: str, wanted: TopWanted) -> TopShopProducts | None:
    """A page of a shop's best products in a cycle; None if the shop is unknown.

    Raises NothingYet, BadCursor, ProblemRaised.
    """
    key = shop_id.encode()
    if not answers.is_known(SHOP.keyed_by, key):
        return None
    ranking = keys.shop_ranking(key, wanted.by)
    start_ms, after = _begin(answers, ranking, PRODUCTS_OF_SHOP, wanted)
    ranked = Ranked(key, start_ms, wanted.by, wanted.currency)
    page = ranked_products(answers.snapshot, ranked, after, wanted.limit)
    items = [
        ShopProduct(
            **answers.shown_in(
                PRODUCT.keyed_by, id_, start_ms, answers.sales_by_cycle(PRODUCT.keyed_by, id_)
            ),
            in_shop=net_sums(value),
        )
        for id_, value in ((ranking.split(place)[1], value) for place, value in page.rows)
    ]
    found = _page(answers, wanted, start_ms, page.next_cursor)
    freshness = answers.freshness_of(*PRODUCTS_OF_SHOP)
    return TopShopProducts.model_validate(
        found | {"by": wanted.by, "shop_id": shop_id, "items": items, "freshness": freshness}
    )


def _best(
    answers: Answers,
    subject: Subject[Any],
    form: type[TopProducts | TopShops],
    wanted: TopWanted,
    more: dict[str, Any] | None = None,
) -> Rendered:
    """A page, with more fields behind its items."""
    start_ms, ids, page = _ids(answers, subject, wanted)
    begin, end = json_text(page)[:-1], json_text(more or {})[1:]
    listed = rendering.items(answers, subject, ids, start_ms)
    content = f'{begin},"items":{listed}{"," if more else ""}{end}'
    freshness = answers.fresh_json(*tables_of(subject, wanted.by))
    return Rendered(form, content, freshness, page["next_cursor"])


def _ids(
    answers: Answers, subject: Subject[Any], wanted: TopWanted
) -> tuple[int, list[bytes], dict[str, Any]]:
    """The cycle's start, the ids of a page in order, and the page without its items."""
    names = tables_of(subject, wanted.by)
    if wanted.by == GROWTH:
        start_ms = answers.current_cycle(*names) if wanted.start_ms is None else wanted.start_ms
        grown = most_grown(answers, subject.keyed_by, start_ms, wanted.limit)
        page = _page(answers, wanted, start_ms, None)
        until = None if grown.until_ms is None else times.format_short(grown.until_ms)
        page |= {"complete": grown.complete, "compared_until": until, "by": GROWTH}
        return start_ms, grown.ids, page
    ranking = keys.TOP[subject.keyed_by][wanted.by]
    start_ms, after = _begin(answers, ranking, names, wanted)
    prefix = ranking.of_cycle(start_ms, (wanted.currency or "").encode())
    if after is None and wanted.limit < PLACES:
        places = answers.source.heads.first(answers.snapshot, prefix, wanted.limit + 1)
        best = page_of(answers.snapshot, [(place, b"") for place in places], wanted.limit)
    else:
        best = read_page(answers.snapshot, prefix, after, wanted.limit)
    ids = [ranking.split(key)[1] for key, _ in best.rows]
    page = _page(answers, wanted, start_ms, best.next_cursor)
    return start_ms, ids, page | {"compared_until": None, "by": wanted.by}


def _page(
    answers: Answers, wanted: TopWanted, start_ms: int, next_cursor: str | None
) -> dict[str, Any]:
    """What all pages of the best begin with, in the order of their forms."""
    return {
        "cycle": span(answers.calendar, start_ms),
        "currency": wanted.currency,
        "complete": True,
        "next_cursor": next_cursor,
    }


def _begin(
    answers: Answers, ranking: Ranking, names: tuple[str, ...], wanted: TopWanted
) -> tuple[int, bytes | None]:
    """The start of the cycle that a request means, and the key that its page begins behind."""
    after = key_of(answers.snapshot, wanted.cursor, ranking.space, ranking.least_bytes)
    if after is None:
        start_ms = wanted.start_ms
        return answers.current_cycle(*names) if start_ms is None else start_ms, None
    start_ms = ranking.split(after)[0]
    if wanted.start_ms not in {None, start_ms}:
        raise BadCursor("the cursor is of another cycle")
    if not answers.calendar.holds_events(start_ms):
        raise BadCursor("no answer gave this cursor")
    if not after.startswith(ranking.of_cycle(start_ms, (wanted.currency or "").encode())):
        raise BadCursor("the cursor is of another currency")
    return start_ms, after
