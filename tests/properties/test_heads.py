"""The first places in memory equal a walk over the store, of new snapshots and of former ones."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rocksdict import WriteBatch

from serving import heads, keys
from serving.changes import Changes
from serving.progress import ReaderProgress
from serving.table_rows import TableRows
from tables import catalogue, sales
from tests.properties.test_top_properties import a_store

if TYPE_CHECKING:
    from serving.store import Snapshot, Store

LISTS = [
    ranking.of_cycle(0, currency)
    for ranking in keys.TOP["product_id"].values()
    for currency in ([b"CNY"] if ranking.in_currency else [b""])
]
sold = st.builds(
    lambda units: sales.Tally(currencies={"CNY": sales.CurrencySums(units, 0, 0, units, 0, 0)}),
    st.integers(1, 30),
)
IDS = [(f"p-{number}", 0) for number in range(12)]
at_first = st.fixed_dictionaries(dict.fromkeys(IDS, sold))
steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(IDS), st.none() | sold, min_size=2, max_size=6),
        st.sampled_from(("written", "written", "written", "failed", "another store")),
    ),
    min_size=4,
    max_size=12,
)


def put(store: Store, rows: TableRows, step: dict[tuple[str, int], Any], *, fails: bool) -> None:
    """One step of changed rows, written with a progress of its own unless it fails before."""
    batch = WriteBatch(raw_mode=True)
    store.heads.begin_step()
    rows.put(
        batch,
        catalogue.PRODUCT_CYCLES,
        {
            catalogue.cycle_key(id_.encode(), start_ms): None if row is None else sales.encode(row)
            for (id_, start_ms), row in step.items()
        },
    )
    if not fails:
        after = ReaderProgress({}, complete=True, live=True)
        store.write(batch, after)
        store.heads.end_step(after)


def read(store: Store, snapshot: Snapshot, count: int) -> None:
    """Both ways of reading give the same."""
    for prefix in LISTS:
        walked = [key for key, _ in islice(snapshot.walk(prefix), count)]
        assert store.heads.first(snapshot, prefix, count) == walked


@examples(max_examples=60)
@given(at_first, steps, st.sampled_from((2, 4)), st.sampled_from((2, len(LISTS))))
def test_heads_equal_a_walk(
    first: dict[tuple[str, int], Any],
    some: list[tuple[dict[tuple[str, int], Any], str]],
    count: int,
    most_lists: int,
) -> None:
    """After each step; few places and few lists are remembered, so that both bounds are met."""
    with a_store() as store, patch.multiple(heads, PLACES=4, LISTS=most_lists):
        rows, former = TableRows(store, Changes()), store.snapshot()
        for step, kind in [(first, "written"), *some]:
            if kind == "another store":
                store.set_aside("as the test wants it")
                store.heads.forget()
                rows = TableRows(store, Changes())
            else:
                put(store, rows, step, fails=kind == "failed")
            read(store, former, count)
            former = store.snapshot()
            read(store, former, count)


def test_a_list_is_walked_once() -> None:
    """What was read is remembered, and moves with the steps."""
    with a_store() as store:
        rows = TableRows(store, Changes())
        tally = sales.Tally(currencies={"CNY": sales.CurrencySums(3, 0, 0, 300, 0, 0)})
        put(store, rows, {("a", 0): tally}, fails=False)
        prefix = keys.TOP["product_id"]["units"].of_cycle(0)
        store.heads.first(store.snapshot(), prefix, 3)
        put(store, rows, {("b", 0): tally}, fails=False)
        snapshot = store.snapshot()
        with patch.object(type(snapshot), "walk", side_effect=AssertionError("a second walk")):
            found = store.heads.first(snapshot, prefix, 3)
        assert [keys.TOP["product_id"]["units"].split(key)[1] for key in found] == [b"a", b"b"]
