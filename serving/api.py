"""The API: HTTP to the desk and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from serving import asks, caller, examples, letters, replies
from serving.buyback import Buyback
from serving.caller import Caller
from serving.desk import Desk
from serving.guard import request_id
from serving.office import Office
from serving.refusal import Refusal
from serving.steps import Steps

_ANYWHERE = (400, 401, 403, 408, 414, 422, 429, 431, 503)  # of the guard and the connection
_WHY = {
    400: "Not a request that can be read",
    401: "A key is needed, or the one that was sent does not hold",
    403: "The key is not for this address",
    404: "Unknown",
    408: "Too slow",
    409: "Cannot be answered now",
    413: "Too large",
    414: "The query is too long",
    415: "Not application/json",
    422: "Malformed",
    429: "Too much was asked: see Retry-After",
    431: "The head is too large",
    503: "Not at the moment: see Retry-After",
}


def _problems(*statuses: int, unknown: type[BaseModel] = replies.Problem) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides its good reply, for /openapi.json."""
    schema = {"$ref": "#/components/schemas/Problem"}
    near = {"$ref": f"#/components/schemas/{unknown.__name__}"}
    return {
        status: {
            "description": _WHY[status],
            "content": {"application/problem+json": {"schema": near if status == 404 else schema}},
        }
        for status in sorted({*_ANYWHERE, *statuses})
    }


def _json(reply: BaseModel | bytes, status: int = 200) -> Response:
    content = reply if isinstance(reply, bytes) else reply.model_dump_json().encode()
    return Response(content, status, media_type="application/json")


Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="Fresh for each quote that is wanted; the same key gives the same quote again.",
        openapi_examples={"fresh": {"value": "5f0c2a4e-6a3c-4f5e-9a57-0b7d6f1c2e88"}},
    ),
]
Search = Annotated[str, Query(max_length=100)]
DeviceId = Annotated[asks.DeviceId, Path(openapi_examples={"iPhone 13": {"value": examples.DEVICE_ID}})]
QuoteId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def add(routes: APIRouter, desk: Desk, buyback: Buyback, steps: Steps, office: Office | None) -> None:
    """Add the routes of /v1 and of the operators: to the application's own, for one included is matched twice."""
    _add_health(routes, desk)
    _add_champion(routes, desk, office)
    _add_devices(routes, desk)
    _add_quotes(routes, desk, buyback)
    _add_steps(routes, steps)
    _add_values(routes, desk)
    _add_comparables(routes, desk)


def _add_health(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/livez", response_model=replies.Health, responses=_problems())
    async def livez() -> Response:
        """Say that the server runs."""
        return _json(replies.Health(status="alive"))

    @routes.get("/readyz", response_model=replies.Health, responses=_problems(503))
    async def readyz(request: Request) -> Response:
        """Say whether to send requests here: an appraiser is in office, and the server is not about to end."""
        _ = desk.incumbent
        if getattr(request.app.state, "draining", False):
            raise Refusal(503, "draining", "This server is about to end.", headers={"Retry-After": "1"})
        return _json(replies.Health(status="ready"))


def _add_champion(routes: APIRouter, desk: Desk, office: Office | None) -> None:
    @routes.get("/v1/models/champion", response_model=replies.Champion, responses=_problems(503))
    async def champion(request: Request) -> Response:
        """Introduce the appraiser in office: what it learned from and how it was judged."""
        incumbent = desk.incumbent
        return _json(
            replies.Champion(
                as_of=desk.today,
                request_id=request_id(request),
                model=letters.model(incumbent),
                digest=incumbent.appraiser.digest,
                simulated=incumbent.appraiser.simulated,
                card=incumbent.appraiser.card,
            )
        )

    @routes.post("/v1/models/champion/look", response_model=replies.Look, responses=_problems(409))
    async def look(request: Request) -> Response:
        """Ask the registry for its champion now, also for one that was refused before."""
        if office is None:
            detail = "This server has several workers: send SIGHUP to the process above them."
            raise Refusal(409, "workers", detail)
        found = await office.look_now()
        return _json(replies.Look(as_of=desk.today, request_id=request_id(request), **vars(found)))


def _add_devices(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/v1/markets", response_model=replies.Markets, responses=_problems())
    async def list_markets(request: Request) -> Response:
        """List the markets that can be quoted today."""
        listed = [letters.market(terms) for terms in desk.open_markets()]
        return _json(replies.Markets(as_of=desk.today, request_id=request_id(request), markets=listed))

    @routes.get("/v1/devices", response_model=replies.Devices, responses=_problems(422, 503))
    async def list_devices(
        request: Request,
        q: Search = "",
        brand: Search = "",
        category: asks.Category | None = None,
        limit: Annotated[int, Query(ge=1, le=100), asks.Written] = 20,
    ) -> Response:
        """Find devices by name, however it is spelled."""
        found = desk.search(q=q, brand=brand, category=category, limit=limit)
        listed = [letters.device(variant) for variant in found]
        return _json(replies.Devices(as_of=desk.today, request_id=request_id(request), devices=listed))

    @routes.get(
        "/v1/devices/{device_id}",
        response_model=replies.DeviceFound,
        responses=_problems(404, 422, 503, unknown=replies.UnknownDevice),
    )
    async def get_device(request: Request, device_id: DeviceId) -> Response:
        """Get one device."""
        return _json(
            replies.DeviceFound(
                as_of=desk.today,
                request_id=request_id(request),
                device=letters.device(desk.device(device_id)),
                attributes=sorted(desk.incumbent.appraiser.attributes),
            )
        )


def _add_quotes(routes: APIRouter, desk: Desk, buyback: Buyback) -> None:
    @routes.get(
        "/v1/buyback/questions",
        response_model=replies.Questions,
        responses=_problems(404, 409, 422, 503, unknown=replies.UnknownDevice),
    )
    async def list_questions(request: Request, ask: Annotated[asks.QuestionsAsk, Query()]) -> Response:
        """Say what to ask about a device, which answers there are, and whether the customer can see each."""
        return _json(desk.questions(ask=ask, request_id=request_id(request)))

    @routes.post(
        "/v1/buyback/quotes",
        status_code=201,
        response_model=replies.Quote,
        responses=_problems(404, 409, 413, 415, 422, 503, unknown=replies.UnknownDevice),
    )
    async def give_quote(
        request: Request,
        key: Key,
        ask: Annotated[asks.QuoteAsk, Body(openapi_examples=examples.QUOTES)],
    ) -> Response:
        """Give a firm quote for a device, and keep it."""
        given = await buyback.quote(
            ask=ask, key=key, caller=caller.of(request), request_id=request_id(request)
        )
        return _json(given, 201)

    @routes.get(
        "/v1/buyback/quotes/{quote_id}",
        response_model=replies.Quote,
        responses=_problems(404, 422, 503),
    )
    async def get_quote(request: Request, quote_id: QuoteId) -> Response:
        """Read a quote as it was given; `status` and `expired` say where it stands now."""
        return _json(await buyback.find(quote_id=quote_id, caller=caller.of(request)))

    @routes.get(
        "/v1/buyback/quotes/{quote_id}/events",
        response_model=replies.Life,
        responses=_problems(404, 422, 503),
    )
    async def list_events(request: Request, quote_id: QuoteId) -> Response:
        """Say where a quote stands, and what happened to it so far."""
        found = await buyback.life(
            quote_id=quote_id, caller=caller.of(request), request_id=request_id(request)
        )
        return _json(found)


@dataclass(frozen=True)
class _Asked:
    """Whose step of which quote it is, and under which key: what all steps are told."""

    quote_id: str
    key: str
    caller: Caller
    request_id: str


def _asked(request: Request, quote_id: QuoteId, key: Key) -> _Asked:
    return _Asked(quote_id, key, caller.of(request), request_id(request))


Asked = Annotated[_Asked, Depends(_asked)]


def _add_steps(routes: APIRouter, steps: Steps) -> None:
    def post(step: str) -> Callable[[Any], Any]:
        path = f"/v1/buyback/quotes/{{quote_id}}/{step}"
        return routes.post(
            path, response_model=replies.Life, responses=_problems(404, 409, 413, 415, 422, 503)
        )

    @post("accept")
    async def accept(
        asked: Asked, ask: Annotated[asks.AcceptAsk, Body(openapi_examples=examples.ACCEPTANCES)]
    ) -> Response:
        """Accept the amount that stands: the offer, while it is valid, or a re-quote."""
        return _json(await steps.accept(ask=ask, **vars(asked)))

    @post("inspection")
    async def inspect(
        asked: Asked, ask: Annotated[asks.InspectionAsk, Body(openapi_examples=examples.INSPECTIONS)]
    ) -> Response:
        """Tell what was found. A higher price is paid; a lower one waits for its owner's yes, never given for him."""
        return _json(await steps.inspect(ask=ask, **vars(asked)))

    @post("payment")
    async def pay(
        asked: Asked, ask: Annotated[asks.PaymentAsk, Body(openapi_examples=examples.ACCEPTANCES)]
    ) -> Response:
        """Tell that the amount that stands was paid."""
        return _json(await steps.pay(ask=ask, **vars(asked)))

    @post("void")
    async def void(
        asked: Asked, ask: Annotated[asks.VoidAsk, Body(openapi_examples=examples.VOIDS)]
    ) -> Response:
        """Tell why nothing comes of a quote: withdrawn, declined, or what an operator has to say."""
        return _json(await steps.void(ask=ask, **vars(asked)))


def _add_values(routes: APIRouter, desk: Desk) -> None:
    @routes.post(
        "/v1/valuations",
        response_model=replies.Valuations,
        responses=_problems(404, 409, 413, 415, 422, 503, unknown=replies.UnknownDevice),
    )
    async def valuate(
        request: Request, ask: Annotated[asks.ValuationsAsk, Body(openapi_examples=examples.VALUATIONS)]
    ) -> Response:
        """Value up to 1,000 devices at every grade; nothing is kept."""
        return _json(await desk.valuate(ask=ask, request_id=request_id(request)))

    @routes.post(
        "/v1/sellers/price-checks",
        response_model=replies.PriceCheck,
        responses=_problems(404, 409, 413, 415, 422, 503, unknown=replies.UnknownDevice),
    )
    async def check_price(
        request: Request, ask: Annotated[asks.PriceCheckAsk, Body(openapi_examples=examples.PRICE_CHECKS)]
    ) -> Response:
        """Say how a seller's price compares, what to ask, and below which price the sale loses money."""
        return _json(desk.check_price(ask=ask, request_id=request_id(request)))


def _add_comparables(routes: APIRouter, desk: Desk) -> None:
    @routes.get(
        "/v1/comparables",
        response_model=replies.Comparables,
        responses=_problems(404, 409, 422, 503, unknown=replies.UnknownDevice),
    )
    async def list_comparables(request: Request, ask: Annotated[asks.ComparablesAsk, Query()]) -> Response:
        """Show the nearest past sales of a device, what differs in money, and its value in 30, 60 and 90 days."""
        return _json(await desk.comparables(ask=ask, request_id=request_id(request)))
