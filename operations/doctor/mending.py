"""What `netsold doctor --mend` changes: it aborts hanging transactions and puts offsets back.

Both only while no worker runs: the group must be empty.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from operations.output import print_error
from schemas.errors import NetsoldError
from schemas.wording import name_list, with_count
from streams import hanging
from streams.lane_offsets import put_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from operations.doctor.evidence import Evidence
    from operations.doctor.transactions import HangingTransaction
    from streams.lane_offsets import LaneOffsets

POLL_SECONDS: Final = 0.5
LEAVE_SECONDS: Final = 5.0
"""How much longer than its session a stopped worker may be a member."""


class PlanChanged(NetsoldError):
    """What there is to mend is no longer what was shown."""

    exit_code = 3


class StillMembers(NetsoldError):
    """The group has members; only without them may offsets and transactions be changed."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be changed: transactions to abort, and lanes to commit the right offset of."""

    aborts: Sequence[HangingTransaction]
    offsets: Sequence[tuple[LaneOffsets, int]]

    def __bool__(self) -> bool:
        """Whether anything would be changed."""
        return bool(self.aborts or self.offsets)

    def lines(self) -> list[str]:
        """A line for each change."""
        return [
            *(
                f"abort {part.name} of {one.transactional_id or f'producer {one.producer_id}'}"
                for one in self.aborts
                for part in one.parts
            ),
            *(
                f"commit {lane.name}: {'none' if lane.committed is None else lane.committed}"
                f" → {offset}"
                for lane, offset in self.offsets
            ),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """The same with stable names."""
        return [
            *(
                {
                    "change": "abort",
                    "partition": f"{part.topic}-{part.partition}",
                    "start_offset": part.start,
                    "producer_id": part.producer_id,
                    "transactional_id": one.transactional_id,
                }
                for one in self.aborts
                for part in one.parts
            ),
            *(
                {
                    "change": "commit",
                    "partition": lane.name,
                    "committed": lane.committed,
                    "offset": offset,
                }
                for lane, offset in self.offsets
            ),
        ]


async def plan(evidence: Evidence) -> Plan:
    """What can be mended now. Raises what an observation raises."""
    aborts = [one for one in await evidence.hanging() if one.why_kept is None]
    app = evidence.settings.app
    wrong = [
        lane
        for lane in await evidence.lanes()
        if not lane.moving and lane.why_refused(app) is not None
    ]
    rights = [(lane, lane.right_offset(app)) for lane in wrong]
    return Plan(aborts, [(lane, offset) for lane, offset in rights if offset is not None])


async def until_empty(evidence: Evidence, report: Callable[[str], None]) -> None:
    """Wait until the group is empty: a stopped worker is a member until its session ends.

    Raises StillMembers.
    """
    settings = evidence.settings
    deadline = time.monotonic() + settings.session_timeout_ms / 1000 + LEAVE_SECONDS
    waiting = False
    while True:
        evidence.forget()
        group = (await evidence.observation()).group
        if group is not None and not group.members:
            return
        names = [] if group is None else [member.name for member in group.members]
        what = f"group {settings.app} has {with_count('member', names)}: {name_list(names)}"
        if time.monotonic() > deadline:
            raise StillMembers(
                f"{what}: stop all workers, and run `netsold doctor --mend` again; nothing was "
                "changed"
            )
        if not waiting:
            report(f"netsold: {what}; waiting for their sessions to end")
            waiting = True
        await asyncio.sleep(POLL_SECONDS)


async def carry_out(evidence: Evidence, shown: Plan, report: Callable[[str], None]) -> None:
    """Make the changes of a plan that was shown; `report` gets a line after each.

    A second run continues after an interruption. Raises StillMembers or GroupInUse where a worker
    has started meanwhile, PlanChanged, StateUnfit, and KafkaError.
    """
    await until_empty(evidence, print_error)
    now = await plan(evidence)
    if now.rows() != shown.rows():
        raise PlanChanged(
            "what there is to mend has changed meanwhile, so nothing was changed: run "
            "`netsold doctor --mend` again"
        )
    client = await evidence.client()
    for one in now.aborts:
        for part in one.parts:
            await hanging.abort(client, part)
            report(f"aborted {part.name}")
    if now.offsets:
        offsets = {lane.at: offset for lane, offset in now.offsets}
        await put_back(evidence.settings, offsets)
        report(f"committed the offsets of {with_count('partition', list(offsets))}")
    evidence.forget()
