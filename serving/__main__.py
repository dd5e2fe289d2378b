"""Start the server: `reprise-serve`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn
from pydantic import ValidationError


@contextmanager
def _without_wrappers() -> Iterator[None]:
    """Let LightGBM be imported without pandas and scikit-learn, which it takes along where they are.

    MLflow installs both beside us; the server uses neither. Measured: 1.2 s and 184 MB with them, 0.3 s and
    55 MB without. None in sys.modules makes an import fail as if the package were absent, for which LightGBM
    is prepared.
    """
    absent = [name for name in ("pandas", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    yield
    for name in absent:
        del sys.modules[name]


with _without_wrappers():
    import lightgbm  # noqa: F401

from serving import examples, logs  # noqa: E402 - LightGBM comes first
from serving.app import create_app  # noqa: E402
from serving.champion import Champion, Incumbent  # noqa: E402
from serving.database import Database, StoreUnavailable  # noqa: E402
from serving.quotes import Quotes  # noqa: E402
from serving.settings import Settings  # noqa: E402
from valuation import markets  # noqa: E402

RESTART_SECONDS = 5.0
log = structlog.get_logger("serving")


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then let running requests finish and stop the courier."""
    given = vars(_parser().parse_args())
    logs.configure()
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        quotes = Quotes(database=Database(url=settings.quotes))
    except ValidationError as error:
        wrong = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        print(f"reprise-serve: {wrong}", file=sys.stderr)
        sys.exit(2)
    except (StoreUnavailable, OSError) as error:
        print(f"reprise-serve: the state folder {settings.home} cannot be used: {error}", file=sys.stderr)
        sys.exit(1)
    asyncio.run(_serve(settings, quotes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reprise-serve", description="Serve quotes, values and the page.")
    parser.add_argument("--host", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port to listen on (8000); 0 takes a free one")
    parser.add_argument("--home", type=Path, help="the state folder (REPRISE_HOME, else ./.reprise)")
    return parser


async def _serve(settings: Settings, quotes: Quotes) -> None:
    champion = Champion(folder=settings.champion)
    app = create_app(settings=settings, champion=champion, quotes=quotes, now=lambda: datetime.now(UTC))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http="h11",  # httptools takes headers of a megabyte
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=15,
        )
    )
    for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them once more when it is done
        signal.signal(stop, lambda *_: setattr(server, "should_exit", True))
    beside = [
        asyncio.create_task(_employ_courier(settings)),
        asyncio.create_task(_announce(server, champion)),
    ]
    try:
        await server.serve()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _employ_courier(settings: Settings) -> None:
    """Keep a courier running; what happens to it is never the server's trouble."""
    while True:
        courier = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "serving.courier"),
            stdin=asyncio.subprocess.PIPE,  # it ends with us, however we end
            stdout=sys.stderr,
            env=settings.environment(),
        )
        try:
            status = await courier.wait()
        finally:
            if courier.returncode is None:
                courier.terminate()
                await courier.wait()
        log.warning("courier ended", status=status)
        await asyncio.sleep(RESTART_SECONDS)


async def _announce(server: uvicorn.Server, champion: Champion) -> None:
    """Say where the server is, and how to ask it for a quote once there is an appraiser."""
    while not server.started:
        await asyncio.sleep(0.05)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    address = f"http://{host}:{port}"
    if champion.incumbent is None:
        print(f"{address} waits for a champion: `reprise retrain --promote` makes one.", flush=True)
    while champion.incumbent is None:
        await asyncio.sleep(0.2)
    print(f"Reprise is ready on {address}\n\n{_curl(address, champion.incumbent)}\n", flush=True)


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


if __name__ == "__main__":
    main()
