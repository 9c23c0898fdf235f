"""Connecting to Kafka, and why that fails: aiokafka only logs a refusal, and retries."""

from __future__ import annotations

import asyncio
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING

from aiokafka import conn
from aiokafka.conn import AIOKafkaProtocol, collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from streams.errors import KafkaUnreachable
from streams.producers import retrieve

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.client import AIOKafkaClient

    from streams.settings import Settings

WITHOUT_RIGHTS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""The cluster lets this user connect, but not do what the request needs."""

FROM_KAFKA = KafkaError
"""Any other error of Kafka's client."""

BROKER_AWAY = (KafkaUnreachable, KafkaError, OSError, TimeoutError, AssertionError)
"""Errors of a request while its broker is away. aiokafka raises the last one for a broker that it
does not know."""

_SASL = "NETSOLD_KAFKA__SASL_USERNAME, its password and NETSOLD_KAFKA__SASL_MECHANISM"


class _Protocol(AIOKafkaProtocol):  # type: ignore[misc]  # aiokafka.conn has no types
    """aiokafka's, without an error that nobody retrieves where TLS refuses a connection.

    asyncio retrieves it only as the protocol is freed, perhaps after it was logged as forgotten.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        retrieve(self._closed)


def _use_protocol() -> None:
    conn.AIOKafkaProtocol = _Protocol  # there is no setting for it


_use_protocol()

REFUSAL_MS = 5000
"""A broker that refuses a connection answers within this time."""


async def start(client: AIOKafkaConsumer | AIOKafkaProducer, settings: Settings) -> None:
    """Start a consumer or producer; it is stopped where that fails. Raises KafkaUnreachable."""
    try:
        await client.start()
    except KafkaConnectionError as error:
        await client.stop()
        raise KafkaUnreachable(await why_unreachable(settings)) from error


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer. Raises asyncio.CancelledError where the caller itself is cancelled.

    aiokafka cancels a fetch that pauses after an error, and lets that end its own stop half-way.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        pending = list(consumer._fetcher._pending_tasks)  # noqa: SLF001 - no public way
        for fetch in pending:
            fetch.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await consumer._client.close()  # noqa: SLF001 - as above


async def bootstrap(client: AIOKafkaClient, settings: Settings) -> None:
    """Connect a bare client; it is closed where that fails. Raises KafkaUnreachable."""
    try:
        await client.bootstrap()
    except BaseException as error:
        await client.close()
        if isinstance(error, KafkaConnectionError):
            raise KafkaUnreachable(await why_unreachable(settings)) from error
        raise


async def why_unreachable(settings: Settings) -> str:
    """Why no client can connect: one sentence, with the remedy where that is known."""
    return (
        await _refusal(settings)
        or f"no Kafka answers at {settings.kafka.bootstrap_servers}, or it refuses our credentials"
    )


async def _refusal(settings: Settings) -> str | None:
    options = settings.client_options()
    servers = collect_hosts(options.pop("bootstrap_servers"))
    for host, port, _ in servers if settings.kafka.security_protocol != "PLAINTEXT" else ():
        try:
            connection = await create_conn(host, port, **options, request_timeout_ms=REFUSAL_MS)
        except SSLCertVerificationError as error:
            return (
                f"the certificate of Kafka at {host}:{port} isn't trusted ({error.verify_message}):"
                " check NETSOLD_KAFKA__SSL_CAFILE"
            )
        except (SaslAuthenticationFailed, UnsupportedSaslMechanismError) as error:
            reason = error.description.rstrip(".")
            return f"Kafka at {host}:{port} refuses our credentials ({reason}): check {_SASL}"
        except (KafkaError, OSError, TimeoutError):
            continue
        connection.close()
    return None
