"""Time zones from the pinned package `tzdata`, never from files of the machine.

This is the only file of the pure rooms that reads data: that of an installed package, which is the
same on every machine that has this release's dependencies.
"""

import re
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

_NAME: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name such as `Asia/Shanghai`; ValueError if there is none."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a time zone")
    try:
        with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as data:
            return ZoneInfo.from_file(data, key=name)
    except OSError as error:
        raise ValueError(f"tzdata has no time zone {name!r}") from error
