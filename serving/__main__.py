"""Start the server: `reprise-serve`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError


@contextmanager
def _without_wrappers() -> Iterator[None]:
    """Let LightGBM be imported without pandas and scikit-learn, and structlog without rich, which they take along
    where they are.

    MLflow installs them beside us; the server uses none. Measured: 1.2 s and 184 MB with pandas and scikit-learn, 0.3 s
    and 55 MB without. None in sys.modules makes an import fail as if the package were absent, for which both are
    prepared.
    """
    absent = [name for name in ("pandas", "sklearn", "rich") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    yield
    for name in absent:
        del sys.modules[name]


with _without_wrappers():
    import lightgbm  # noqa: F401
    import structlog  # noqa: F401

from serving import commands, keys_command, logs, metrics, service  # noqa: E402 - these two come first
from serving.database import Database, StoreUnavailable  # noqa: E402
from serving.office import Office  # noqa: E402
from serving.settings import Settings  # noqa: E402
from serving.tracing import TracingAbsent  # noqa: E402


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, or do what an operator asks for."""
    given = _parser().parse_args()
    logs.configure()
    told = {name: value for name, value in vars(given).items() if value is not None}
    try:
        settings = Settings(**{name: told[name] for name in told if name in Settings.model_fields})
    except ValidationError as error:
        print(f"reprise-serve: {_wrong(error)}", file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(given.run(settings, given))
    except (service.AddressTaken, StoreUnavailable, TracingAbsent) as error:
        print(f"reprise-serve: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"reprise-serve: the state in {settings.home} cannot be used: {error}", file=sys.stderr)
        sys.exit(1)


def _wrong(error: ValidationError) -> str:
    """What is wrong, each with the name of its setting, and never with its value: that may be a secret."""
    faults = ((fault["loc"][:1], fault["msg"].removeprefix("Value error, ")) for fault in error.errors())
    return "; ".join(": ".join((*map(str, setting), told)) for setting, told in faults)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reprise-serve", description="Serve quotes, values and the page.")
    parser.add_argument("--host", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port to listen on (8000); 0 takes a free one")
    parser.add_argument("--home", type=Path, help="the state folder (REPRISE_HOME, else ./.reprise)")
    parser.add_argument("--workers", type=int, help="how many processes answer (1)")
    parser.add_argument("--listening", type=int, help=argparse.SUPPRESS)  # a worker's socket
    parser.set_defaults(run=_serve)
    operator = parser.add_subparsers(title="commands of an operator")
    commands.add(operator)
    keys_command.add(operator)
    return parser


def _serve(settings: Settings, given: argparse.Namespace) -> int:
    if given.listening is not None:
        service.end_with_parent()
        taken = socket.socket(fileno=given.listening)
        asyncio.run(service.serve(settings=settings, listening=taken, whole=False))
        return 0
    listening = service.listen(settings)
    if settings.workers > 1:
        Database(url=settings.quotes).close()  # its tables are made once, before several want them
        settings.pepper()  # and so is this
        if settings.metrics_port:
            metrics.serve(settings.metrics_port, together=settings.home)
        asyncio.run(_supervise(settings, listening))
    else:
        if settings.metrics_port:
            metrics.serve(settings.metrics_port)
        asyncio.run(service.serve(settings=settings, listening=listening, whole=True))
    return 0


async def _supervise(settings: Settings, listening: socket.socket) -> None:
    """Let several processes answer, each started again when it ends, until SIGTERM or SIGINT."""
    descriptor = listening.fileno()
    command = ("-m", "serving", "--home", str(settings.home), "--listening", str(descriptor))
    office, loop = Office(champion=None, settings=settings), asyncio.get_running_loop()
    beside: list[asyncio.Task[Any]] = [loop.create_task(office.employ())]
    beside += [
        loop.create_task(service.keep_working(command, settings=settings, listening=listening))
        for _ in range(settings.workers)
    ]
    loop.add_signal_handler(signal.SIGHUP, lambda: beside.append(loop.create_task(office.look_now())))
    print(f"{settings.workers} workers answer on {service.address_of(listening)}", flush=True)
    over = asyncio.Event()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, over.set)
    await over.wait()
    await service.dismiss(beside)


if __name__ == "__main__":
    main()
