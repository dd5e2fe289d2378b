"""The page: a customer's quote and a seller's check, without a script and without a request to elsewhere."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from babel.dates import format_date, format_datetime
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from serving import asks, caller, quote_letters, reading, replies
from serving.buyback import Buyback
from serving.desk import Desk
from serving.guard import request_id
from serving.page import forms
from serving.refusal import Refusal
from valuation import money

_HERE = Path(__file__).parent
_FILES = {"style.css": "text/css", "icon.svg": "image/svg+xml"}
LOCALE = "en_GB"


def spelled(amount: replies.Money | asks.Amount) -> str:
    """An amount as people write it: €1,129.00."""
    return money.spelled(money.Money.parse(amount.amount, amount.currency), language=LOCALE)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "money": spelled,
    "day": lambda day: format_date(day, "long", locale=LOCALE),
    "instant": lambda instant: format_datetime(instant, "d MMMM y, HH:mm 'UTC'", locale=LOCALE),
}


def router(desk: Desk, buyback: Buyback) -> APIRouter:
    """The routes of the page."""
    routes = APIRouter()
    for name, kind in _FILES.items():
        routes.add_api_route(f"/{name}", _file(name, kind))
    _add_start(routes, desk, buyback)
    _add_sell(routes, desk, buyback)
    _add_check(routes, desk)
    return routes


def _add_start(routes: APIRouter, desk: Desk, buyback: Buyback) -> None:
    @routes.get("/")
    async def start(request: Request) -> Response:
        try:
            typed = request.query_params.get("q", "")[:100].strip()
            found = desk.search(q=typed, limit=12) if typed else []
        except Refusal as refusal:
            return _sorry(desk, refusal)
        return _page(desk, "start.html", typed=typed, found=found)

    @routes.get("/quotes/{quote_id}")
    async def quote(request: Request, quote_id: str) -> Response:
        try:
            who = caller.of(request)
            found = await buyback.find(quote_id=quote_id, caller=who)
            life = await buyback.life(quote_id=quote_id, caller=who, request_id=request_id(request))
        except Refusal as refusal:
            return _sorry(desk, refusal)
        return _page(desk, "quote.html", quote=found, stands=_stands(life))


def _stands(life: replies.Life) -> str:
    """What became of a quote, in words; nothing of one that is open or expired."""
    amount = spelled(life.amount)
    asks_for = f"offer {amount} instead: that waits for your yes or no."
    if not money.Money.parse(life.amount.amount, life.amount.currency).minor:
        asks_for = "cannot take it as it is: it goes back to you."
    return {
        "ACCEPTED": "You accepted this offer.",
        "REQUOTED": f"We found it otherwise than described, and {asks_for}",
        "PAYABLE": f"{amount} is paid next.",
        "PAID": f"{amount} was paid.",
        "VOIDED": "Nothing comes of this quote any more.",
    }.get(life.status, "")


def _add_sell(routes: APIRouter, desk: Desk, buyback: Buyback) -> None:
    @routes.get("/sell")
    async def ask_questions(request: Request) -> Response:
        given = {"device_id": request.query_params.get("device_id", ""), "key": uuid.uuid4().hex}
        return _form(desk, "sell.html", given)

    @routes.post("/sell")
    async def sell(request: Request) -> Response:
        given = await _given(request)
        try:
            ask = forms.quote_ask(given)
            reply = await buyback.quote(
                ask=ask, key=_key(given), caller=caller.of(request), request_id=request_id(request)
            )
        except (ValidationError, Refusal) as error:
            return _form(desk, "sell.html", given, error)
        return RedirectResponse(f"/quotes/{quote_letters.kept(reply=reply).quote_id}", 303)


def _add_check(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/check")
    async def ask_price(request: Request) -> Response:
        return _form(desk, "check.html", {"device_id": request.query_params.get("device_id", "")})

    @routes.post("/check")
    async def check(request: Request) -> Response:
        given = await _given(request)
        try:
            ask = forms.price_check_ask(given, currency=desk.terms(given.get("market", "")).currency)
            found = desk.check_price(ask=ask, request_id=request_id(request))
        except (ValidationError, Refusal) as error:
            return _form(desk, "check.html", given, error)
        return _page(desk, "checked.html", check=found, price=ask.price, given=given)


def _file(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    content = (_HERE / name).read_bytes()

    async def send() -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "max-age=3600"})

    return send


async def _given(request: Request) -> dict[str, str]:
    """The fields of a form; one that cannot be read is an empty one, and is then told to be."""
    try:
        return reading.read_form(await request.body())
    except Refusal:
        return {}


def _key(given: Mapping[str, str]) -> str:
    """One key for a form sent twice, another as soon as an answer in it changes."""
    return f"page {hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()}"


def _form(
    desk: Desk, template: str, given: Mapping[str, str], error: ValidationError | Refusal | None = None
) -> Response:
    """A form about a device, as it was filled in, and what is wrong with it."""
    try:
        device = desk.device(given.get("device_id", ""))
    except Refusal as refusal:
        return _sorry(desk, refusal)
    wrong = forms.wrong(error) if error else []
    status = error.status if isinstance(error, Refusal) else 422 if error else 200
    return _page(
        desk, template, status, device=device, given=defaultdict(str, given), wrong=wrong, forms=forms
    )


def _sorry(desk: Desk, refusal: Refusal) -> Response:
    near = refusal.more.get("suggestions", [])
    return _page(desk, "sorry.html", refusal.status, refusal.headers, sentence=refusal.detail, near=near)


def _page(
    desk: Desk, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **told: Any
) -> Response:
    incumbent = desk.champion.incumbent
    told |= {
        "simulated": bool(incumbent and incumbent.appraiser.simulated),
        "markets": desk.open_markets(),
    }
    content = _TEMPLATES.get_template(template).render(told)
    return Response(content, status, headers, media_type="text/html")
