"""What can be measured from outside, for Prometheus: on a port of its own, on this machine only.

No label holds anything that a caller sent: routes are templates, markets those with terms, so that the number of
series does not grow with devices, quotes or callers. With several workers the process above them calls `serve` before
it starts them; they find a folder in their environment and keep their values there.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Protocol

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

TOGETHER = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 - for a folder that only we can enter # nosec B108
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
ALL_ROUTES = "*"  # refusals are timed together: by route they are counted
REGISTRY = CollectorRegistry()
log = structlog.get_logger("serving")
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)

_TOOK = Histogram(
    "reprise_request_seconds",
    "How long an answer took; those of 400 and above under route *",
    ["route", "status"],
    buckets=SECONDS,
    registry=REGISTRY,
)
_ANSWERED = Counter("reprise_requests", "Answers", ["route", "status"], registry=REGISTRY)
_SHED = Counter("reprise_shed", "Requests refused because the house was full", registry=REGISTRY)
_LIMITED = Counter(
    "reprise_limited", "Requests refused by a limit of their caller", ["limit"], registry=REGISTRY
)
_DECIDED = Counter(
    "reprise_decisions", "Quotes given, by decision", ["market", "decision"], registry=REGISTRY
)
_COMMIT = Histogram(
    "reprise_store_commit_seconds", "How long a commit took", buckets=SECONDS, registry=REGISTRY
)
_KEPT = Counter("reprise_store_kept", "Rows that commits put on the disk", registry=REGISTRY)
_WAITING = Gauge(
    "reprise_store_waiting",
    "Rows that wait for a commit",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_REMEMBERED = Counter("reprise_remembered", "Values looked for in memory", ["found"], registry=REGISTRY)
_VERSION = Gauge(
    "reprise_champion_version",
    "The version of the appraiser in office; differs among processes only during a swap",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
_AS_OF = Gauge(
    "reprise_champion_as_of_timestamp_seconds",
    "The day up to which the appraiser in office learned",
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
_AGE = Gauge(
    "reprise_champion_age_days",
    "How old what the appraiser in office learned is",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)


class _Counts(Protocol):
    def inc(self, amount: float = 1) -> None: ...


def answered(*, route: str, status: int, seconds: float) -> None:
    """An answer went out; `route` is a template, or "" for an address that is none of ours."""
    took, count = _answers(route or "none", f"{status // 100}xx")
    took.observe(seconds)
    count.inc()


@cache
def _answers(route: str, status: str) -> tuple[Histogram, Counter]:
    timed = route if status < "4xx" else ALL_ROUTES
    return _TOOK.labels(timed, status), _ANSWERED.labels(route, status)


def shed() -> None:
    """A request was refused because the house was full."""
    _SHED.inc()


def limited(limit: str) -> None:
    """A request was refused by a limit, named by the code of the refusal."""
    _labelled(_LIMITED, limit).inc()


def decided(market: str, decision: str) -> None:
    """A quote was given in a market, with a decision."""
    _labelled(_DECIDED, market, decision).inc()


def committed(count: int, seconds: float) -> None:
    """So many rows were put on the disk by one commit, which took so long."""
    _COMMIT.observe(seconds)
    _KEPT.inc(count)


def waiting(count: int) -> None:
    """So many rows wait for a commit."""
    _WAITING.set(count)


def cached(hit: bool) -> None:
    """A value was looked for in memory, and found or not."""
    _labelled(_REMEMBERED, "yes" if hit else "no").inc()


def in_office(version: str, as_of: date) -> None:
    """This appraiser is in office; said at every look, so that its age is that of today."""
    _VERSION.set(float(version) if version.isdecimal() else 0)
    began = datetime.combine(as_of, time(), UTC)
    _AS_OF.set(began.timestamp())
    _AGE.set((datetime.now(UTC) - began).days)


@cache
def _labelled(counter: Counter, *values: str) -> _Counts:
    return counter.labels(*values)


def _gather(home: Path, port: int) -> None:
    """Have the processes that are started from now on keep their values in a folder of ours, which is emptied.

    It lies in memory where that can be: its files are mapped, and to write into one on a full disk ends the process.
    """
    name = f"reprise-{os.geteuid()}-{port}"  # of ours alone, for nobody else has the port
    inside = os.access(MEMORY, os.W_OK) and _is_ours(MEMORY / name)
    folder = MEMORY / name if inside else home / "metrics" / str(port)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ[TOGETHER] = str(folder)


def _is_ours(folder: Path) -> bool:
    """Whether nobody else made it: where there is none, it is made by us."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def gone(process: int) -> None:
    """A worker ended: what it counted stays, what it was in the middle of does not."""
    if TOGETHER in os.environ:
        mark_process_dead(process)  # type: ignore[no-untyped-call]


def serve(port: int, *, together: Path | None = None) -> int:
    """Tell on 127.0.0.1 at a port, and return it; 0 where the port is taken: quotes matter more than measuring them.

    `together` is the home of a server whose workers, which start later, are told of at once.
    """
    registry = CollectorRegistry() if together else REGISTRY
    try:
        server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        log.warning("metrics are not told: the port cannot be had", port=port, reason=error.strerror)
        return 0
    if together:
        _gather(together, server.server_port)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return server.server_port
