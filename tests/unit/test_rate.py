"""How many requests a client may send: by seconds of a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import http_limits
from serving.problems import Kind, ProblemRaised
from serving.rate import Buckets, OpenStreams


def test_a_client_may_send_a_burst_and_then_its_rate() -> None:
    """Twice the rate at once, then one more for each part of a second."""
    now = [0.0]
    buckets = Buckets(5, lambda: now[0])
    assert [buckets.spend("a").wait_s for _ in range(12)] == [0] * 10 + [1, 1]
    assert buckets.spend("b").wait_s == 0, "clients don't share"
    now[0] += 0.2
    assert [buckets.spend("a").wait_s for _ in range(2)] == [0, 1]
    now[0] += 100
    assert [buckets.spend("a").wait_s for _ in range(11)] == [0] * 10 + [1]


def test_headers_have_the_policy_and_what_is_left() -> None:
    """As the draft has them: quota and window, what remains, and seconds until all is back."""
    now = [0.0]
    buckets = Buckets(10, lambda: now[0])
    assert buckets.spend("a").headers == [
        (b"ratelimit-policy", b'"client";q=20;w=2'),
        (b"ratelimit", b'"client";r=19;t=1'),
    ]
    assert [buckets.spend("a") for _ in range(20)][-1].headers[1] == (
        b"ratelimit",
        b'"client";r=0;t=2',
    )


def test_clients_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was away longest is forgotten."""
    monkeypatch.setattr(http_limits, "RATED_CLIENTS", 3)
    buckets = Buckets(1, lambda: 0.0)
    for client in "abacad":
        buckets.spend(client)
    assert list(buckets._left) == ["c", "a", "d"]
    assert buckets.spend("a").wait_s == 1
    assert buckets.spend("b").wait_s == 0


@given(steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=30))
def test_no_client_gets_more_than_its_rate_and_one_burst(steps: list[tuple[float, int]]) -> None:
    """However it spreads its requests."""
    now, allowed = [0.0], 0
    buckets = Buckets(7, lambda: now[0])
    for passed_s, requests in steps:
        now[0] += passed_s
        allowed += sum(buckets.spend("a").wait_s == 0 for _ in range(requests))
    assert allowed <= 7 * now[0] + 14 + 1e-6


def test_streams_are_counted_by_client() -> None:
    """One more than its most is refused until one ends, whatever ended it."""
    streams = OpenStreams(2)
    with streams.one_more("a"), streams.one_more("b"):
        with streams.one_more("a"), pytest.raises(ProblemRaised) as raised, streams.one_more("a"):
            pass
        assert raised.value.kind is Kind.TOO_MANY
        with pytest.raises(ZeroDivisionError), streams.one_more("a"):
            _ = 1 / 0
        with streams.one_more("a"):
            pass
    assert not streams._open
    unlimited = OpenStreams(0)
    with unlimited.one_more("a"), unlimited.one_more("a"):
        pass
