"""An invented market and an appraiser of it, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.serving import postgres
from training import fitting, owning
from training.simulator import market
from valuation import ledger, package
from valuation.appraiser import Appraiser
from valuation.owners import Owners

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def sales() -> pl.DataFrame:
    """4,000 audited sales of the simulated market."""
    invented = market.simulate(sales=4_000, seed=7)
    return ledger.audit(frame=invented.sales, contract=ledger.SALES, as_of=None).good


@pytest.fixture(scope="session")
def appraiser(sales: pl.DataFrame) -> Appraiser:
    """An appraiser fitted on them, as of the day after the last sale."""
    as_of = sales["sold_on"].max() + timedelta(days=1)
    return fitting.fit(sales=sales, attributes={}, as_of=as_of, simulated=True, card={"sales": sales.height})


@pytest.fixture(scope="session")
def quotes() -> pl.DataFrame:
    """10,000 audited quotes of the same market, a tenth of them drawn."""
    invented = market.simulate(sales=20_000, seed=7)
    return ledger.audit(frame=invented.quotes, contract=ledger.QUOTES, as_of=None).good


@pytest.fixture(scope="session")
def owners(appraiser: Appraiser, quotes: pl.DataFrame) -> Owners:
    """Who asks for quotes there."""
    return owning.fit(owning.asked(quotes=quotes, appraiser=appraiser, sold_in="marketplace"))


@pytest.fixture(scope="session")
def packed(appraiser: Appraiser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of that appraiser. Copy it before you change it."""
    directory = tmp_path_factory.mktemp("packed") / "appraiser"
    package.save(appraiser=appraiser, directory=directory)
    return directory


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real sales; tests that need it are skipped, and say so, where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"LEFT OUT: the real sales are not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A real server; where PostgreSQL is not installed, its tests are left out, and that is said."""
    if postgres.programs() is None:
        pytest.skip("LEFT OUT: PostgreSQL is not installed (Debian: postgresql)")
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'quotes.db'}"
    server = request.getfixturevalue("postgres_server")
    return server.url(server.database())
