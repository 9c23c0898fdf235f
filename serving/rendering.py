"""Answers about products and shops as JSON, as their forms in schemas/shown_answers.py have it.

The JSON is made from the same fields as the forms, without them: they cost more than the reading.
It is kept until something of the id changes (`serving/kept_answers.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from serving.conditional import Rendered
from serving.kept_answers import KeptAnswer, KeptKey
from serving.same_point import point_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from serving.answers import Answers
    from serving.subjects import Subject


def about(
    answers: Answers, subject: Subject[Any], id_: str, start_ms: int | None
) -> Rendered | None:
    """As `Answers.about`. Raises NothingYet."""
    key = id_.encode()
    if start_ms is None:
        has_begun = answers.progress.of(*subject.tables).earliest_ms is not None
        if not has_begun and not answers.is_known(subject.keyed_by, key):
            return None
        start_ms = answers.current_cycle(*subject.tables)
    answer = _in_cycle(answers, subject, key, start_ms, is_whole=subject.has_all_time)
    if answer is None:
        return None
    freshness = answers.fresh_json(*subject.tables)
    return Rendered(subject.form, answer.content, freshness, etags=answer.etags)


def items(answers: Answers, subject: Subject[Any], ids: Iterable[bytes], start_ms: int) -> str:
    """The JSON of a list of known ids in a cycle, each without what is of all time."""
    found = [_in_cycle(answers, subject, id_, start_ms, is_whole=False) for id_ in ids]
    return f"[{','.join(one.content for one in found if one is not None)}]"


def json_text(fields: object) -> str:
    """The JSON of an answer's fields, or of a part of them."""
    return msgspec.json.encode(fields).decode()


def kept(
    answers: Answers, key: KeptKey, make: Callable[[], dict[str, Any] | None]
) -> KeptAnswer | None:
    """The answer that is kept, or made now of the fields from `make`; None where that gives None.

    Of a product or shop alone: nothing else is known to have changed.
    """
    source = answers.source
    found = source.kept.get(key, source.step)
    if found is None:
        fields = make()
        if fields is None:
            return None
        found = KeptAnswer(json_text(fields), source.step)
        source.kept.put(key, found)
    return found


def _in_cycle(
    answers: Answers, subject: Subject[Any], id_: bytes, start_ms: int, *, is_whole: bool
) -> KeptAnswer | None:
    """The answer about an id in a cycle; None if it is unknown."""
    until_ms = point_of(answers.progress, answers.calendar, start_ms)
    key = KeptKey(subject.keyed_by, id_, start_ms, until_ms, "whole" if is_whole else "in cycle")
    return kept(
        answers,
        key,
        lambda: answers.fields(subject.keyed_by, id_, start_ms, is_whole=is_whole),
    )
