"""Crowds of clients: one that asks as fast as it is answered or at a pace, and one client that keeps time.

Each is a function that a process of its own can run (`apart`): who measures is not held up by who attacks.
"""

from __future__ import annotations

import http.client
import itertools
import re
import selectors
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context


@contextmanager
def apart(processes: int = 1) -> Iterator[ProcessPoolExecutor]:
    """Processes that are up and ready to ask."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for ready in [pool.submit(time.sleep, 0.1) for _ in range(processes)]:
            ready.result()
        yield pool


def keep_asking(
    *, port: int, path: str, body: str, per_second: float, seconds: float, afresh: bool = False
) -> list[tuple[int, float]]:
    """Ask at an even pace, `afresh` on a connection each: status of each answer, and seconds from the request on."""
    found, client = [], http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(int(seconds * per_second)):
        client.connect() if client.sock is None else None
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        began = time.perf_counter()
        client.request("POST", path, body, headers)
        answer = client.getresponse()
        answer.read()
        found.append((answer.status, time.perf_counter() - began))
        if afresh:
            client.close()
        time.sleep(max(0.0, 1 / per_second - found[-1][1]))
    client.close()
    return found


@dataclass
class Crowd:
    """What a crowd was answered: by status, how long each answer took in seconds."""

    took: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0
    seconds: float = 0.0

    def per_second(self, status: int) -> float:
        """Answers of a status in a second."""
        return len(self.took.get(status, ())) / self.seconds


def ask(
    *, port: int, path: str, bodies: Sequence[str], clients: int, seconds: float, pause: float = 0.0
) -> Crowd:
    """Let a crowd ask for some seconds, one body after the other and from the first again.

    Each asks again a pause after he was answered, whatever the answer; a client whose connection ends connects again.
    """
    crowd, fresh = Crowd(), uuid.uuid4().hex
    asks = enumerate(itertools.cycle(bodies))
    resting: deque[tuple[float, selectors.SelectorKey]] = deque()

    def written() -> bytes:
        number, body = next(asks)
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body.encode())}\r\nIdempotency-Key: {fresh}-{number}\r\n\r\n{body}"
        ).encode()

    with selectors.DefaultSelector() as selector:

        def connect() -> None:
            connection = socket.create_connection(("127.0.0.1", port))
            selector.register(connection, selectors.EVENT_READ, [time.perf_counter(), b""])
            connection.sendall(written())

        def say(key: selectors.SelectorKey) -> None:
            key.data[:] = time.perf_counter(), b""
            key.fileobj.sendall(written())  # type: ignore[union-attr]

        for _ in range(clients):
            connect()
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            while resting and resting[0][0] <= now:
                say(resting.popleft()[1])
            for key, _ in selector.select(min(0.1, resting[0][0] - now) if resting else 0.1):
                try:
                    come = key.fileobj.recv(65536)  # type: ignore[union-attr]
                except ConnectionResetError:
                    come = b""
                if not come:
                    crowd.lost += 1
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    connect()
                    continue
                key.data[1] += come
                if status := _whole(key.data[1]):
                    crowd.took.setdefault(status, []).append(time.perf_counter() - key.data[0])
                    say(key) if not pause else resting.append((time.perf_counter() + pause, key))
        crowd.seconds = now - began
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return crowd


def _whole(answer: bytes) -> int:
    """The status of an answer; 0 while some of it has to come."""
    top, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", top)
    return int(answer[9:12]) if length and len(body) >= int(length[1]) else 0
