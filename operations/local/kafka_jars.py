"""Kafka's jars: jgo fetches them once from Maven Central into the user's Maven cache."""

from __future__ import annotations

import fcntl
import os
import ssl
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from operations.local.data_dir import FULL_DISK
from operations.output import print_error
from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA = "org.apache.kafka:kafka_2.13:4.2.2"
# Without a binding Kafka's jars log nothing.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"

LOCK: Final = ".netsold.lock"
_POLL_S: Final = 0.1
_SILENT_S: Final = 2.0
"""A wait that is longer is reported. With cached jars it ends sooner."""


class JarsOutOfReach(NetsoldError):
    """Kafka's jars aren't cached and can't be fetched; the message says what to do."""


def classpath() -> str:
    """All jars that Kafka needs, as a Java class path. Raises JarsOutOfReach."""
    import requests

    try:
        with _alone():
            try:
                jars = _jars()
            except requests.exceptions.SSLError:
                jars = _jars_by_system_trust()
    except (RuntimeError, requests.RequestException, OSError, ET.ParseError) as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise JarsOutOfReach(
                f"Kafka's jars can't be kept ({error.strerror}): make room in the home directory"
            ) from error
        raise JarsOutOfReach(
            f"Kafka's jars can't be fetched ({error}): connect to Maven Central for the first start"
            " (later ones need no network), or name a cluster by NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    return os.pathsep.join(map(str, jars))


@contextmanager
def _alone() -> Iterator[None]:
    """Of two first starts at once, the second waits: jgo writes a file where it will be read."""
    from jgo.constants import default_maven_repo

    cache = default_maven_repo()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / LOCK).open("w") as lock:
        reported_s = time.monotonic() + _SILENT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > reported_s:
                    reported_s = float("inf")
                    print_error("waiting for another process that fetches Kafka's jars")
                time.sleep(_POLL_S)
        yield


def _jars() -> list[Path]:
    """Kafka's jars in the user's Maven cache, fetched if they are missing or incomplete.

    A fetch that was interrupted (Ctrl-C, a full disk, a power cut) leaves an incomplete file,
    which jgo doesn't detect.
    """
    try:
        jars = _resolved()
        torn = [jar for jar in jars if not zipfile.is_zipfile(jar)]
    except ET.ParseError:
        jars, torn = [], _torn_poms()
        if not torn:
            raise
    for path in torn:
        path.unlink()
    return _resolved() if torn else jars


def _torn_poms() -> list[Path]:
    from jgo.constants import default_maven_repo

    return [
        pom
        for pom in default_maven_repo().rglob("*.pom")
        if not pom.read_bytes().rstrip().endswith(b"</project>")
    ]


def _resolved() -> list[Path]:
    import jgo

    # One by one, and only the binding's own jar: jgo applies one coordinate's managed versions to
    # the other.
    artifacts = [*jgo.resolve(KAFKA), jgo.resolve(LOGGING)[0]]
    return [artifact.resolve() for artifact in artifacts]


def _jars_by_system_trust() -> list[Path]:
    """The jars from behind a proxy with a certificate of its own.

    The system's store has that certificate's authority, the store in the wheel hasn't.
    """
    paths = ssl.get_default_verify_paths()
    bundle = paths.cafile or paths.capath  # either is None where the system has none
    if not bundle or "REQUESTS_CA_BUNDLE" in os.environ:
        return _jars()
    os.environ["REQUESTS_CA_BUNDLE"] = bundle
    try:
        return _jars()
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]
