"""A crowd of clients on one thread, each of which asks again as soon as it is answered, whatever the answer."""

from __future__ import annotations

import itertools
import re
import selectors
import socket
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Crowd:
    """What a crowd was answered: by status, how long each answer took in seconds."""

    took: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: int = 0
    seconds: float = 0.0

    def per_second(self, status: int) -> float:
        """Answers of a status in a second."""
        return len(self.took[status]) / self.seconds


def ask(*, port: int, path: str, body: str, clients: int, seconds: float) -> Crowd:
    """Let a crowd ask for some seconds; a client whose connection ends connects again."""
    crowd, numbers, fresh = Crowd(), itertools.count(), uuid.uuid4().hex
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: "
    ).encode()

    def written() -> bytes:
        return request + f"{fresh}-{next(numbers)}\r\n\r\n{body}".encode()

    with selectors.DefaultSelector() as selector:

        def connect() -> None:
            connection = socket.create_connection(("127.0.0.1", port))
            selector.register(connection, selectors.EVENT_READ, [time.perf_counter(), b""])
            connection.sendall(written())

        for _ in range(clients):
            connect()
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            for key, _ in selector.select(0.1):
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
                if not (status := _whole(key.data[1])):
                    continue
                crowd.took[status].append(time.perf_counter() - key.data[0])
                key.data[:] = time.perf_counter(), b""
                key.fileobj.sendall(written())  # type: ignore[union-attr]
        crowd.seconds = now - began
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return crowd


def _whole(answer: bytes) -> int:
    """The status of an answer; 0 while some of it has to come."""
    top, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", top)
    return int(answer[9:12]) if length and len(body) >= int(length[1]) else 0
