"""How far it is, by event time."""

import pytest

from tables.watermarks import Progress, complete_through, least


@pytest.mark.parametrize(("watermarks", "expected"), [([], None), ([5], 5), ([5, 3], 3), ([5, None], None), ([-5, 0], -5)])
def test_the_least_watermark_is_known_only_if_all_are(watermarks: list[int | None], expected: int | None) -> None:
    """One unknown makes the least unknown; 0 and negative times are times like others."""
    assert least(watermarks) == expected


def test_complete_through_needs_every_source_partition() -> None:
    """C2: a partition that hasn't been heard of holds the answer back, whichever stage is asked."""
    assert complete_through([Progress(9, 50), Progress(9, 40)], source_partitions=2) == 40
    assert complete_through([Progress(9, 50)], source_partitions=2) is None
    assert complete_through([Progress(9, 50), Progress()], source_partitions=2) is None
    heard = Progress(9, 40, sources={"orders-0": (1, 50), "orders-1": (1, 40)})
    half = Progress(9, 50, sources={"orders-0": (1, 50)})
    assert complete_through([heard, heard], source_partitions=2) == 40
    assert complete_through([heard, half], source_partitions=2) is None
    assert complete_through([], source_partitions=2) is None


def test_resuming_forgets_the_refusals() -> None:
    """A paused partition goes on from where it stands."""
    assert Progress(9, 50, 1000, {"orders-0": (1, 5)}).resumed() == Progress(9, 50, 0, {"orders-0": (1, 5)})
