"""Waiting until a reader's tables hold what was written to the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from operations.asking import ReaderNotReady, Unknown, ask, duration
from operations.waiting import SAY_EVERY_S, GaveUp, say
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.settings import Settings

ASK_AGAIN_AFTER_S: Final = 0.5

_PATHS: Final = {
    "/v1/orders/-": (catalogue.ORDERS_TOPIC,),
    "/v1/products/-": (catalogue.ORDERS_TOPIC,),
    "/v1/products/-/journal": (catalogue.ORDERS_TOPIC,),
    "/v1/shops/-": (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC),
    "/v1/overdue": (catalogue.CHATS_TOPIC,),
}
"""Addresses that together stand for all tables, each with the source topics that its tables are
made from; any id will do."""


def until_applied(
    settings: Settings,
    positions: Mapping[str, int],
    give_up_s: float,
    say: Callable[[str], None] = say,
) -> None:
    """Wait until all tables hold these source positions, such as {"orders-0": 1234}.

    Raises GaveUp, NoReader, BadRequest.
    """
    deadline = time.monotonic() + give_up_s
    spoke_s = time.monotonic()
    for path, sources in _PATHS.items():
        names = tuple(f"{settings.topic(source)}-" for source in sources)
        wanted = ",".join(
            f"{at}:{offset}" for at, offset in positions.items() if _topic(at) in names
        )
        while wanted:
            try:
                ask(settings, path, min_position=wanted)
            except Unknown:  # the tables hold it, and have no such id
                break
            except ReaderNotReady as error:
                now = time.monotonic()
                if now >= deadline:
                    raise GaveUp(
                        f"gave up: after {duration(give_up_s)} the reader's tables don't hold what was written: {error}"
                    ) from error
                if now - spoke_s >= SAY_EVERY_S:
                    spoke_s = now
                    say(f"netsold: waiting for the reader's tables: {error}")
                time.sleep(min(ASK_AGAIN_AFTER_S, deadline - now))
            else:
                break


def _topic(at: str) -> str:
    return at[: at.rindex("-") + 1]
