"""Servers to measure: processes on a core of their own, ended whatever happens."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 90.0
REST_SECONDS, REST_SHARE = 2.0, 0.1
STOP_SECONDS = 10.0


def pin(cores: set[int]) -> None:
    """Keep this thread, and what it starts from now on, on these cores, where that is allowed."""
    with suppress(OSError):
        os.sched_setaffinity(0, cores)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server that is ready: its process, which leads a group, its port, and how long it took to get ready."""

    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float

    def resident_mb(self) -> dict[str, float]:
        """What each process of the group holds in memory: {command line: MB}."""
        told = self._proc("cmdline", "status")
        return {command.replace("\0", " "): _rss_mb(status) for command, status in told if command}

    def settle(self) -> None:
        """Wait until the group is at rest: what a server starts beside it may be busy after it is ready."""
        end = time.perf_counter() + READY_SECONDS
        before, now = 0.0, self._cpu_seconds()
        while now - before > REST_SHARE * REST_SECONDS and time.perf_counter() < end:
            time.sleep(REST_SECONDS)
            before, now = now, self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        ticks = [part for (stat,) in self._proc("stat") for part in stat.rpartition(")")[2].split()[11:15]]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def _proc(self, *files: str) -> list[tuple[str, ...]]:
        """Read these files of /proc for each process of the group that is still there."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getpgid(int(folder.name)) == self.process.pid:
                    found.append(tuple((folder / file).read_text("utf-8") for file in files))
        return found


def _rss_mb(status: str) -> float:
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def serve(
    command: Sequence[str], *, ready: str, port: int, core: int, log: Path, env: Mapping[str, str]
) -> Iterator[Peer]:
    """Run a server until the end of the block; it is ready when it answers GET `ready` with 200."""
    before = os.sched_getaffinity(0)
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"  # `mlflow models serve` calls uvicorn
    start = time.perf_counter()
    pin({core})
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=out,
                env={**os.environ, **env, "PATH": path},
                start_new_session=True,
            )
    finally:
        pin(before)
    try:
        while not _answers(port, ready):
            late = time.perf_counter() - start > READY_SECONDS
            assert not late and process.poll() is None, log.read_text("utf-8")[-3000:]
            time.sleep(0.02)
        yield Peer(process=process, port=port, ready_seconds=time.perf_counter() - start)
    finally:
        _end(process)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all that it started: first asked, then made to."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
