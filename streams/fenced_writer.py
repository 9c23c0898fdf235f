"""What writers have in common of which one process at a time may change something."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from streams import broker_access
from streams.producers import BROKEN, StrictProducer, is_fenced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from schemas.errors import NetsoldError
    from streams.settings import Settings


class FencedWriter:
    """The one process with a transactional id: a newer one fences it.

    What an earlier one left open is ended when this one starts, so what is read after that is
    complete. For one task at a time. `connect` makes the producer.
    """

    in_doubt: ClassVar[type[NetsoldError]]
    """The error of a transaction of which it is not known whether it was committed."""

    fenced: ClassVar[type[NetsoldError] | None] = None
    """The error where another process with the same id has started, if it differs."""

    rival: ClassVar[str]
    """What another process with the same id does, for the error's sentence."""

    remedy: ClassVar[str]
    """What to do then, which ends the sentence."""

    def __init__(
        self,
        settings: Settings,
        transactional_id: str,
        connect: Callable[[Settings, str], StrictProducer],
    ) -> None:
        self._settings = settings
        self._producer = connect(settings, transactional_id)

    async def __aenter__(self) -> Self:
        """Connect, and fence older ones. Raises KafkaUnreachable."""
        try:
            await broker_access.start(self._producer, self._settings)
        except BaseException:
            await self._producer.abandon()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect; an open transaction is aborted by the next start, or by its time-out."""
        await self._producer.abandon()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[StrictProducer]:
        """The producer, for one transaction that the block begins and commits.

        Raises `in_doubt`, or one of `broker_access.WITHOUT_RIGHTS`; then this writer is of no more
        use.
        """
        try:
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000):
                yield self._producer
        except broker_access.WITHOUT_RIGHTS:
            raise
        except BROKEN as error:
            fault = self._producer.fault
            if is_fenced(error) or (fault is not None and is_fenced(fault)):
                raise (self.fenced or self.in_doubt)(f"{self.rival}: {self.remedy}") from error
            why = f"Kafka did not confirm the last transaction ({error!r})"
            raise self.in_doubt(f"{why}: {self.remedy}") from error
