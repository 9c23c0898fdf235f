"""The smallest FastAPI routes that serve the rows of PostgreSQL or Redis as JSON.

`python -m bench.row_server URL PORT`, in the benches' own environment.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-not-found]  # it is in an environment of its own
import uvicorn
from fastapi import FastAPI, HTTPException, Response
from redis.asyncio import Redis  # type: ignore[import-not-found]  # as above

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = "application/json"


def postgres_app(url: str) -> FastAPI:
    """Routes over PostgreSQL, with a pool of connections."""
    pools = []

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url) as pool:
            pools.append(pool)
            yield

    app = FastAPI(lifespan=connected)

    @app.get("/products/{id_}")
    async def product(id_: str) -> Response:
        row = await pools[0].fetchval("SELECT row FROM products WHERE id = $1", id_)
        if row is None:
            raise HTTPException(404)
        return Response(row, media_type=JSON)

    @app.get("/top")
    async def top() -> Response:
        rows = await pools[0].fetch("SELECT row FROM products ORDER BY units DESC, id LIMIT 10")
        return Response(f"[{','.join(row['row'] for row in rows)}]", media_type=JSON)

    return app


def redis_app(url: str) -> FastAPI:
    """Routes over Redis."""
    app = FastAPI()
    client = Redis.from_url(url)

    @app.get("/products/{id_}")
    async def product(id_: str) -> Response:
        row = await client.get(id_)
        if row is None:
            raise HTTPException(404)
        return Response(row, media_type=JSON)

    @app.get("/top")
    async def top() -> Response:
        rows = await client.mget(await client.zrevrange("top", 0, 9))
        return Response(b"[" + b",".join(rows) + b"]", media_type=JSON)

    return app


def main(url: str, port: str) -> None:
    """Serve until ended."""
    app = (redis_app if url.startswith("redis:") else postgres_app)(url)
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
