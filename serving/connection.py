"""A connection to a client: how long and how large the head of a request may be, and how many connections there are.

uvicorn waits for a head as long as the client likes. Of its two readers of HTTP, httptools is three times as fast as
h11 but takes heads of a megabyte: that is bounded here too.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.refusal import Refusal

HEAD_SECONDS = 5.0
REST_SECONDS = 5.0  # for the rest of a body that nobody reads any more
CLOSING_SECONDS = 30.0  # for a client to take the last answer
LOOK_SECONDS = 1.0
PAUSE_SECONDS = 1.0  # the Retry-After of a house that is full
MOST_HEAD_BYTES = 16 * 1024

_MALFORMED = Refusal(400, "not_http", "This is no HTTP request.")
_SLOW = Refusal(408, "head_too_slow", f"The head of the request took longer than {HEAD_SECONDS:g} s.")


def head_too_large() -> Refusal:
    """The answer to a head beyond MOST_HEAD_BYTES."""
    return Refusal(431, "head_too_large", f"The head is larger than {MOST_HEAD_BYTES} bytes.")


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with deadlines for what a client has to send.

    Beyond `most` connections a request is marked `crowded`: the guard answers it only where it is vital. Beyond twice
    as many, a connection is closed at once. A client that was refused because the house is full is not read again
    for PAUSE_SECONDS: to refuse costs a fifth of a quote, so that those who ask again at once would take it all.
    """

    most = 1000
    _awaited = "first byte"
    _seconds = HEAD_SECONDS
    _since: float | None = None
    _head_bytes = 0
    _look_again: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > 2 * self.most:
            transport.abort()
        elif len(self.connections) > self.most:
            self.app_state = {**self.app_state, "crowded": True}
        self._await("first byte", HEAD_SECONDS)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_again:
            self._look_again.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._awaited == "head" and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(head_too_large())
        elif not self._awaited and (self.cycle is None or self.cycle.response_complete):
            self._await("first byte", HEAD_SECONDS)  # only empty lines came, for which uvicorn waits for ever

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await("head", HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._await("body", None)  # for which the guard has a deadline
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._await("", None)

    def on_response_complete(self) -> None:
        scope = self.cycle.scope
        super().on_response_complete()
        if self._awaited == "body":
            self._await("rest", REST_SECONDS)
        if scope["state"].get("shed") and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(PAUSE_SECONDS, self.flow.resume_reading)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, in plain text
        self._refuse(_MALFORMED)

    def _await(self, what: str, seconds: float | None) -> None:
        self._awaited, self._head_bytes = what, 0
        self._since, self._seconds = (None, 0.0) if seconds is None else (self.loop.time(), seconds)

    def _look(self) -> None:
        late = self._since is not None and self.loop.time() > self._since + self._seconds
        if late and self._awaited == "head":
            self._refuse(_SLOW)
        elif late:
            self.transport.abort()
        if self.transport.is_closing() and self._awaited != "closing":
            self._await("closing", CLOSING_SECONDS)
        self._look_again = self.loop.call_later(LOOK_SECONDS, self._look)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, unless it is answering, and close."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = refusal.response(request_id=uuid.uuid4().hex)
            headers = [*answer.raw_headers, (b"connection", b"close"), (b"cache-control", b"no-store")]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.transport.write(STATUS_LINE[refusal.status] + lines + b"\r\n" + bytes(answer.body))
        self.transport.close()


def kind(*, most: int) -> type[Connection]:
    """The connections of a server that has so many of them at the most: uvicorn's setting `http`."""
    members: dict[str, Any] = {"most": most}
    return type("Connection", (Connection,), members)
