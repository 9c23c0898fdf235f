"""One reader process: the follower and its API in one event loop.

It ends by SIGTERM or Ctrl-C, or when the follower fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from schemas import limits
from schemas.errors import NetsoldError
from serving.api import make_app
from serving.connections import Bounds, Connection, Crowd
from serving.rare_log import RareWarning
from serving.reader import Reader
from streams import logs
from streams.open_files import allow_open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from streams.settings import Settings

logger = structlog.get_logger()

GRACE_S: Final = 3
"""How long open answers may continue after the signal to end."""


class AddressInUse(NetsoldError):
    """Another process listens at the reader's address."""


def run(settings: Settings) -> bool:
    """Serve until a signal ends it; True if it was Ctrl-C.

    Raises AddressInUse, StoreUnusable, or what made the follower fail.
    """
    logs.configure()
    bounds = Bounds.of_handles(allow_open_files())
    with _listening(settings) as listener, _caught_signals() as caught:
        asyncio.run(_serve(settings, listener, bounds))
    return signal.SIGINT in caught


async def _serve(settings: Settings, listener: socket.socket, bounds: Bounds) -> None:
    reader = Reader(settings)
    server = bounded(make_app(reader), bounds)
    host, port = listener.getsockname()[:2]
    logger.info("reader answers", address=f"http://{host}:{port}/")
    following = asyncio.create_task(reader.run())
    answering = asyncio.create_task(server.serve([listener]))
    await asyncio.wait([following, answering], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    following.cancel()
    await answering
    with contextlib.suppress(asyncio.CancelledError):
        await following


def bounded(app: FastAPI, bounds: Bounds) -> uvicorn.Server:
    """A server of an app within bounds, for the running event loop."""
    crowd = Crowd(bounds)
    asyncio.get_running_loop().set_exception_handler(crowd.on_loop_error)
    config = uvicorn.Config(
        app,
        http=partial(Connection, crowd),  # type: ignore[arg-type] # uvicorn only calls it
        ws="none",
        log_config=logs.LIBRARIES,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        backlog=limits.UNCOUNTED_CONNECTIONS,
        timeout_keep_alive=bounds.idle_s,
        timeout_graceful_shutdown=GRACE_S,
    )
    logging.getLogger("uvicorn.error").addFilter(_Warnings())
    return uvicorn.Server(config)


class _Warnings(logging.Filter):
    """Logs each kind of uvicorn's warnings rarely: any client can cause thousands of them."""

    def __init__(self) -> None:
        super().__init__()
        self._rare: dict[str, RareWarning] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass everything but warnings."""
        if record.levelno != logging.WARNING:
            return True
        self._rare.setdefault(str(record.msg), RareWarning(str(record.msg))).log()
        return False


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket to answer at, bound before anything else starts."""
    family = socket.AF_INET6 if ":" in settings.reader_host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then. Without it each answer waits
    # for an acknowledgement (40 ms on Linux).
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.reader_host, settings.reader_port))
        except OSError as error:
            where = f"{settings.reader_host}:{settings.reader_port}"
            raise AddressInUse(
                f"can't listen at {where} ({error.strerror}):"
                " end what does, or set NETSOLD_READER_PORT"
            ) from error
        yield listener


@contextlib.contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Catch the signals that uvicorn raises again at its end, so that the process returns."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
