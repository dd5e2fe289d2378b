"""The application: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving import api, expiry, page, replies
from serving.admission import Admission
from serving.archive import Archive
from serving.buyback import Buyback
from serving.champion import Champion
from serving.controls import ControlsFile
from serving.desk import Desk
from serving.entries import Entries
from serving.guard import Guard, request_id
from serving.keys import Keys
from serving.limits import Limits
from serving.memory import Memory
from serving.office import Office
from serving.quotes import Quotes
from serving.refusal import Refusal, malformed
from serving.settings import Settings
from serving.steps import Steps
from serving.stored import Stored


def create_app(
    *,
    settings: Settings,
    champion: Champion,
    quotes: Quotes,
    now: Callable[[], datetime],
    office: Office | None = None,
) -> FastAPI:
    """Put the house together; `now` gives the instant in UTC. The quotes are closed with the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(champion.look)
        watching = [
            asyncio.create_task(
                champion.watch(every_seconds=settings.champion_every_seconds, today=lambda: now().date())
            ),
            asyncio.create_task(expiry.watch(quotes=quotes, now=now)),
        ]
        yield
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await asyncio.to_thread(quotes.close)

    app = FastAPI(
        title="Reprise",
        description="Resale prices and buyback offers for refurbished electronics, explained to the cent.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # see tracing.py
    )
    _add_routes(app, settings, champion, quotes, now, office)
    app.state.admission = Admission(most=settings.most_inside)
    app.add_middleware(Guard, admission=app.state.admission, **_guarded(settings, now))
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _refused)
    _describe_problems(app)
    return app


def _add_routes(
    app: FastAPI,
    settings: Settings,
    champion: Champion,
    quotes: Quotes,
    now: Callable[[], datetime],
    office: Office | None,
) -> None:
    desk = Desk(champion=champion, now=now)
    stored = Stored(quotes=quotes, pepper=settings.pepper())
    buyback = Buyback(
        desk=desk,
        stored=stored,
        controls=ControlsFile(settings.controls),
        memory=Memory(),
        exploration_seed=settings.seed(),
        stale_stops=settings.stale_stops,
    )
    steps = Steps(stored=stored, archive=Archive(champion=champion), now=now)
    api.add(app.router, desk, buyback, steps, office)
    app.include_router(page.router(desk, buyback), include_in_schema=False)


def _guarded(settings: Settings, now: Callable[[], datetime]) -> dict[str, Any]:
    return {
        "hosts": settings.allowed_hosts,
        "origins": settings.origins,
        "anonymous": settings.anonymous,
        "entries": Entries(),
        "keys": Keys(settings.keys, now),
        "limits": Limits(
            reads=settings.reads,
            writes=settings.writes,
            devices=settings.devices,
            free=settings.unlimited,
            now=now,
        ),
    }


def _describe_problems(app: FastAPI) -> None:
    """Add the shapes of problems to /openapi.json: FastAPI itself knows only those of application/json."""
    known = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, described = models_json_schema(
                [(replies.Problem, "serialization"), (replies.UnknownDevice, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            known()["components"]["schemas"] |= described["$defs"]
        return known()

    app.openapi = whole  # type: ignore[method-assign] # as FastAPI's own documentation extends it


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the types: see add_exception_handler
    return malformed(error).response(request_id=request_id(request))


async def _refused(request: Request, error: Exception) -> Response:
    """Turn a refusal of the framework's own into a problem; it keeps its headers."""
    assert isinstance(error, HTTPException)  # noqa: S101 - the same
    detail = "The request cannot be answered."
    refusal = Refusal(error.status_code, "http", detail, headers=error.headers)
    return refusal.response(request_id=request_id(request))
