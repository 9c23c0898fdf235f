"""The addresses of dead letters: counts for all, samples for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from schemas import limits
from schemas.positions import Position
from schemas.tokens import Scope
from serving.api import make_app
from serving.problems import Kind
from streams.errors import KafkaUnreachable
from streams.parked import Parked
from tests.access import by, guarded_settings
from tests.served_story import served
from tests.unit.test_api import problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reading import FedReader

COUNTS = "/v1/dead-letters"
SAMPLES = "/v1/dead-letters/samples?topic=orders&reason=not_json"
SECRET = b'{"type": "order_paid", "name": "Ann", "amount": 12, "order_id": "o-1"}'


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader with three dead letters, the second of which is decided about."""
    with served(tmp_path, monkeypatch) as one:
        group = Parked("orders", "not_json", 3, 0, 1000, 3000, discarded=1)
        values = [SECRET, b"{}", b"[" + b" " * limits.RECENT_LETTER_BYTES]
        for number, value in enumerate(values, 1):
            headers = [
                ("__streams.errors.topic", b"orders"),
                ("x-dlq-reason", b"not_json"),
                ("__streams.errors.message", b"no JSON"),
                ("x-dlq-id", f"orders-0@{number}".encode()),
                ("trace", b"0123"),
            ]
            one.logs.clock_ms = 1000 * number
            one.logs.send("dead-letters", b"o-1", value, headers, 1)
            at = "dead-letters", 1
            if number != 2:
                group.recent.append(Position(*at, len(one.logs.logs[at]) - 1))
        one.watch.letters.parked, one.watch.letters.uncounted = [group], None
        yield one


def test_counts_are_for_all_and_samples_for_operators(reader: FedReader, tmp_path: Path) -> None:
    """The smaller scope is refused by a sentence."""
    reader.settings = guarded_settings(tmp_path / "guarded")
    client = TestClient(make_app(reader))
    counts = client.get(COUNTS, headers=by(Scope.READ)).json()
    assert counts["uncounted"] is None
    (one,) = counts["items"]
    assert [one[name] for name in ("reason", "count", "open", "discarded")] == ["not_json", 3, 2, 1]
    problem(client.get(SAMPLES, headers=by(Scope.READ)), 403, Kind.SCOPE_TOO_SMALL)
    assert client.get(SAMPLES, headers=by(Scope.OPERATE)).status_code == 200


def test_samples_are_masked_and_bounded(reader: FedReader) -> None:
    """The newest first; what identifies an event is readable, a long value is its length."""
    client = TestClient(make_app(reader))
    newest, oldest = client.get(SAMPLES).json()["items"]
    assert (newest["of"], oldest["of"]) == ("orders-0@3", "orders-0@1")
    assert newest["value"] == f"<{limits.RECENT_LETTER_BYTES + 1:,} bytes>"
    assert oldest["value"] == {
        "type": "order_paid",
        "name": "<3 characters>",
        "amount": "<integer>",
        "order_id": "o-1",
    }
    assert oldest["headers"] == [["trace", "<4 bytes>"]]
    assert (oldest["detail"], oldest["parked_at"]) == ("no JSON", "1970-01-01T00:00:01.000Z")
    none = client.get("/v1/dead-letters/samples?topic=chats&reason=not_json")
    assert none.json() == {"items": []}


def test_letters_that_are_gone_are_left_out(reader: FedReader) -> None:
    """And where Kafka gives none, a sentence says so."""
    client = TestClient(make_app(reader))
    last = reader.watch.letters.parked[0].recent[-1].offset
    log = reader.index.log
    log.deleted["dead-letters", 1] = last  # type: ignore[attr-defined]  # of tests/reading
    (one,) = client.get(SAMPLES).json()["items"]
    assert one["id"] == f"dead-letters-1@{last}"

    async def away(*_: object) -> None:
        raise KafkaUnreachable("no broker answers")

    log.read = away  # type: ignore[method-assign, assignment]
    found = problem(client.get(SAMPLES), 503, Kind.LOG_AWAY)
    assert found.detail == "the dead letters can't be read: no broker answers"
