"""The Faust agents, one for each stage: each hands the chunks of its topic to the pipeline.

Rules live in `tables`, order in `pipeline`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.chunks import Chunk, ChunkSchema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.app import App


def declare(app: App, topics: list[str]) -> None:
    """One agent per source topic; `concurrency=1` keeps a partition's chunks in order."""
    for name in topics:
        topic = app.topic(name, schema=ChunkSchema(), acks=False)
        app.agent(topic, name=f"fold-{name}", concurrency=1)(_fold(app))


def _fold(app: App) -> Any:
    async def fold(chunks: AsyncIterator[Chunk]) -> None:
        async for chunk in chunks:
            await app.pipeline.process(chunk)

    return fold
