"""Whether a version keeps up with the log, as one must that is compared or promoted."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from operations.output import print_error
from operations.versions import changing
from operations.versions.changing import VersionBehind
from operations.versions.progress import CATCH_UP_SECONDS, LINE_EVERY_S
from operations.waiting import answer
from streams import backlog
from streams.copied import is_copied, left_to_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


class Shown:
    """Shows, every ten seconds, what a version lacks while a command waits for it."""

    def __init__(self, app: str, report: Callable[[str], None] = print_error) -> None:
        self._app, self._report = app, report
        self._shown_s = time.monotonic()
        self._answers = 0

    def waiting(self, what: str, left: int) -> None:
        """So many records are left."""
        self._answers += 1
        now_s = time.monotonic()
        if now_s - self._shown_s >= LINE_EVERY_S:
            self._shown_s = now_s
            self._report(f"netsold: waits for {self._app}: {left:,} records are not {what}")

    def pending(self) -> tuple[object, str]:
        """As `answer` needs it: Kafka has answered with each call of `waiting`."""
        return self._answers, "no answer yet"


def wait_until_it_keeps_up(of_version: Settings) -> None:
    """Wait for a version, with a line every ten seconds. Raises as `require_keeping_up`."""
    shown = Shown(of_version.app)
    answer(of_version, require_keeping_up(of_version, shown.waiting), shown.pending)


async def require_keeping_up(of_version: Settings, waiting: Callable[[str, int], None]) -> None:
    """Raise VersionBehind unless a version's workers run and keep up with the log.

    `waiting` gets what it lacks meanwhile, and how many records that are. Raises
    ChangeRefused where its topics are missing, KafkaUnreachable or KafkaError.
    """
    app = of_version.app
    await changing.require_topics(of_version)
    if not await changing.members(of_version):
        raise VersionBehind(
            f"no worker of {app} runs: start one by `netsold worker --version {app}`"
        )
    if is_copied(of_version):
        uncopied = await left_to_copy(of_version, CATCH_UP_SECONDS, partial(waiting, "copied"))
        if uncopied:
            raise VersionBehind(
                f"{uncopied:,} records of the log are not copied for {app}: run "
                f"`netsold rebuild copy {app}`, and see `netsold rebuild status`"
            )
    left = await backlog.left_after(of_version, CATCH_UP_SECONDS, partial(waiting, "counted"))
    if left:
        raise VersionBehind(
            f"{app} is {left:,} records behind what the log had {CATCH_UP_SECONDS:.0f} s ago: "
            "wait, see `netsold rebuild status`"
        )
