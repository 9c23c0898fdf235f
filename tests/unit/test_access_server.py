"""A reader's server over real sockets: TLS, proxies before it, and commands with tokens."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme

from operations import cli
from schemas.tokens import Scope, line_of
from serving.api import make_app
from serving.connections import Bounds
from serving.server import bounded
from tests.access import TOKENS, by, guarded_settings
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings

EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 buyer=b-9
    2026-07-02T08:00Z  received  o-1
    """)
).events


@contextmanager
def served(settings: Settings) -> Iterator[int]:
    """The port of a server of a reader with these settings, as `netsold serve` runs it."""
    logs = Changelogs(settings)
    logs.take(EVENTS)
    logs.tick(1_783_728_000_000)
    reader = FedReader(settings, logs)
    reader.feed()
    servers = []

    async def serve(listener: socket.socket) -> None:
        server = bounded(make_app(reader), Bounds(20), settings)
        servers.append(server)
        await server.serve([listener])

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = Thread(target=asyncio.run, args=(serve(listener),))
        thread.start()
        try:
            while not (servers and servers[0].started):
                assert thread.is_alive()
                time.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            for server in servers:
                server.should_exit = True
            thread.join(10)
            reader.close()


class Authority(NamedTuple):
    """The files of a test's own authority and of a certificate of it for 127.0.0.1."""

    ca: Path
    settings: dict[str, Any]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """One with a server's certificate."""
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "cert.pem", append=True)
    names = {"reader_tls_certfile": "cert.pem", "reader_tls_keyfile": "key.pem"}
    return Authority(tmp_path / "ca.pem", {name: tmp_path / file for name, file in names.items()})


def test_a_reader_answers_by_tls(tmp_path: Path, authority: Authority) -> None:
    """With its certificate, and with HSTS; a client without TLS gets no answer."""
    with served(guarded_settings(tmp_path, **authority.settings)) as port:
        trusting = ssl.create_default_context(cafile=authority.ca)
        client = HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting)
        client.request("GET", "/v1/products/p-3", headers=by(Scope.READ))
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.getheader("strict-transport-security") == "max-age=31536000"
        answer.read()
        client.close()
        distrusting = HTTPSConnection("127.0.0.1", port, timeout=10)
        with pytest.raises(ssl.SSLCertVerificationError):
            distrusting.request("GET", "/livez")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200" not in plain.recv(4096)


def _answered(port: int, forwarded: str, scheme: str = "https") -> tuple[int, str | None]:
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": scheme}
    client.request("GET", "/openapi.json", headers=headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status, answer.getheader("strict-transport-security")


def test_a_trusted_proxy_names_its_client(tmp_path: Path) -> None:
    """By the last address that isn't a proxy: what a client itself wrote before it is nothing."""
    proxies = {"reader_trusted_proxies": "127.0.0.1,10.0.0.0/8", "reader_rate": 1}
    with served(settings_in(tmp_path).model_copy(update=proxies)) as port:
        assert _answered(port, "203.0.113.8") == (200, "max-age=31536000")
        assert _answered(port, "203.0.113.9", "http") == (200, None)
        written = [_answered(port, f"198.51.100.{n}, 203.0.113.7, 10.1.2.3") for n in range(12)]
    assert 429 in {code for code, _ in written}, "one client, whatever it wrote before its address"


def test_others_name_no_client(tmp_path: Path) -> None:
    """Without the setting nothing is believed: neither address nor https."""
    with served(settings_in(tmp_path).model_copy(update={"reader_rate": 1})) as port:
        codes = [_answered(port, f"203.0.113.{number}") for number in range(12)]
    assert {hsts for _, hsts in codes} == {None}
    assert 429 in {code for code, _ in codes}


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Runs `netsold`; its exit code, and what it printed on stdout or else on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["netsold", *arguments])
        monkeypatch.setattr(cli, "app", type(cli.app)(pretty_exceptions_enable=False))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out or err

    return run


def test_commands_send_their_token(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the environment or a file; without one, or with a wrong one, it's one sentence."""
    with served(guarded_settings(tmp_path)) as port:
        monkeypatch.setenv("NETSOLD_READER_PORT", str(port))
        remedy = "set NETSOLD_READER_TOKEN or NETSOLD_READER_TOKEN_FILE"
        code, sentence = run("get", "order", "o-1")
        assert code == 2
        assert len(sentence.splitlines()) == 1
        assert f"{remedy} to one of `netsold token new`" in sentence
        monkeypatch.setenv("NETSOLD_READER_TOKEN", TOKENS[Scope.READ])
        assert "buyer-" in run("get", "order", "o-1", "--json")[1]
        code, sentence = run("status")
        assert code == 2
        assert f"the scope operate: {remedy} to one with that scope" in sentence
        monkeypatch.setenv("NETSOLD_READER_TOKEN", TOKENS[Scope.READ][:-1])
        code, sentence = run("get", "order", "o-1")
        assert (code, "has no whole token" in sentence) == (2, True)
        assert TOKENS[Scope.READ][:-1] not in sentence
        monkeypatch.delenv("NETSOLD_READER_TOKEN")
        (tmp_path / "token").write_text(f"{TOKENS[Scope.OPERATE]}\n")
        monkeypatch.setenv("NETSOLD_READER_TOKEN_FILE", str(tmp_path / "token"))
        assert '"b-9"' in run("get", "order", "o-1", "--json")[1]
        assert run("status")[0] in {0, 5}
        assert '"buyer_id":"b-9"' in run("get", "order", "o-1", "--json")[1].replace(" ", "")


def test_commands_find_a_reader_by_its_url(
    run: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    authority: Authority,
) -> None:
    """With TLS, of an authority that SSL_CERT_FILE names."""
    with served(guarded_settings(tmp_path, **authority.settings)) as port:
        monkeypatch.setenv("NETSOLD_READER_URL", f"https://127.0.0.1:{port}/")
        monkeypatch.setenv("NETSOLD_READER_TOKEN", TOKENS[Scope.READ])
        code, sentence = run("get", "product", "p-3")
        assert code == 5
        assert "isn't trusted" in sentence
        assert "set SSL_CERT_FILE" in sentence
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        assert run("get", "product", "p-3", "--json")[0] == 0
    code, sentence = run("get", "product", "p-3")
    assert code == 5
    assert sentence.endswith("or set NETSOLD_READER_URL\n")


def test_a_token_is_replaced_while_the_reader_runs(tmp_path: Path) -> None:
    """The new one works within seconds, and the former one doesn't any more."""
    file = tmp_path / "tokens"
    file.write_text(line_of(Scope.READ, "ci", TOKENS[Scope.READ]))
    settings = settings_in(tmp_path).model_copy(update={"reader_tokens_file": file})

    def code(port: int, scope: Scope) -> int:
        client = HTTPConnection("127.0.0.1", port, timeout=10)
        client.request("GET", "/v1/products/p-3", headers=by(scope))
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer.status

    with served(settings) as port:
        assert (code(port, Scope.READ), code(port, Scope.OPERATE)) == (200, 401)
        (tmp_path / "new").write_text(line_of(Scope.OPERATE, "ci", TOKENS[Scope.OPERATE]))
        (tmp_path / "new").replace(file)
        deadline = time.monotonic() + 20
        while code(port, Scope.OPERATE) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert code(port, Scope.READ) == 401


def test_a_bad_chunk_is_answered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The app of the request doesn't answer as well, and no error is logged."""
    head = b"GET /v1/products/p-3 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        served(settings_in(tmp_path)) as port,
        socket.create_connection(("127.0.0.1", port), 10) as client,
    ):
        client.sendall(head + b"ZZ\r\nxx\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"content-length: ") == 1
    assert "Traceback" not in capsys.readouterr().err
