"""Commands that read topics: from the version that the pointer names, or from a named one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from operations.versions.pointed import version_of
from serving.pointer import Pointing, pointing
from streams import topics
from streams.versions import NoSuchVersion
from tests.two_versions import AT, WEEK_DAYS, point, register, weekly_settings

if TYPE_CHECKING:
    from streams.settings import Settings


async def test_commands_and_readers_follow_the_same_pointer(settings: Settings) -> None:
    """Before the first rebuild there is the base alone, also without the topic of versions."""
    weekly = weekly_settings(settings)
    assert await version_of(settings, None) is settings
    assert await pointing(settings) == Pointing(settings.app, {settings.app: settings})
    await topics.create(settings)
    await register(settings)
    assert (await version_of(settings, None)).app == settings.app
    assert (await version_of(settings, "r1")).rules.values.cycle_days == WEEK_DAYS
    await point(settings, weekly, settings)
    found = await version_of(settings, None)
    assert (found.app, found.rules.values.cycle_days) == (weekly.app, WEEK_DAYS)
    assert found.topic("sales") == f"{settings.topic_prefix}{settings.app}.r1.sales"
    assert (await version_of(settings, settings.app)).app == settings.app
    with pytest.raises(NoSuchVersion, match="no version r9 is registered"):
        await version_of(settings, "r9")
    where = await pointing(settings)
    assert (where.pointed, where.since, where.former) == (weekly.app, AT, settings.app)
    assert list(where.versions) == [settings.app, weekly.app]
