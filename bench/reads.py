"""The reads that are compared: who serves what, and at which address."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from bench.clients import Figures, Server, Unanswered, at_rate, saturate
from bench.databases import POINT, TOP, Database, pgbench, redis_benchmark
from operations.reader_client import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from streams.settings import Settings

READER = "netsold"
POINT_READS, TOP_LISTS = "point reads", "top lists"
POPULAR = 100
"""Products whose pages everybody opens: what is kept of them is used again."""


class Address(NamedTuple):
    """An address with %d for a product's number, as the contract has it, and how many products."""

    path: str
    declared: str
    ids: int | None = None


_BADGE = "/v1/products/p-%d/badge", "/v1/products/{product_id}/badge"
CONTRACT = {
    POINT_READS: Address("/v1/products/p-%d", "/v1/products/{product_id}"),
    "series": Address("/v1/products/p-%d/cycles?last=12", "/v1/products/{product_id}/cycles"),
    TOP_LISTS: Address("/v1/top/products", "/v1/top/products"),
    "badge reads": Address(*_BADGE),
    f"badge reads, {POPULAR} products": Address(*_BADGE, POPULAR),
}
"""What is read of a reader; of all products, if no number is stated."""

REDIS_REQUESTS_PER_S = 30_000
"""redis-benchmark sends a number of requests: about so many a second of its turn."""


class Effort(NamedTuple):
    """How many products there are, for how long each is read, and how often at a fixed rate."""

    ids: int
    seconds: int
    requests_per_s: int


class Target(NamedTuple):
    """Who serves what: as fast as it answers, and at a fixed rate where a client can."""

    who: str
    what: str
    saturated: Callable[[], Figures]
    paced: Callable[[], Figures] | None = None


class Read(NamedTuple):
    """The figures of one round of a target."""

    saturated: Figures
    paced: Figures | None

    def __str__(self) -> str:
        """One line."""
        paced = "" if self.paced is None else f"; at a fixed rate {self.paced}"
        return f"{self.saturated}{paced}"


Reads = dict[str, dict[str, list[Read]]]
"""The rounds by what is read, and by who serves it."""


def in_contract(settings: Settings, address: str) -> bool:
    """Whether the reader's contract has an address."""
    return address in get(settings, "/openapi.json")["paths"]


def of_reader(settings: Settings, server: Server, effort: Effort) -> tuple[list[Target], list[str]]:
    """The reader's targets, and a sentence for each address that its contract doesn't have."""
    targets, missing = [], []
    for what, (path, declared, ids) in CONTRACT.items():
        if in_contract(settings, declared):
            of_ids = effort._replace(ids=min(ids or effort.ids, effort.ids))
            targets.append(over_http(READER, what, server, path, of_ids))
        else:
            missing.append(f"{what} are left out: this reader has no {declared}")
    return targets, missing


def of_database(
    database: Database, server: Server, effort: Effort, directory: Path
) -> list[Target]:
    """A database's targets: behind the row server, and directly."""
    title = database.title
    behind = f"FastAPI + {title}"
    count = effort.seconds * REDIS_REQUESTS_PER_S
    direct: dict[str, Callable[[], Figures]] = (
        {
            what: partial(pgbench, database, statement, effort.ids, effort.seconds, directory)
            for what, statement in ((POINT_READS, POINT), (TOP_LISTS, TOP))
        }
        if database.name == "postgresql"
        else {
            what: partial(redis_benchmark, database, command, effort.ids, count)
            for what, command in (
                (POINT_READS, ("GET", "p-__rand_int__")),
                (TOP_LISTS, ("ZREVRANGE", "top", "0", "9")),
            )
        }
    )
    return [
        over_http(behind, POINT_READS, server, "/products/p-%012d", effort),
        over_http(behind, TOP_LISTS, server, "/top", effort),
        *(Target(title, what, saturated) for what, saturated in direct.items()),
    ]


def over_http(who: str, what: str, server: Server, address: str, effort: Effort) -> Target:
    """A target at an address, with %d for a product's number."""

    def paced() -> Figures:
        rng = Random(address)
        paths = (
            address % rng.randint(1, effort.ids) if "%" in address else address
            for _ in range(effort.seconds * effort.requests_per_s)
        )
        return at_rate(server, paths, effort.requests_per_s)

    saturated = partial(saturate, server, address, effort.ids, effort.seconds)
    return Target(who, what, saturated, paced)


def measure(
    targets: Sequence[Target],
    rounds: int,
    report: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> Reads:
    """All targets in turn, in each second round backwards.

    Something is done `before` each target and `after` each round. A fixed rate comes first: a
    reader that was just read as fast as it answers may have to catch up.
    """
    found: Reads = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for target in reversed(targets) if number % 2 else targets:
            before()
            try:
                paced = target.paced and target.paced()
                read = Read(target.saturated(), paced)
            except Unanswered as error:
                report(f"{target.what}, {target.who}: left out of this round: {error}")
                continue
            found[target.what][target.who].append(read)
            report(f"{target.what}, {target.who}: {read}")
        after()
    return found


def together(rounds: Iterable[Figures]) -> Figures:
    """One figure of several rounds: the mean rate and median, and the highest p99."""
    rates, p50s, p99s = zip(*rounds, strict=True)
    return Figures(sum(rates) / len(rates), sum(p50s) / len(p50s), max(p99s))
