"""docs/on-call.md and the symptoms of docs/runbook.md, run on a real system with traffic.

What happens between their commands, such as a fault, is a method of `Morning`. To write their
outputs anew: `pytest tests/integration/test_on_call.py --write-pages`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from operations.versions.changing import members
from schemas.times import format_ms
from streams.backlog import left_after
from streams.versions import read_versions
from tests import pages
from tests.faults.administration import forget_group
from tests.hanging import leave_hanging
from tests.marketplace import WAIT_S, WORKERS, Marketplace
from tests.wrong_rule import doubled_price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings
    from tests.pages import Action, Span

pytestmark = pytest.mark.kafka

DOCS = Path(__file__).parents[2] / "docs"
ON_CALL, RUNBOOK = DOCS / "on-call.md", DOCS / "runbook.md"
MESSAGES = "Messages, A to Z"
"""The heading behind the last symptom of the runbook."""

MINUTE_MS = 60_000
LONG_SESSION_MS = 45_000
MANY = 100
"""Records behind that are too many in a command of the runbook."""
Event = dict[str, Any]


class Story:
    """The events of one seller's orders, in the minutes before now, or before a later instant."""

    def __init__(self, name: str = "honey", minutes_from_now: int = 0) -> None:
        self.name = name
        self._now_ms = int(time.time() * 1000) + minutes_from_now * MINUTE_MS
        self._count = 0

    def event(
        self, name: str, order: int, minutes_ago: int, source: str, **fields: object
    ) -> Event:
        """One event of the order of this number."""
        self._count += 1
        return {
            "type": name,
            "id": f"e-{self.name}-{self._count}",
            "source": source,
            "occurred_at": format_ms(self._now_ms - minutes_ago * MINUTE_MS),
            "order_id": f"o-{self.name}-{order}",
            **fields,
        }

    def placed(
        self, order: int, quantity: int, product: str = "p-honey", minutes_ago: int = 90
    ) -> Event:
        """An order of jars of honey, or of another product."""
        line = {
            "line_id": "1", "product_id": product, "quantity": quantity, "unit_price": 4500,
        }  # fmt: skip
        return self.event(
            "order_placed", order, minutes_ago, "/shops/honey/till",
            shop_id="s-honey", buyer_id=f"b-{order}", currency="CNY", lines=[line],
        )  # fmt: skip

    def received(self, order: int) -> Event:
        """The parcel arrived."""
        return self.event("receipt_confirmed", order, 40 - order, "/logistics/yt", by="logistics")

    def message(self, buyer: int) -> Event:
        """A buyer writes to the shop."""
        event = self.event(
            "buyer_messaged", 0, 0, "/chats",
            message_id=f"m-{buyer}", shop_id="s-honey", buyer_id=f"b-{buyer}",
        )  # fmt: skip
        return {name: value for name, value in event.items() if name != "order_id"}

    def refund(self, name: str, order: int, minutes_ago: int, **fields: object) -> Event:
        """Something happens to the order's only refund."""
        return self.event(
            name, order, minutes_ago, "/payments", refund_id=f"rf-{self.name}-{order}", **fields
        )


class Morning(Marketplace):
    """The marketplace with what happens to it: the actions that pages name."""

    def honey(self) -> None:
        """Six orders: two count, one was refunded, one is under way, two receipts are misplaced."""
        story = Story()
        self.write(
            [
                *(story.placed(order, n) for order, n in enumerate((3, 1, 2, 1, 1, 2), 1)),
                *(story.received(order) for order in (1, 2, 6)),
                story.event("order_paid", 3, 80, "/payments", amount=9000),
                story.event("order_shipped", 3, 70, "/shops/honey/till", parcel_id="x-honey-3"),
                story.refund("refund_succeeded", 2, 20, reason="quality"),
                story.refund("refund_requested", 6, 19, reason="quality"),
                story.refund("refund_failed", 6, 9, cause="bank"),
            ]
        )
        self.write([story.received(order) for order in (4, 5)], key=b"s-honey")
        self.until_applied()
        self.until(self.has_dead_letters, "dead letters")
        written_s = time.time()
        self.until(lambda: int(time.time()) > written_s, "next second")

    def sold(self, product: str, units: str) -> None:
        """Wait until everything is applied; so many units are sold."""
        self.until_applied()
        assert self.answer(f"/v1/products/{product}")["successfully_traded"] == int(units)

    def stop_workers(self) -> None:
        """All workers, for long enough that the group is empty and the reader has seen it."""
        self.end_group()

    def lose_offsets(self) -> None:
        """The group's offsets are deleted."""
        asyncio.run(forget_group(self.settings))

    def hang_transaction(self) -> None:
        """A transaction is left open in a partition; the events behind it wait."""
        orders = self.settings.topic("orders")
        asyncio.run(leave_hanging(self.settings, "lost-by-the-broker", orders, 1, b"{}"))
        self.until(lambda: max(self.behind(), default=0) > MANY // 5, "records behind")

    def caught_up(self) -> None:
        """Wait until all workers run and everything is applied."""
        self.start_workers()
        self.until_live()
        self.until_applied()
        self.until(lambda: bool(self.as_of()), "event time of all partitions")

    def archived(self, name: str) -> None:
        """The traffic ends, everything is applied, and a file has all events."""
        self.stop_traffic()
        self.until_applied()
        self.archive(self.directory / name)

    def freeze_worker(self) -> None:
        """One worker is frozen, and events wait for it: its session takes longer than the page."""
        self.workers.stop_one(self.workers.all["b"])
        self.workers.start("b", SESSION_TIMEOUT_MS=str(LONG_SESSION_MS))
        self.caught_up()
        self.workers.all["b"].signal(signal.SIGSTOP)
        story, product = Story("busy"), "p-busy"
        self.write(story.placed(order, 1, product) for order in range(1, 4 * MANY))
        self.until(lambda: min(self.behind(), default=0) > MANY, f"{MANY} records behind")

    def wake_worker(self) -> None:
        """It continues, and is restarted with the session of the others."""
        self.workers.all["b"].signal(signal.SIGCONT)
        self.until_applied()
        self.workers.stop_one(self.workers.all["b"])
        self.caught_up()

    def poison(self) -> None:
        """A source writes what is no JSON."""
        self.write_bytes(b"o-poison", [b"?"] * 3)
        self.until_applied()

    def late_refund(self) -> None:
        """An order of an ended cycle comes in late, and is refunded today."""
        days = 25 * 24 * 60
        story = Story("late")
        self.write(
            [
                story.placed(0, 1, minutes_ago=days),
                story.event("receipt_confirmed", 0, days, "/logistics/yt", by="logistics"),
                story.refund("refund_succeeded", 0, 1, reason="quality"),
            ]
        )
        self.until_applied()

    def wrong_clock(self) -> None:
        """A source's clock is two hours ahead: orders and messages, in every partition."""
        story, product = Story("ahead", minutes_from_now=120), "p-ahead"
        self.write(story.placed(order, 1, product) for order in range(1, 9))
        self.write(story.message(buyer) for buyer in range(1, 9))
        self.until(lambda: self.as_of() > format_ms(int(time.time() * 1000)), "as_of in the future")

    def fill_disk(self) -> None:
        """Worker b gets the data directory `small`, on a disk without room."""
        self.workers.stop_one(self.workers.all["b"])
        small = self.directory / "small"
        small.mkdir()
        options = ["-t", "tmpfs", "-o", "size=1m"]
        mounted = subprocess.run(["mount", *options, "tmpfs", str(small)], check=False)
        if mounted.returncode:
            self.caught_up()
            pytest.skip("only root may mount a small disk")
        self.undo.callback(subprocess.run, ["umount", str(small)], check=True)
        with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty_disk(self) -> None:
        """It has room again."""
        (self.directory / "small" / "filler").unlink()

    def deploy_wrong_rule(self) -> None:
        """Both workers run a build that doubles the price of honey; two more jars are sold."""
        for name in WORKERS:
            self.workers.stop_one(self.workers.all[name])
            self.workers.start(name, patch=doubled_price("p-honey"))
        self.start_traffic()
        self.caught_up()
        story = Story("later")
        self.write([story.placed(order, 1, minutes_ago=60) for order in (1, 2)])
        self.write([story.received(order) for order in (1, 2)])
        self.until_applied()

    def run_rebuild(self) -> None:
        """A worker of the rebuild; it has counted the log."""
        self.workers.command("r1", "worker", "--version", "r1", "--name", "r1")
        left = asyncio.run(left_after(self._settings_of("r1"), WAIT_S))
        assert left == 0, self.workers.tail()

    def _settings_of(self, version: str) -> Settings:
        versions = asyncio.run(read_versions(self.settings))
        return versions.settings_of(version, self.settings)

    def answered(self, version: str) -> None:
        """Wait until the reader answers from a version."""
        self.until(lambda: self.answer("/v1/versions").get("answered") == version, version)

    def stop_former(self) -> None:
        """The workers of the former version are stopped, and their sessions have ended."""
        for name in WORKERS:
            self.workers.stop_one(self.workers.all[name])
        self._until_empty("netsold")

    def _until_empty(self, version: str) -> None:
        settings = self._settings_of(version)
        self.until(lambda: not asyncio.run(members(settings)), "group without members")

    def as_before(self) -> None:
        """The first version is answered again, by the right build, and the rebuild is dropped."""
        self.command("rebuild", "rollback", "--yes")
        self.answered("netsold")
        self.workers.stop_one(self.workers.all["r1"])
        self._until_empty("r1")
        self.command("rebuild", "drop", "r1", "--yes")
        self.caught_up()

    def act(self, action: Action) -> None:
        """Let happen what a page names."""
        getattr(self, action.name.replace("-", "_"))(*action.arguments)


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    """The running system, with the seller's orders in its tables."""
    with Morning(tmp_path_factory.mktemp("on-call")) as system:
        system.caught_up()
        system.honey()
        yield system


@pytest.fixture
def written(request: pytest.FixtureRequest) -> bool:
    """Whether pages get the fresh output."""
    return bool(request.config.getoption("--write-pages"))


def check(morning: Morning, path: Path, span: Span | None, *, written: bool) -> None:
    """Run a page, or a span of it; it shows what its commands print."""
    page = path.read_text(encoding="utf-8")
    outputs = pages.run(pages.parts(page, span), morning.act, morning.execute)
    wrong = [
        line
        for script, output in outputs
        for line in pages.differences(script, output, of_codes_alone=written)
    ]
    assert not wrong, "\n".join(wrong)
    if written:
        path.write_text(pages.rewritten(page, outputs), encoding="utf-8")


def test_the_morning_on_call_is_as_its_page_shows(morning: Morning, *, written: bool) -> None:
    """Numbers, a refund, dead letters, offsets, a transaction, and an equal recount at the end."""
    check(morning, ON_CALL, None, written=written)


def symptoms() -> list[str]:
    """The headings of the runbook's symptoms, and the empty one for what is before them."""
    headings = list(pages.sections(RUNBOOK.read_text(encoding="utf-8")))
    return headings[: headings.index(MESSAGES)]


@pytest.mark.parametrize("symptom", symptoms())
def test_commands_of_a_symptom_print_what_the_runbook_shows(
    morning: Morning, symptom: str, *, written: bool
) -> None:
    """In a system that has the symptom, with traffic."""
    morning.start_traffic()
    span = pages.sections(RUNBOOK.read_text(encoding="utf-8"))[symptom]
    check(morning, RUNBOOK, span, written=written)
