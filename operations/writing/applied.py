"""Waiting until a reader's tables include what was written to the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from operations.in_words import duration
from operations.output import print_error
from operations.reader_client import ReaderNotReady, UnknownId, get
from operations.waiting import REPORT_EVERY_S, GaveUp
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


def _topic(partition: str) -> str:
    """`orders-` of `orders-3`."""
    return partition[: partition.rindex("-") + 1]
