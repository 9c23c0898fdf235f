"""Answers that are pages of a list: the best of a cycle, overdue inquiries, journal entries.

A cursor of a list of the best names its cycle itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from schemas.answers import (
    JournalPage,
    OverdueInquiry,
    OverduePage,
    ProductAnswer,
    ServedShop,
    TopProducts,
    TopShops,
)
from serving import keys
from serving.pages import BadCursor, key_of, read_page
from serving.progress import SALES_JOURNAL
from serving.subjects import PRODUCT, SHOP
from tables.catalogue import OVERDUE_INQUIRIES, PRODUCT_CYCLES
from tables.report import overdue as overdue_row

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.keys import Ranking

TopBy = Literal["sales", "response-rate", "good-reviews"]


def top_products(
    answers: Answers, start_ms: int | None, limit: int, cursor: str | None
) -> TopProducts:
    """A page of a cycle's best sellers, the current cycle if None. Raises NothingYet, BadCursor."""
    names = (PRODUCT_CYCLES.name,)
    ranking = keys.TOP_PRODUCTS
    start_ms, after = _begin(answers, ranking, names, start_ms, cursor)
    page = read_page(answers.snapshot, ranking.of_cycle(start_ms), after, limit)
    ids = [ranking.split(key)[1] for key, _ in page.rows]
    return TopProducts(
        cycle=answers.span(start_ms),
        items=[ProductAnswer(**answers.sold_in(PRODUCT.keyed_by, id_, start_ms)) for id_ in ids],
        next_cursor=page.next_cursor,
        freshness=answers.freshness_of(*names),
    )


def top_shops(
    answers: Answers, by: TopBy, start_ms: int | None, limit: int, cursor: str | None
) -> TopShops:
    """A page of a cycle's best shops, the current cycle if None. Raises NothingYet, BadCursor."""
    ranking = keys.TOP_SHOPS[by]
    start_ms, after = _begin(answers, ranking, SHOP.tables, start_ms, cursor)
    page = read_page(answers.snapshot, ranking.of_cycle(start_ms), after, limit)
    ids = [ranking.split(key)[1] for key, _ in page.rows]
    return TopShops(
        cycle=answers.span(start_ms),
        by=by,
        items=[ServedShop(**answers.in_cycle(SHOP.keyed_by, id_, start_ms)) for id_ in ids],
        next_cursor=page.next_cursor,
        service_rules=answers.service_rules,
        freshness=answers.freshness_of(*SHOP.tables),
    )


def _begin(
    answers: Answers,
    ranking: Ranking,
    names: tuple[str, ...],
    start_ms: int | None,
    cursor: str | None,
) -> tuple[int, bytes | None]:
    """The start of the cycle that a request means, and the key that its page begins behind."""
    after = key_of(cursor, ranking.space, ranking.least_bytes)
    if after is not None:
        return _cycle_of_cursor(answers, ranking.split(after)[0], start_ms), after
    return answers.current_cycle(*names) if start_ms is None else start_ms, None


def _cycle_of_cursor(answers: Answers, start_ms: int, wanted_ms: int | None) -> int:
    if wanted_ms not in {None, start_ms}:
        raise BadCursor("the cursor is of another cycle")
    if not answers.calendar.holds_events(start_ms):
        raise BadCursor("no answer gave this cursor")
    return start_ms


def overdue(answers: Answers, shop_id: str | None, limit: int, cursor: str | None) -> OverduePage:
    """A page of the overdue inquiries of one shop, or of all if None. Raises BadCursor.

    They are sorted by the time they were due, then by shop and buyer.
    """
    snapshot = answers.snapshot
    prefix = (
        keys.ALL_OVERDUE if shop_id is None else keys.subject(keys.SHOP_OVERDUE, shop_id.encode())
    )
    after = key_of(cursor, prefix, len(prefix) + keys.NUMBER_WIDTH)
    page = read_page(snapshot, prefix, after, limit)
    states = [(row[1:], snapshot.get(row)) for _, row in page.rows]
    return OverduePage(
        count=sum(1 for _ in snapshot.walk(prefix)),
        items=[
            OverdueInquiry(**overdue_row(key, state)) for key, state in states if state is not None
        ],
        next_cursor=page.next_cursor,
        service_rules=answers.service_rules,
        freshness=answers.freshness_of(OVERDUE_INQUIRIES.name),
    )


def journal(
    answers: Answers, product_id: str, limit: int, cursor: str | None
) -> JournalPage | None:
    """A page of a product's journal entries in the log's order. Raises BadCursor.

    Empty if orders only name the product, None if it is unknown.
    """
    id_ = product_id.encode()
    prefix = keys.subject(keys.JOURNAL, id_)
    after = key_of(cursor, prefix, len(prefix) + keys.NUMBER_WIDTH)
    page = read_page(answers.snapshot, prefix, after, limit)
    is_named = answers.snapshot.get(keys.NAMED[PRODUCT.keyed_by] + id_) is not None
    if not page.rows and after is None and not is_named:
        return None
    return JournalPage(
        items=[msgspec.json.decode(value) for _, value in page.rows],
        next_cursor=page.next_cursor,
        freshness=answers.freshness_of(SALES_JOURNAL),
    )
