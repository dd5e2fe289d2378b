"""The service of one process: it listens, answers, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import structlog
import uvicorn

from serving import connection, examples, metrics, tracing
from serving.app import create_app
from serving.champion import Champion
from serving.database import Database
from serving.incumbent import Incumbent
from serving.office import Office, end_of
from serving.quotes import Quotes
from serving.settings import Settings
from valuation import markets

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on # nosec B104
RESTART_SECONDS = 0.1
GRACE_SECONDS = 15  # for what is being answered when the listening ends
log = structlog.get_logger("serving")


class AddressTaken(OSError):  # noqa: N818 - said as it is
    """The address cannot be listened on."""


def listen(settings: Settings) -> socket.socket:
    """A socket on the address of the settings; 0 takes a free port. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # TCP is named: only then does asyncio send small answers at once (TCP_NODELAY), and not 40 ms later.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((settings.host, settings.port))
    except OSError as error:
        found.close()
        raise AddressTaken(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
    found.listen(2048)
    return found


async def serve(*, settings: Settings, listening: socket.socket, whole: bool) -> None:
    """Answer on a socket until SIGTERM or SIGINT; after the first, others have time to learn of it before it ends.

    A `whole` service employs a courier, and prints where it is and what to ask; others are workers of one that does.
    """
    quotes = Quotes(database=Database(url=settings.quotes))
    champion = Champion(folder=settings.champion)
    office = Office(champion=champion, settings=settings) if whole else None
    app = create_app(
        settings=settings, champion=champion, quotes=quotes, office=office, now=lambda: datetime.now(UTC)
    )
    server = uvicorn.Server(
        uvicorn.Config(
            tracing.traced(app, collector=settings.traces),
            http=connection.kind(most=settings.most_connections, admission=app.state.admission),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies),
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()

    def end(drain_seconds: float) -> None:
        app.state.draining = True
        log.info("draining", seconds=drain_seconds)
        loop.call_later(drain_seconds, setattr, server, "should_exit", True)

    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment] # uvicorn's close the socket at once
    loop.add_signal_handler(signal.SIGTERM, end, settings.drain_seconds)
    loop.add_signal_handler(signal.SIGINT, end, 0.0)
    beside: list[asyncio.Task[Any]] = []
    if office is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: beside.append(loop.create_task(office.look_now())))
        beside += [
            loop.create_task(_employ(server, office)),
            loop.create_task(_announce(server, champion, listening)),
        ]
    try:
        await server.serve(sockets=[listening])
    finally:
        await dismiss(beside)


async def dismiss(employed: list[asyncio.Task[Any]]) -> None:
    """End what runs beside, and wait for what it has to finish."""
    for task in employed:
        task.cancel()
    await asyncio.gather(*employed, return_exceptions=True)


def end_with_parent() -> None:
    """End this process when the one that started it does, however that ends: standard input closes then."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # not by a reader, whose lock would be missed at the end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


async def keep_working(command: Sequence[str], *, settings: Settings, listening: socket.socket) -> None:
    """Keep a worker running on a socket; what happens to it is never the others' trouble. It ends with us."""
    while True:
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                stdin=asyncio.subprocess.PIPE,  # it ends with us, however we end
                env=settings.environment(),
                pass_fds=(listening.fileno(),),
            )
        except OSError as error:  # too many processes or files: there may be room again
            log.error("no worker can be started", reason=error.strerror)
            await asyncio.sleep(1)
            continue
        status = await end_of(child)
        metrics.gone(child.pid)
        log.warning("worker ended", status=status)
        await asyncio.sleep(RESTART_SECONDS)


async def _employ(server: uvicorn.Server, office: Office) -> None:
    """Employ a courier once we answer: it would take the processor that we start with."""
    while not server.started:
        await asyncio.sleep(0.05)
    await office.employ()


async def _announce(server: uvicorn.Server, champion: Champion, listening: socket.socket) -> None:
    """Say where the server is, and how to ask it for a quote once there is an appraiser."""
    while not server.started:
        await asyncio.sleep(0.05)
    address = address_of(listening)
    if champion.incumbent is None:
        print(f"{address} waits for a champion: `reprise retrain --promote` makes one.", flush=True)
    while champion.incumbent is None:
        await asyncio.sleep(0.2)
    print(f"Reprise is ready on {address}\n\n{_curl(address, champion.incumbent)}\n", flush=True)


def address_of(listening: socket.socket) -> str:
    """Where one asks; on this machine, where it listens on every address."""
    host, port = listening.getsockname()[:2]
    host = EVERYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _curl(address: str, incumbent: Incumbent) -> str:
    """A command that asks for a quote of the device that was sold most."""
    device, currency = incumbent.most_sold()
    today = datetime.now(UTC).date()
    markets_of = {markets.terms(market=market, on=today).currency: market for market in markets.markets()}
    ask = {
        **examples.QUOTES["known device"]["value"],
        "market": markets_of.get(currency, "GB"),
        "device": {"device_id": device.device_id},
    }
    return (
        f"curl -s {address}/v1/buyback/quotes -H 'Content-Type: application/json' "
        f"-H 'Idempotency-Key: {uuid.uuid4()}' -d '{json.dumps(ask)}'"
    )
