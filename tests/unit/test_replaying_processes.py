"""The processes of a replay: how they end where there is no room, or nobody who listens."""

from __future__ import annotations

import errno
import multiprocessing
import signal
from typing import TYPE_CHECKING

import pytest

from operations.failures import explained
from operations.replaying import processes

if TYPE_CHECKING:
    from operations.replaying.work import Report

FULL = "IO error: No space left on device: While appending to file: data/000012.log"


@pytest.mark.parametrize("error", [Exception(FULL), OSError(errno.ENOSPC, "x", "data/rows")])
def test_a_full_disk_is_the_sentence_of_one_process(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever process meets it: what it sends is explained as what this one raises."""
    ours, theirs = multiprocessing.Pipe()

    async def without_room(*_: object) -> None:
        raise error

    monkeypatch.setattr(processes, "carry_out", without_room)
    ours.send((None, None))
    processes._carry_out_all(theirs)
    received = ours.recv()
    assert explained(received) == explained(error)
    assert "No space left on device" in str(explained(received))


@pytest.mark.parametrize("reports", [True, False])
def test_a_process_ends_with_its_starter(*, reports: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reports, and with its result: it has an exit code, and no traceback."""
    ours, theirs = multiprocessing.Pipe()

    async def at_work(_work: object, _task: object, report: Report) -> None:
        ours.close()
        if reports:
            report(1)

    monkeypatch.setattr(processes, "carry_out", at_work)
    monkeypatch.setattr(processes, "quiet", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ours.send((None, None))
    with pytest.raises(SystemExit) as ended:
        processes._serve(theirs)
    assert ended.value.code == 1
