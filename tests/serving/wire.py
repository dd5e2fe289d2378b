"""A server behind a real socket, in a thread, and clients that send bytes as they like."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from serving import connection


@contextmanager
def listening(app: Any, *, most: int = 1000) -> Iterator[int]:
    """Serve an application as reprise-serve does, without its lifespan; the port."""
    kind = connection.kind(most=most, admission=app.state.admission)
    server = uvicorn.Server(
        uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None, access_log=False)
    )
    taken = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield taken.getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()
        taken.close()


def head(method: str, path: str, **headers: str) -> bytes:
    """The head of a request."""
    told = {"host": "testserver", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.come = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self) -> tuple[int, bytes]:
        """The status and the body of the next answer; (0, b"") where the connection ends before it."""
        while not (found := self._whole()):
            try:
                part = self.socket.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return 0, b""
            self.come += part
        return found

    def ask(self, content: bytes) -> tuple[int, bytes]:
        """Send and hear."""
        self.send(content)
        return self.answer()

    def seconds_until_closed(self) -> float:
        """How long the server keeps the connection."""
        began = time.monotonic()
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return time.monotonic() - began

    def _whole(self) -> tuple[int, bytes] | None:
        top, end, rest = self.come.partition(b"\r\n\r\n")
        if not end:
            return None
        lengths = [line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        if len(rest) < length:
            return None
        self.come = rest[length:]
        return int(top.split(b" ")[1]), rest[:length]
