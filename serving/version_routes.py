"""The address of versions: which one is answered, and which one is prepared."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.status import VersionsStatus

router = APIRouter()


@router.get("/v1/versions", response_model=VersionsStatus)
async def versions(request: Request) -> Response:
    """The version that this reader answers from, the pointed one, and how far that is prepared.

    Other readers of the same family may answer from another one at the same time; each answer names
    its own in its freshness and in `Netsold-Version`.
    """
    body: VersionsStatus = request.app.state.versions.status()
    return Response(
        body.model_dump_json(), headers={"Cache-Control": "no-cache"}, media_type="application/json"
    )
