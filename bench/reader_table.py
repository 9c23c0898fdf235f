"""The tables of the bench of readers, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.reads import CONTRACT, READER, Read, Reads, together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.clients import Figures

GIVES = {
    READER: "sums of each event exactly once, from one snapshot, with their freshness",
    "FastAPI + PostgreSQL": "the row as it was copied; as exact and fresh as what writes it",
    "FastAPI + Redis": "the row as it was copied; as exact and fresh as what writes it",
    "PostgreSQL": "the same, to its own clients only",
    "Redis": "the same, to its own clients only; lost with the process by these settings",
}
"""What an answer is worth, by who gives it."""


def reads_table(results: Mapping[str, Reads], requests_per_s: int) -> str:
    """A row for each thing that is read and each one that serves it, idle and beside load."""
    pairs = {
        (what, who): None
        for reads in results.values()
        for what, by_who in reads.items()
        for who in by_who
    }
    rows = [
        (what, f"{who}{phase}", *_cells(rounds))
        for what, who in sorted(pairs, key=lambda one: list(CONTRACT).index(one[0]))
        for phase, reads in results.items()
        if (rounds := reads.get(what, {}).get(who))
    ]
    heads = ("", "who", "reads/s", "p50 ms", "p99 ms")
    paced = tuple(f"{name} at {requests_per_s:,}/s" for name in ("p50 ms", "p99 ms"))
    return _table((*heads, *paced), rows)


def _cells(rounds: Sequence[Read]) -> tuple[str, ...]:
    saturated = together(read.saturated for read in rounds)
    paced = [read.paced for read in rounds if read.paced is not None]
    late = _latencies(together(paced)) if paced else ("", "")
    return (f"{saturated.rate:,.0f}", *_latencies(saturated), *late)


def _latencies(found: Figures) -> tuple[str, str]:
    return f"{found.p50_ms:,.2f}", f"{found.p99_ms:,.2f}"


def wire_table(results: Mapping[str, Mapping[str, Figures]]) -> str:
    """A row for each way from an append to a client, idle and beside load."""
    rows = [
        (f"{name}{phase}", *_latencies(found))
        for phase, by_name in results.items()
        for name, found in by_name.items()
    ]
    return _table(("", "p50 ms", "p99 ms"), rows)


def gives_table(results: Mapping[str, Reads]) -> str:
    """What each one that serves gives."""
    who = {one for reads in results.values() for by_who in reads.values() for one in by_who}
    return _table(("who", "an answer is"), [row for row in GIVES.items() if row[0] in who])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of figures are aligned to the right."""
    texts = ("", "who", "an answer is")
    line = ["---" if head in texts else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, line, *rows))


def as_json(results: Any) -> Any:  # noqa: ANN401 - any nesting of figures
    """Results with figures as objects."""
    if hasattr(results, "_asdict"):
        return as_json(results._asdict())
    if isinstance(results, dict):
        return {name: as_json(one) for name, one in results.items()}
    if isinstance(results, list):
        return [as_json(one) for one in results]
    return results
