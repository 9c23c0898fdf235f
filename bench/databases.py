"""PostgreSQL and Redis with the rows of the bench of readers: what a user would pick instead.

Both are Debian's, with their usual settings, in a directory of their own. A row is the body of the
reader's answer without its freshness.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.clients import CONNECTIONS, Figures, Server, figures
from bench.measure import ROOT
from operations.local.ports import LOCALHOST, accepts, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Has the clients of both, with the server of their rows."""

START_S = 60.0
USER: Final = "postgres"
"""PostgreSQL refuses to run as root; its package makes this user."""

POINT = "SELECT row FROM products WHERE id = 'p-' || lpad(:number::text, 12, '0');"
TOP = "SELECT row FROM products ORDER BY units DESC, id LIMIT 10;"

Rows = dict[str, dict[str, Any]]
"""The rows by id: p-000000000001 and so on, with the digits that redis-benchmark makes."""


PROGRAMS: Final = {
    "postgresql": ("psql", "pgbench"),
    "redis": ("redis-server", "redis-cli", "redis-benchmark"),
}
"""The programs that each database needs beside its server in `/usr/lib/postgresql`."""


class Database(NamedTuple):
    """A running database: its name and port."""

    name: str
    port: int

    @property
    def title(self) -> str:
        """Its name as people write it."""
        return {"postgresql": "PostgreSQL", "redis": "Redis"}[self.name]

    @property
    def url(self) -> str:
        """Its address for clients."""
        user = f"{_user()}@" if self.name == "postgresql" else ""
        return f"{self.name}://{user}{LOCALHOST}:{self.port}"


def missing(name: str) -> list[str]:
    """The programs of a database, and of the server of its rows, that aren't installed."""
    found = [program for program in PROGRAMS[name] if shutil.which(program) is None]
    if name == "postgresql" and not _binaries():
        found.append("postgres in /usr/lib/postgresql")
    return found if PYTHON.exists() else [*found, f"{PYTHON.relative_to(ROOT)} (`make bench`)"]


@contextmanager
def running(name: str, directory: Path, prefix: Sequence[str], rows: Rows) -> Iterator[Database]:
    """The database of a name, with the rows, run with a command before it."""
    directory.mkdir()
    with (_postgres if name == "postgresql" else _redis)(directory, prefix, rows) as database:
        yield database


def _binaries() -> list[Path]:
    """The directories of PostgreSQL's programs, the newest version last."""
    return [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]


def _user() -> str:
    return USER if os.geteuid() == 0 else os.environ.get("USER", USER)


def _owner() -> str | None:
    """The user to run PostgreSQL as, None for this process's own."""
    return USER if os.geteuid() == 0 else None


@contextmanager
def _postgres(directory: Path, prefix: Sequence[str], rows: Rows) -> Iterator[Database]:
    """A PostgreSQL with the rows, by id and by units."""
    binaries = _binaries()[-1]
    if (owner := _owner()) is not None:
        shutil.chown(directory, owner, owner)
    data, port = directory / "data", free_port(0)
    subprocess.run(
        (binaries / "initdb", "-A", "trust", "-U", _user(), "-D", data),
        user=owner,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    options = ("-h", LOCALHOST, "-p", str(port), "-k", str(directory))
    with _running((*prefix, str(binaries / "postgres"), "-D", str(data), *options), port, owner):
        database = Database("postgresql", port)
        _psql(database, "CREATE TABLE products (id text PRIMARY KEY, units bigint, row json)")
        copied = "".join(
            f"{id_}\t{row['units']['net']}\t{json.dumps(row).replace(chr(92), chr(92) * 2)}\n"
            for id_, row in rows.items()
        )
        _psql(database, "COPY products FROM STDIN", copied)
        _psql(database, "CREATE INDEX ON products (units DESC, id)")
        _psql(database, "VACUUM ANALYZE products")
        yield database


@contextmanager
def _redis(directory: Path, prefix: Sequence[str], rows: Rows) -> Iterator[Database]:
    """A Redis with the rows, and the products' units as a sorted set."""
    port = free_port(0)
    options = ("--bind", LOCALHOST, "--port", str(port), "--save", "", "--dir", str(directory))
    with _running((*prefix, "redis-server", *options), port, None):
        commands = (
            part
            for id_, row in rows.items()
            for part in (
                ("SET", id_, json.dumps(row)),
                ("ZADD", "top", str(row["units"]["net"]), id_),
            )
        )
        subprocess.run(
            ("redis-cli", "-p", str(port), "--pipe"),
            input="".join(map(_encoded, commands)).encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        yield Database("redis", port)


@contextmanager
def row_server(database: Database, prefix: Sequence[str]) -> Iterator[Server]:
    """A server of a database's rows over HTTP (bench/row_server.py)."""
    port = free_port(0)
    command = (*prefix, str(PYTHON), "-m", "bench.row_server", database.url, str(port))
    with _running(command, port, None):
        yield Server(LOCALHOST, port)


@contextmanager
def _running(command: Sequence[str], port: int, user: str | None) -> Iterator[None]:
    """A process that listens at a port; it is ended with the block."""
    process = subprocess.Popen(
        command,
        user=user,
        cwd=ROOT if user is None else "/",
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr if user is None else subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_S
        while not accepts(LOCALHOST, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} doesn't listen at {port}: {process.returncode}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(START_S)


def _psql(database: Database, statement: str, given: str | None = None) -> None:
    subprocess.run(
        ("psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, f"{database.url}/postgres"),
        input=given,
        text=True,
        check=True,
    )


def _encoded(command: Sequence[str]) -> str:
    """A command in Redis's protocol; all its parts are ASCII."""
    return f"*{len(command)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in command)


def pgbench(database: Database, statement: str, ids: int, seconds: int, directory: Path) -> Figures:
    """Prepared statements over CONNECTIONS connections, as fast as they are answered."""
    script, log = directory / "pgbench.sql", directory / "pgbench"
    script.write_text(f"\\set number random(1, {ids})\n{statement}\n")
    for old in directory.glob("pgbench.[0-9]*"):
        old.unlink()
    given = ("-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", str(seconds))
    subprocess.run(
        ("pgbench", *given, "-f", script, "-l", "--log-prefix", log, f"{database.url}/postgres"),
        capture_output=True,
        check=True,
    )
    lines = [line.split() for path in directory.glob("pgbench.[0-9]*") for line in path.open()]
    return figures([int(line[2]) / 1e6 for line in lines], seconds)


def redis_benchmark(database: Database, command: Sequence[str], ids: int, requests: int) -> Figures:
    """A command over CONNECTIONS connections, as fast as it is answered."""
    given = ("-c", str(CONNECTIONS), "-n", str(requests), "-r", str(ids), "--csv")
    output = subprocess.run(
        ("redis-benchmark", "-p", str(database.port), *given, *command),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    heads, values = (line.strip('"').split('","') for line in output.strip().splitlines()[-2:])
    found = dict(zip(heads, values, strict=True))
    return Figures(
        float(found["rps"]), float(found["p50_latency_ms"]), float(found["p99_latency_ms"])
    )
