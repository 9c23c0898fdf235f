"""The Faust agents, one for each stage: each hands the chunks of its topic to `process`.

Rules live in `tables`, order in `streams/pipeline.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.chunks import ChunkSchema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    import faust

    from streams.fetched import Chunk

    Process = Callable[[Chunk], Awaitable[None]]


def declare(app: faust.App, topics: Iterable[str], process: Process) -> None:
    """One agent per source topic; `concurrency=1` keeps a partition's chunks in order."""
    for name in topics:
        topic = app.topic(name, schema=ChunkSchema(), acks=False)
        app.agent(topic, name=f"fold-{name}", concurrency=1)(_fold(process))


def _fold(process: Process) -> Any:
    async def fold(chunks: AsyncIterator[Chunk]) -> None:
        async for chunk in chunks:
            await process(chunk)

    return fold
