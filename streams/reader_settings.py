"""The settings of a reader, and of the commands that get answers from one."""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, Field, FilePath, SecretStr, field_validator, model_validator

from schemas import http_limits

_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?")


class ReaderClientSettings(BaseModel):
    """How commands find a reader, and the token with which they read from it."""

    reader_url: str | None = Field(
        None,
        description=(
            "where commands find a reader, such as https://reader.example.org;"
            " unset = at NETSOLD_READER_HOST and _PORT"
        ),
    )
    reader_token: SecretStr | None = Field(
        None, description="the token with which commands read from a reader"
    )
    reader_token_file: FilePath | None = Field(None, description="a file with that token")

    @field_validator("reader_url")
    @classmethod
    def _url_can_be(cls, url: str | None) -> str | None:
        if url is not None and _URL.fullmatch(url) is None:
            raise ValueError("write http:// or https:// and a host, such as https://r.example.org")
        return url

    @model_validator(mode="after")
    def _token_is_given_once(self) -> Self:
        _require_one("NETSOLD_READER_TOKEN", self.reader_token, self.reader_token_file)
        return self

    def reader_secret(self) -> str | None:
        """The token with which a command reads from a reader. Raises OSError, UnicodeError."""
        return _secret(self.reader_token, self.reader_token_file)


class PseudonymSettings(BaseModel):
    """The key of the pseudonyms that answers have in place of buyers' ids."""

    pseudonym_key: SecretStr | None = Field(
        None,
        description=(
            "the key of buyers' pseudonyms, of 32 characters or more; the same for all readers;"
            " unset = a random one in NETSOLD_DATA_DIR"
        ),
    )
    pseudonym_key_file: FilePath | None = Field(None, description="a file with that key")

    @model_validator(mode="after")
    def _key_is_given_once(self) -> Self:
        _require_one("NETSOLD_PSEUDONYM_KEY", self.pseudonym_key, self.pseudonym_key_file)
        return self

    def key_of_pseudonyms(self) -> str | None:
        """The configured key of pseudonyms; None = a random one.

        Raises ValueError where it is too short, OSError.
        """
        key = _secret(self.pseudonym_key, self.pseudonym_key_file)
        if key is not None and len(key) < http_limits.PSEUDONYM_KEY_CHARS:
            raise ValueError(
                "NETSOLD_PSEUDONYM_KEY has fewer than"
                f" {http_limits.PSEUDONYM_KEY_CHARS} characters: make one by `openssl rand -hex 32`"
            )
        return key


class ReaderSettings(PseudonymSettings, ReaderClientSettings):
    """Where a reader listens, who may read what, and how often."""

    reader_host: str = Field(
        "127.0.0.1",
        description="where the reader listens; other addresses than loopback need tokens",
    )
    reader_port: int = Field(
        8640, ge=0, le=65535, description="the reader's port; 0 = any free one"
    )
    reader_tokens: SecretStr | None = Field(
        None,
        description=(
            "tokens that a reader accepts, as hashes: the lines of `netsold token new`, several by"
            " commas"
        ),
    )
    reader_tokens_file: Path | None = Field(
        None, description="a file with the same lines; read again when it changes"
    )
    reader_public_badges: bool = Field(
        default=False, description="whether badges are answered without a token"
    )
    reader_cors_origins: str | None = Field(
        None,
        description=(
            "origins whose pages may read from the reader, such as https://shop.example, by commas;"
            " * = any; unset = none"
        ),
    )
    reader_rate: int | None = Field(
        None,
        ge=0,
        description=(
            "most requests of a client per second, twice as many at once; 0 = any number;"
            " unset = 0 on loopback, else 100"
        ),
    )
    reader_streams: int | None = Field(
        None,
        ge=0,
        description=(
            "most streams that a client has open; 0 = any number; unset = 0 on loopback, else 100"
        ),
    )
    reader_trusted_proxies: str = Field(
        "",
        description=(
            "addresses or networks, by commas, whose X-Forwarded-For and -Proto a reader trusts"
        ),
    )
    reader_tls_certfile: FilePath | None = Field(
        None, description="the reader's certificate chain (PEM): it answers by https"
    )
    reader_tls_keyfile: FilePath | None = Field(None, description="the key of it (PEM)")

    @field_validator("reader_cors_origins")
    @classmethod
    def _origins_can_be(cls, origins: str | None) -> str | None:
        for origin in origins.split(",") if origins not in {None, "*"} else ():
            if _ORIGIN.fullmatch(origin.strip()) is None:
                raise ValueError(
                    f"{origin!r} is no origin as browsers send it: write https://shop.example, in"
                    " lower case and without a path, several by commas, or * alone"
                )
        return origins

    @field_validator("reader_trusted_proxies")
    @classmethod
    def _proxies_can_be(cls, proxies: str) -> str:
        for one in filter(None, proxies.split(",")):
            try:
                ipaddress.ip_network(one.strip())
            except ValueError as error:
                raise ValueError(f"{error}: write addresses such as 10.0.0.0/8,::1") from error
        return proxies

    @model_validator(mode="after")
    def _tls_can_be(self) -> Self:
        certificate, key = self.reader_tls_certfile, self.reader_tls_keyfile
        if (certificate is None) != (key is None):
            raise ValueError(
                "NETSOLD_READER_TLS_CERTFILE and NETSOLD_READER_TLS_KEYFILE need each other"
            )
        if certificate is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            except OSError as error:
                raise ValueError(
                    f"NETSOLD_READER_TLS_CERTFILE with _KEYFILE can't be used: {error}"
                ) from error
        return self

    @property
    def trusted_proxies(self) -> list[str]:
        """The trusted addresses and networks."""
        return [one.strip() for one in self.reader_trusted_proxies.split(",") if one.strip()]

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins of `reader_cors_origins`."""
        given = self.reader_cors_origins
        return () if given is None else tuple(origin.strip() for origin in given.split(","))

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine reaches the reader."""
        try:
            return ipaddress.ip_address(self.reader_host).is_loopback
        except ValueError:
            return self.reader_host == "localhost"

    @property
    def requests_per_second(self) -> int:
        """Most requests of one client per second; 0 = any number."""
        return self._of_a_client(self.reader_rate)

    @property
    def streams_of_a_client(self) -> int:
        """Most streams that one client has open; 0 = any number."""
        return self._of_a_client(self.reader_streams)

    def _of_a_client(self, given: int | None) -> int:
        if given is not None:
            return given
        return 0 if self.is_on_loopback else 100


def _require_one(variable: str, given: SecretStr | None, file: Path | None) -> None:
    if given is not None and file is not None:
        raise ValueError(f"{variable} and {variable}_FILE are both given: unset one")


def _secret(given: SecretStr | None, file: Path | None) -> str | None:
    if given is not None:
        return given.get_secret_value().strip()
    return None if file is None else file.read_text("utf-8").strip()
