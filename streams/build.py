"""Which build of netsold runs: the package's version, and the commit where it is known.

Marks and new stores record it, and a worker logs it first. It is information: state of another
build is accepted, as far as rules and settings are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import msgspec

PACKAGE: Final = "netsold"
COMMIT_CHARS: Final = 12
"""Characters of a commit's name in marks: enough to find it in any repository."""


@dataclass(frozen=True, slots=True)
class Build:
    """A build; `version` or `commit` is empty where it is unknown."""

    version: str
    commit: str

    def __str__(self) -> str:
        """As in a mark: `0.1.0+49e37c8f9e0a`, or the version alone."""
        return "+".join(filter(None, (self.version, self.commit[:COMMIT_CHARS])))


@cache
def this_build() -> Build:
    """The build of this process, read once."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        package = None
    root = Path(__file__).parent.parent
    version = "" if package is None else package.version
    return Build(version, checkout_commit(root) or installed_commit(package))


def checkout_commit(root: Path) -> str:
    """The commit that is checked out in a source tree, empty if `root` is none.

    Reads git's files: a worktree's `.git` names its folder, and a branch is a file or a line of
    `packed-refs`.
    """
    folder = root / ".git"
    if folder.is_file():
        folder = root / _text(folder).removeprefix("gitdir:").strip()
    head = _text(folder / "HEAD")
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    shared = folder / (_text(folder / "commondir") or ".")
    lines = _text(shared / "packed-refs").splitlines()
    packed = next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
    return _text(folder / name) or _text(shared / name) or packed


def installed_commit(package: Distribution | None) -> str:
    """The commit that pip installed a package from (PEP 610), empty if it was no repository."""
    text = None if package is None else package.read_text("direct_url.json")
    if not text:
        return ""
    source = msgspec.json.decode(text).get("vcs_info", {})
    return str(source.get("commit_id", ""))


def _text(path: Path) -> str:
    """A small file's text, empty where it can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
