"""Lists by growth where the journal is ahead of the table that they are listed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from schemas import times
from serving.api import make_app
from tests.served_story import TICK_MS, events_of, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reading import FedReader

SOLD = """== a product that nobody bought before
2026-07-10T20:00Z  placed    n-1  1:p-9:50x1000 shop=s-9
2026-07-11T00:10Z  received  n-1
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story."""
    with served(tmp_path, monkeypatch) as one:
        yield one


@pytest.mark.parametrize(("of", "id_"), [("product", "p-9"), ("shop", "s-9")])
def test_a_list_by_growth_is_incomplete_while_its_table_is_behind(
    reader: FedReader, of: str, id_: str
) -> None:
    """What the table doesn't list yet is not among the best, and the answer states that."""
    client = TestClient(make_app(reader), raise_server_exceptions=False)

    def grown() -> tuple[list[str], bool, str]:
        answer: dict[str, Any] = client.get(f"/v1/top/{of}s?by=growth").json()
        ids = [one[f"{of}_id"] for one in answer["items"]]
        return ids, answer["complete"], answer["compared_until"]

    before = grown()
    assert before == (before[0], True, "2026-07-11T00:00:00Z")
    assert id_ not in before[0]
    reader.logs.take(events_of(SOLD, ""))
    reader.logs.tick(TICK_MS + times.HOUR_MS)
    reader.feed(
        only=[at for at in reader.logs.changelogs if at[0] == reader.logs.topics["journal"]]
    )
    assert grown() == (before[0], False, "2026-07-11T01:00:00Z")
    reader.feed()
    ids, *rest = grown()
    assert (ids[0], rest) == (id_, [True, "2026-07-11T01:00:00Z"])


def test_an_empty_list_by_growth_has_its_point_too(reader: FedReader) -> None:
    """Other lists have none; a past cycle is compared until its end."""
    client = TestClient(make_app(reader), raise_server_exceptions=False)
    past = client.get("/v1/top/shops?by=growth&cycle=2026-05-10T00:00:00Z").json()
    assert (past["items"], past["complete"]) == ([], True)
    assert past["compared_until"] == past["cycle"]["end"]
    for query in ("top/shops", "top/products?by=reversal-rate"):
        assert client.get(f"/v1/{query}").json()["compared_until"] is None
