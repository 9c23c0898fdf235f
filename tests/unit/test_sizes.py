"""The number of records in a transaction: within bounds, and smaller after a too large one."""

from hypothesis import given
from hypothesis import strategies as st

from schemas import limits
from streams.settings import Settings
from streams.sizes import Size, Work, work_of
from tables.outcome import Outcome
from tables.watermarks import Progress

ANY_WORK = st.builds(Work, st.integers(0, 200_000), st.integers(0, 2**28))
SECONDS = st.floats(0, 100)


def size(chunk_records: int = 16_000) -> Size:
    """The size of a partition that has just been opened."""
    return Size(Settings(_env_file=None, chunk_records=chunk_records))


@given(
    st.integers(1, 100_000),
    st.lists(
        st.tuples(st.sampled_from(["committed", "timed out", "much"]), ANY_WORK, SECONDS, SECONDS)
    ),
)
def test_a_size_stays_within_its_bounds(
    chunk_records: int, steps: list[tuple[str, Work, float, float]]
) -> None:
    """It is at least one record, and at most `chunk_records`.

    It is smaller than a chunk that was too large.
    """
    one = size(chunk_records)
    for what, work, fold_s, commit_s in steps:
        tried = one.records
        if what == "committed":
            one.committed(tried, work, fold_s, commit_s)
        elif what == "timed out":
            assert one.timed_out(tried) is (tried > 1)
        elif not one.fits(work):
            one.too_much(tried, work)
            assert one.records < tried or tried == 1
        assert 1 <= one.records <= chunk_records


def test_a_small_slow_transaction_is_not_cut() -> None:
    """A broker that is slow with a small transaction isn't faster with a smaller one."""
    one = size()
    one.committed(limits.LEAST_TRANSACTION_RECORDS - 1, Work(1, 1), 0.0, 9.0)
    assert one.records == 1000
    one.committed(1000, Work(1, 1), 0.0, 9.0)
    assert one.records == 500
    for _ in range(5):
        one.committed(one.records, Work(1, 1), 0.0, 9.0)
    assert one.records == limits.LEAST_TRANSACTION_RECORDS


def test_a_cut_size_grows_by_small_steps() -> None:
    """It grows by half of itself and by a 32nd of `chunk_records` at most.

    Only a full chunk lets it grow.
    """
    one = size()
    one.timed_out(800)
    grown = [one.records]
    for _ in range(3):
        one.committed(one.records, Work(1, 1), 0.1, 0.1)
        grown.append(one.records)
    assert grown == [400, 600, 900, 1350]
    one.committed(10, Work(1, 1), 0.1, 0.1)
    assert one.records == 1350
    for _ in range(40):
        one.committed(one.records, Work(1, 1), 0.0, 0.1)
    assert one.records == 16_000


def test_work_is_all_that_is_written() -> None:
    """It is the rows of topics, changelogs and dead letters.

    A deleted state is a row with its key alone.
    """
    outcome = Outcome(
        {"a": {b"key": b"state", b"gone": None}},
        {"b": [(b"k", b"value")] * 3},
        [],
        Progress(),
        {},
        3,
        paused=False,
    )
    assert work_of(outcome) == Work(5, 3 + 5 + 4 + 3 * 6)
