"""The list of stages and tables, and their keys."""

import pytest

from tables import catalogue
from tables.cycles import Calendar
from tables.stages import stages


def test_the_names_that_the_flow_goes_by() -> None:
    """What feeds what, and under which names; these are public."""
    assert {stage.name: (stage.source, stage.sends, [table.name for table in stage.tables]) for stage in catalogue.STAGES} == {
        "order": ("orders", ("sales", "shop-activity"), ["orders"]),
        "product": ("sales", (), ["product_cycles", "product_totals"]),
        "shop": ("shop-activity", (), ["shop_cycles", "shop_totals"]),
    }
    assert [stage.stage for stage in stages(Calendar(1), 1)] == list(catalogue.STAGES)


@pytest.mark.parametrize("subject", ["p-3", "p@3", "@", "顺丰", "p-3@-5"])
@pytest.mark.parametrize("start_ms", [0, 1_780_704_000_000, -2_592_000_000])
def test_keys_of_cycles_come_back(subject: str, start_ms: int) -> None:
    """An id may hold the separator itself."""
    key = catalogue.cycle_key(subject.encode(), start_ms)
    assert key == f"{subject}@{start_ms}".encode()
    assert catalogue.split_cycle_key(key) == (subject, start_ms)
