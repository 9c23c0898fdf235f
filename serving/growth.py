"""Which products or shops grew most against the cycle before, at the same point of it.

Growth needs entries of two cycles, so no ranking of it is stored. What an id sold until some hour
of a cycle, less what was reversed of it, is at most its gross units of that cycle, and it never was
less than zero; so its growth is at most its gross units, which are its net units and those
reversed. Two rankings give an upper bound of both for all ids that neither has shown so far. Once
the worst of the best found so far grew more than their sum, no other id can replace it (the
threshold algorithm of Fagin, Lotem and Naor).

Rankings come from the table and growth from the journal, which is ahead of it: an id whose sales
the table lacks is behind its place. So a list is complete only if the table has reached the point
until which cycles are compared; entries of earlier hours that came later are as `applied` has them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from schemas import http_limits, limits
from serving import keys
from serving.same_point import compared, point_of
from tables.catalogue import find_table

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.keys import Ranking
    from serving.store import Snapshot

COMPARED_AT_ONCE = 50
"""Rows of each ranking between two comparisons with the bound."""


class Grown(NamedTuple):
    """The ids that grew most, the most first, then by id.

    `complete` is False if others may belong among them: the walk ended at its bound, or the table
    is behind `until_ms`, the point until which cycles are compared; None while there is none.
    """

    ids: list[bytes]
    complete: bool
    until_ms: int | None


def most_grown(answers: Answers, keyed_by: str, start_ms: int, limit: int) -> Grown:
    """The ids whose net units grew most; those that did not grow are left out."""
    until_ms = point_of(answers.progress, answers.calendar, start_ms)
    if until_ms is None:
        return Grown([], complete=False, until_ms=None)
    lists = [
        _Walk(answers.snapshot, ranking, start_ms)
        for ranking in (keys.TOP[keyed_by]["units"], keys.REVERSED[keyed_by])
    ]
    compared: set[bytes] = set()
    best: list[tuple[int, bytes]] = []
    complete = _has_reached(answers, keyed_by, until_ms)
    while any(one.bound for one in lists):
        for id_ in [id_ for one in lists for id_ in one.next_ids()]:
            if id_ in compared:
                continue
            if len(compared) == http_limits.GROWTH_ROWS:
                return Grown(_best(best, limit), complete=False, until_ms=until_ms)
            compared.add(id_)
            growth = _growth(answers, keyed_by, id_, start_ms)
            if growth is None:
                complete = False
            elif growth > 0:
                best.append((-growth, id_))
        best = sorted(best)[:limit]
        if len(best) == limit and -best[-1][0] > sum(one.bound for one in lists):
            break
    return Grown(_best(best, limit), complete, until_ms)


def _best(found: list[tuple[int, bytes]], limit: int) -> list[bytes]:
    return [id_ for _, id_ in sorted(found)[:limit]]


def _has_reached(answers: Answers, keyed_by: str, until_ms: int) -> bool:
    """Whether the table of sales is complete through an instant."""
    table = find_table(keyed_by, "sales", windowed=True)
    through_ms = None if table is None else answers.progress.of(table.name).through_ms
    return through_ms is not None and through_ms >= until_ms


class _Walk:
    """A walk over a ranking; `bound` is the most that an id behind it can have, 0 at its end."""

    def __init__(self, snapshot: Snapshot, ranking: Ranking, start_ms: int) -> None:
        self._snapshot = snapshot
        self._ranking = ranking
        self._prefix = ranking.of_cycle(start_ms)
        self._after: bytes | None = None
        self.bound = limits.INT64_MAX

    def next_ids(self) -> list[bytes]:
        """The ids of the next rows."""
        if not self.bound:
            return []
        rows = self._snapshot.walk(self._prefix, self._after)
        found = [key for key, _ in islice(rows, COMPARED_AT_ONCE)]
        if len(found) < COMPARED_AT_ONCE:
            self.bound = 0
        else:
            self._after = found[-1]
            self.bound = self._ranking.first_rank(found[-1])
        return [self._ranking.split(key)[1] for key in found]


def _growth(answers: Answers, keyed_by: str, id_: bytes, start_ms: int) -> int | None:
    """Net units of a cycle less those of the one before at the same point; None while unknown."""
    found = compared(answers.snapshot, answers.calendar, keyed_by, id_, start_ms)
    return None if found is None else found.this.units - found.last.units
