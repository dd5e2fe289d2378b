"""The door: what a request must be before anything parses it, and what every answer carries."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import reading
from serving.refusal import Refusal

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MOST_QUERY_BYTES = 2048
BODY_SECONDS = 10.0

HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

log = structlog.get_logger("serving")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a route takes as a body."""

    content_type: str = JSON
    most_bytes: int = 16 * 1024


def request_id(request: Request) -> str:
    """The id that the guard gave to this request."""
    return str(request.state.request_id)


class Guard:
    """ASGI middleware around the whole application: checks in, headers and a log line out.

    `hosts` are the names under which the server may be asked; `entries` says, by path, what each POST route
    takes. A body on any other route is never read. Whatever goes wrong further in is logged and answered
    without a word about its inside.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], entries: Mapping[str, Entry]) -> None:
        self.app, self.hosts, self.entries = app, frozenset(hosts), entries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = uuid.uuid4().hex
        answer = _Answer(send, scope["state"]["request_id"])
        try:
            await self.app(scope, await self._admit(scope, receive), answer)
        except Refusal as refusal:
            await refusal.response(request_id=answer.request_id)(scope, receive, answer)
        except Exception:
            log.exception("unforeseen", request_id=answer.request_id)
            if answer.status:
                raise
            await _UNFORESEEN.response(request_id=answer.request_id)(scope, receive, answer)
        finally:
            answer.write_log(scope)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        headers = Headers(scope=scope)
        self._check_host(headers)
        _check_target(scope)
        entry = self.entries.get(_template(scope["path"])) if scope["method"] == "POST" else None
        if entry is None:
            return receive
        _check_content(headers, entry)
        body = await _read(headers, receive, entry.most_bytes)
        if entry.content_type == JSON:
            reading.read_json(body)
        return _replay(body, receive)

    def _check_host(self, headers: Headers) -> None:
        named = headers.getlist("host")
        if len(named) != 1 or named[0].rsplit(":", 1)[0].lower() not in self.hosts:
            raise Refusal(400, "host_unknown", "This server does not answer under that host name.")


class _Answer:
    """Sends on, with the headers that every answer has; remembers the status and the time."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.send, self.request_id, self.status, self.began = send, request_id, 0, time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self.send(message)

    def write_log(self, scope: Scope) -> None:
        """One line: the route's pattern rather than the path, so that nothing a person typed is kept."""
        took_ms = round(1000 * (time.perf_counter() - self.began), 2)
        route = getattr(scope.get("route"), "path", "")
        log.info(
            "answered",
            method=scope["method"],
            route=route,
            status=self.status,
            took_ms=took_ms,
            request_id=self.request_id,
        )


_UNFORESEEN = Refusal(500, "unforeseen", "Something went wrong here, not with your request. It was logged.")


def _template(path: str) -> str:
    return re.sub("(?<=^/v1/buyback/quotes/)[^/]+(?=/)", "{quote_id}", path)


def _check_target(scope: Scope) -> None:
    query = scope["query_string"]
    if len(query) > MOST_QUERY_BYTES:
        raise Refusal(414, "query_too_long", f"The query is longer than {MOST_QUERY_BYTES} bytes.")
    for raw in (query, scope.get("raw_path") or b""):
        try:
            reading.check_text(unquote_to_bytes(raw).decode())
        except UnicodeDecodeError:
            raise Refusal(400, "not_utf8", "The address is not UTF-8.") from None


def _check_content(headers: Headers, entry: Entry) -> None:
    kinds = headers.getlist("content-type")
    kind, _, parameter = (kinds[0] if len(kinds) == 1 else "").lower().replace(" ", "").partition(";")
    if kind != entry.content_type or parameter not in ("", "charset=utf-8"):
        raise Refusal(415, "content_type", f"Send the body as {entry.content_type}, in UTF-8.")
    if "content-encoding" in headers:
        raise Refusal(415, "content_encoding", "Send the body as it is, without Content-Encoding.")


async def _read(headers: Headers, receive: Receive, most_bytes: int) -> bytes:
    too_large = Refusal(413, "body_too_large", f"The body is larger than {most_bytes} bytes.")
    if int(headers.get("content-length", 0)) > most_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "body_incomplete", "The body ended too early.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most_bytes:
                    raise too_large
    except TimeoutError:
        raise Refusal(408, "body_too_slow", f"The body took longer than {BODY_SECONDS:g} s.") from None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once more, then whatever comes."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
