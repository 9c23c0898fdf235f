"""The settings of R1: the time to reply, the service hours, and local time in their time zone.

`terms` names the zone, but not the version of its data: every upgrade of `tzdata` would then need
a rebuild, though nearly none changes the zone in use ([decision 39](
../docs/decisions/0039-pinned-time-zones.md)).
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from schemas.times import DAY_MS, HOUR_MS
from tables.time_zones import zone_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS: Final = 60_000
_CACHED_HOURS: Final = 65_536
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))")

CountPer = Literal["buyer_day", "inquiry"]


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """The settings of R1; ValueError if they are invalid.

    `reply_within_ms` are full seconds. `hours` are local time in `zone`: the first minute is
    included, the last one is not. They cross midnight if the last minute is the earlier one, and
    are the whole day if both are the same.
    """

    reply_within_ms: int = 300_000
    hours: str = "08:00-23:00"
    zone: str = "Asia/Shanghai"
    count_per: CountPer = "buyer_day"
    _offsets: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)
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
            zone_of(self.zone)
        except ValueError as error:
            raise ValueError(
                f"there is no time zone {self.zone!r}: write one like Asia/Shanghai"
            ) from error

    @property
    def terms(self) -> str:
        """The settings in one line; tables made under other terms are not reused."""
        hours = f"{self.hours} {self.zone}"
        return f"reply within {self.reply_within_ms} ms, {hours}, per {self.count_per}"

    def answer(self) -> dict[str, Any]:
        """The settings as each answer states them."""
        return {
            "reply_within_seconds": self.reply_within_ms // 1000,
            "service_hours": self.hours,
            "zone": self.zone,
            "count_per": self.count_per,
        }

    def is_open(self, at_ms: int) -> bool:
        """Whether an instant, in epoch milliseconds, is within service hours."""
        # As in `_local_ms`, without the call: this runs for every second message.
        offset_ms = self._offsets.get(at_ms // HOUR_MS)
        of_day_ms = (self._local_ms(at_ms) if offset_ms is None else at_ms + offset_ms) % DAY_MS
        opens_ms, closes_ms = self._opens_ms, self._closes_ms
        if opens_ms < closes_ms:
            return opens_ms <= of_day_ms < closes_ms
        return of_day_ms >= opens_ms or of_day_ms < closes_ms

    def day_of(self, at_ms: int) -> int:
        """The local day of an instant, as days since 1970-01-01."""
        return self._local_ms(at_ms) // DAY_MS

    def _local_ms(self, at_ms: int) -> int:
        """The local time at an instant, in milliseconds since the local 1970-01-01T00:00."""
        hour = at_ms // HOUR_MS
        offset_ms = self._offsets.get(hour)
        if offset_ms is None:
            offset_ms = self._offset_at(hour * HOUR_MS)
            if offset_ms != self._offset_at((hour + 1) * HOUR_MS - 1):  # clocks change in this hour
                return at_ms + self._offset_at(at_ms)
            if len(self._offsets) >= _CACHED_HOURS:
                self._offsets.clear()
            self._offsets[hour] = offset_ms
        return at_ms + offset_ms

    def _offset_at(self, at_ms: int) -> int:
        """The offset of local time from UTC at an instant, both in milliseconds."""
        at = _EPOCH + timedelta(milliseconds=at_ms)
        return (at.astimezone(zone_of(self.zone)).utcoffset() or timedelta()) // timedelta(
            milliseconds=1
        )
