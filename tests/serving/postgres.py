"""A real PostgreSQL for tests: a server on a free loopback port, its data in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

START_SECONDS = 30.0


def programs() -> Path | None:
    """The folder of the server's programs, None where it is not installed."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else debian[-1].parent if debian else None


@dataclass
class Server:
    """A server that can be stopped, killed and started again; `folder` holds what it keeps."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers; settings read `name=value`."""
        listen = (
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            "max_connections=60",
        )
        options = [part for setting in (*listen, *settings) for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_bin("postgres"), "-D", self.folder / "data", "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                **_unprivileged(),
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                log_text = (self.folder / "log").read_text()
                assert self.process.poll() is None and time.monotonic() < end, log_text[-2000:]
                time.sleep(0.05)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it: SIGINT ends its sessions, SIGKILL leaves what a crash leaves."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def url(self, database: str, port: int | None = None) -> str:
        """The URL of a database, by another port where that is told."""
        return f"postgresql://reprise@127.0.0.1:{port or self.port}/{database}"

    def database(self) -> str:
        """The name of a fresh database."""
        name = f"q{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name


@contextmanager
def running() -> Iterator[Server]:
    """A server until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="reprise-postgres-"))
    owner = _unprivileged().get("user")
    if owner:
        shutil.chown(folder, owner)
    command = [
        _bin("initdb"),
        "-D",
        folder / "data",
        "-U",
        "reprise",
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run(command, check=True, capture_output=True, **_unprivileged())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(folder=folder, port=port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _bin(name: str) -> str:
    found = programs()
    assert found is not None
    return str(found / name)


def _unprivileged() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in names else "nobody", "cwd": "/"}
