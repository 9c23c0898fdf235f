"""A cluster with TLS and SASL, as in README, On a cluster.

The settings give every client access. A client without access gets the reason.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from operations.commands.tables import from_reader
from operations.local.kafka import LocalKafka
from operations.local.ports import free_port
from operations.reader_client import NoReader, ReaderNotReady
from operations.recounting import recount_by
from schemas.events import ORDER_TYPES
from streams.settings import Settings
from tests.applications import new_application
from tests.faults.runner import Run, made
from tests.faults.workers import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.kafka

USER, GUEST, PASSWORD = "netsold", "guest", "open sesame"
WAIT_S = 20.0
"""The bound on a command without access, which takes about a second."""


class SecuredKafka(LocalKafka):
    """A local Kafka with two more listeners.

    SASL_SSL is for users with a password, and SSL for clients with a certificate. A guest can
    connect but has no rights.
    """

    format_options = tuple(
        option
        for name in (USER, GUEST)
        for option in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={PASSWORD}]")
    )

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.certificates = data_dir / "certificates"
        self.sasl_ssl, self.ssl = (f"127.0.0.1:{free_port(0)}" for _ in range(2))
        self._issue()

    def further_settings(self, address: str, controller: str) -> dict[str, object]:
        """The listeners and the settings that they need."""
        listeners = f"PLAINTEXT://{address},SASL_SSL://{self.sasl_ssl},SSL://{self.ssl}"
        return {
            "listeners": f"{listeners},CONTROLLER://{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{USER};User:ANONYMOUS",
            "ssl.principal.mapping.rules": f"RULE:^.*$/{USER}/",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates / "broker.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates / "ca.pem",
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }

    def _issue(self) -> None:
        """Certificates of broker and client with their authority, and an unknown authority."""
        self.certificates.mkdir()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.certificates / "ca.pem")
        trustme.CA().cert_pem.write_to_path(self.certificates / "unknown.pem")
        client = ca.issue_cert("netsold@example.org")
        client.private_key_pem.write_to_path(self.certificates / "client.key")
        client.cert_chain_pems[0].write_to_path(self.certificates / "client.pem")
        broker = ca.issue_cert("127.0.0.1")
        key = load_pem_private_key(broker.private_key_pem.bytes(), password=None)
        pkcs8 = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )  # Kafka reads keys in this form only
        (self.certificates / "broker.pem").write_bytes(pkcs8 + broker.cert_chain_pems[0].bytes())


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """The broker of these tests."""
    broker = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def with_password(broker: SecuredKafka) -> dict[str, str]:
    """The settings of README, On a cluster, without their NETSOLD_."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": broker.sasl_ssl,
        "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA__SASL_USERNAME": USER,
        "KAFKA__SASL_PASSWORD": PASSWORD,
        "KAFKA__SSL_CAFILE": str(broker.certificates / "ca.pem"),
    }


@pytest.fixture
def with_certificate(broker: SecuredKafka) -> dict[str, str]:
    """The settings of a client that is identified by its certificate."""
    return {
        "KAFKA__BOOTSTRAP_SERVERS": broker.ssl,
        "KAFKA__SECURITY_PROTOCOL": "SSL",
        "KAFKA__SSL_CAFILE": str(broker.certificates / "ca.pem"),
        "KAFKA__SSL_CERTFILE": str(broker.certificates / "client.pem"),
        "KAFKA__SSL_KEYFILE": str(broker.certificates / "client.key"),
    }


def application(directory: Path) -> Settings:
    """A new application whose access to Kafka is set by environment alone."""
    return new_application(directory, partitions=1, reader_port=free_port(0))


def netsold(
    settings: Settings, given: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings in its environment."""
    command = [sys.executable, "-m", "operations.cli", *arguments]
    surroundings = environment(settings, **given)
    return subprocess.run(
        command,
        env=surroundings,
        cwd=settings.data_dir,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def refusal(given: dict[str, str], directory: Path) -> str:
    """The one sentence with which `netsold topics check` ends."""
    done = netsold(application(directory), given, "topics", "check")
    assert (done.returncode, done.stdout) == (5, ""), done.stderr
    assert done.stderr.startswith("netsold: ")
    (sentence,) = done.stderr.splitlines()
    return sentence


async def test_everything_runs_with_tls_and_a_password(
    with_password: dict[str, str], tmp_path: Path
) -> None:
    """Commands, a worker and a reader get access, and the tables equal the recount."""
    settings = application(tmp_path)
    events = [
        event for event in made(95, 300) if isinstance(event, dict) and event["type"] in ORDER_TYPES
    ]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    for arguments in (["topics", "create"], ["topics", "check"], ["import", "events.jsonl"]):
        done = await asyncio.to_thread(netsold, settings, with_password, *arguments)
        assert done.returncode == 0, done.stderr
    counted = recount_by(settings.rules.values, events)
    assert counted["products"]
    with Run(settings, tmp_path, **with_password) as run:
        run.workers.start("a")
        run.workers.serve()

        async def answered() -> bool:
            try:
                return await asyncio.to_thread(from_reader, settings) == counted
            except (NoReader, ReaderNotReady):
                return False

        await run.until(answered, 30.0, restart=False)
        await asyncio.to_thread(run.workers.stop)


def test_a_client_is_known_by_its_certificate(
    with_certificate: dict[str, str], tmp_path: Path
) -> None:
    """With a certificate it gets access.

    Without one, the error has the reason.
    """
    done = netsold(application(tmp_path), with_certificate, "topics", "check")
    assert done.returncode == 3, done.stderr
    assert all(
        "is missing: run `netsold topics create`" in line for line in done.stdout.splitlines()
    )
    without = {
        name: value
        for name, value in with_certificate.items()
        if name not in {"KAFKA__SSL_CERTFILE", "KAFKA__SSL_KEYFILE"}
    }
    assert refusal(without, tmp_path).endswith(", or it refuses our credentials")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"KAFKA__SASL_PASSWORD": "open barley"}, "SASL Authentication failed"),
        ({"KAFKA__SASL_USERNAME": "nobody"}, "SASL Authentication failed"),
        (
            {"KAFKA__SASL_MECHANISM": "PLAIN"},
            "The broker does not support the requested SASL mechanism",
        ),
    ],
    ids=["password", "user", "mechanism"],
)
def test_wrong_credentials_are_refused_in_a_sentence(
    with_password: dict[str, str], tmp_path: Path, wrong: dict[str, str], reason: str
) -> None:
    """The sentence has the broker's reason and the settings to check."""
    sentence = refusal(with_password | wrong, tmp_path)
    assert f"refuses our credentials ({reason}): check NETSOLD_KAFKA__SASL_" in sentence
    assert PASSWORD not in sentence


def test_a_user_without_rights_is_refused_in_a_sentence(
    with_password: dict[str, str], tmp_path: Path
) -> None:
    """The sentence names the topic and the list of necessary rights."""
    sentence = refusal(with_password | {"KAFKA__SASL_USERNAME": GUEST}, tmp_path)
    assert sentence.startswith(
        "netsold: the cluster doesn't let this user do that ([Error 29]"
        " TopicAuthorizationFailedError: topic "
    )
    assert sentence.endswith("grant it the rights that README names under On a cluster")


def test_an_unknown_authority_is_refused_in_a_sentence(
    broker: SecuredKafka, with_password: dict[str, str], tmp_path: Path
) -> None:
    """A broker without our authority's certificate gets no request."""
    sentence = refusal(
        with_password | {"KAFKA__SSL_CAFILE": str(broker.certificates / "unknown.pem")}, tmp_path
    )
    assert sentence.startswith(
        f"netsold: the certificate of Kafka at {broker.sasl_ssl} isn't trusted ("
    )
    assert sentence.endswith("check NETSOLD_KAFKA__SSL_CAFILE")


def test_a_certificate_of_another_host_is_refused_in_a_sentence(
    broker: SecuredKafka, with_password: dict[str, str], tmp_path: Path
) -> None:
    """A broker whose name isn't in its certificate isn't trusted."""
    elsewhere = broker.sasl_ssl.replace("127.0.0.1", "localhost")
    sentence = refusal(with_password | {"KAFKA__BOOTSTRAP_SERVERS": elsewhere}, tmp_path)
    assert f"the certificate of Kafka at {elsewhere} isn't trusted (Hostname mismatch" in sentence
