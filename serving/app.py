"""The application: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving import api, page, replies
from serving.champion import Champion
from serving.controls import ControlsFile
from serving.desk import Desk
from serving.guard import Guard, request_id
from serving.quotes import Quotes
from serving.refusal import Refusal
from serving.settings import Settings


def create_app(
    *, settings: Settings, champion: Champion, quotes: Quotes, now: Callable[[], datetime]
) -> FastAPI:
    """Put the house together; `now` gives the instant in UTC. The quotes are closed with the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(champion.look)
        watching = asyncio.create_task(
            champion.watch(every_seconds=settings.champion_every_seconds, today=lambda: now().date())
        )
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        quotes.close()

    app = FastAPI(
        title="Reprise",
        description="Resale prices and buyback offers for refurbished electronics, explained to the cent.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    desk = Desk(
        champion=champion,
        quotes=quotes,
        controls=ControlsFile(settings.controls),
        exploration_seed=settings.exploration_seed,
        now=now,
    )
    app.include_router(api.router(desk))
    app.include_router(page.router(desk), include_in_schema=False)
    app.add_middleware(Guard, hosts=settings.allowed_hosts, entries=api.ENTRIES | page.ENTRIES)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _refused)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Add the shapes of problems to /openapi.json: FastAPI itself knows only those of application/json."""
    _, described = models_json_schema(
        [(replies.Problem, "serialization"), (replies.UnknownDevice, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    app.openapi()["components"]["schemas"] |= described["$defs"]


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the types: see add_exception_handler
    return api.malformed(error).response(request_id=request_id(request))


async def _refused(request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals, such as 404 and 405, into problems; they keep their headers."""
    assert isinstance(error, HTTPException)  # noqa: S101 - the same
    words = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    detail = words.get(error.status_code, "The request cannot be answered.")
    refusal = Refusal(error.status_code, "http", detail, headers=error.headers)
    return refusal.response(request_id=request_id(request))
