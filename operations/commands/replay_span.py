"""From where and up to where `netsold replay --dry-run` folds, as its options say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from schemas import times
from schemas.positions import position_of
from streams import log
from tables.catalogue import EVENT_TOPICS, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.replaying.work import Work
    from streams.settings import Settings

From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="T|POSITION",
        help="Fold only events written from then on (ISO 8601 with zone), or those of a partition"
        " from a position such as orders-3@1841. What was before then shows as lost.",
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="T|POSITION",
        help="Fold only events of orders written before then, or those of a partition before a"
        " position. What is compared are the sums of products, by the journal's rows up to there."
        " Not together with --rules.",
    ),
]


async def narrowed(settings: Settings, work: Work, start: str | None, end: str | None) -> Work:
    """The work between `--from` and `--to`. Raises typer.BadParameter."""
    if start is not None:
        names = [settings.topic(topic) for topic in EVENT_TOPICS]
        work = replace(work, starts=await _offsets(settings, names, start, "--from"))
    if end is None:
        return work
    orders = [settings.topic(ORDERS_TOPIC)]
    _, highs = await log.bounds(settings, orders)
    ends = {f"{topic}-{number}": offset for (topic, number), offset in highs.items()}
    ends |= await _offsets(settings, orders, end, "--to")
    if all(offset <= work.starts.get(source, 0) for source, offset in ends.items()):
        raise typer.BadParameter(f"no event lies before {end!r} in this span", param_hint="--to")
    return replace(work, ends=ends)


async def _offsets(
    settings: Settings, names: Iterable[str], text: str, option: str
) -> dict[str, int]:
    """The first offset from then on, by source partition. Raises typer.BadParameter."""
    try:
        position = position_of(text)
    except ValueError:
        position = None
    if position is not None:
        if position.topic not in names:
            raise typer.BadParameter(
                f"{text!r} is in none of the topics {', '.join(names)}", param_hint=option
            )
        if position.partition >= settings.partitions:
            raise typer.BadParameter(
                f"there is no partition {position.topic}-{position.partition}: the last one is"
                f" {position.topic}-{settings.partitions - 1}",
                param_hint=option,
            )
        return {f"{position.topic}-{position.partition}": position.offset}
    try:
        at_ms = times.parse_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint=option) from error
    found = await log.offsets_at(settings, names, at_ms)
    return {f"{topic}-{number}": offset for (topic, number), offset in found.items()}
