"""Timers against a plain list of them: what goes off, when, and what is left in the rows."""

import random

import msgspec
import pytest

from schemas import limits
from tables.timers import INDEX, Timers
from tests.flow import Rows

BUCKET_MS = 1000


@pytest.mark.parametrize("seed", range(20))
def test_timers_go_off_in_order_whatever_the_chunks(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer goes off once, when its instant is past.

    Those that wait lie in rows of a bounded size, in order, and others are gone.
    """
    monkeypatch.setattr(limits, "ROW_TIMERS", 3)
    chance = random.Random(seed)
    states, waiting, now_ms = Rows(), list[tuple[int, bytes]](), -5000
    for _ in range(60):
        chunk = Timers(states, BUCKET_MS)
        for _ in range(chance.randrange(6)):
            if chance.random() < 0.7:
                timer = (
                    now_ms + chance.randrange(1, 8000) // 100 * 100,
                    f"s-{chance.randrange(4)}\x1fb-é".encode(),
                )
                chunk.set(*timer)
                waiting.append(timer)
            else:
                now_ms += chance.choice([1, 100, 1000, 4321])
                assert list(chunk.gone_off(now_ms)) == sorted(
                    timer for timer in waiting if timer[0] < now_ms
                )
                waiting = [timer for timer in waiting if timer[0] >= now_ms]
        for key, row in chunk.writes().items():
            if row is None:
                del states[key]  # no row is taken away that isn't there
            else:
                states[key] = row
        rows = [
            msgspec.json.decode(row, type=list[tuple[int, str]])
            for key, row in states.items()
            if key != INDEX and row is not None
        ]
        assert all(0 < len(row) <= 3 and row == sorted(row) for row in rows)
        assert sorted((due_ms, key.encode()) for row in rows for due_ms, key in row) == sorted(
            waiting
        )


def test_what_came_and_went_in_a_chunk_leaves_no_rows() -> None:
    """But for the list of buckets."""
    chunk = Timers(Rows(), BUCKET_MS)
    assert chunk.writes() == {}
    chunk.set(1, b"s\x1fb")
    assert not chunk.gone_off(1)
    assert list(chunk.gone_off(2)) == [(1, b"s\x1fb")]
    assert chunk.writes() == {INDEX: b"{}"}
