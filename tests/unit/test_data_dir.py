"""Files of the data directory are whole or absent after a power cut.

A torn file is set aside.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from operations.local.data_dir import DataDirUnusable, read_whole, usable, write_whole
from operations.local.processes import Known

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

WORTH = b'{"worker-1":[7,1.5]}'


@pytest.fixture
def sentences() -> list[str]:
    """The sentences that are reported."""
    return []


def test_a_file_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is synced, then renamed, then the name is synced with its folder."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(file: int) -> None:
        done.append(
            f"sync {Path(f'/proc/self/fd/{file}').readlink().name}"
            if Path("/proc/self/fd").exists()
            else "sync"
        )
        fsync(file)

    def renamed(path: Path, to: Path) -> Path:
        done.append("rename")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_whole(tmp_path / "state.json", WORTH)
    assert [step.split()[0] for step in done] == ["sync", "rename", "sync"]
    assert (tmp_path / "state.json").read_bytes() == WORTH
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_full_disk_leaves_the_former_file(
    tmp_path: Path, full_disk: Callable[[], AbstractContextManager[None]]
) -> None:
    """A write that fails doesn't touch the existing file."""
    path = tmp_path / "state.json"
    path.write_bytes(b"{}")
    with full_disk(), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_whole(path, WORTH)
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        *(WORTH[:length] for length in range(1, len(WORTH), 5)),
        b"\0" * 20,
        b"null",
        b"[1]",
        b'{"a":7}',
        b"\xff",
    ],
)
def test_a_torn_file_is_set_aside_with_a_sentence(
    tmp_path: Path, sentences: list[str], torn: bytes
) -> None:
    """It is kept under another name and reported once.

    The next reading finds no file.
    """
    path = tmp_path / "children.json"
    path.write_bytes(torn)
    assert read_whole(path, dict[str, Known], sentences.append) is None
    assert (tmp_path / "children.json.unreadable").read_bytes() == torn
    assert len(sentences) == 1
    assert sentences[0].startswith(f"{path} can't be read (")
    assert sentences[0].endswith(
        "); it is set aside as children.json.unreadable, and work continues without it"
    )
    assert read_whole(path, dict[str, Known], sentences.append) is None
    assert len(sentences) == 1


def test_a_whole_file_is_read(tmp_path: Path, sentences: list[str]) -> None:
    """The value is the one written, and nothing is reported."""
    write_whole(tmp_path / "children.json", WORTH)
    assert read_whole(tmp_path / "children.json", dict[str, Known], sentences.append) == {
        "worker-1": Known(7, 1.5)
    }
    assert sentences == []


def test_a_data_directory_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """It names the path, the system's reason and the setting."""
    (tmp_path / "data").touch()
    with (
        pytest.raises(
            DataDirUnusable, match=r"data can't be used \(.+\): make room or .*NETSOLD_DATA_DIR"
        ),
        usable(tmp_path / "data"),
    ):
        (tmp_path / "data").mkdir()
    with pytest.raises(DataDirUnusable, match=os.strerror(errno.ENOTDIR)):
        read_whole(tmp_path / "data" / "state.json", dict[str, Known], print)
