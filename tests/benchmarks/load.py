"""A load generator: some clients on one thread, each with a raw socket that is kept open and asks on and on.

Bodies are written beforehand, so that what is measured is the server; it can ask some 20,000 times a second.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a server did under load: answers a second, and how long each answer took in milliseconds."""

    per_second: float
    took_ms: list[float]


def drive(*, port: int, path: str, bodies: Sequence[str], clients: int, seconds: float) -> Load:
    """Let clients ask the bodies, one after the other and from the first again, until the time is over.

    Each request has an Idempotency-Key of its own. Raises RuntimeError at the first answer that is not 2xx, and
    TimeoutError where there is none.
    """
    requests = _requests(port, path, bodies)
    asking = [_Client(port, requests) for _ in range(clients)]
    took: list[float] = []
    with selectors.DefaultSelector() as selector:
        for client in asking:
            selector.register(client.socket, selectors.EVENT_READ, client)
        start = time.perf_counter()
        for client in asking:
            client.ask()
        while (now := time.perf_counter()) < start + seconds:
            for key, _ in _heard(selector):
                if key.data.hear():
                    took.append(1000 * (time.perf_counter() - key.data.asked))
                    key.data.ask()
    for client in asking:
        client.socket.close()
    return Load(per_second=len(took) / (now - start), took_ms=took)


def _heard(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    heard = selector.select(PATIENCE_SECONDS)
    if not heard:
        raise TimeoutError(f"No client was answered within {PATIENCE_SECONDS:g} s.")
    return heard


def _requests(port: int, path: str, bodies: Sequence[str]) -> Iterator[bytes]:
    for number, body in enumerate(itertools.cycle(bodies)):
        if number % 1000 == 0:
            fresh = uuid.uuid4().hex
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {fresh}-{number}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
        )
        yield (head + body).encode()


class _Client:
    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.asked, self.answer = requests, 0.0, b""

    def ask(self) -> None:
        self.answer, request = b"", next(self.requests)
        self.asked = time.perf_counter()
        self.socket.sendall(request)

    def hear(self) -> bool:
        """Take what has come; tell whether the answer is whole."""
        come = self.socket.recv(65536)
        self.answer += come
        head, _, body = self.answer.partition(b"\r\n\r\n")
        if not come or not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"The server answered {self.answer[:2000].decode(errors='replace')!r}.")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])
