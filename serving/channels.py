"""What a stream can show: one channel for each address whose answer it repeats when it changes.

CHANNELS is the one list: by parameter of `/v1/stream`, how its value names a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from fastapi.sse import format_sse_event

from schemas.answers import JournalPage
from schemas.money import CURRENCIES
from schemas.tokens import Scope
from serving import changes, keys, lists, rendering, series, top_lists
from serving.answers import NothingYet
from serving.conditional import rendered, with_freshness
from serving.fresh_json import json_of
from serving.parameters import advice
from serving.problems import invalid, quoted
from serving.progress import FOLLOWED, NAMES, SALES_JOURNAL
from serving.requests import CONTROL
from serving.subjects import PRODUCT, SHOP
from tables.catalogue import OVERDUE_INQUIRIES
from tables.periods import MARKETPLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from schemas.answers import Freshness
    from serving.access import Access
    from serving.answers import Answers
    from serving.changes import Change
    from serving.conditional import Fresh, Rendered
    from serving.subjects import Subject

    Answer = Callable[[Answers], Fresh | Rendered | None]

OVERDUE_ITEMS: Final = 100
"""The items of overdue inquiries: the first page of their address."""


@dataclass(frozen=True, slots=True)
class Channel:
    """An event's name, what it is about (an id, a list's name, or nothing), and for which scope.

    `tables` are what its answer is read from, `changed_by` after which changes it may differ.
    `answer` is the one of the API; without one its events are the journal entries of a product.
    """

    event: str
    subject: str
    scope: Scope
    tables: tuple[str, ...] = field(compare=False)
    changed_by: tuple[Change, ...] = field(compare=False)
    answer: Answer | None = field(compare=False, default=None)


class State(NamedTuple):
    """The event of a channel's newest state, without its id; equal digests mean equal answers."""

    event: bytes
    digest: bytes


def _about(subject: Subject[Any], id_: str, scope: Scope) -> Channel:
    return Channel(
        subject.keyed_by.removesuffix("_id"),
        id_,
        scope,
        subject.tables,
        ((subject.keyed_by, id_.encode()),),
        lambda answers: rendering.about(answers, subject, id_, None),
    )


def _overdue(shop_id: str, scope: Scope) -> Channel:
    shop = shop_id or None
    name = OVERDUE_INQUIRIES.name
    changed = changes.of_table(name) if shop is None else (changes.OVERDUE, shop_id.encode())
    return Channel(
        "overdue",
        shop_id,
        scope,
        (name,),
        (changed,),
        lambda answers: lists.overdue(answers, shop, OVERDUE_ITEMS, None),
    )


def _marketplace(name: str, scope: Scope) -> Channel:
    if name:
        raise invalid("marketplace", f"{quoted(name)}: there is one marketplace, without a value")
    tables = series.TABLES[MARKETPLACE]
    changed = tuple(map(changes.of_table, tables))
    return Channel(
        "marketplace",
        name,
        scope,
        tables,
        changed,
        lambda answers: series.marketplace_in(answers, None),
    )


def _entries(product_id: str, scope: Scope) -> Channel:
    changed = (PRODUCT.keyed_by, product_id.encode())
    return Channel("entry", product_id, scope, (SALES_JOURNAL,), (changed,))


class _Tops(NamedTuple):
    """What lists of the best list, and their pages."""

    subject: Subject[Any]
    page: Callable[[Answers, top_lists.TopWanted], Rendered]


_TOPS: Final = {
    "products": _Tops(PRODUCT, top_lists.top_products),
    "shops": _Tops(SHOP, top_lists.top_shops),
}
"""The lists of the best by what they list. Those by growth are not streamed: they need a walk."""


def _top(name: str, scope: Scope) -> Channel:
    kind, by, currency = [*name.split(":"), "", ""][:3]
    known = [
        f"{one}:{by}" + (":CNY" if by == "revenue" else "")
        for one, (subject, _) in _TOPS.items()
        for by in keys.TOP[subject.keyed_by]
    ]
    has_currency = currency in CURRENCIES if by == "revenue" else name == f"{kind}:{by}"
    if kind not in _TOPS or by not in keys.TOP[_TOPS[kind].subject.keyed_by] or not has_currency:
        lists_are = f"lists are such as {', '.join(known)}"
        raise invalid("top", f"there is no list {quoted(name)}{advice(name, known, lists_are)}")
    subject, page = _TOPS[kind]
    wanted = top_lists.TopWanted(by, currency or None)
    return Channel(
        "top",
        name,
        scope,
        top_lists.tables_of(subject, by),
        tuple(map(changes.of_table, (*subject.tables, SALES_JOURNAL, NAMES))),
        lambda answers: page(answers, wanted),
    )


CHANNELS: Final[Mapping[str, Callable[[str, Scope], Channel]]] = {
    "product": lambda id_, scope: _about(PRODUCT, id_, scope),
    "shop": lambda id_, scope: _about(SHOP, id_, scope),
    "top": _top,
    "overdue": _overdue,
    "marketplace": _marketplace,
    "entries": _entries,
}


def channel_of(parameter: str, value: str, scope: Scope) -> Channel:
    """The channel that a parameter's value names, as a scope is shown it. Raises ProblemRaised."""
    if CONTROL.search(value):
        raise invalid(parameter, f"{quoted(value)} has a control character, which no id has")
    return CHANNELS[parameter](value, scope)


def tables_of(channels: Iterable[Channel]) -> tuple[str, ...]:
    """What the answers of channels are read from, in the order of FOLLOWED."""
    names = {name for channel in channels for name in channel.tables}
    return tuple(name for name in FOLLOWED if name in names)


def state_of(channel: Channel, answer: Answer, answers: Answers, access: Access) -> State:
    """The event of a channel with its answer, as the API gives it now; null where it is a 404."""
    try:
        body = answer(answers)
    except NothingYet:
        body = None
    if body is None:
        freshness = answers.freshness_of(*channel.tables)
        return State(_event(channel, '"answer":null', freshness), b"null")
    found = rendered(body)
    shown = access.for_scope(channel.scope, found.form, found.content)
    return State(
        _event(channel, f'"answer":{with_freshness(shown, found.freshness.json)}'),
        blake2b(shown.encode(), digest_size=16).digest(),
    )


def entry_event(channel: Channel, entry: bytes, freshness: Freshness, access: Access) -> bytes:
    """The event of a journal entry, without its id."""
    shown = access.for_scope(channel.scope, JournalPage, entry.decode())
    return _event(channel, f'"entry":{shown}', freshness)


def freshness_event(freshness: Freshness) -> bytes:
    """The event of a freshness, without its id."""
    return _format("freshness", f'{{"freshness":{json_of(freshness).json}}}')


def _event(channel: Channel, content: str, freshness: Freshness | None = None) -> bytes:
    subject = msgspec.json.encode(channel.subject).decode()
    data = f'{{"subject":{subject},{content}}}'
    if freshness is not None:
        data = with_freshness(data, json_of(freshness).json)
    return _format(channel.event, data)


def _format(event: str, data: str) -> bytes:
    """An event in the wire's form, open for its id: the last line end is missing."""
    return format_sse_event(event=event, data_str=data).removesuffix(b"\n")
