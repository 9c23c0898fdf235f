"""Watermarks: the least of several, and progress after a pause."""

import pytest

from tables.watermarks import Progress, SourceProgress, least


@pytest.mark.parametrize(
    ("watermarks", "expected"),
    [([], None), ([5], 5), ([5, 3], 3), ([5, None], None), ([-5, 0], -5)],
)
def test_the_least_watermark_is_known_only_if_all_are(
    watermarks: list[int | None], expected: int | None
) -> None:
    """One unknown makes the least unknown; 0 and negative times are valid."""
    assert least(watermarks) == expected


def test_resuming_resets_the_count_of_refusals() -> None:
    """Everything else of a partition's progress stays the same."""
    assert Progress(9, 50, 1000, {"orders-0": SourceProgress(1, 5)}).resumed() == Progress(
        9, 50, 0, {"orders-0": SourceProgress(1, 5)}
    )
