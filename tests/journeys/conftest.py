"""A small real appraiser, and the server as people start it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx2
import polars as pl
import pytest

from serving.champion import Pointer
from training import fitting
from valuation import ledger, package

AS_OF = date(2026, 11, 20)
PHONES = (
    ("Apple", "iPhone 13", 128.0, date(2021, 9, 24), 779.0, 400.0),
    ("Apple", "iPhone 12", 64.0, date(2020, 10, 23), 799.0, 300.0),
    ("Samsung", "Galaxy S22", 128.0, date(2022, 2, 25), 769.0, 260.0),
    ("Google", "Pixel 7", 128.0, date(2022, 10, 13), 599.0, 240.0),
)
GRADES = {"PARTS": 0.35, "FAIR": 0.8, "GOOD": 0.9, "EXCELLENT": 1.0, "PREMIUM": 1.12, "NEW": 1.3}


def invented_sales(*, level: float = 1.0) -> pl.DataFrame:
    """Audited sales of four phones in GB over 100 days, around known prices."""
    rng = random.Random(7)
    rows = []
    for number in range(1000):
        brand, model, storage_gb, launched_on, launch_price, value = rng.choice(PHONES)
        grade = rng.choice(list(GRADES))
        rows.append(
            {
                "sale_id": f"s{number}",
                "sold_on": AS_OF - timedelta(days=100 - number // 10),
                "market": "GB",
                "currency": "GBP",
                "price": round(level * value * GRADES[grade] * rng.lognormvariate(0, 0.08), 2),
                "category": "smartphone",
                "brand": brand,
                "model": model,
                "storage_gb": storage_gb,
                "grade": grade,
                "launched_on": launched_on,
                "launch_price": launch_price,
            }
        )
    audited = ledger.audit(frame=pl.DataFrame(rows), contract=ledger.SALES, as_of=AS_OF)
    assert audited.faults.is_empty()
    return audited.good


Pack = Callable[..., Path]


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Fits an appraiser to invented sales at a price level and packs it: its directory."""

    def fit(*, level: float = 1.0) -> Path:
        appraiser = fitting.fit(
            sales=invented_sales(level=level), attributes={}, as_of=AS_OF, simulated=True, threads=1
        )
        directory = tmp_path_factory.mktemp("appraiser")
        package.save(appraiser=appraiser, directory=directory)
        return directory

    return fit


@pytest.fixture(scope="session")
def directory(pack: Pack) -> Path:
    """A packed appraiser."""
    return pack()


@dataclass
class Server:
    """A running `reprise-serve`, and what it has printed so far."""

    process: subprocess.Popen[str]
    printed: str = ""

    def read_until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for a text on standard output."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.printed)):
            assert time.monotonic() < end and self.process.poll() is None, self.printed
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                self.printed += os.read(self.process.stdout.fileno(), 65536).decode()
        return found

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.read_until(r"http://127\.0\.0\.1:\d+")[0]

    def client(self) -> httpx2.Client:
        """A client of this server alone."""
        return httpx2.Client(base_url=self.address, trust_env=False, timeout=30)

    def stop(self) -> int:
        """Ask it to stop, as an operator does, and tell its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


Start = Callable[..., contextlib.AbstractContextManager[Server]]


@contextlib.contextmanager
def _start(home: Path) -> Iterator[Server]:
    log = (home / "server.log").open("a")
    command = [sys.executable, "-m", "serving", "--port", "0", "--home", str(home)]
    settings = {"REPRISE_REGISTRY_EVERY_SECONDS": "0.3", "REPRISE_CHAMPION_EVERY_SECONDS": "0.1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **settings}, text=True
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()
        log.close()


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts `reprise-serve` on a home folder."""
    return _start


@pytest.fixture(scope="session")
def employ() -> Callable[[Path, Path], None]:
    """Puts a copy of an appraiser into a server's home folder, as the courier does."""

    def put(home: Path, directory: Path) -> None:
        digest = package.load(directory=directory).digest
        shutil.copytree(directory, home / "champion" / digest)
        Pointer(version="1", digest=digest, run_id="none").write(home / "champion")

    return put


@pytest.fixture
def home(tmp_path: Path, directory: Path, employ: Callable[[Path, Path], None]) -> Path:
    employ(tmp_path, directory)
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
