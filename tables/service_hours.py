"""When a shop has to reply, and within what.

The settings of R1, and local time in a zone with all its changes of clocks.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.times import DAY_MS, HOUR_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS: Final = 60_000
_REMEMBERED: Final = 65_536
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))")

CountPer = Literal["buyer_day", "inquiry"]


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """The settings of R1; ValueError if they can't be.

    `reply_within_ms` are full seconds. `hours` are local wall-clock time in `zone`, from the first
    minute up to but not including the last one, over midnight if the last comes first, and always
    if they are the same.
    """

    reply_within_ms: int = 300_000
    hours: str = "08:00-23:00"
    zone: str = "Asia/Shanghai"
    count_per: CountPer = "buyer_day"
    _ahead: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _opens_ms: int = field(init=False, repr=False, compare=False)
    _closes_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = _HOURS.fullmatch(self.hours)
        if found is None:
            raise ValueError(f"service hours are written like 08:00-23:00, not {self.hours!r}")
        opens_hour, opens_minute, closes_hour, closes_minute = [
            int(text) for text in found.groups() if text is not None
        ]
        object.__setattr__(self, "_opens_ms", (opens_hour * 60 + opens_minute) * _MINUTE_MS)
        object.__setattr__(self, "_closes_ms", (closes_hour * 60 + closes_minute) * _MINUTE_MS)
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"there is no time zone {self.zone!r}: write one like Asia/Shanghai"
            ) from error

    @property
    def terms(self) -> str:
        """All of it in one line: tables made under other terms don't fit."""
        return f"reply within {self.reply_within_ms} ms, {self.hours} {self.zone}, per {self.count_per}"

    def answer(self) -> dict[str, Any]:
        """As every answer states it."""
        return {
            "reply_within_seconds": self.reply_within_ms // 1000,
            "service_hours": self.hours,
            "zone": self.zone,
            "count_per": self.count_per,
        }

    def is_open(self, at_ms: int) -> bool:
        """Whether an instant, in epoch milliseconds, lies in service hours."""
        ahead_ms = self._ahead.get(
            at_ms // HOUR_MS
        )  # as in `_local_ms`: this is asked of every second message
        of_day_ms = (self._local_ms(at_ms) if ahead_ms is None else at_ms + ahead_ms) % DAY_MS
        opens_ms, closes_ms = self._opens_ms, self._closes_ms
        if opens_ms < closes_ms:
            return opens_ms <= of_day_ms < closes_ms
        return of_day_ms >= opens_ms or of_day_ms < closes_ms

    def day_of(self, at_ms: int) -> int:
        """The local day of an instant, as days since 1970-01-01."""
        return self._local_ms(at_ms) // DAY_MS

    def _local_ms(self, at_ms: int) -> int:
        """The wall clock at an instant, as milliseconds since its own 1970-01-01T00:00."""
        hour = at_ms // HOUR_MS
        ahead_ms = self._ahead.get(hour)
        if ahead_ms is None:
            ahead_ms = self._ahead_at(hour * HOUR_MS)
            if ahead_ms != self._ahead_at((hour + 1) * HOUR_MS - 1):  # clocks change within it
                return at_ms + self._ahead_at(at_ms)
            if len(self._ahead) >= _REMEMBERED:
                self._ahead.clear()
            self._ahead[hour] = ahead_ms
        return at_ms + ahead_ms

    def _ahead_at(self, at_ms: int) -> int:
        """How far the wall clock is ahead of UTC at an instant, both in milliseconds."""
        at = _EPOCH + timedelta(milliseconds=at_ms)
        return (at.astimezone(ZoneInfo(self.zone)).utcoffset() or timedelta()) // timedelta(
            milliseconds=1
        )
