"""How far it is, by event time."""

import pytest

from tables.watermarks import Progress, SourceProgress, least


@pytest.mark.parametrize(
    ("watermarks", "expected"),
    [([], None), ([5], 5), ([5, 3], 3), ([5, None], None), ([-5, 0], -5)],
)
def test_the_least_watermark_is_known_only_if_all_are(
    watermarks: list[int | None], expected: int | None
) -> None:
    """One unknown makes the least unknown; 0 and negative times are times like others."""
    assert least(watermarks) == expected


def test_resuming_forgets_the_refusals() -> None:
    """A paused partition goes on from where it stands."""
    assert Progress(9, 50, 1000, {"orders-0": SourceProgress(1, 5)}).resumed() == Progress(
        9, 50, 0, {"orders-0": SourceProgress(1, 5)}
    )
