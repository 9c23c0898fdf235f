"""Timers against a plain list of them: which expire, when, and which remain in the rows."""

import random

import msgspec
import pytest

from schemas import limits
from tables.timers import INDEX, Timers
from tests.flow import Rows

BUCKET_MS = 1000


@pytest.mark.parametrize("seed", range(20))
def test_timers_expire_in_order_however_chunks_are_cut(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer expires once, when its instant is past.

    Pending timers are in rows of a bounded size, in order; rows without timers are deleted.
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
                assert list(chunk.expire(now_ms)) == sorted(
                    timer for timer in waiting if timer[0] < now_ms
                )
                waiting = [timer for timer in waiting if timer[0] >= now_ms]
        for key, row in chunk.writes().items():
            if row is None:
                del states[key]  # only rows that exist are deleted
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


def test_a_timer_set_and_expired_in_one_chunk_leaves_no_rows() -> None:
    """Only the index row is written."""
    chunk = Timers(Rows(), BUCKET_MS)
    assert chunk.writes() == {}
    chunk.set(1, b"s\x1fb")
    assert not chunk.expire(1)
    assert list(chunk.expire(2)) == [(1, b"s\x1fb")]
    assert chunk.writes() == {INDEX: b"{}"}
