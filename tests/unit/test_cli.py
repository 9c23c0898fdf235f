"""The command line as a whole: its output, its exit codes, and a quick start."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from operations import cli
from schemas.columns import RULES
from streams.build import this_build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in a folder without data directory and .env file."""
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "operations.cli", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "COLUMNS": "200", **environment},
    )


def test_commands_are_named_once_and_each_module_has_its_function() -> None:
    """Every listed command and group can be imported."""
    names = [command.name for command in (*cli.COMMANDS, *cli.GROUPS)]
    assert len(names) == len(set(names))
    for command in cli.COMMANDS:
        assert callable(importlib.import_module(command.module).command), command.module
    for group in cli.GROUPS:
        assert importlib.import_module(group.module).app.registered_commands, group.module


def test_help_lists_the_commands_without_loading_any_engine() -> None:
    """`netsold --help` loads neither Faust nor a Kafka client nor a web framework."""
    program = (
        "import sys; from operations import cli; sys.argv = ['netsold', '--help']\n"
        "try: cli.main()\n"
        "finally: print("
        "{'faust', 'aiokafka', 'fastapi', 'duckdb', 'rocksdict'} & set(sys.modules),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "set()"
    assert "kafka" in done.stdout
    assert "topics" in done.stdout


def test_the_build_is_named_by_an_option() -> None:
    """The package's version, and the rules; before a command alone."""
    done = _run("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == f"netsold {this_build()}, rules {RULES}"


def test_a_wrong_argument_is_a_usage_error() -> None:
    """The exit code is 2, with the error on stderr and nothing on stdout."""
    done = _run("topics", "chek")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'chek'" in done.stderr


def test_an_invalid_setting_is_named_by_its_variable() -> None:
    """The exit code is 2; one sentence names the environment variable."""
    done = _run("topics", "check", NETSOLD_PARTITIONS="0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "netsold: settings can't be used:"
        " NETSOLD_PARTITIONS is '0', but must be a whole number from 1 to 1024\n"
    )


def test_without_a_cluster_the_sentence_shows_how_to_get_one(tmp_path: Path) -> None:
    """The exit code is 5; the sentence has where one was looked for, and both ways to get one."""
    done = _run("topics", "check")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        f"netsold: no Kafka is known: none runs in {tmp_path}/data/kafka (NETSOLD_DATA_DIR names"
        " that folder's parent); start one with `netsold kafka start`,"
        " or set NETSOLD_KAFKA__BOOTSTRAP_SERVERS\n"
    )


def test_a_cluster_that_does_not_answer_is_one_sentence() -> None:
    """The exit code is 5, and the client logs no line."""
    done = _run("topics", "check", NETSOLD_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (done.returncode, done.stdout, done.stderr) == (
        5,
        "",
        "netsold: no Kafka answers at 127.0.0.1:1, or it refuses our credentials\n",
    )


def test_status_of_no_kafka_is_one_json_object() -> None:
    """`--json` prints one object on stdout, and the exit code is still 5."""
    done = _run("kafka", "status", "--json")
    assert (done.returncode, done.stderr) == (5, "")
    assert json.loads(done.stdout)["running"] is False


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only errors that a user can repair become a sentence."""
    monkeypatch.setattr(sys, "argv", ["netsold", "kafka", "status"])
    monkeypatch.setattr("operations.commands.kafka._local_kafka", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main()
