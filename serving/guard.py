"""The door: what a request must be before anything parses it, and what every answer carries."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import limits, metrics, reading
from serving.admission import Admission
from serving.caller import Caller
from serving.connection import MOST_HEAD_BYTES, head_too_large
from serving.entries import JSON, Entries, Entry
from serving.keys import Keys
from serving.limits import Limits
from serving.refusal import Refusal

MOST_QUERY_BYTES = 2048
BODY_SECONDS = 10.0
PORT = re.compile(":[0-9]*$")
ONCE = ("authorization", "content-length", "content-type", "host", "idempotency-key")

HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

log = structlog.get_logger("serving")


def request_id(request: Request) -> str:
    """The id that the guard gave to this request."""
    return str(request.state.request_id)


class Guard:
    """ASGI middleware around the whole application: checks in, headers, a measure and a log line out.

    `hosts` are the names under which the server may be asked; `origins` the sites whose scripts may ask it, without
    credentials of a browser; `anonymous` the scopes of callers without a key. Whatever goes wrong further in is
    logged and answered without a word about its inside.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        entries: Entries,
        keys: Keys,
        limits: Limits,
        admission: Admission,
        anonymous: Collection[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        self.app, self.hosts, self.entries, self.keys = app, frozenset(hosts), entries, keys
        self.limits, self.admission = limits, admission
        self.anonymous = Caller(scopes=frozenset(anonymous))
        self.door: ASGIApp = self._enter
        if origins:
            self.door = CORSMiddleware(
                self._enter,
                allow_origins=origins,
                allow_methods=("GET", "POST"),
                allow_headers=("Authorization", "Content-Type", "Idempotency-Key"),
                expose_headers=("Retry-After", "X-Request-Id"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = uuid.uuid4().hex
        if state.pop("coming", False):
            self.admission.coming -= 1
        answer = _Answer(scope, send)
        try:
            await self.door(scope, receive, answer)
        finally:
            answer.write_log()

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        try:
            await self._serve(scope, receive, send)
        except Refusal as refusal:
            _count(refusal, state)
            await refusal.response(request_id=state["request_id"])(scope, receive, send)
        except Exception:
            log.exception("unforeseen", request_id=state["request_id"])
            if state.get("status"):
                raise
            await _UNFORESEEN.response(request_id=state["request_id"])(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        _check_head(scope, headers)
        self._check_host(headers)
        fields = _check_target(scope)
        template, entry = self.entries.find(scope["method"], scope["path"])
        scope["state"]["template"] = template
        if entry.vital:
            await self.app(scope, receive, send)
            return
        caller = scope["state"]["caller"] = self._caller(scope, headers, entry)
        asked: Any = fields
        if entry.body:
            receive, asked = await self._body(headers, receive, entry)
        if entry.priced:
            devices = limits.devices_of(asked)
            self.limits.value(caller=caller.id, address=_address(scope), devices=devices)
        await self.admission.enter()
        try:
            if not scope["state"].get(
                "gone"
            ):  # as connection.py says of a client who did not wait for his turn
                await self.app(scope, receive, send)
        finally:
            self.admission.leave()

    def _check_host(self, headers: Headers) -> None:
        if PORT.sub("", headers.get("host", "").lower()) not in self.hosts:
            raise Refusal(400, "host_unknown", "This server does not answer under that host name.")

    def _caller(self, scope: Scope, headers: Headers, entry: Entry) -> Caller:
        """Who asks, if he may. Refusal 401 without a key that holds where one is told or needed, 403 where it does
        not open this route, 429 where too much was asked.
        """
        address, told, caller = _address(scope), headers.get("authorization"), self.anonymous
        if entry.scopes:
            caller = caller if told is None else self._holder(told, address)
            if not caller.scopes.intersection(entry.scopes):
                raise _forbidden() if caller.id else _unauthorised()
        self.limits.ask(caller=caller.id, address=address, writes=scope["method"] == "POST")
        return caller

    def _holder(self, told: str, address: str) -> Caller:
        kind, _, key = told.partition(" ")
        caller = self.keys.holder(key) if kind.lower() == "bearer" else None
        if caller is None:
            raise self.limits.bad_key(address) or _unauthorised()
        return caller

    async def _body(self, headers: Headers, receive: Receive, entry: Entry) -> tuple[Receive, Any]:
        """What gives the body to the application, and what the body says."""
        _check_content(headers, entry)
        body = await _read(headers, receive, entry.most_bytes, self.admission)
        if entry.body == JSON:
            return _replay(body, receive), reading.read_json(body)
        with suppress(Refusal):  # the page says what is wrong with a form
            return _replay(body, receive), reading.read_form(body)
        return _replay(body, receive), {}


class _Answer:
    """Sends on, with the headers that every answer has; remembers the status and the time."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send, self.began = scope, send, time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            state = self.scope["state"]
            state["status"] = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = state["request_id"]
        await self.send(message)

    def write_log(self) -> None:
        """One line: the route's template rather than the path, so that nothing a person typed is kept."""
        seconds, state = time.perf_counter() - self.began, self.scope["state"]
        route, status = state.get("template", ""), state.get("status", 0)
        metrics.answered(route=route, status=status, seconds=seconds)
        log.info(
            "answered",
            method=self.scope["method"],
            route=route,
            status=status,
            took_ms=round(1000 * seconds, 2),
            request_id=state["request_id"],
        )


_UNFORESEEN = Refusal(500, "unforeseen", "Something went wrong here, not with your request. It was logged.")


def _unauthorised() -> Refusal:
    """The same for no key, an unknown one and a wrong one."""
    detail = "Send a key that holds: Authorization: Bearer <id>.<secret>."
    return Refusal(401, "key_needed", detail, headers={"WWW-Authenticate": 'Bearer realm="reprise"'})


def _forbidden() -> Refusal:
    return Refusal(403, "scope", "This key is not for this address.")


def _count(refusal: Refusal, state: dict[str, Any]) -> None:
    if refusal.code == "full":
        metrics.shed()
        state["shed"] = True  # see connection.py
    elif refusal.status == 429:
        metrics.limited(refusal.code)


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _check_head(scope: Scope, headers: Headers) -> None:
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD_BYTES:
        raise head_too_large()
    if any(len(headers.getlist(name)) > 1 for name in ONCE):
        raise Refusal(400, "header_twice", f"One of these headers was sent twice: {', '.join(ONCE)}.")


def _check_target(scope: Scope) -> dict[str, str]:
    """The fields of the query."""
    if len(scope["query_string"]) > MOST_QUERY_BYTES:
        raise Refusal(414, "query_too_long", f"The query is longer than {MOST_QUERY_BYTES} bytes.")
    try:
        reading.check_text(unquote_to_bytes(scope.get("raw_path") or b"").decode())
    except UnicodeDecodeError:
        raise Refusal(400, "not_utf8", "The address is not UTF-8.") from None
    return reading.read_query(scope["query_string"])


def _check_content(headers: Headers, entry: Entry) -> None:
    kind, _, parameter = headers.get("content-type", "").lower().replace(" ", "").partition(";")
    if kind != entry.body or parameter not in ("", "charset=utf-8"):
        raise Refusal(415, "content_type", f"Send the body as {entry.body}, in UTF-8.")
    if "content-encoding" in headers:
        raise Refusal(415, "content_encoding", "Send the body as it is, without Content-Encoding.")


async def _read(headers: Headers, receive: Receive, most_bytes: int, admission: Admission) -> bytes:
    too_large = f"The body is larger than {most_bytes} bytes."
    if not (told := headers.get("content-length", "0")).isdecimal() or int(told[:20]) > most_bytes:
        raise Refusal(413, "body_too_large", too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "body_incomplete", "The body ended too early.")
                part, more = message.get("body", b""), message.get("more_body", False)
                admission.hold(len(part))
                body += part
                if len(body) > most_bytes:
                    raise Refusal(413, "body_too_large", too_large)
    except TimeoutError:
        raise Refusal(408, "body_too_slow", f"The body took longer than {BODY_SECONDS:g} s.") from None
    finally:
        admission.hold(-len(body))
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once more, then whatever comes."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
