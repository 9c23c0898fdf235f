"""Why a broker that answers can't be used: aiokafka's clients try again, and only log it."""

from __future__ import annotations

from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

if TYPE_CHECKING:
    from streams.settings import Settings

WITHOUT_RIGHTS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What a cluster answers that lets a user in, but not do what it asks for."""

FROM_KAFKA = KafkaError
"""What a cluster answers, or doesn't, as Kafka's client raises it."""

REFUSAL_MS = 5000
"""A broker that refuses us says so within this."""


async def why_not(settings: Settings) -> str:
    """Why no client can be had, as one sentence, with the remedy where that is known."""
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
            return f"the certificate of Kafka at {host}:{port} isn't trusted ({error.verify_message}): check NETSOLD_KAFKA__SSL_CAFILE"
        except (SaslAuthenticationFailed, UnsupportedSaslMechanismError) as error:
            what = "NETSOLD_KAFKA__SASL_USERNAME, its password and NETSOLD_KAFKA__SASL_MECHANISM"
            return f"Kafka at {host}:{port} refuses our credentials ({error.description.rstrip('.')}): check {what}"
        except (KafkaError, OSError, TimeoutError):
            continue
        connection.close()
    return None
