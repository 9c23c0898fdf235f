"""Tokens, the lines that grant them a scope, and the file of lines that a reader follows."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from operations import cli
from schemas import http_limits
from schemas.tokens import (
    Scope,
    TokensUnusable,
    digest_of,
    is_token,
    line_of,
    token_of,
    tokens_in,
)
from serving import metrics, tokens_file
from serving.tokens_file import Tokens
from tests.access import TOKENS

if TYPE_CHECKING:
    from pathlib import Path

READ, OPERATE = TOKENS[Scope.READ], TOKENS[Scope.OPERATE]


@given(secret=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
def test_a_token_has_one_form_and_carries_its_secret(secret: bytes, other: bytes) -> None:
    """Scanners find it by a pattern; two secrets have two tokens."""
    token = token_of(secret)
    assert re.fullmatch("nst_[0-9A-Za-z]{49}", token)
    assert is_token(token)
    assert (token == token_of(other)) == (secret == other)


@given(
    secret=st.binary(min_size=32, max_size=32), at=st.integers(4, 52), digit=st.sampled_from("0Zz")
)
def test_a_changed_or_cut_token_is_noticed(secret: bytes, at: int, digit: str) -> None:
    """By its check digits."""
    token = token_of(secret)
    changed = token[:at] + digit + token[at + 1 :]
    assert is_token(changed) == (changed == token)
    assert not is_token(token[:at])
    assert not is_token(f"{token} ")
    assert not is_token(token[1:])


def test_lines_grant_scopes() -> None:
    """With names and comments; the line has the hash and not the token."""
    line = line_of(Scope.READ, "ci", READ)
    assert READ not in line
    found = tokens_in(f"# who reads\n\n{line}\n  {line_of(Scope.OPERATE, 'us', OPERATE)}  # all\n")
    assert [(one.scope, one.name) for one in found] == [("read", "ci"), ("operate", "us")]
    assert [one.digest for one in found] == [digest_of(READ), digest_of(OPERATE)]


@pytest.mark.parametrize(
    "wrong",
    [
        READ,
        f"read:ci:{READ}",
        "write:ci:" + "0" * 64,
        "read:" + "0" * 64,
        "read::" + "0" * 64,
        "read:a b:" + "0" * 64,
        "read:ci:" + "0" * 63,
        "read:ci:" + "G" * 64,
    ],
)
def test_a_line_that_is_none_is_named_and_not_shown(wrong: str) -> None:
    """It may be a token by mistake."""
    with pytest.raises(TokensUnusable, match="line 2 is no scope:name:hash") as raised:
        tokens_in(f"{line_of(Scope.READ, 'ci', READ)}\n{wrong}\n")
    assert READ not in str(raised.value)


def test_no_token_and_too_many_are_refused() -> None:
    """An empty file would let nobody in; a large one would make each request slow."""
    with pytest.raises(TokensUnusable, match="there is no token in them"):
        tokens_in("# none yet\n")
    with pytest.raises(TokensUnusable, match="more than 65,536 characters"):
        tokens_in("#" * (http_limits.TOKENS_CHARS + 1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the file's reader sees, in seconds."""
    now = [100.0]
    monkeypatch.setattr("serving.tokens_file.time.monotonic", lambda: now[0])
    return now


def test_tokens_are_replaced_without_a_restart(tmp_path: Path, clock: list[float]) -> None:
    """A new file is read within a second or so: new tokens work, former ones don't."""
    file = tmp_path / "tokens"
    file.write_text(line_of(Scope.READ, "old", READ))
    tokens = Tokens((), file)
    assert tokens.find(READ) is not None
    assert tokens.find(OPERATE) is None
    (tmp_path / "new").write_text(line_of(Scope.OPERATE, "new", OPERATE))
    (tmp_path / "new").replace(file)
    assert tokens.find(READ) is not None, "it isn't looked at with each request"
    clock[0] += tokens_file.REREAD_EVERY_S
    found = tokens.find(OPERATE)
    assert found is not None
    assert (found.scope, found.name) == ("operate", "new")
    assert tokens.find(READ) is None


@pytest.mark.parametrize("broken", ["nonsense", "", None, "\xff"])
def test_a_broken_file_changes_nothing(
    tmp_path: Path, clock: list[float], broken: str | None
) -> None:
    """The former tokens stay; the fault is logged once and shown until the file is whole again."""
    file = tmp_path / "tokens"
    file.write_text(line_of(Scope.READ, "ci", READ))
    tokens = Tokens((), file)
    if broken is None:
        file.unlink()
    else:
        file.write_bytes(broken.encode("latin-1"))
    with capture_logs() as logs:
        for _ in range(3):
            clock[0] += 10
            assert tokens.find(READ) is not None
    assert [one["log_level"] for one in logs] == ["error"]
    assert str(file) in str(tokens.fault)
    assert metrics.TOKENS_USABLE._value.get() == 0
    file.write_text(line_of(Scope.READ, "ci", OPERATE))
    clock[0] += 10
    assert tokens.find(OPERATE) is not None
    assert not tokens.fault
    assert metrics.TOKENS_USABLE._value.get() == 1


def test_a_reader_does_not_start_with_a_broken_file(tmp_path: Path) -> None:
    """Nobody could have told before that nobody gets in."""
    with pytest.raises(TokensUnusable, match="can't be read: No such file"):
        Tokens((), tmp_path / "tokens")
    (tmp_path / "tokens").write_text("nonsense")
    with pytest.raises(TokensUnusable, match="can't be used: line 1 is no scope:name:hash"):
        Tokens((), tmp_path / "tokens")


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["netsold", "token", "new", *arguments])
    monkeypatch.setattr(cli, "app", type(cli.app)(pretty_exceptions_enable=False))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_new_token_is_printed_with_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As text and as JSON; each is another one, and its line is one that a reader reads."""
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, "--scope", "read", "--name", "ci") == 0
    token, line = (one.split()[1] for one in capsys.readouterr().out.splitlines())
    assert is_token(token)
    assert line == line_of(Scope.READ, "ci", token)
    assert _run(monkeypatch, "--scope", "operate", "--json") == 0
    other = json.loads(capsys.readouterr().out)
    assert other["token"] != token
    assert tokens_in(other["line"])[0].digest == digest_of(other["token"])
    assert _run(monkeypatch, "--scope", "read", "--name", "a b") == 2
    assert _run(monkeypatch, "--scope", "write") == 2


def test_a_token_is_saved_once_and_for_its_user_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is printed; a second call changes nothing, as containers start again and again."""
    monkeypatch.chdir(tmp_path)
    umask = os.umask(0o022)
    try:
        assert _run(monkeypatch, "--scope", "operate", "--save", "access") == 0
    finally:
        os.umask(umask)
    assert (tmp_path / "access" / "token").stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == ""
    token = (tmp_path / "access" / "token").read_text().strip()
    tokens = Tokens((), tmp_path / "access" / "tokens")
    assert tokens.find(token) is not None
    assert _run(monkeypatch, "--scope", "operate", "--save", "access") == 0
    assert "is there already: nothing is changed" in capsys.readouterr().err
    assert (tmp_path / "access" / "token").read_text().strip() == token
