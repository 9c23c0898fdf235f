"""The running build: the commit of a source tree or of the installed package."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from streams.build import Build, checkout_commit, installed_commit, this_build

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "49e37c890e78356a5db70e971cadaed58fd47df1"
OTHER = "f94b8542b0ec613db990026bd17d9a5b1dc07674"


def _git(root: Path, **files: str) -> Path:
    """A folder with files of git, by path with `__` for `/`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("packed_refs", "packed-refs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return root


def test_a_detached_head_names_its_commit(tmp_path: Path) -> None:
    """A CI job checks out a detached head."""
    (tmp_path / ".git").mkdir()
    _git(tmp_path / ".git", HEAD=COMMIT)
    assert checkout_commit(tmp_path) == COMMIT


def test_a_branch_is_a_file_or_a_line_of_packed_refs(tmp_path: Path) -> None:
    """The file is newer than the line."""
    git = _git(
        tmp_path / ".git",
        HEAD="ref: refs/heads/main",
        packed_refs=f"# peeled\n{OTHER} refs/heads/old/main\n{COMMIT} refs/heads/main",
    )
    assert checkout_commit(tmp_path) == COMMIT
    _git(git, refs__heads__main=OTHER)
    assert checkout_commit(tmp_path) == OTHER


def test_a_worktree_shares_branches_with_its_repository(tmp_path: Path) -> None:
    """Its `.git` is a file that names a folder, which names the shared one."""
    _git(tmp_path / "main/.git", refs__heads__topic=COMMIT)
    _git(
        tmp_path / "main/.git/worktrees/tree",
        HEAD="ref: refs/heads/topic",
        commondir="../..",
    )
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text(f"gitdir: {tmp_path}/main/.git/worktrees/tree\n", "utf-8")
    assert checkout_commit(tmp_path / "tree") == COMMIT


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    """The package may be installed there."""
    assert checkout_commit(tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "commit"),
    [
        (None, ""),
        (json.dumps({"url": "file:///src", "dir_info": {"editable": True}}), ""),
        (json.dumps({"url": "https://x/y.git", "vcs_info": {"commit_id": COMMIT}}), COMMIT),
    ],
)
def test_pip_records_the_commit_of_a_repository(text: str | None, commit: str) -> None:
    """It is in `direct_url.json` of a package installed from a repository."""
    package = SimpleNamespace(read_text=lambda _: text)
    assert installed_commit(cast("Any", package)) == commit
    assert installed_commit(None) == ""


def test_a_build_is_short_in_a_mark() -> None:
    """It is the version and the first characters of the commit, if they are known."""
    assert str(Build("0.1.0", COMMIT)) == "0.1.0+49e37c890e78"
    assert str(Build("0.1.0", "")) == "0.1.0"
    assert str(Build("", "")) == ""


def test_this_process_knows_its_version() -> None:
    """The tests run an installed package."""
    assert this_build().version
    assert this_build() is this_build()
