"""Kafka's jars, from Maven Central through jgo into the user's Maven cache, once."""

from __future__ import annotations

import os
import ssl
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

from operations.local.data_dir import FULL_DISK
from schemas.errors import NetsoldError

KAFKA = "org.apache.kafka:kafka_2.13:4.2.2"
# Kafka's jars log to nowhere without a binding
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"


class JarsOutOfReach(NetsoldError):
    """Kafka's jars aren't here and can't be fetched; the message says what to do."""

    exit_code = 1


def classpath() -> str:
    """All jars that Kafka needs, in Java's form. Raises JarsOutOfReach."""
    import requests

    try:
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
            f"Kafka's jars can't be fetched ({error}): connect to Maven Central for the first start (later ones need no network),"
            " or name a cluster by NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    return os.pathsep.join(map(str, jars))


def _jars() -> list[Path]:
    """Kafka's jars in the user's Maven cache, fetched if they aren't there, or not whole.

    A fetch that was cut short (Ctrl-C, a full disk, a power cut) leaves a torn file, which jgo
    takes for the whole one.
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

    # Each by itself, and of the binding only its own jar: jgo lets one coordinate's managed
    # versions rule the other's.
    artifacts = [*jgo.resolve(KAFKA), jgo.resolve(LOGGING)[0]]
    return [artifact.resolve() for artifact in artifacts]


def _jars_by_system_trust() -> list[Path]:
    """The same behind a proxy that signs for itself.

    Its authority is known to the system's store, not to the one in the wheel.
    """
    paths = ssl.get_default_verify_paths()
    bundle = next(
        (path for path in (paths.cafile, paths.capath) if path), ""
    )  # either is None where the system has none
    if not bundle or "REQUESTS_CA_BUNDLE" in os.environ:
        return _jars()
    os.environ["REQUESTS_CA_BUNDLE"] = bundle
    try:
        return _jars()
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]
