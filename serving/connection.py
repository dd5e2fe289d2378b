"""A connection to a client: how long and how large the head of a request may be, and how many connections there are.

uvicorn waits for a head as long as the client likes. Of its two readers of HTTP, httptools is three times as fast as
h11 but takes heads of a megabyte: that is bounded here too.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving import metrics
from serving.admission import Admission, full
from serving.entries import VITAL
from serving.refusal import Refusal

HEAD_SECONDS = 5.0
REST_SECONDS = 5.0  # for the rest of a body that nobody reads any more
CLOSING_SECONDS = 30.0  # for a client to take the last answer
LOOK_SECONDS = 1.0
PAUSE_SECONDS = (2.0, 3.5)  # the first is the Retry-After of a house that is full
SPREAD = 0.4  # of a pause: it ends before HEAD_SECONDS do in any case
MOST_HEAD_BYTES, MOST_HEADERS = 16 * 1024, 200
PIECE_BYTES = 4096
MOST_PIPELINED = 8  # requests that a client may send before he has the answer to the first
BODY_HEADERS = frozenset((b"content-length", b"transfer-encoding"))
SAFE = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n"

_MALFORMED = Refusal(400, "not_http", "This is no HTTP request.")
_UPGRADE = Refusal(400, "upgrade", "Ask in HTTP/1.1 without the header Upgrade: with it a body is not read.")
_SLOW = Refusal(408, "head_too_slow", f"The head of the request took longer than {HEAD_SECONDS:g} s.")


def head_too_large() -> Refusal:
    """The answer to a head beyond MOST_HEAD_BYTES."""
    return Refusal(
        431, "head_too_large", f"The head has more than {MOST_HEAD_BYTES} bytes or {MOST_HEADERS} lines."
    )


class Shed:
    """In the place of uvicorn's cycle of a request: one that was answered already."""

    response_started = response_complete = True

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with deadlines for what a client has to send, and a quick answer in a house that is full.

    That answer is given here, before a task, a log line and the application: 26 us of work and two calls of the system.
    Whoever got it is not read again for PAUSE_SECONDS, longer each time, for those who ask again at once would take the
    time of all others. Beyond `most` connections the one that has been idle longest is closed; where none is idle, the
    late ones are answered so, and beyond twice as many closed at once. What is vital is always answered.
    """

    most = 1000
    admission: Admission
    _awaited = "first byte"
    _seconds = HEAD_SECONDS
    _since: float | None = None
    _head_bytes = 0
    _late = False
    _shed_times = 0
    _look_again: asyncio.TimerHandle | None = None
    _idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._late = len(self.connections) > self.most and not self._makes_room()
        if len(self.connections) > 2 * self.most:
            transport.abort()
        self._await("first byte", HEAD_SECONDS)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_again:
            self._look_again.cancel()
        if self.scope is not None:
            self.scope["state"]["gone"] = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Bit by bit: each header is a call, and a head is not read to its end where it has too much.
        for start in range(0, len(data), PIECE_BYTES):
            if not self.transport.is_closing():
                self._take(data[start : start + PIECE_BYTES])

    def _take(self, piece: bytes) -> None:
        self._head_bytes += len(piece)
        super().data_received(piece)
        if self._awaited == "head" and (
            self._head_bytes > MOST_HEAD_BYTES or len(self.headers) > MOST_HEADERS
        ):
            self._refuse(head_too_large())
        elif not self._awaited and (self.cycle is None or self.cycle.response_complete):
            self._await("first byte", HEAD_SECONDS)  # only empty lines came, for which uvicorn waits for ever

    def on_message_begin(self) -> None:
        self._idle_since = None
        super().on_message_begin()
        self._await("head", HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._await("body", None)  # for which the guard has a deadline
        if self.transport.is_closing():
            return
        if self.parser.should_upgrade() and any(name in BODY_HEADERS for name, _ in self.headers):
            self._refuse(_UPGRADE)
        elif self.cycle is not None and not self.cycle.response_complete:
            if len(self.pipeline) < MOST_PIPELINED:
                super().on_headers_complete()  # another request of this client is being answered
            else:
                self.transport.abort()
        elif self.url.partition(b"?")[0] not in VITAL and self._sheds():
            metrics.shed()
            self.cycle = Shed()  # type: ignore[assignment]
            self._write(full())
            self.scope["state"]["shed"] = True
            self.on_response_complete()
        else:
            super().on_headers_complete()
            self.scope["state"]["coming"] = True
            self.admission.coming += 1

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._await("", None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self._idle_since = self.loop.time()
        if self._awaited == "body":
            self._await("rest", REST_SECONDS)
        if not self.scope["state"].get("shed"):
            self._shed_times = 0
        elif not self.transport.is_closing():
            self._pause()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, in plain text
        self._refuse(_MALFORMED)

    def _makes_room(self) -> bool:
        """Close the connection that has been idle longest; False where none is."""
        others: Iterable[Any] = self.connections - {self}
        idle = [
            (since, one) for one in others if (since := one._idle_since) and not one.transport.is_closing()
        ]
        if idle:
            min(idle, key=itemgetter(0))[1].transport.abort()
        return bool(idle)

    def _sheds(self) -> bool:
        self._late = self._late and len(self.connections) > self.most
        return self._late or self.admission.is_full()

    def _pause(self) -> None:
        seconds = PAUSE_SECONDS[min(self._shed_times, len(PAUSE_SECONDS) - 1)]
        self._shed_times += 1
        self.flow.pause_reading()
        # Not all at once again: who was refused in one turn of the loop would come back in one.
        self.loop.call_later(seconds * random.uniform(1, 1 + SPREAD), self.flow.resume_reading)  # noqa: S311 # nosec B311

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
            refusal.headers["Connection"] = "close"
            self._write(refusal)
        self.transport.close()

    def _write(self, refusal: Refusal) -> None:
        answer = refusal.response(request_id=uuid.uuid4().hex)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        told = b"" if self.parser.get_method() == b"HEAD" else bytes(answer.body)
        self.transport.write(STATUS_LINE[refusal.status] + lines + SAFE + told)


def kind(*, most: int, admission: Admission) -> type[Connection]:
    """The connections of a server that has so many of them at the most: uvicorn's setting `http`."""
    members: dict[str, Any] = {"most": most, "admission": admission}
    return type("Connection", (Connection,), members)
