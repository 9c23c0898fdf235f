"""The address of the stream of server-sent events."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse

from schemas import http_limits
from schemas.tokens import Scope
from serving.channels import CHANNELS, Channel, channel_of, tables_of
from serving.event_ids import PARAMETER, Resumed, resumed
from serving.parameters import MayBeEmpty
from serving.problems import Kind, ProblemRaised
from serving.progress import SALES_JOURNAL
from serving.requests import MIN_POSITION_WAIT_S, unapplied
from serving.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from serving.access import Access
    from serving.hub import Hub
    from serving.progress import ReaderProgress
    from serving.reader import Reader

router = APIRouter(prefix="/v1")

Products = Annotated[list[str], Query(description="Ids of products: their newest answers.")]
Shops = Annotated[list[str], Query(description="Ids of shops: their newest answers.")]
Tops = Annotated[
    list[str],
    Query(description="Lists of the best, such as products:units: their first pages."),
]
Overdue = Annotated[
    list[str],
    Query(description="Overdue inquiries: of a shop, or of all without a value."),
    MayBeEmpty(),
]
Marketplace = Annotated[
    list[str], Query(description="The sums of the marketplace; without a value."), MayBeEmpty()
]
EntriesOf = Annotated[
    list[str], Query(description="Ids of products: each new entry of their journals, once.")
]
LastEventId = Annotated[
    str | None, Query(description="As the header Last-Event-ID, for clients that can't set it.")
]
LastEventIdHeader = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event received.")
]
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx would keep events back
}
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events until either side ends the stream.",
        "content": {"text/event-stream": {}},  # OpenAPI 3.1 has no schema of single events
    }
}


async def _opened(  # noqa: PLR0913, PLR0917 - FastAPI's form
    request: Request,
    product: Products = [],  # noqa: B006 - FastAPI copies it
    shop: Shops = [],  # noqa: B006
    top: Tops = [],  # noqa: B006
    overdue: Overdue = [],  # noqa: B006
    marketplace: Marketplace = [],  # noqa: B006
    entries: EntriesOf = [],  # noqa: B006
    last_event_id: LastEventId = None,
    last_event_id_header: LastEventIdHeader = None,
) -> AsyncIterator[Stream]:
    """The request's stream, open until its answer ends or the client is disconnected."""
    given = {
        "product": product,
        "shop": shop,
        "top": top,
        "overdue": overdue,
        "marketplace": marketplace,
        "entries": entries,
    }
    scope: Scope = request.state.scope
    channels = [
        channel_of(name, value, scope) for name, values in given.items() for value in values
    ]
    _require_some(channels)
    hub: Hub = request.app.state.hub
    reader: Reader = request.app.state.versions.answering
    access: Access = request.app.state.access
    id_ = last_event_id or last_event_id_header
    with access.streams.one_more(request.state.client), hub.one_more():
        # a browser never opens a stream again that was refused; a reader that starts is soon ready
        await reader.until_progress(attrgetter("complete"), MIN_POSITION_WAIT_S)
        reader.answers()  # raises NotReady
        before = resumed(reader, id_) if id_ else None
        if before is not None:
            await _reached(reader, channels, before)
        sent = {} if before is None else before.journal
        authorization = request.headers.get("Authorization", "")

        def may_go_on() -> bool:
            return access.still_admits(authorization, scope)

        with hub.stream(channels, sent, may_go_on) as stream:
            yield stream


@router.get("/stream", response_class=Response, responses=_EVENTS)
async def stream(opened: Annotated[Stream, Depends(_opened)]) -> Response:
    """Server-sent events of what changes: first the newest state of each subject, then each change.

    An event has the name of its subject's kind. Its data has `subject` (the parameter's value) and
    `answer`, what the subject's own address answers now, its first page if it is a list; null, with
    `freshness` beside it, where that is a 404. It is whole each time: a list's page comes again
    when one of its items has changed. States between two events may be left out: the last
    one is what the tables have. `entry` events have `entry`, a line of a product's journal: each
    one, once, in the order of its partition. Without a `Last-Event-ID` they begin behind what the
    first states contain, so that they add up. `freshness` comes at most once a second while the
    tables move, and at once when its state changes.

    Event ids are positions of the log: a client that was away resumes by its last one at any reader
    of this application, which waits until it has what the client has. They name the version, too.
    When the reader goes over to another version it ends the stream, and whoever resumes by an id of
    a former version begins anew, as without one.
    """
    return EventSourceResponse(opened.chunks(), headers=_HEADERS)


async def _reached(reader: Reader, channels: Sequence[Channel], before: Resumed) -> None:
    """Wait until the tables contain what the client has. Raises ProblemRaised."""
    names = tables_of(channels)

    def contains(progress: ReaderProgress) -> bool:
        return progress.complete and not _missing(progress, names, before)

    if not await reader.until_progress(contains, MIN_POSITION_WAIT_S):
        missing = _missing(reader.answers().progress, names, before)
        raise ProblemRaised(
            Kind.NOT_APPLIED,
            f"waited {MIN_POSITION_WAIT_S:g} s for what {PARAMETER} names: {', '.join(missing)}",
        )


def _missing(progress: ReaderProgress, names: tuple[str, ...], before: Resumed) -> list[str]:
    """What the tables don't contain of the client's positions."""
    sources = unapplied(progress.of(*names).applied, before.sources)
    journal = progress.partitions[SALES_JOURNAL]
    return sources + [
        f"the journal's partition {number} until {offset} (at {journal[number].offset})"
        for number, offset in before.journal.items()
        if journal[number].offset < offset
    ]


def _require_some(channels: Sequence[Channel]) -> None:
    count = len(set(channels))
    if not count:
        names = ", ".join(CHANNELS)
        raise ProblemRaised(
            Kind.INVALID_REQUEST, f"the stream has no subject: name at least one by {names}"
        )
    if count > http_limits.STREAM_SUBJECTS:
        raise ProblemRaised(
            Kind.INVALID_REQUEST,
            f"the stream has {count} subjects; {http_limits.STREAM_SUBJECTS} are the most: open"
            " another stream for the rest",
        )
