"""Answers that are pages of a list: overdue inquiries and journal entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.answers import (
    JournalPage,
    OverdueInquiry,
    OverduePage,
)
from serving import keys
from serving.pages import key_of, read_page, read_page_back
from serving.progress import SALES_JOURNAL
from serving.subjects import PRODUCT
from tables.catalogue import OVERDUE_INQUIRIES
from tables.report import overdue as overdue_row

if TYPE_CHECKING:
    from serving.answers import Answers


def overdue(answers: Answers, shop_id: str | None, limit: int, cursor: str | None) -> OverduePage:
    """A page of the overdue inquiries of one shop, or of all if None. Raises BadCursor.

    They are sorted by the time they were due, then by shop and buyer.
    """
    snapshot = answers.snapshot
    prefix = (
        keys.ALL_OVERDUE if shop_id is None else keys.subject(keys.SHOP_OVERDUE, shop_id.encode())
    )
    after = key_of(snapshot, cursor, prefix, len(prefix) + keys.NUMBER_WIDTH)
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
    answers: Answers, product_id: str, limit: int, cursor: str | None, *, newest: bool
) -> JournalPage | None:
    """A page of a product's journal entries in the log's order, or from the newest back.

    Raises BadCursor.

    Empty if orders only name the product, None if it is unknown.
    """
    id_ = product_id.encode()
    prefix = keys.subject(keys.JOURNAL, id_)
    after = key_of(answers.snapshot, cursor, prefix, len(prefix) + keys.NUMBER_WIDTH)
    read = read_page_back if newest else read_page
    page = read(answers.snapshot, prefix, after, limit)
    is_named = answers.snapshot.get(keys.NAMED[PRODUCT.keyed_by] + id_) is not None
    if not page.rows and after is None and not is_named:
        return None
    return JournalPage(
        items=[msgspec.json.decode(value) for _, value in page.rows],
        next_cursor=page.next_cursor,
        freshness=answers.freshness_of(SALES_JOURNAL),
    )
