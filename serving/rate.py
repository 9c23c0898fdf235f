"""What one client may have: requests at a rate, from a bucket that time fills, and streams."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import http_limits
from serving.problems import Kind, ProblemRaised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BURST_S: Final = 2
"""A client may make the requests of so many seconds at once."""


class Spent(NamedTuple):
    """The outcome of one request: seconds to wait until it is allowed (0 = it is), and headers.

    The headers are `RateLimit-Policy` and `RateLimit` as the IETF's draft has them
    (draft-ietf-httpapi-ratelimit-headers): what is left, and when all of it is there again.
    """

    wait_s: int
    headers: list[tuple[bytes, bytes]]


class Buckets:
    """The requests that each client has left, at a rate per second; `clock` gives seconds.

    At most RATED_CLIENTS are remembered. One that is forgotten begins with a full bucket.
    """

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._most = per_second * BURST_S
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        policy = f'"client";q={self._most};w={BURST_S}'.encode()
        self._policy = (b"ratelimit-policy", policy)

    def spend(self, client: str) -> Spent:
        """Count a request of a client."""
        now_s = self._clock()
        left, at_s = self._left.pop(client, (self._most, now_s))
        left = min(self._most, left + (now_s - at_s) * self._per_second)
        allowed = left >= 1
        left -= allowed
        self._left[client] = (left, now_s)
        if len(self._left) > http_limits.RATED_CLIENTS:
            self._left.popitem(last=False)
        full_s = math.ceil((self._most - left) / self._per_second)
        state = f'"client";r={int(left)};t={full_s}'.encode()
        wait_s = 0 if allowed else math.ceil((1 - left) / self._per_second)
        return Spent(wait_s, [self._policy, (b"ratelimit", state)])


class OpenStreams:
    """The streams that each client has open; a client may have `most`, or any number if 0."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = Counter[str]()

    @contextmanager
    def one_more(self, client: str) -> Iterator[None]:
        """Count a stream of a client while it is open.

        Raises ProblemRaised where the client has as many as it may.
        """
        if self._most and self._open[client] >= self._most:
            raise ProblemRaised(
                Kind.TOO_MANY, f"{self._most} streams of this client are open, its most at once"
            )
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
