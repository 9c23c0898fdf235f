"""What a command prints for errors of the machine, the cluster or the user, and for Ctrl-C."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import InvalidReplicationFactorError, TopicAuthorizationFailedError

from operations.failures import explained
from streams.errors import KafkaUnreachable

if TYPE_CHECKING:
    from pathlib import Path


FULL = "No space left on device: make room where its output goes"


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (KafkaUnreachable("no Kafka answers"), "no Kafka answers", 5),
        (OSError(errno.ENOENT, "x", "/a/b"), "/a/b: No such file or directory", 1),
        (OSError(errno.EISDIR, "x", b"/a/\xff"), "/a/\udcff: Is a directory", 1),
        (
            OSError(errno.EADDRINUSE, "x"),
            "Address already in use: end what listens there, or set NETSOLD_METRICS_PORT",
            1,
        ),
        (TimeoutError(), "what was waited for gave no answer in time", 5),
        (TopicAuthorizationFailedError("orders"), "the cluster doesn't let this user do that (", 5),
        (
            InvalidReplicationFactorError("3 of 1"),
            "Kafka can't do that: [Error 38] InvalidReplicationFactorError: 3 of 1",
            1,
        ),
    ],
)
def test_an_error_that_a_person_can_repair_is_one_sentence(
    error: Exception, sentence: str, code: int
) -> None:
    """The command exits with the error's code."""
    found = explained(error)
    assert found is not None
    assert found[0].startswith(sentence)
    assert found[1] == code


def test_a_data_directory_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file in its place and a full disk give the same sentence.

    It names the setting's directory.
    """
    data_dir = tmp_path / "file"
    monkeypatch.setenv("NETSOLD_DATA_DIR", str(data_dir))
    data_dir.write_text("x")
    with pytest.raises(OSError, match="Not a directory") as raised:
        (data_dir / "kafka").mkdir(parents=True)
    found = explained(raised.value)
    assert found is not None
    assert "file/kafka: Not a directory: " in found[0]
    assert f"NETSOLD_DATA_DIR is {data_dir}, and must be a folder with room" in found[0]
    found = explained(OSError(errno.ENOSPC, "x"))
    assert found == (f"{FULL} and where NETSOLD_DATA_DIR lies, {data_dir}", 1)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyError("x"), OSError(errno.EBADF, "x"), OSError("no number")]
)
def test_a_fault_of_ours_is_not_explained(error: Exception) -> None:
    """A defect needs its traceback."""
    assert explained(error) is None


def test_unusable_settings_do_not_hide_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that needs no settings still names its own error."""
    monkeypatch.setenv("NETSOLD_KAFKA", "{")
    assert explained(OSError(errno.ENOENT, "x", "/a/b")) == ("/a/b: No such file or directory", 1)


INTERRUPTED_AT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["netsold", *{arguments!r}]
from operations.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--help"], "typer"),
        (["topics", "check"], "aiokafka"),
        (["top"], "pydantic"),
        (["worker"], "faust"),
        (["up"], "rich.live"),
    ],
)
def test_ctrl_c_while_modules_are_imported_is_no_traceback(
    tmp_path: Path, arguments: list[str], module: str
) -> None:
    """In a command's first second: exit code 130, empty stderr."""
    program = INTERRUPTED_AT.format(name=module, arguments=arguments)
    environment = {"NETSOLD_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


NETSOLD = f"{sys.executable} -m operations"
UNKNOWN_SETTING = "netsold: settings can't be used: NETSOLD_PARTITION is no setting: did you mean"


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        (f"{NETSOLD} kafka status > /dev/full", 1, "", f"netsold: {FULL}"),
        (f"{NETSOLD} simulate --events 9 --out /dev/full", 1, "", f"netsold: {FULL}"),
        (f"{NETSOLD} kafka status >&-", 5, "", ""),
        (f"{NETSOLD} topics chek 2>&-", 2, "", ""),
        (f"{NETSOLD} recount - <&-", 1, "", "netsold: standard input: is closed\n"),
        (f"set -o pipefail; {NETSOLD} simulate --help | head -n 1 > /dev/null", None, "", ""),
        (f"PYTHONIOENCODING=ascii {NETSOLD} recount e.jsonl | grep -c 'o-\\\\u00fc'", 0, "1\n", ""),
        (f"{NETSOLD} get product $'\\xff'", 5, "", "netsold: no reader answers at 127.0.0.1:1:"),
        (f"NETSOLD_PARTITION=3 {NETSOLD} top", 2, "", UNKNOWN_SETTING),
    ],
    ids=range(9),
)  # fmt: skip
def test_streams_that_are_full_closed_or_narrow_are_no_traceback(
    tmp_path: Path, line: str, code: int | None, out: str, err: str
) -> None:
    """Any stdout, stderr, stdin and locale give at most one sentence."""
    receipt = (
        '{{"type":"receipt_confirmed","id":"1","source":"/s","occurred_at":"2026-07-02T10:00:00Z",'
        '"order_id":"o-ü","by":"{by}"}}\n'
    )
    lines = receipt.format(by="buyer") + receipt.format(by="logistics")
    (tmp_path / "e.jsonl").write_text(lines, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "NETSOLD_READER_PORT": "1"}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(err)
    assert code is None or (done.returncode, done.stdout) == (code, out)
