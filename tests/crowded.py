"""A reader's process for tests of its server, with a filled store and few file handles.

`python -m tests.crowded FOLDER HANDLES BOUNDS`. BOUNDS are those of `serving/connections.py` as a
JSON object, or `null` for the real ones. Its export has at least 16 MiB.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import exports, server
from serving.answers import Answers
from serving.connections import Bounds
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings

STORY = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
"""
ROWS = 16_384


class Fed(FedReader):
    """A reader that has applied a story and has nothing more to follow."""

    def __init__(self, settings: Settings) -> None:
        logs = Changelogs(settings)
        logs.take(next(parse(STORY)).events)
        super().__init__(settings, logs)
        self.feed()

    async def run(self) -> None:
        """Wait until the process ends."""
        await asyncio.Event().wait()


def rows(_answers: Answers) -> Iterator[tuple[str, dict[str, Any]]]:
    """More bytes than the buffers of any client and system."""
    for number in range(ROWS):
        yield "products", {"number": number, "text": "x" * 1000}


if __name__ == "__main__":
    folder, handles, bounds = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (handles // 2, handles))
    setattr(server, "Reader", Fed)  # noqa: B010 - mypy wouldn't have it
    setattr(exports, "exported_rows", rows)  # noqa: B010 - as above
    if bounds is not None:
        Bounds.of_handles = classmethod(lambda cls, _handles: cls(**bounds))  # type: ignore[method-assign, assignment]
    server.run(settings_in(folder).model_copy(update={"reader_port": 0}))
