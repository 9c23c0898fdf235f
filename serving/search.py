"""Search by the beginnings of ids and of words of names, with bounded work for any text."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import http_limits
from schemas.shown_answers import Found, FoundKind, SearchAnswer
from serving import keys
from serving.name_words import is_found, searched_words
from serving.naming import names_of
from serving.subjects import ORDER, PRODUCT, SHOP
from tables import sales
from tables.catalogue import ORDERS, PRODUCT_CYCLES, SHOP_CYCLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.answers import Answers

KINDS: Final[tuple[FoundKind, ...]] = ("product", "shop", "order")
SEARCHED: Final = (PRODUCT_CYCLES.name, SHOP_CYCLES.name, ORDERS.name)
"""What an answer is read from."""

_KEYED_BY: Final[dict[FoundKind, str]] = {
    "product": PRODUCT.keyed_by,
    "shop": SHOP.keyed_by,
    "order": ORDER.keyed_by,
}
_IDS: Final[dict[FoundKind, bytes]] = {
    "product": keys.NAMED[PRODUCT.keyed_by],
    "shop": keys.NAMED[SHOP.keyed_by],
    "order": keys.space(ORDERS),
}
_SALES: Final = {"product": keys.space(PRODUCT_CYCLES), "shop": keys.space(SHOP_CYCLES)}


class _Names(NamedTuple):
    """What names gave: the found ones, and whether more may fit."""

    items: list[Found]
    more: bool


def search(answers: Answers, text: str, kinds: Iterable[FoundKind], limit: int) -> SearchAnswer:
    """What begins with a text; before the first event nothing does.

    Each kind of ids is read up to `limit`. Of names, the longest word of the text leads to at most
    `http_limits.SEARCHED_NAMES` of each kind, and those are compared with all of its words.
    """
    freshness = answers.freshness_of(*SEARCHED)
    if answers.progress.of(*SEARCHED).earliest_ms is None:  # then there is no row of any id
        return SearchAnswer(items=[], complete=True, freshness=freshness)
    searching = _Search(answers, text)
    exact: list[Found] = []
    named: list[Found] = []
    begun: list[Found] = []
    more = False
    for kind in kinds:
        ids = searching.ids(kind, limit + 1)
        exact += [one for one in ids if one.id == text]
        begun += [one for one in ids if one.id != text]
        if kind != "order":
            names = searching.names(kind)
            named += names.items
            more |= names.more
    named.sort(key=lambda one: (-(one.units or 0), one.kind, one.id))
    then = (*begun, *named) if searching.is_like_an_id else (*named, *begun)
    items = list({(one.kind, one.id): one for one in (*exact, *then)}.values())
    return SearchAnswer(
        items=items[:limit],
        complete=not more and len(items) <= limit,
        freshness=freshness,
    )


class _Search:
    """One search in one snapshot."""

    def __init__(self, answers: Answers, text: str) -> None:
        self._snapshot = answers.snapshot
        self._start_ms = answers.current_cycle(*SEARCHED)
        self._text = text
        self._words = searched_words(text)
        self.is_like_an_id = not text.isalnum() and len(text.split()) == 1
        """Such as p-1: other signs than letters and digits, and no space."""

    def ids(self, kind: FoundKind, most: int) -> list[Found]:
        """The first ids of a kind that begin with the text, in order."""
        space = _IDS[kind]
        rows = self._snapshot.walk(space + self._text.encode())
        return [
            self._found(kind, key[len(space) :]) for key in [key for key, _ in islice(rows, most)]
        ]

    def names(self, kind: FoundKind) -> _Names:
        """The ids of a kind whose names have words that begin with those of the text.

        An id that no event names is left out.
        """
        if not self._words:
            return _Names([], more=False)
        keyed_by = _KEYED_BY[kind]
        word = max(self._words, key=len)[: http_limits.WORD_CHARS]
        rows = self._snapshot.walk(keys.NAME_WORDS[keyed_by] + word.encode())
        found = [key for key, _ in islice(rows, http_limits.SEARCHED_NAMES)]
        ids = dict.fromkeys(keys.split_name_word(key) for key in found)
        items = [
            self._found(kind, id_)
            for id_ in ids
            if self._snapshot.get(_IDS[kind] + id_) is not None
        ]
        return _Names(
            [one for one in items if is_found(one.name or "", self._words)],
            more=len(found) == http_limits.SEARCHED_NAMES,
        )

    def _found(self, kind: FoundKind, id_: bytes) -> Found:
        if kind == "order":
            return Found(kind=kind, id=id_.decode(), name=None, picture=None, units=None)
        state = self._snapshot.get(keys.row(_SALES[kind], id_, self._start_ms))
        return Found(
            kind=kind,
            id=id_.decode(),
            **names_of(self._snapshot, _KEYED_BY[kind], id_),
            units=0 if state is None else sales.decode(state).net,
        )
