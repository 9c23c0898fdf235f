"""Every setting of netsold, read from the environment (`NETSOLD_…`, `__` for nesting)."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import NetsoldError
from schemas.times import DAY_MS
from streams.partitioning import Partitioner
from streams.reader_settings import ReaderSettings
from tables import catalogue
from tables.service_hours import CountPer, ServiceRules

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+)(:(?P<port>\d{1,5}))?")
_YEAR_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


class NoKafkaKnown(NetsoldError):
    """No cluster is named, and no local one is running for this command."""

    exit_code = 5


class Kafka(BaseModel):
    """Which cluster, and how to get in; the names are Kafka's own."""

    model_config = ConfigDict(extra="forbid")

    bootstrap_servers: str | None = Field(
        None,
        description="host:port,… of a cluster; unset = the local Kafka that `netsold up` starts",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="used with SASL_… protocols"
    )
    sasl_username: str | None = Field(None, description="user for SASL")
    sasl_password: SecretStr | None = Field(None, description="password for SASL")
    ssl_cafile: FilePath | None = Field(
        None, description="CA certificates (PEM); unset = the system's"
    )
    ssl_certfile: FilePath | None = Field(None, description="client certificate (PEM)")
    ssl_keyfile: FilePath | None = Field(None, description="client key (PEM)")
    replication_factor: int = Field(
        1, ge=1, description="of topics that netsold creates; 3 in production"
    )
    min_insync_replicas: int = Field(
        1, ge=1, description="of topics that netsold creates; 2 in production"
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers_can_be(cls, servers: str | None) -> str | None:
        for server in () if servers is None else servers.split(","):
            found = _SERVER.fullmatch(server.strip())
            if found is None or not 0 < int(found["port"] or 1) < 65_536:  # noqa: PLR2004 - ports are 16 bits
                raise ValueError(
                    f"{server!r} is no address: write host:port, several by commas, such as "
                    "kafka-1:9092,kafka-2:9092"
                )
        return servers

    @model_validator(mode="after")
    def _ways_in_can_be(self) -> Self:
        if self.security_protocol.startswith("SASL") and (
            self.sasl_username is None or self.sasl_password is None
        ):
            raise ValueError(f"{self.security_protocol} needs SASL_USERNAME and SASL_PASSWORD")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("SSL_KEYFILE needs SSL_CERTFILE, the certificate that the key is for")
        try:
            self.ssl_context()
        except OSError as error:
            raise ValueError(
                f"SSL_CAFILE, or SSL_CERTFILE with SSL_KEYFILE, can't be used: {error}"
            ) from error
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context, or None where the protocol has no TLS."""
        if "SSL" not in self.security_protocol:
            return None
        context = ssl.create_default_context(
            cafile=str(self.ssl_cafile) if self.ssl_cafile else None
        )
        if self.ssl_certfile:
            context.load_cert_chain(
                str(self.ssl_certfile), str(self.ssl_keyfile) if self.ssl_keyfile else None
            )
        return context

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments with which every aiokafka client of this process is made.

        Raises NoKafkaKnown where no cluster is known.
        """
        if self.bootstrap_servers is None:
            raise NoKafkaKnown(
                "no Kafka is known: start one with `netsold kafka start`, or set "
                "NETSOLD_KAFKA__BOOTSTRAP_SERVERS"
            )
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.security_protocol.startswith("SASL"):
            password = self.sasl_password
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = password.get_secret_value() if password else None
        return options


class EventSettings(BaseModel):
    """The application, and the topics of its events."""

    app: str = Field(
        "netsold",
        pattern=r"^[a-z0-9.-]{1,64}$",
        description="application id: consumer group, changelogs, transactional ids",
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[a-z0-9.-]{0,64}$",
        description="put before every public topic's name, such as `shop.`",
    )
    orders_topic: str | None = Field(
        None, description="full name of the topic of order events; unset = the prefix and `orders`"
    )
    chats_topic: str | None = Field(
        None, description="full name of the topic of chat events; unset = the prefix and `chats`"
    )
    base_app: str | None = Field(
        None,
        pattern=r"^[a-z0-9.-]{1,64}$",
        description=(
            "of a rebuilt version: the first application of its family; `netsold worker --version`"
            " sets it"
        ),
    )
    base_prefix: str | None = Field(
        None,
        pattern=r"^[a-z0-9.-]{0,64}$",
        description="of a rebuilt version: the topic prefix of its family's shared topics",
    )
    copied_by: str | None = Field(
        None,
        pattern=r"^[a-z0-9.-]{1,80}$",
        description=(
            "of a version with a copied log: the copier's group and transactional id; "
            "`netsold worker --version` sets it and the next four"
        ),
    )
    copied_orders_topic: str | None = Field(
        None, description="full name of the topic from which its order events are copied"
    )
    copied_chats_topic: str | None = Field(
        None, description="full name of the topic from which its chat events are copied"
    )
    copied_partitions: int | None = Field(
        None, ge=1, le=1024, description="of the copied topics, and of what the family shares"
    )
    copied_without: tuple[str, ...] = Field(
        (), description="positions of records that are not copied, such as `orders-3@1841`"
    )
    partitions: int = Field(4, ge=1, le=1024, description="of every topic; fixed once topics exist")
    partitioner: Partitioner = Field(
        "murmur2",
        description=(
            "how producers of events choose a key's partition: murmur2 as Java's clients, "
            "crc32 as librdkafka's unset"
        ),
    )
    park_wrong_partition: bool = Field(
        default=True,
        description="park events in another partition than their key's; false = apply them",
    )
    max_ahead_seconds: int = Field(
        86_400,
        ge=0,
        description="an event so long after its record was written is parked; 0 = none is",
    )

    @model_validator(mode="after")
    def _topics_are_apart(self) -> Self:
        if (self.base_app is None) != (self.base_prefix is None) or self.base_app == self.app:
            raise ValueError(
                "NETSOLD_BASE_APP and NETSOLD_BASE_PREFIX belong together, in a version alone: "
                "`netsold worker --version` sets them"
            )
        names: dict[str, str] = {}
        for name in (topic.name for topic in catalogue.PUBLIC_TOPICS):
            other = names.setdefault(self.topic(name), name)
            if other != name:
                ways = "NETSOLD_ORDERS_TOPIC, NETSOLD_CHATS_TOPIC or NETSOLD_TOPIC_PREFIX"
                raise ValueError(
                    f"{other} and {name} would be one topic, {self.topic(name)}: "
                    f"give each a name of its own by {ways}"
                )
        return self

    def topic(self, name: str) -> str:
        """The topic's name on the cluster for a public topic of the catalogue."""
        given = {"orders": self.orders_topic, "chats": self.chats_topic}.get(name)
        if given is not None:
            return given
        if self.base_prefix is not None and name in catalogue.FAMILY_TOPICS:
            return self.base_prefix + name
        return self.topic_prefix + name

    def partitions_of(self, topic: str) -> int:
        """The number of partitions of a topic, by its name on the cluster.

        What a family shares keeps its number where a version's log is copied for another one.
        """
        own = {self.topic(name) for name in catalogue.EVENT_TOPICS}
        shared = {self.topic(name) for name in catalogue.FAMILY_TOPICS} - own
        if self.copied_partitions is not None and topic in shared:
            return self.copied_partitions
        return self.partitions

    @property
    def family(self) -> str:
        """The first application of the family that this one belongs to; itself if it is alone."""
        return self.app if self.base_app is None else self.base_app

    def partitioner_of(self, topic: str) -> Partitioner:
        """The partitioner of a topic, by its name on the cluster.

        The setting is for topics of events; netsold writes all others, by murmur2.
        """
        return self.partitioner if topic in map(self.topic, catalogue.EVENT_TOPICS) else "murmur2"


class RuleSettings(BaseModel):
    """What the tables depend on: cycles, and the service rules of R1."""

    cycle_days: int = Field(30, ge=1, le=3660, description="length of a cycle in days")
    cycle_anchor: AwareDatetime = Field(
        "1970-01-01T00:00:00Z",
        validate_default=True,
        description="an instant at which a cycle starts",
    )
    reply_within_seconds: int = Field(
        300, ge=1, le=30 * 86_400, description="a reply within this is timely (R1)"
    )
    service_hours: str = Field(
        "08:00-23:00",
        description="inquiries that open in these hours count; local wall time, end left out (R1)",
    )
    service_zone: str = Field(
        "Asia/Shanghai", description="the time zone of service hours and of a buyer's day (R1)"
    )
    count_inquiries_per: CountPer = Field(
        "buyer_day", description="one count per buyer, shop and local day, or per inquiry (R1)"
    )

    @field_validator("cycle_anchor", mode="before")
    @classmethod
    def _anchor_is_written_out(cls, anchor: object) -> object:
        """Refuse a bare number and a date alone.

        Pydantic would read them as seconds since 1970, and as midnight.
        """
        if isinstance(anchor, str) and _YEAR_AND_TIME.match(anchor) is None:
            raise ValueError(
                f"{anchor!r} is no instant with its zone, such as 2026-01-01T00:00:00Z"
            )
        return anchor

    @model_validator(mode="after")
    def _service_rules_can_be(self) -> Self:
        try:
            _ = self.service_rules
        except ValueError as error:
            raise ValueError(f"NETSOLD_SERVICE_HOURS or NETSOLD_SERVICE_ZONE: {error}") from error
        return self

    @property
    def service_rules(self) -> ServiceRules:
        """The settings of R1, as the tables need them."""
        return ServiceRules(
            self.reply_within_seconds * 1000,
            self.service_hours,
            self.service_zone,
            self.count_inquiries_per,
        )

    @property
    def cycle_ms(self) -> int:
        """Length of a cycle in milliseconds."""
        return self.cycle_days * DAY_MS

    @property
    def anchor_ms(self) -> int:
        """The anchor in epoch milliseconds."""
        return int(self.cycle_anchor.timestamp() * 1000)


class Settings(ReaderSettings, RuleSettings, EventSettings, BaseSettings):
    """The settings of a netsold process.

    Precedence: command-line flag, environment, `.env`, default.
    """

    model_config = SettingsConfigDict(
        env_prefix="NETSOLD_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(Path("data"), description="local stores, and the local Kafka's log")
    chunk_records: int = Field(
        16_000, ge=1, le=100_000, description="most records of one partition in one transaction"
    )
    transaction_rows: int = Field(
        50_000,
        ge=1,
        description="most rows that one transaction writes, of journal and changelogs together",
    )
    transaction_bytes: int = Field(
        32 * 1024 * 1024,
        ge=2**20,
        description="most bytes that one transaction writes, uncompressed",
    )
    chunk_bytes: int = Field(
        4 * 1024 * 1024, ge=65536, description="most bytes fetched per partition at once"
    )
    fetch_every_ms: int = Field(
        80, ge=0, le=5000, description="a partition that is read to its end is fetched this often"
    )
    marks_every_ms: int = Field(
        250, ge=0, le=5000, description="progress goes to all journal partitions this often at most"
    )
    transaction_timeout_ms: int = Field(
        15_000,
        ge=1000,
        description="a dead worker's open transaction blocks readers at most this long",
    )
    session_timeout_ms: int = Field(
        10_000, ge=1000, description="a worker silent for this long loses its partitions"
    )
    refusals_in_a_row: int = Field(
        1000,
        ge=1,
        description="after this number of refused records in a row their partition is paused",
    )
    idle_tick_ms: int = Field(
        5000, ge=0, description="an idle partition's event time is advanced this often; 0 = never"
    )
    max_behind_records: int | None = Field(
        None,
        ge=0,
        description=(
            "more records of events than this that aren't in all tables are a fault; "
            "unset = any number"
        ),
    )
    max_behind_seconds: float = Field(
        60.0, gt=0, description="an event that waits longer than this for the tables is a fault"
    )
    compression: Compression = Field(
        "gzip", description="of what is written to public topics; changelogs are zstd"
    )
    stall_seconds: float = Field(
        60.0, gt=0, description="a worker with lag and no progress for this long exits"
    )
    metrics_host: str = Field("127.0.0.1", description="where a worker's metrics listen")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of a worker's metrics (Prometheus); unset = none"
    )
    kafka: Kafka = Field(default_factory=Kafka)

    def client_options(self) -> dict[str, Any]:
        """See `Kafka.client_options`."""
        return self.kafka.client_options()
