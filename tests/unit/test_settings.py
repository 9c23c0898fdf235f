"""Settings with which no client could connect are refused when they are read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trustme
from pydantic import ValidationError

from streams.settings import Settings
from streams.topics import declared
from tables.catalogue import PUBLIC_TOPICS

if TYPE_CHECKING:
    from pathlib import Path


def _check(directory: Path, **kafka: str) -> str:
    """The one sentence of `netsold topics check` with these settings of NETSOLD_KAFKA__."""
    given = {
        f"NETSOLD_KAFKA__{name}": value
        for name, value in ({"BOOTSTRAP_SERVERS": "127.0.0.1:1"} | kafka).items()
    }
    command = [sys.executable, "-m", "operations.cli", "topics", "check"]
    done = subprocess.run(
        command, env=given, cwd=directory, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (sentence,) = done.stderr.splitlines()
    return sentence


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"orders_topic": "events", "chats_topic": "events"},
            "orders and chats would be one topic, events: give each a name of its own",
        ),
        (
            {"topic_prefix": "b.", "chats_topic": "b.sales"},
            "chats and sales would be one topic, b.sales: ",
        ),
        (
            {"orders_topic": "dead-letters"},
            "orders and dead-letters would be one topic, dead-letters: ",
        ),
    ],
)
def test_one_topic_has_one_use(given: dict[str, str], message: str) -> None:
    """Two kinds of records in one topic would be parked, or counted in the wrong place."""
    with pytest.raises(ValidationError, match=message):
        Settings(_env_file=None, **given)  # type: ignore[arg-type]  # names by parameter


def test_topics_may_trade_names() -> None:
    """Each topic is identified by its use alone."""
    settings = Settings(_env_file=None, orders_topic="chats", chats_topic="orders")
    assert (settings.topic("orders"), settings.topic("chats")) == ("chats", "orders")


def test_all_public_topics_are_kept_apart() -> None:
    """The settings' list has the declared topics, without changelogs."""
    settings = Settings(_env_file=None, topic_prefix="b.")
    assert sorted(settings.topic(topic.name) for topic in PUBLIC_TOPICS) == sorted(
        topic.name for topic in declared(settings) if topic.kind != "changelog"
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("missing", ["SASL_USERNAME", "SASL_PASSWORD"])
def test_sasl_needs_a_user_and_a_password(tmp_path: Path, mechanism: str, missing: str) -> None:
    """If either is missing, it is one sentence, whatever the mechanism.

    The password isn't shown.
    """
    whole = {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": mechanism,
        "SASL_USERNAME": "netsold",
        "SASL_PASSWORD": "open sesame",
    }
    message = _check(tmp_path, **{name: value for name, value in whole.items() if name != missing})
    assert (
        message
        == "netsold: settings can't be used: NETSOLD_KAFKA: SASL_PLAINTEXT needs SASL_USERNAME and "
        "SASL_PASSWORD"
    )


@pytest.mark.parametrize("name", ["SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE"])
def test_a_missing_file_is_named_by_its_variable(tmp_path: Path, name: str) -> None:
    """The error is one sentence, without a traceback."""
    message = _check(tmp_path, SECURITY_PROTOCOL="SSL", **{name: "nothing.pem"})
    must = "must be the path of a file that is there"
    assert (
        message
        == f"netsold: settings can't be used: NETSOLD_KAFKA__{name} is 'nothing.pem', but {must}"
    )


def test_files_without_a_certificate_are_refused(tmp_path: Path) -> None:
    """A CA file with other content and a certificate without its key give no traceback."""
    (tmp_path / "other.pem").write_text("something else")
    trustme.CA().issue_cert("netsold@example.org").cert_chain_pems[0].write_to_path(
        tmp_path / "client.pem"
    )
    for name, file in (("SSL_CAFILE", "other.pem"), ("SSL_CERTFILE", "client.pem")):
        message = _check(tmp_path, SECURITY_PROTOCOL="SSL", **{name: str(tmp_path / file)})
        assert (
            "NETSOLD_KAFKA: SSL_CAFILE, or SSL_CERTFILE with SSL_KEYFILE, can't be used: "
            in message
        )


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    """It would be unused.

    The broker would see a client without a certificate.
    """
    (tmp_path / "key.pem").write_text("a key")
    message = _check(tmp_path, SECURITY_PROTOCOL="SSL", SSL_KEYFILE=str(tmp_path / "key.pem"))
    assert (
        message
        == "netsold: settings can't be used: NETSOLD_KAFKA: SSL_KEYFILE needs SSL_CERTFILE, "
        "the certificate that the key is for"
    )
