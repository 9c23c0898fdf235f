"""Whether a version keeps up with the log, as one must that is compared or promoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.versions import changing
from operations.versions.changing import VersionBehind
from operations.versions.progress import CATCH_UP_SECONDS
from streams import backlog
from streams.copied import is_copied, left_to_copy

if TYPE_CHECKING:
    from streams.settings import Settings


async def require_keeping_up(of_version: Settings) -> None:
    """Raise VersionBehind unless a version's workers run and keep up with the log.

    And ChangeRefused where its topics are missing, KafkaUnreachable or KafkaError.
    """
    app = of_version.app
    await changing.require_topics(of_version)
    if not await changing.members(of_version):
        raise VersionBehind(
            f"no worker of {app} runs: start one by `netsold worker --version {app}`"
        )
    if is_copied(of_version):
        uncopied = await left_to_copy(of_version, CATCH_UP_SECONDS)
        if uncopied:
            raise VersionBehind(
                f"{uncopied:,} records of the log are not copied for {app}: run "
                f"`netsold rebuild copy {app}`, and see `netsold rebuild status`"
            )
    left = await backlog.left_after(of_version, CATCH_UP_SECONDS)
    if left:
        raise VersionBehind(
            f"{app} is {left:,} records behind what the log had {CATCH_UP_SECONDS:.0f} s ago: "
            "wait, see `netsold rebuild status`"
        )
