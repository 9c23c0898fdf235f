"""How many answers may walk over the journal at once: earlier moments, and explanations."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas import limits
from serving.problems import Kind, ProblemRaised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request


class Walks:
    """The running walks of one app: each reads up to millions of entries in a thread."""

    def __init__(self, most: int = limits.WALKS) -> None:
        self.most = most
        self.running = 0


@contextmanager
def one_more_walk(request: Request) -> Iterator[None]:
    """Count a walk while it runs. Raises ProblemRaised where as many run as may."""
    walks: Walks = request.app.state.walks
    if walks.running >= walks.most:
        raise ProblemRaised(
            Kind.BUSY,
            f"{walks.running} answers about earlier moments, explanations and lists by growth are"
            " being made, the most at once: try again when one ends",
        )
    walks.running += 1
    try:
        yield
    finally:
        walks.running -= 1
