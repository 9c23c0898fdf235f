"""TCP ports of this machine."""

from __future__ import annotations

import socket

from schemas.errors import NetsoldError

LOCALHOST = "127.0.0.1"


class NoFreePort(NetsoldError):
    """No port of 127.0.0.1 can be bound."""


def free_port(preferred: int) -> int:
    """A port of 127.0.0.1 that no process listens on; the preferred one if it is free.

    Raises NoFreePort.
    """
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As the broker does: a port whose last connections are still in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOCALHOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise NoFreePort(f"no free port on {LOCALHOST}")


def accepts(host: str, port: int) -> bool:
    """Whether a process accepts connections at this address."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
