"""One reader process: the follower and its API in one event loop.

It ends by SIGTERM or Ctrl-C, or when the follower fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from schemas import limits
from schemas.errors import NetsoldError
from serving import metrics
from serving.access import require_tokens
from serving.api import make_app, renew_hub
from serving.beside import BesideWatch
from serving.connections import Bounds, Crowd, cut_streams
from serving.pointer import PointerReader, pointing
from serving.rare_log import RareWarning
from serving.reader import Reader, end
from serving.straight import Straight
from serving.straight_connection import StraightConnection
from serving.switch import Switch
from serving.version_stores import VersionStores
from streams import logs, tracing
from streams.collecting import collect_rarely
from streams.open_files import allow_open_files
from streams.process_metrics import measure_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.layers import ReaderApp
    from streams.settings import Settings

logger = structlog.get_logger()

GRACE_S: Final = 3
"""How long open answers may continue after the signal to end."""

STREAMS_GRACE_S: Final = 0.5
"""How long the clients of streams may read what was sent to them: they connect again anyway."""

SWITCH_S: Final = 0.0005
"""How long a thread of Python may run while another one waits: by default 5 ms, which a request
would wait several times beside threads that read the log or long answers."""

STEP_OBJECTS: Final = 100_000
"""A step of the follower has this many objects."""


class AddressInUse(NetsoldError):
    """Another process listens at the reader's address."""


def run(settings: Settings) -> bool:
    """Serve until a signal ends it; True if it was Ctrl-C.

    Raises AccessUnset, TracesUnusable, AddressInUse, TokensUnusable, PseudonymKeyUnusable,
    StoreUnusable, or what made the follower fail.
    """
    require_tokens(settings)
    logs.configure()
    tracing.switch_on("reader")
    sys.setswitchinterval(SWITCH_S)
    bounds = Bounds.of_handles(allow_open_files())
    with _listening(settings) as listener, _caught_signals() as caught:
        asyncio.run(_serve(settings, listener, bounds))
    return signal.SIGINT in caught


async def _serve(settings: Settings, listener: socket.socket, bounds: Bounds) -> None:
    measure_process(metrics.REGISTRY, settings.data_dir)
    app = make_app(Reader(settings))
    app.openapi()  # made once, in half a second that no request should wait for
    server = bounded(app, bounds, settings)
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.reader_tls_certfile else "http"
    logger.info("reader answers", address=f"{scheme}://{host}:{port}/")
    collect_rarely(STEP_OBJECTS)
    following = asyncio.create_task(switch_of(app, settings).run())
    beside = asyncio.create_task(BesideWatch(app.state.versions).run())
    answering = asyncio.create_task(server.serve([listener]))
    await asyncio.wait([following, answering], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await asyncio.gather(answering, end(following, beside))
    with contextlib.suppress(asyncio.CancelledError):
        following.result()


def switch_of(app: ReaderApp, settings: Settings) -> Switch:
    """What follows the pointer for an app; `settings` are of the family's base."""
    stores = VersionStores(settings)

    def reader_of(version: Settings) -> Reader:
        return Reader(version, stores.directory_of(version.app))

    return Switch(
        app.state.versions,
        PointerReader(partial(pointing, settings)),
        stores,
        reader_of,
        partial(renew_hub, app),
    )


def bounded(app: ReaderApp, bounds: Bounds, settings: Settings) -> uvicorn.Server:
    """A server of an app within bounds, for the running event loop.

    By TLS where the settings have a certificate. Behind trusted proxies a client is the last
    address of `X-Forwarded-For` that isn't one of them.
    """
    proxies = settings.trusted_proxies
    crowd = Crowd(bounds)
    asyncio.get_running_loop().set_exception_handler(crowd.on_loop_error)
    config = uvicorn.Config(
        app,
        http=partial(StraightConnection, Straight(app, proxies), crowd),  # type: ignore[arg-type] # uvicorn only calls it
        ws="none",
        log_config=logs.of_libraries(),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        ssl_certfile=settings.reader_tls_certfile,
        ssl_keyfile=settings.reader_tls_keyfile,
        backlog=limits.UNCOUNTED_CONNECTIONS,
        timeout_keep_alive=bounds.idle_s,
        timeout_graceful_shutdown=GRACE_S,
    )
    logging.getLogger("uvicorn.error").addFilter(_Warnings())
    app.state.hub.most = bounds.streams
    return _Server(config, app)


class _Server(uvicorn.Server):
    """uvicorn's server, which ends streams when it ends: they would last until GRACE_S.

    So would one whose client doesn't read, if its connection waited for that.
    """

    def __init__(self, config: uvicorn.Config, app: ReaderApp) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, and then as uvicorn does."""
        self._app.state.hub.end()
        cutting = asyncio.get_running_loop().call_later(
            STREAMS_GRACE_S, lambda: cut_streams([*self.server_state.connections])
        )
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()


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
