"""A server for tests: an invented appraiser, a store on disk, a clock that stands still until it is moved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from serving import logs
from serving.app import create_app
from serving.champion import Champion
from serving.database import Database
from serving.incumbent import Incumbent
from serving.keys import Keys
from serving.quotes import Quotes
from serving.settings import Settings
from tests.serving import copies
from tests.serving.routes import NO_QUOTE
from valuation.appraisal import Appraisal, Effect, Outlook, Value
from valuation.grades import Grade
from valuation.ledger import Attribute


@dataclass
class InventedAppraiser:
    """Values every device at `p50` in grade GOOD, 10 % more or less for each grade."""

    p50: float = 400.0
    fsd: float = 0.12
    digest: str = "a" * 64
    name: str = "reprise-appraiser"
    as_of: date = date(2026, 11, 1)
    simulated: bool = False
    owners: None = None
    currencies: tuple[str, ...] = ("EUR", "GBP", "PLN", "SEK", "USD")
    asked: list[dict[str, Any]] = field(default_factory=list)
    card: dict[str, Any] = field(default_factory=lambda: {"sales": 3})
    attributes: dict[str, Attribute] = field(
        default_factory=lambda: {
            "ram_gb": Attribute(name="ram_gb", direction="+", kind="number"),
            "gpu": Attribute(name="gpu", direction="none", kind="text"),
        }
    )
    devices: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            {
                "category": ["laptop", "smartphone"],
                "brand": ["Lenovo", "Apple"],
                "model": ["ThinkPad T480", "iPhone 13"],
                "storage_gb": [256.0, 128.0],
                "launched_on": [date(2018, 1, 9), date(2021, 9, 24)],
                "launch_price": [989.0, 909.0],
                "currency": ["GBP", "EUR"],
                "sales": [12, 40],
                "ram_gb": [8.0, None],
                "gpu": [None, None],
            },
            schema_overrides={"gpu": pl.String},
        )
    )

    def outlook(
        self,
        *,
        device: dict[str, Any],
        market: str,
        currency: str,
        grade: Grade,
        on: date,
        days_later: int = 0,
        changes: Sequence[dict[str, Any]] = (),
        days: Sequence[int] = (),
    ) -> Outlook:
        appraisal = self.appraise_one(device=device, market=market, currency=currency, grade=grade, on=on)
        return Outlook(
            appraisal=appraisal,
            prospects=appraisal.prospects.at(np.zeros(1 + len(changes), dtype=np.int64)),
            forecast=dict.fromkeys(days, appraisal.value),
        )

    def appraise_one(
        self, *, device: dict[str, Any], market: str, currency: str, grade: Grade, on: date
    ) -> Appraisal:
        self.asked.append(device)
        ladder = {step: self._value(self.p50 * (1 + 0.1 * (step - Grade.GOOD))) for step in Grade}
        return Appraisal(
            market=market,
            currency=currency,
            category=device["category"],
            on=on,
            grade=grade,
            ladder=ladder,
            basis="model",
            comparables=40,
            effects=(Effect(feature="model", amount=ladder[grade].p50),),
        )

    def ladders(
        self, *, devices: Sequence[dict[str, Any]], market: str, currency: str, on: date
    ) -> tuple[Appraisal, ...]:
        told = {"market": market, "currency": currency, "grade": Grade.GOOD, "on": on}
        return tuple(replace(self.appraise_one(device=device, **told), effects=()) for device in devices)

    def _value(self, p50: float) -> Value:
        shares = {"p05": 0.8, "p10": 0.85, "p25": 0.93, "p50": 1, "p75": 1.08, "p90": 1.17, "p95": 1.25}
        return Value(**{name: share * p50 for name, share in shares.items()}, mean=p50, fsd=self.fsd)


@dataclass
class House:
    """The parts of a running server."""

    client: TestClient
    champion: Champion
    quotes: Quotes
    appraiser: InventedAppraiser
    instant: list[datetime]
    keys: Keys

    def show_key(self, *scopes: str) -> str:
        """Send a new key with these scopes from now on."""
        key = self.keys.new(name="test", scopes=frozenset(scopes))  # type: ignore[arg-type]
        self.client.headers["Authorization"] = f"Bearer {key}"
        return key

    def wait(self, **span: float) -> None:
        self.instant[0] += timedelta(**span)

    def employ(self, appraiser: InventedAppraiser | None, version: str = "2") -> None:
        self.champion.incumbent = appraiser and Incumbent(appraiser, version)  # type: ignore[arg-type]


@pytest.fixture
def store(store_url: str) -> Iterator[Quotes]:
    opened = Quotes(database=Database(url=store_url))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three real appraisers, packed, at rising prices. Copy one before you change it."""
    folder = tmp_path_factory.mktemp("packed")
    return tuple(copies.pack(folder / f"{level}", level=level) for level in (1.0, 1.2, 1.4))


logs.configure()  # without the long coloured traces of a terminal
START = datetime(2026, 11, 23, 12, tzinfo=UTC)


@contextmanager
def built(home: Path, **settings: Any) -> Iterator[House]:
    """A house with an invented appraiser in office, which draws no offer of the laptop on the first days."""
    given = {"allowed_hosts": ("testserver",), "exploration_seed": "of these tests"}
    chosen = Settings(home=home, **given | settings)
    champion, quotes = Champion(folder=chosen.champion), Quotes(database=Database(url=chosen.quotes))
    instant = [START]
    app = create_app(settings=chosen, champion=champion, quotes=quotes, now=lambda: instant[0])
    with TestClient(app, raise_server_exceptions=False) as client:
        keys = Keys(chosen.keys, lambda: instant[0])
        house = House(client, champion, quotes, InventedAppraiser(), instant, keys)
        house.employ(house.appraiser, "1")
        yield house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with built(tmp_path) as house:
        yield house


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[House]:
    """A house that lets nobody in without a key."""
    with built(tmp_path, anonymous=()) as house:
        yield house


@pytest.fixture
def client(house: House) -> TestClient:
    return house.client


ANSWERS = {
    "powers_on": True,
    "fully_functional": True,
    "screen": "LIGHT",
    "body": "FLAWLESS",
    "battery_health": 0.91,
    "carrier_locked": False,
    "activation_locked": False,
    "blacklisted": False,
}
LAPTOP = {"device_id": "lenovo-thinkpad-t480-256gb"}


@pytest.fixture
def bodies() -> dict[str, dict[str, Any]]:
    """A good body for each POST route of the API, free to be changed."""
    good = {
        "/v1/buyback/quotes": {"market": "GB", "device": LAPTOP, "answers": ANSWERS},
        "/v1/valuations": {"market": "GB", "devices": [{"device": LAPTOP}]},
        "/v1/sellers/price-checks": {
            "market": "GB",
            "device": LAPTOP,
            "grade": "GOOD",
            "price": {"amount": "399.00", "currency": "GBP"},
        },
    }
    steps = {
        "accept": {"amount": {"amount": "189.00", "currency": "GBP"}},
        "inspection": {"found": ANSWERS},
        "payment": {"amount": {"amount": "189.00", "currency": "GBP"}},
        "void": {"reason": "WITHDRAWN"},
    }
    good |= {f"/v1/buyback/quotes/{NO_QUOTE}/{step}": body for step, body in steps.items()}
    return copy.deepcopy(good)


@pytest.fixture
def quote(house: House, bodies: dict[str, Any]) -> Callable[..., Any]:
    """Asks for a quote of the laptop under a key, with other answers or fields where they are given."""

    def ask(key: str = "k", answers: dict[str, Any] | None = None, **fields: Any) -> Any:
        body = bodies["/v1/buyback/quotes"] | fields
        body["answers"] = body["answers"] | (answers or {})
        return house.client.post("/v1/buyback/quotes", json=body, headers={"Idempotency-Key": key})

    return ask
