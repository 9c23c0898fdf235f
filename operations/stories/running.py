"""Examples of a rules file, run by its terms: through the workers' stages, and by the recount."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from operations.recounting import recount_by
from operations.stories.flow import Flow
from operations.stories.outcomes import differences, sold
from operations.stories.parsing import parse
from schemas.errors import NetsoldError
from schemas.times import parse_ms

if TYPE_CHECKING:
    from operations.stories.parsing import Story
    from streams.rules import Example, Rules


class ExampleUnusable(NetsoldError):
    """An example can't be read as a story."""

    exit_code = 2


class Ran(NamedTuple):
    """An example, and how what the tables show differs from what it expects; empty if it doesn't.

    `by_recount` are the differences of the recount, where it differs otherwise.
    """

    title: str
    differences: list[str]
    by_recount: list[str]


def run_all(rules: Rules) -> list[Ran]:
    """All examples of a rules file. Raises ExampleUnusable."""
    stories = [story_of(example) for example in rules.examples]
    return [_ran(story, rules) for story in stories]


def story_of(example: Example) -> Story:
    """The story of an example. Raises ExampleUnusable."""
    try:
        (story,) = parse(f"== {example.title}\n{example.story}")
        for event in story.events:
            parse_ms(event["occurred_at"])
        if story.as_of:
            parse_ms(story.as_of)
    except (ValueError, IndexError, KeyError) as error:
        why = str(error) or repr(error)
        raise ExampleUnusable(
            f"the example {example.title!r} is no story: {why}; docs/rules-file.md shows how one is"
            " written"
        ) from error
    if story.has_rules:
        raise ExampleUnusable(
            f"the example {example.title!r} has a line `rules`: its terms are those of the file"
        )
    return story


def _ran(story: Story, rules: Rules) -> Ran:
    flow = Flow(rules.terms).take(story.events)
    if flow.parked:
        raise ExampleUnusable(
            f"the example {story.title!r} has an event that is refused: {flow.parked[0]}"
        )
    if story.as_of:
        flow.tick(parse_ms(story.as_of))
    found = differences(story, rules.terms, flow.tables)
    as_of_ms = parse_ms(story.as_of) if story.as_of else None
    counted = sold(recount_by(rules.values, story.events, as_of_ms=as_of_ms)).differences(story)
    return Ran(story.title, found, [one for one in counted if one not in found])
