"""The stages of a pipeline, made from the catalogue."""

from tables.catalogue import STAGES
from tables.chat_stage import ChatStage
from tables.handovers import ALONE, Speaking
from tables.order_stage import OrderStage
from tables.shop_stage import ShopStage
from tables.summing_stage import SummingStage
from tables.terms import Terms

AnyStage = OrderStage | ChatStage | ShopStage | SummingStage


def stages(
    terms: Terms,
    refusals_in_a_row: int,
    speaking: Speaking = ALONE,
    partitions: int | None = None,
) -> tuple[AnyStage, ...]:
    """The stages of a pipeline, in the order of the flow.

    A stage without a class of its own is a summing stage. `partitions` is the number of partitions
    of each topic; without it nothing is published, and no cycle ended.
    """
    own: tuple[AnyStage, ...] = (
        OrderStage(terms, refusals_in_a_row),
        ChatStage(terms, refusals_in_a_row, speaking),
        ShopStage(terms, refusals_in_a_row, partitions),
    )
    by_spec = {stage.spec: stage for stage in own}
    return tuple(
        by_spec.get(spec) or SummingStage(spec, terms, refusals_in_a_row, partitions)
        for spec in STAGES
    )
