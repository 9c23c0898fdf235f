"""The stages of a pipeline, made from the catalogue."""

from tables.catalogue import STAGES
from tables.chat_stage import ChatStage
from tables.cycles import Calendar
from tables.handovers import ALONE, Speaking
from tables.order_stage import OrderStage
from tables.service_hours import ServiceRules
from tables.shop_stage import ShopStage
from tables.summing_stage import SummingStage

AnyStage = OrderStage | ChatStage | ShopStage | SummingStage


def stages(
    calendar: Calendar,
    rules: ServiceRules,
    refusals_in_a_row: int,
    speaking: Speaking = ALONE,
    partitions: int | None = None,
) -> tuple[AnyStage, ...]:
    """The stages of a pipeline, in the order of the flow.

    A stage without a class of its own is a summing stage. `partitions` is the number of partitions
    of each topic; without it nothing is published, and no cycle ended.
    """
    own: tuple[AnyStage, ...] = (
        OrderStage(calendar, refusals_in_a_row),
        ChatStage(calendar, rules, refusals_in_a_row, speaking),
        ShopStage(calendar, refusals_in_a_row, partitions),
    )
    by_spec = {stage.spec: stage for stage in own}
    return tuple(
        by_spec.get(spec) or SummingStage(spec, calendar, refusals_in_a_row, partitions)
        for spec in STAGES
    )
