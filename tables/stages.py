"""The stages of a pipeline, as one list."""

from tables.chat_stage import ChatStage
from tables.cycles import Calendar
from tables.order_stage import OrderStage
from tables.product_stage import ProductStage
from tables.service_hours import ServiceRules
from tables.shop_stage import ShopStage

AnyStage = OrderStage | ChatStage | ProductStage | ShopStage


def stages(
    calendar: Calendar, rules: ServiceRules, refusals_in_a_row: int
) -> tuple[OrderStage, ChatStage, ProductStage, ShopStage]:
    """The stages of a pipeline, in the order of the flow."""
    return (
        OrderStage(calendar, refusals_in_a_row),
        ChatStage(calendar, rules, refusals_in_a_row),
        ProductStage(calendar, refusals_in_a_row),
        ShopStage(calendar, refusals_in_a_row),
    )
