"""Waiting until a reader's tables include what was written to the log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from operations.in_words import duration
from operations.output import print_error
from operations.reader_client import ReaderNotReady, UnknownId, get
from operations.waiting import REPORT_EVERY_S, GaveUp
from streams.copied import committed_vectors, copy_layout, is_copied
from streams.versions import pointed
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.settings import Settings

RETRY_AFTER_S: Final = 0.5

_PATHS: Final = {
    "/v1/orders/-": (catalogue.ORDERS_TOPIC,),
    "/v1/products/-": (catalogue.ORDERS_TOPIC, catalogue.NAMES_TOPIC),
    "/v1/products/-/journal": (catalogue.ORDERS_TOPIC,),
    "/v1/shops/-": (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC),
    "/v1/overdue": (catalogue.CHATS_TOPIC,),
}
"""Addresses that together cover all tables, each with the source topics of what it shows.

Any id will do."""


def until_applied(
    settings: Settings,
    positions: Mapping[str, int],
    give_up_s: float,
    report: Callable[[str], None] = print_error,
) -> None:
    """Wait until all tables include these source positions, such as {"orders-0": 1234}, and names.

    Raises GaveUp, NoReader, BadRequest.
    """
    deadline = time.monotonic() + give_up_s
    reported_s = time.monotonic()
    for path, sources in _PATHS.items():
        names = tuple(f"{settings.topic(source)}-" for source in sources)
        wanted = ",".join(
            f"{partition}:{offset}"
            for partition, offset in positions.items()
            if _topic(partition) in names
        )
        while wanted:
            try:
                get(settings, path, {"min_position": wanted})
            except UnknownId:  # the tables include the positions, and have no such id
                break
            except ReaderNotReady as error:
                now = time.monotonic()
                if now >= deadline:
                    raise GaveUp(
                        f"gave up: after {duration(give_up_s)}"
                        f" the reader's tables don't hold what was written: {error}"
                    ) from error
                if now - reported_s >= REPORT_EVERY_S:
                    reported_s = now
                    report(f"netsold: waiting for the reader's tables: {error}")
                time.sleep(min(RETRY_AFTER_S, deadline - now))
            else:
                break


async def in_answered_log(
    settings: Settings, positions: Mapping[str, int], within_s: float
) -> tuple[Settings, Mapping[str, int]]:
    """Positions of the written log in the log that the answered version counts, and its settings.

    Where that is a copy, these are the copy's positions once it has them. Raises GaveUp,
    KafkaUnreachable and KafkaError.
    """
    answered = await pointed(settings)
    if not is_copied(answered):
        return settings, positions
    deadline = time.monotonic() + within_s
    copied = {f"{topic}-" for topic in copy_layout(answered).topics}
    wanted = {at: offset for at, offset in positions.items() if _topic(at) in copied}
    while True:
        vectors = await committed_vectors(answered, {})
        read = {f"{topic}-{number}": offset for (topic, number), offset in vectors.read.items()}
        if all(read.get(at, -1) >= offset for at, offset in wanted.items()):
            break
        if time.monotonic() > deadline:
            raise GaveUp(
                f"gave up: after {duration(within_s)} what was written isn't copied into the log "
                f"of {answered.app}: run `netsold rebuild copy {answered.app}`"
            )
        await asyncio.sleep(RETRY_AFTER_S)
    others = {at: offset for at, offset in positions.items() if at not in wanted}
    written = {f"{topic}-{number}": offset for (topic, number), offset in vectors.written.items()}
    return answered, others | written


def _topic(partition: str) -> str:
    """`orders-` of `orders-3`."""
    return partition[: partition.rindex("-") + 1]
