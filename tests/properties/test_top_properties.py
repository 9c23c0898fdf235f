"""Lists of the best equal a full sort of what they are made from, whatever the steps were."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rocksdict import WriteBatch

from schemas import http_limits
from serving import growth, keys
from serving.changes import Changes
from serving.folded_journal import SoldOf
from serving.growth import most_grown
from serving.rankings import BILLION
from serving.same_point import Compared
from serving.shop_products import Ranked, SoldRows, net_sums, ranked_products
from serving.store import Identity, Store
from serving.table_rows import TableRows
from serving.turns import whole
from tables import catalogue, sales, service
from tables.cycles import Calendar
from tables.periods import Net
from tables.sales import CurrencySums, Tally
from tables.service import ServiceTally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schemas.shown_answers import NetSums
    from serving.answers import Answers
    from serving.store import Snapshot
    from tables.catalogue import Table

CALENDAR = Calendar(1000)
STARTS = (-1000, 0, 1000)
CYCLES = Calendar(1000)
UNTIL_MS = 900
IDS = ("a", "a/b", "b c", "50%", "龙井", "😀", "aa")
ids = st.sampled_from(IDS)
starts = st.sampled_from(STARTS)
units = st.integers(0, 40)
amounts = units | st.integers(2**63 - 2, 2**63 + 1) | st.integers(2**70, 2**70 + 2)
"""A sum may exceed 64 bits."""


@st.composite
def sums(draw: st.DrawFn) -> CurrencySums:
    """Possible sums of one currency."""
    gross, amount = draw(units), draw(amounts)
    return CurrencySums(
        gross, draw(st.integers(0, gross)), 0, amount, draw(st.integers(0, amount)), 0
    )


tallies = st.builds(
    lambda some: Tally(currencies=some),
    st.dictionaries(st.sampled_from(("CNY", "USD")), sums(), max_size=2),
)


@st.composite
def service_rows(draw: st.DrawFn) -> ServiceTally:
    """Possible sums of reviews and replies."""
    reviews, counted = draw(units), draw(units)
    columns = {
        service.REVIEWS: reviews,
        service.GOOD_REVIEWS: draw(st.integers(0, reviews)),
        service.INQUIRIES: counted,
        service.TIMELY: draw(st.integers(0, counted)),
    }
    return ServiceTally(columns={name: number for name, number in columns.items() if number})


def steps_of(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[Any, Any]]]:
    """Steps of changed rows by (id, cycle's start); None deletes one."""
    return st.lists(
        st.dictionaries(st.tuples(ids, starts), st.none() | rows, max_size=8), max_size=4
    )


@contextmanager
def a_store() -> Iterator[Store]:
    """An empty store of its own."""
    with TemporaryDirectory() as directory:
        identity = Identity("c", "a", {}, 1, CALENDAR.length_ms, CALENDAR.anchor_ms, "r")
        store = Store(Path(directory), identity)
        try:
            yield store
        finally:
            store.close()


def apply(store: Store, table: Table, steps: list[dict[tuple[str, int], bytes | None]]) -> None:
    """Put the steps, each in a batch of its own."""
    rows = TableRows(store, Changes())
    for step in steps:
        batch = WriteBatch(raw_mode=True)
        states = {
            catalogue.cycle_key(id_.encode(), start_ms): row
            for (id_, start_ms), row in step.items()
        }
        rows.put(batch, table, states)
        store.write(batch, store.progress)


def final(steps: list[dict[Any, Any]]) -> dict[Any, Any]:
    """The rows after all steps."""
    rows: dict[Any, Any] = {}
    for step in steps:
        rows |= step
    return {key: row for key, row in rows.items() if row is not None}


def listed(store: Store, ranking: keys.Ranking, start_ms: int, currency: bytes = b"") -> list[str]:
    """The ids of a list in its order."""
    prefix = ranking.of_cycle(start_ms, currency)
    return [ranking.split(key)[1].decode() for key, _ in store.snapshot().walk(prefix)]


def ranked(numbers: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The ids by their numbers, the largest first, then by id; those of a first number 0 not."""
    there = [
        (tuple(-one for one in some), id_.encode()) for id_, some in numbers.items() if some[0]
    ]
    return [id_.decode() for _, id_ in sorted(there)]


@examples(max_examples=40)
@given(steps_of(tallies), st.sampled_from((catalogue.PRODUCT_CYCLES, catalogue.SHOP_CYCLES)))
def test_lists_by_sales_are_the_sorted_table(
    steps: list[dict[tuple[str, int], Tally | None]], table: Table
) -> None:
    """By units, by revenue in each currency, by units reversed, and by their share."""
    top = keys.TOP[table.keyed_by]
    with a_store() as store:
        encoded = [
            {key: None if row is None else sales.encode(row) for key, row in step.items()}
            for step in steps
        ]
        apply(store, table, encoded)
        for start_ms in STARTS:
            rows = {id_: row for (id_, start), row in final(steps).items() if start == start_ms}
            assert listed(store, top["units"], start_ms) == ranked(
                {id_: (row.net,) for id_, row in rows.items()}
            )
            for currency in ("CNY", "USD"):
                assert listed(store, top["revenue"], start_ms, currency.encode()) == ranked(
                    {
                        id_: (row.amounts[currency].net,)
                        for id_, row in rows.items()
                        if currency in row.amounts
                    }
                )
            assert listed(store, keys.REVERSED[table.keyed_by], start_ms) == ranked(
                {id_: (row.units.reversed,) for id_, row in rows.items()}
            )
            assert listed(store, top["reversal-rate"], start_ms) == ranked(
                {
                    id_: (row.units.reversed * BILLION // row.units.gross, row.units.gross)
                    for id_, row in rows.items()
                    if row.units.gross >= http_limits.RATED_UNITS
                }
            )


@examples(max_examples=30)
@given(
    steps_of(service_rows()),
    st.sampled_from((catalogue.PRODUCT_SERVICE_CYCLES, catalogue.SHOP_SERVICE_CYCLES)),
)
def test_lists_by_service_are_the_sorted_table(
    steps: list[dict[tuple[str, int], ServiceTally | None]], table: Table
) -> None:
    """By good reviews; of shops by response rate as well, where a rate of 0 is listed, too."""
    top = keys.TOP[table.keyed_by]
    with a_store() as store:
        encoded = [
            {key: None if row is None else service.encode(row) for key, row in step.items()}
            for step in steps
        ]
        apply(store, table, encoded)
        for start_ms in STARTS:
            rows = {
                id_: Counter(row.columns)
                for (id_, start), row in final(steps).items()
                if start == start_ms
            }
            assert listed(store, top["good-reviews"], start_ms) == ranked(
                {
                    id_: (
                        row[service.GOOD_REVIEWS],
                        row[service.GOOD_REVIEWS] * BILLION // max(1, row[service.REVIEWS]),
                    )
                    for id_, row in rows.items()
                }
            )
            if "response-rate" in top:
                by_rate = {
                    id_: (
                        1 + row[service.TIMELY] * BILLION // row[service.INQUIRIES],
                        row[service.INQUIRIES],
                    )
                    for id_, row in rows.items()
                    if row[service.INQUIRIES]
                }
                assert listed(store, top["response-rate"], start_ms) == ranked(by_rate)


# --- growth


@st.composite
def points(draw: st.DrawFn) -> dict[bytes, tuple[Tally, int, int]]:
    """By id: its row, net units until now of this cycle, at most gross, and of the last one."""
    found = {}
    for number in range(draw(st.integers(0, 25))):
        row = draw(tallies)
        this = draw(st.integers(0, row.units.gross))
        found[b"p-%d" % number] = (row, this, draw(st.integers(0, 30)))
    return found


def compared_with(products: Mapping[bytes, tuple[Tally, int, int]], seen: list[bytes]) -> Any:  # noqa: ANN401 - in place of `compared`
    """A `compared` over these products, which records the ids that it compares."""

    def compared(
        _snapshot: Snapshot, _calendar: Calendar, _keyed_by: str, id_: bytes, _start_ms: int
    ) -> Compared:
        seen.append(id_)
        _, this, last = products[id_]
        return Compared(0, net_of(this), net_of(last))

    return compared


def net_of(units: int) -> Net:
    """So many net units."""
    net = Net()
    net.units = units
    return net


@contextmanager
def answers_of(products: Mapping[bytes, tuple[Tally, int, int]]) -> Iterator[Answers]:
    """What `most_grown` needs of answers, from a store with the rows of these products."""
    with a_store() as store:
        rows = {(id_.decode(), 0): sales.encode(row) for id_, (row, _, _) in products.items()}
        apply(store, catalogue.PRODUCT_CYCLES, [cast("dict[tuple[str, int], bytes | None]", rows)])
        answers = SimpleNamespace(snapshot=store.snapshot(), progress=None, calendar=CALENDAR)
        with (
            patch.object(growth, "point_of", lambda *_: UNTIL_MS),
            patch.object(growth, "_has_reached", lambda *_: True),
        ):
            yield cast("Answers", answers)


@examples(max_examples=60)
@given(points(), st.integers(1, 6), st.integers(1, 4))
def test_a_list_by_growth_is_a_full_sort(
    products: dict[bytes, tuple[Tally, int, int]], limit: int, step: int
) -> None:
    """Net units until now may exceed the present net units, as refunds came since.

    Whatever the number of rows between two comparisons with the bound; no id is compared twice.
    """
    grown = {id_: this - last for id_, (_, this, last) in products.items() if this > last}
    expected = sorted(grown, key=lambda id_: (-grown[id_], id_))[:limit]
    seen: list[bytes] = []
    with (
        answers_of(products) as answers,
        patch.object(growth, "compared", compared_with(products, seen)),
        patch.object(growth, "COMPARED_AT_ONCE", step),
    ):
        found = most_grown(answers, "product_id", 0, limit)
    assert found == (expected, True, UNTIL_MS)
    assert len(seen) == len(set(seen))


def test_a_list_by_growth_ends_early_and_is_bounded() -> None:
    """It stops at the bound of the rest; if the bound of its rows comes first, it is incomplete."""
    products = {
        b"p-%d" % number: (Tally(currencies={"CNY": CurrencySums(1 + number)}), number, 0)
        for number in range(200)
    }
    seen: list[bytes] = []
    replaced = patch.object(growth, "compared", compared_with(products, seen))
    with answers_of(products) as answers, replaced:
        best = [b"p-199", b"p-198", b"p-197"]
        assert most_grown(answers, "product_id", 0, 3) == (best, True, UNTIL_MS)
        assert len(seen) == growth.COMPARED_AT_ONCE
        with patch.object(http_limits, "GROWTH_ROWS", 30):
            assert most_grown(answers, "product_id", 0, 40).complete is False
            found = most_grown(answers, "product_id", 0, 10)
        assert (len(found.ids), found.complete) == (10, False)
    with answers_of(products) as answers, patch.object(growth, "point_of", lambda *_: None):
        assert most_grown(answers, "product_id", 0, 3) == ([], False, None)


# --- products of a shop


@st.composite
def changes(draw: st.DrawFn) -> SoldOf:
    """What an entry changes."""
    units, amount = draw(st.integers(-3, 3)), draw(st.integers(-3, 3))
    cycle = CYCLES.iso(draw(starts))
    shop_id, currency = draw(st.sampled_from(("s", "s/t"))), draw(st.sampled_from(("CNY", "USD")))
    return SoldOf(shop_id, cycle, draw(ids), currency, units, amount)


@examples(max_examples=50)
@given(st.lists(st.lists(changes(), max_size=12), max_size=4), st.integers(1, 4))
def test_the_products_of_a_shop_are_the_sum_of_its_entries(
    steps: list[list[SoldOf]], limit: int
) -> None:
    """Ranked by units and by revenue, page by page, each product once; zeros leave no row."""
    totals: defaultdict[tuple[str, int, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    with a_store() as store:
        for step in steps:
            batch = WriteBatch(raw_mode=True)
            for change in step:
                start_ms = CYCLES.start_of_iso(change.cycle)
                total = totals[change.shop_id, start_ms, change.product_id]
                total["units", change.currency] += change.units
                total["revenue", change.currency] += change.amount
            rows = SoldRows(store, CYCLES)
            rows.add(step)
            whole(rows.put(batch))
            store.write(batch, store.progress)
        snapshot = store.snapshot()
        kept = sum(1 for _ in snapshot.walk(keys.SHOP_PRODUCTS))
        assert kept == sum(1 for total in totals.values() if any(total.values()))
        for shop_id, start_ms in {(shop_id, start_ms) for shop_id, start_ms, _ in totals}:
            for by, currency in (("units", None), ("revenue", "CNY")):
                numbers = {
                    product_id: (
                        sum(
                            number
                            for (what, code), number in total.items()
                            if what == by and currency in {None, code}
                        ),
                    )
                    for (shop, start, product_id), total in totals.items()
                    if (shop, start) == (shop_id, start_ms)
                }
                positive = {id_: some for id_, some in numbers.items() if some[0] > 0}
                list_ = Ranked(shop_id.encode(), start_ms, by, currency)
                found = pages(snapshot, list_, limit)
                assert [id_ for id_, _ in found] == ranked(positive)
                if by == "units":
                    assert {id_: (some.units,) for id_, some in found} == positive


def pages(snapshot: Snapshot, list_: Ranked, limit: int) -> list[tuple[str, NetSums]]:
    """All products of a list, page by page."""
    ranking = keys.shop_ranking(list_.shop_id, list_.by)
    found: list[tuple[str, NetSums]] = []
    after = None
    while True:
        page = ranked_products(snapshot, list_, after, limit)
        found += [(ranking.split(key)[1].decode(), net_sums(value)) for key, value in page.rows]
        if page.next_cursor is None:
            return found
        after = page.rows[-1][0]
