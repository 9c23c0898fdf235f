"""Who may read what over HTTP: tokens, scopes, hosts, bodies and rates, and headers of security."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError

from schemas.answers import Problem
from schemas.tokens import Scope, TokensUnusable, line_of
from serving import server
from serving.access import Access, AccessUnset, Admitted, Refused, RequestHead, is_badge
from serving.api import make_app
from serving.problems import Kind
from serving.pseudonyms import KEY_FILE, PseudonymKeyUnusable, Pseudonyms
from serving.rate import Buckets
from serving.security_headers import HSTS, Form, security_headers
from streams.settings import Settings
from tests.access import LINES, TOKENS, by, guarded_settings
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from httpx import Response

EVENTS = next(
    parse("""== of the tests
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 buyer=b-9
    2026-07-02T08:00Z  received  o-1
    2026-07-09T10:00:00+08:00  asked  s-7  b-9 message=m-1
    2026-07-09T10:00:00+08:00  asked  s-7  b-8 message=m-2
    """)
).events
TICK_MS = 1_783_728_000_000
SECRET = "k" * 32


@pytest.fixture
def client_of() -> Iterator[Callable[..., TestClient]]:
    """Makes clients of readers that have applied the story, by their settings."""
    readers = []

    def make(settings: Settings, **more: Any) -> TestClient:  # noqa: ANN401 - as TestClient has it
        logs = Changelogs(settings)
        logs.take(EVENTS)
        logs.tick(TICK_MS)
        reader = FedReader(settings, logs)
        reader.feed()
        readers.append(reader)
        return TestClient(make_app(reader), raise_server_exceptions=False, **more)

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def client(client_of: Callable[..., TestClient], tmp_path: Path) -> TestClient:
    """A client of a reader with a token of each scope."""
    return client_of(guarded_settings(tmp_path))


def problem(response: Response, kind: Kind) -> Problem:
    """The problem of a response, after checks of its form and of its headers of security."""
    assert response.status_code == kind.status, response.text
    found = Problem.model_validate_json(response.content)
    assert found.type == kind.type
    assert response.headers["content-type"] == "application/problem+json"
    for name, value in security_headers("data"):
        assert response.headers.get_list(name.decode()) == [value.decode()]
    return found


# --- tokens and scopes


def test_every_address_needs_a_token(client: TestClient) -> None:
    """All of the contract, whatever else is wrong with the request; and those that don't exist."""
    contract = client.get("/openapi.json", headers=by(Scope.READ)).json()["paths"]
    probes = {"/livez", "/readyz"}
    for path in [*(contract.keys() - probes), "/nothing", "/metrics", "/readyz?verbose"]:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
            answer = client.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="netsold"'
    for path in probes:
        assert client.get(path).status_code == 200
    problem(client.get("/v1/products/p-3"), Kind.NO_TOKEN)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "Bearer",
        "Bearer nst_",
        f"Bearer {TOKENS[Scope.READ][:-1]}0",
        f"Basic {TOKENS[Scope.READ]}",
        f"Token {TOKENS[Scope.READ]}",
        TOKENS[Scope.READ],
        f"Bearer {TOKENS[Scope.READ]}{TOKENS[Scope.READ]}",
        "Bearer \xff",
    ],
)
def test_a_wrong_authorization_gets_nothing(client: TestClient, wrong: str) -> None:
    """Of another scheme, cut, doubled, or of bytes; the answer doesn't repeat it."""
    answer = client.get("/v1/products/p-3", headers={"Authorization": wrong.encode("latin-1")})
    found = problem(answer, Kind.NO_TOKEN)
    assert "nst_" not in found.detail


def test_documents_without_data_are_open(client: TestClient) -> None:
    """A browser opens the page of the API without a token, and shared caches may keep it."""
    for path in ("/docs", "/docs/openapi-explorer.min.js", "/openapi.json"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "private" not in answer.headers["cache-control"]
    assert client.get("/openapi.json").json()["security"]  # so the page has a field for a token
    for path in ("/", "/products/a/b", "/shops/s", "/orders/o", "/search", "/static/x.js"):
        assert client.get(path).status_code != 401, path
    for path in ("/v1/products/p-3", "/products", "/docs2", "/x/docs", "/v1/docs", "/openapi-json"):
        problem(client.get(path), Kind.NO_TOKEN)


def test_a_token_is_sent_as_bearer_in_any_case(client: TestClient) -> None:
    """The name of the scheme has no case (RFC 9110)."""
    for kind in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{kind} {TOKENS[Scope.READ]}"}
        assert client.get("/v1/products/p-3", headers=headers).status_code == 200


def test_hosts_of_the_cluster_are_for_operators(client: TestClient) -> None:
    """A token that only reads is refused with the scope that it lacks."""
    found = problem(client.get("/v1/status", headers=by(Scope.READ)), Kind.SCOPE_TOO_SMALL)
    assert "the scope operate" in found.detail
    assert client.get("/v1/status", headers=by(Scope.OPERATE)).status_code == 200


def test_without_tokens_loopback_is_open(
    client_of: Callable[..., TestClient], tmp_path: Path
) -> None:
    """Everything is answered, with buyers' ids; nothing is kept for pseudonyms."""
    client = client_of(settings_in(tmp_path))
    assert client.get("/v1/orders/o-1").json()["buyer_id"] == "b-9"
    assert client.get("/v1/status").status_code == 200
    assert "authorization" not in client.get("/v1/orders/o-1").headers.get("vary", "").lower()
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "reader.example.org"])  # noqa: S104 - what is refused
def test_other_hosts_than_loopback_need_tokens(tmp_path: Path, host: str) -> None:
    """Without any the process ends at once, with the remedy."""
    settings = settings_in(tmp_path).model_copy(update={"reader_host": host})
    with pytest.raises(AccessUnset, match=r"make one by `netsold token new --scope read`") as error:
        server.run(settings)
    assert error.value.exit_code == 2


def test_unusable_tokens_end_the_start(tmp_path: Path) -> None:
    """Those of the settings, too, without their text."""
    settings = Settings(
        _env_file=None, data_dir=tmp_path, reader_tokens=SecretStr(TOKENS[Scope.READ])
    )
    with pytest.raises(TokensUnusable, match="NETSOLD_READER_TOKENS can't be used") as error:
        Access(settings)
    assert TOKENS[Scope.READ] not in str(error.value)
    assert TOKENS[Scope.READ] not in repr(settings)


def test_a_fault_of_the_file_is_shown_to_people(
    client_of: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader goes on with the former tokens, and says so."""
    file = tmp_path / "tokens"
    file.write_text(line_of(Scope.READ, "ci", TOKENS[Scope.READ]))
    settings = settings_in(tmp_path).model_copy(update={"reader_tokens_file": file})
    client = client_of(settings)
    monkeypatch.setattr("serving.tokens_file.REREAD_EVERY_S", 0)
    client.app.state.access._tokens._due_s = 0  # type: ignore[attr-defined]  # the next request reads it
    file.write_text("nonsense")
    answer = client.get("/readyz?verbose", headers=by(Scope.READ))
    assert answer.status_code == 200
    assert f"tokens stay as they were: the tokens of {file} can't be used: line 1" in answer.text
    measured = client.get("/metrics", headers=by(Scope.READ)).text
    assert "netsold_reader_tokens_usable 0.0" in measured


# --- badges


@pytest.mark.parametrize(
    ("path", "badge"),
    [
        ("/v1/products/p-3/badge", True),
        ("/v1/products/p-3/badge.svg", True),
        ("/v1/products/a/b/badge", True),
        ("/v1/products/p-3\x00badge", False),
        ("/v1/products/badge", False),
        ("/v1/products//badge", False),
        ("/v1/shops/s-7/badge", False),
        ("/v1/products/p-3/badge/journal", False),
        ("/v2/v1/products/p-3/badge", False),
    ],
)
def test_what_is_a_badge(path: str, badge: bool) -> None:  # noqa: FBT001 - of the table above
    """Only the address of one: an id that contains its words, encoded, is another product."""
    assert is_badge(path) is badge


def test_badges_are_public_by_setting_alone(
    client_of: Callable[..., TestClient], tmp_path: Path
) -> None:
    """With it neither token nor scope matters, and an embedding page may show them."""
    guarded = client_of(guarded_settings(tmp_path / "a"))
    assert guarded.get("/v1/products/p-3/badge").status_code == 401
    public = client_of(guarded_settings(tmp_path / "b", reader_public_badges=True))
    answer = public.get("/v1/products/p-3/badge")
    assert answer.status_code != 401
    assert public.get("/v1/products/p-3").status_code == 401
    assert public.get("/v1/products/p-3%2Fbadge").status_code == 401


# --- hosts, bodies, rates


@pytest.mark.parametrize(
    ("host", "open_", "guarded"),
    [
        ("127.0.0.1:8640", 200, 200),
        ("[::1]:8640", 200, 200),
        ("localhost:8640", 200, 200),
        ("reader", 200, 200),
        ("netsold.localhost:8640", 200, 200),
        ("evil.example:8640", 421, 200),
        ("evil.example.", 421, 200),
        ("127.0.0.1.evil.example", 421, 200),
    ],
)
def test_no_page_of_another_site_reaches_an_open_reader(
    client_of: Callable[..., TestClient], tmp_path: Path, host: str, open_: int, guarded: int
) -> None:
    """By a name of its own that it lets point to 127.0.0.1. With tokens any name may be used."""
    client = client_of(settings_in(tmp_path / "open"))
    answer = client.get("/v1/products/p-3", headers={"Host": host})
    assert answer.status_code == open_
    if open_ != 200:
        assert "set NETSOLD_READER_TOKENS_FILE" in problem(answer, Kind.WRONG_HOST).detail
    client = client_of(guarded_settings(tmp_path / "guarded"))
    answer = client.get("/v1/products/p-3", headers=by(Scope.READ) | {"Host": host})
    assert answer.status_code == guarded


def test_a_body_is_refused(client: TestClient) -> None:
    """Whatever its size is, or if it has none; an empty one is no body."""
    for path in ("/v1/products/p-3", "/livez", "/nothing"):
        refused = client.request("GET", path, content=b"x", headers=by(Scope.READ))
        problem(refused, Kind.BODY_REFUSED)
        assert refused.headers["connection"] == "close"
    endless = client.request("POST", "/v1/overdue", content=iter([b"x"]), headers=by(Scope.READ))
    problem(endless, Kind.BODY_REFUSED)
    empty = {"Content-Length": "0"} | by(Scope.READ)
    assert client.get("/v1/products/p-3", headers=empty).status_code == 200


def test_rates_are_of_tokens_and_of_addresses(
    client_of: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is over its rate waits; others don't, and probes are always answered."""
    monkeypatch.setattr("serving.access.time.monotonic", lambda: 7.0)
    client = client_of(guarded_settings(tmp_path, reader_rate=2))
    first = client.get("/v1/products/p-3", headers=by(Scope.READ))
    assert first.headers["ratelimit-policy"] == '"client";q=4;w=2'
    assert first.headers["ratelimit"] == '"client";r=3;t=1'
    codes = [client.get("/v1/overdue", headers=by(Scope.READ)).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    answer = client.get("/v1/products/p-3", headers=by(Scope.READ))
    assert "Retry-After" in problem(answer, Kind.TOO_MANY).detail
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit"] == '"client";r=0;t=2'
    assert client.get("/v1/products/p-3", headers=by(Scope.OPERATE)).status_code == 200
    codes = [client.get("/v1/overdue").status_code for _ in range(5)]
    assert codes == [401, 401, 401, 401, 429], "unknown tokens, too, are limited by address"
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]


def test_networks_of_ipv6_are_one_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client has a whole network of 64 bits, so its addresses share a bucket."""
    monkeypatch.setattr("serving.access.time.monotonic", lambda: 7.0)
    access = Access(settings_in(tmp_path).model_copy(update={"reader_rate": 1}))
    addresses = ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "10.0.0.1", "10.0.0.2", "x")
    for address in addresses:
        assert isinstance(access.admit(RequestHead("/v1/overdue", b"", {}, address)), Admitted)
    assert isinstance(access.admit(RequestHead("/v1/overdue", b"", {}, "2001:db8::2")), Refused)


def test_the_rate_is_unlimited_on_loopback_alone() -> None:
    """Unless the setting says otherwise."""
    for host, unset in (("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 100)):  # noqa: S104 - what has a limit
        for given, most in ((None, unset), (0, 0), (5, 5)):
            settings = Settings(
                _env_file=None, reader_host=host, reader_rate=given, reader_streams=given
            )
            assert settings.requests_per_second == settings.streams_of_a_client == most


# --- what a scope is shown


def test_etags_and_cursors_are_of_their_scope(client: TestClient) -> None:
    """A reading token gets other bodies, so other ETags; and pages lead on by sealed cursors."""
    answers = {scope: client.get("/v1/overdue?limit=1", headers=by(scope)) for scope in Scope}
    tags = {scope: answer.headers["etag"] for scope, answer in answers.items()}
    assert tags[Scope.READ] != tags[Scope.OPERATE]
    for one, other in pairwise([*Scope, Scope.READ]):
        known = by(one) | {"If-None-Match": tags[one]}
        assert client.get("/v1/overdue?limit=1", headers=known).status_code == 304
        known = by(one) | {"If-None-Match": tags[other]}
        assert client.get("/v1/overdue?limit=1", headers=known).status_code == 200
    cursors = {scope: answer.json()["next_cursor"] for scope, answer in answers.items()}
    assert cursors[Scope.READ] in answers[Scope.READ].headers["link"]
    pages = {}
    for scope in Scope:
        query = {"limit": 1, "cursor": cursors[scope]}
        page = client.get("/v1/overdue", params=query, headers=by(scope)).json()
        pages[scope] = page["items"][0]
    assert pages[Scope.OPERATE]["buyer_id"] == "b-9"
    assert pages[Scope.READ]["buyer_id"].startswith("buyer-")
    assert pages[Scope.READ]["message_id"] == pages[Scope.OPERATE]["message_id"] == "m-1"
    stolen = {"limit": 1, "cursor": cursors[Scope.OPERATE]}
    refused = client.get("/v1/overdue", params=stolen, headers=by(Scope.READ))
    assert "no answer gave this cursor" in problem(refused, Kind.INVALID_REQUEST).detail


def test_personal_fields_of_events_are_masked(tmp_path: Path) -> None:
    """A tracking number leads to an address; what counts stays."""
    settings = guarded_settings(tmp_path)
    logs = Changelogs(settings)
    shipped = {
        "type": "order_shipped",
        "id": "e-s",
        "source": "/story",
        "order_id": "o-1",
        "occurred_at": "2026-07-01T20:00:00Z",
        "carrier": "fast",
        "tracking_no": "SF1234",
    }
    logs.take([*EVENTS, shipped])
    reader = FedReader(settings, logs)
    reader.feed()
    client = TestClient(make_app(reader))
    for path, where in (("/v1/orders/o-1", "facts"), ("/v1/orders/o-1/explanation", "events")):
        read, operate = (client.get(path, headers=by(scope)).json()[where] for scope in Scope)
        assert "SF1234" in str(operate)
        assert "SF1234" not in str(read)
        assert "<6 characters>" in str(read)
        assert "'carrier': 'fast'" in str(read)
    reader.close()


def test_pseudonyms_survive_a_restart_and_are_shared_by_a_key(tmp_path: Path) -> None:
    """By the random key in the data directory, for its user alone, or by a configured one."""
    settings = settings_in(tmp_path)
    first = Pseudonyms.of_settings(settings).of("b-9")
    assert Pseudonyms.of_settings(settings).of("b-9") == first
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [tmp_path / KEY_FILE]
    other = Pseudonyms.of_settings(settings_in(tmp_path / "other"))
    assert other.of("b-9") != first
    (tmp_path / "key").write_text(f"{SECRET}\n")
    key, file = SecretStr(SECRET), tmp_path / "key"
    by_key = Settings(_env_file=None, data_dir=tmp_path / "none", pseudonym_key=key)
    by_file = Settings(_env_file=None, data_dir=tmp_path / "none", pseudonym_key_file=file)
    one, two = (Pseudonyms.of_settings(by).of("b-9") for by in (by_key, by_file))
    assert one == two != first
    assert not (tmp_path / "none").exists()


def test_an_unusable_key_is_one_sentence(tmp_path: Path) -> None:
    """Too short, cut, or unreadable; the key isn't shown."""
    short = Settings(_env_file=None, data_dir=tmp_path, pseudonym_key=SecretStr("short"))
    with pytest.raises(
        PseudonymKeyUnusable, match="fewer than 32 characters: make one by"
    ) as error:
        Pseudonyms.of_settings(short)
    assert "short" not in str(error.value).split()
    (tmp_path / KEY_FILE).write_bytes(b"cut")
    with pytest.raises(PseudonymKeyUnusable, match="has 3 bytes, and a key of pseudonyms 32"):
        Pseudonyms.of_settings(settings_in(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(PseudonymKeyUnusable, match=r"can't be used .*: give this user the right"):
        Pseudonyms.of_settings(settings_in(tmp_path / "file"))


# --- headers


def test_every_answer_has_headers_of_security_once(client: TestClient) -> None:
    """Answers, probes, problems and faults: without sniffing, frames, scripts and referrers."""
    client.app.state.versions.answering.answers = lambda **_: 1 / 0  # type: ignore[attr-defined]  # a fault
    for path, status in (
        ("/livez", 200),
        ("/openapi.json", 200),
        ("/nothing", 404),
        ("/v1/overdue?x=1", 422),
        ("/v1/products/p-3", 500),
    ):
        answer = client.get(path, headers=by(Scope.READ))
        assert answer.status_code == status, path
        for name, value in security_headers("data"):
            assert answer.headers.get_list(name.decode()) == [value.decode()], (path, name)
        assert HSTS[0].decode() not in answer.headers


def test_answers_by_token_are_private(client: TestClient) -> None:
    """A shared cache keeps none of them, and knows that they depend on the token."""
    for path in ("/v1/products/p-3", "/v1/orders/o-1", "/v1/nothing"):
        answer = client.get(path, headers=by(Scope.READ))
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "Authorization" in answer.headers["vary"]
    assert client.get("/v1/products/p-3").headers["cache-control"] == "private, no-cache"
    etag = client.get("/v1/products/p-3", headers=by(Scope.READ)).headers["etag"]
    same = client.get("/v1/products/p-3", headers=by(Scope.READ) | {"If-None-Match": etag})
    assert (same.status_code, same.headers["cache-control"]) == (304, "private, no-cache")


def test_by_https_browsers_stay_with_it(
    client_of: Callable[..., TestClient], tmp_path: Path
) -> None:
    """With TLS, or behind a proxy that has it; so has a fault, which stays private."""
    client = client_of(guarded_settings(tmp_path), base_url="https://reader.example")
    for path in ("/livez", "/v1/products/p-3"):
        assert client.get(path).headers["strict-transport-security"] == "max-age=31536000"
    client.app.state.versions.answering.answers = lambda **_: 1 / 0  # type: ignore[attr-defined]  # a fault
    fault = client.get("/v1/products/p-3", headers=by(Scope.READ))
    assert fault.status_code == 500
    assert fault.headers["strict-transport-security"] == "max-age=31536000"
    assert fault.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in fault.headers["vary"]


def test_pages_run_no_script_of_their_text() -> None:
    """The policy of each form allows no inline script and no frame, but for a badge's style."""
    for form in get_args(Form):
        policy = dict(security_headers(form))[b"content-security-policy"]
        assert policy.startswith(b"default-src 'none'")
        assert b"script-src 'unsafe" not in policy
        assert b"unsafe-eval" not in policy
        assert form == "badge" or b"frame-ancestors 'none'" in policy


# --- settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reader_url": "reader:8640"}, "write http:// or https:// and a host"),
        ({"reader_url": "https://u:p@reader"}, "write http:// or https:// and a host"),
        ({"reader_trusted_proxies": "10.0.0.1/8"}, "has host bits set"),
        ({"reader_trusted_proxies": "proxy"}, "write addresses such as"),
        ({"reader_trusted_proxies": "*"}, "write addresses such as"),
        ({"reader_rate": -1}, "greater than or equal to 0"),
        (
            {"reader_tls_certfile": __file__},
            "NETSOLD_READER_TLS_CERTFILE and NETSOLD_READER_TLS_KEYFILE need each other",
        ),
        (
            {"reader_tls_certfile": __file__, "reader_tls_keyfile": __file__},
            "NETSOLD_READER_TLS_CERTFILE with _KEYFILE can't be used",
        ),
        (
            {"reader_token": "x", "reader_token_file": __file__},
            "NETSOLD_READER_TOKEN and NETSOLD_READER_TOKEN_FILE are both given: unset one",
        ),
        (
            {"pseudonym_key": "x", "pseudonym_key_file": __file__},
            "NETSOLD_PSEUDONYM_KEY and NETSOLD_PSEUDONYM_KEY_FILE are both given: unset one",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(given: dict[str, Any], message: str) -> None:
    """When they are read, with what to write instead."""
    with pytest.raises(ValidationError, match=message):
        Settings(_env_file=None, **given)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither by the settings nor by what is made of them."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        reader_tokens=SecretStr(LINES),
        reader_token=SecretStr(TOKENS[Scope.READ]),
        pseudonym_key=SecretStr(SECRET),
    )
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {Access(settings)!r}"
    assert not any(secret in shown for secret in (TOKENS[Scope.READ], SECRET, LINES))


def test_buckets_are_kept_only_where_there_is_a_rate(tmp_path: Path) -> None:
    """None on loopback, by default."""
    assert Access(settings_in(tmp_path))._buckets is None
    limited = settings_in(tmp_path).model_copy(update={"reader_rate": 3})
    assert isinstance(Access(limited)._buckets, Buckets)
