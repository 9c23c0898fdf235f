"""The catalogue: topics, stages and tables, and their keys."""

import pytest

from docs import lists
from tables import catalogue
from tables.stages import stages
from tables.terms import Terms

PRODUCT_TABLES = {"product_cycles", "product_totals", "product_service_cycles"}
SHOP_TABLES = {
    "shop_cycles",
    "shop_totals",
    "shop_service_cycles",
    "shop_service_totals",
    "shop_buyers",
}


def test_the_public_names_of_the_flow() -> None:
    """Sources, targets and tables of each stage; these names are public, so they stay.

    There may be more than these.
    """
    stages_ = {stage.name: stage for stage in catalogue.STAGES}
    for name, source, sends, emits, tables in (
        ("order", "orders", {"sales", "shop-activity"}, (), {"orders"}),
        ("chat", "chats", {"shop-activity"}, ("alerts",), {"chats", "reply_timers", "overdue"}),
        ("product", "sales", set(), (), PRODUCT_TABLES),
        ("shop", "shop-activity", set(), (), SHOP_TABLES),
    ):
        stage = stages_[name]
        assert (stage.source, stage.emits) == (source, emits)
        assert sends <= set(stage.sends)
        assert tables <= {table.name for table in stage.tables}
    assert [stage.spec for stage in stages(Terms(), 1)] == list(catalogue.STAGES)


def test_the_topics_of_events_that_reach_a_stage() -> None:
    """They reach it directly or through other stages.

    A complete table has progress of all of them.
    """
    expected = {
        "order": ("orders",),
        "chat": ("chats",),
        "product": ("orders",),
        "shop": ("orders", "chats"),
    }
    assert {name: catalogue.event_topics(name) for name in expected} == expected


def test_no_two_pairs_share_a_conversation() -> None:
    """Ids may contain slashes.

    Two pairs can then share the topic's key, but never the table's key.
    """
    assert catalogue.conversation_key("s/1", "b") != catalogue.conversation_key("s", "1/b")
    assert catalogue.split_conversation_key(catalogue.conversation_key("s/1", "b@2")) == (
        "s/1",
        "b@2",
    )


@pytest.mark.parametrize("subject", ["p-3", "p@3", "@", "顺丰", "p-3@-5"])
@pytest.mark.parametrize("start_ms", [0, 1_780_704_000_000, -2_592_000_000])
def test_keys_of_cycles_can_be_split(subject: str, start_ms: int) -> None:
    """An id may contain the separator itself."""
    key = catalogue.cycle_key(subject.encode(), start_ms)
    assert key == f"{subject}@{start_ms}".encode()
    assert catalogue.split_cycle_key(key) == (subject, start_ms)


def test_pages_show_the_flow_of_the_catalogue() -> None:
    """A page with a marked block for the picture has the picture that `make docs` makes."""
    for page in lists.FLOW_PAGES:
        text = page.read_text(encoding="utf-8")
        assert lists.with_flow(text) == text
    assert lists.with_flow("a\n<!-- flow -->\nold\n<!-- /flow -->\nb\n") == (
        f"a\n<!-- flow -->\n{lists.flow()}<!-- /flow -->\nb\n"
    )


def test_the_picture_has_every_topic_stage_and_table() -> None:
    """Each public topic, stage and table of the catalogue is named in the picture of the flow."""
    picture = lists.flow()
    for topic in catalogue.PUBLIC_TOPICS:
        assert f"([{topic.name}" in picture
    for stage in catalogue.STAGES:
        assert f"[{stage.name} stage<br/>{'<br/>'.join(t.name for t in stage.tables)}]" in picture
