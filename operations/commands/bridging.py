"""`netsold import --bridge`: a running connector from another system's topic into the log."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import typer

from operations.mapping.records import RecordMapper
from operations.output import print_error, print_json
from operations.waiting import Waiting, stopped_within
from streams import topics
from streams.bridge import Bridge, BridgeCounts, BridgeFenced, BridgeInDoubt
from streams.broker_access import BROKER_AWAY, WITHOUT_RIGHTS

if TYPE_CHECKING:
    from operations.mapping.plan import Mapping
    from streams.settings import Settings

AGAIN_S: Final = 2.0
"""After a failure, how long until the next attempt."""

END_WITHIN_S: Final = 10.0
"""How long a bridge may end its transaction after a signal."""

LINE_EVERY_S: Final = 10.0


class BridgeRun:
    """One bridge's life in this process: through outages, until `stop`."""

    def __init__(self, settings: Settings, mapping: Mapping, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._mapper = RecordMapper(mapping, topic, settings.max_ahead_seconds)
        self._counts = BridgeCounts()
        self._bridge: Bridge | None = None

    def found(self) -> dict[str, Any]:
        """What this process has committed, with stable names."""
        now = BridgeCounts() if self._bridge is None else self._bridge.counts
        left = None if self._bridge is None else self._bridge.left
        sums = {name: number + getattr(now, name) for name, number in asdict(self._counts).items()}
        return {"topic": self._topic, **sums, "records_left": left}

    async def run(self, stop: asyncio.Event) -> None:
        """Bridge until `stop` is set.

        Raises BridgeUnfit, BridgeFenced where another bridge runs, TopicsUnfit, and one of
        WITHOUT_RIGHTS.
        """
        await topics.require_sources(self._settings)
        while not stop.is_set():
            try:
                await self._bridge_once(stop)
            except (BridgeFenced, *WITHOUT_RIGHTS):
                raise
            except (BridgeInDoubt, *BROKER_AWAY) as error:
                print_error(f"netsold: {error or repr(error)}; it begins again")
                await stopped_within(stop, AGAIN_S)

    async def _bridge_once(self, stop: asyncio.Event) -> None:
        async with Bridge(self._settings, self._topic, self._mapper.convert) as bridge:
            self._bridge = bridge
            try:
                await bridge.run(stop)
            finally:
                for name, number in asdict(bridge.counts).items():
                    setattr(self._counts, name, getattr(self._counts, name) + number)
                self._bridge = None


def run_bridge(settings: Settings, mapping: Mapping, topic: str, *, as_json: bool) -> None:
    """Bridge a topic until SIGTERM or Ctrl-C, with a line every ten seconds.

    Raises MappingUnfit, and as `BridgeRun.run`.
    """
    bridging = BridgeRun(settings, mapping, topic)

    async def show() -> None:
        shown_s = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            if time.monotonic() - shown_s >= LINE_EVERY_S:
                shown_s = time.monotonic()
                print_error(f"netsold: {_line(bridging.found())}")

    async def bounded() -> None:
        waiting = Waiting(settings, float("inf"), print_error)
        showing = asyncio.create_task(show())
        try:
            await waiting.bounded(bridging.run(waiting.stop), lambda: None, END_WITHIN_S)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    try:
        asyncio.run(bounded())
    finally:
        found = bridging.found()
        if as_json:
            print_json(found)
        else:
            typer.echo(_line(found))


def _line(found: dict[str, Any]) -> str:
    left = "" if found["records_left"] is None else f", {found['records_left']:,} records left"
    return (
        f"{found['topic']}: {found['records']:,} records read, {found['events']:,} events written,"
        f" {found['parked']:,} parked, {found['left_out']:,} left out{left}"
    )
