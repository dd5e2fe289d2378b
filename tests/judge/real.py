"""The real tables, kept beside the repository: read through the product's own mappings, parted in time or in groups."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.judge.cases import Case, Whole, grouped, in_time
from training import backtest, intake, mapping
from training.intake import Intake
from valuation import features, ledger, vocabulary

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
MAPPINGS = ROOT / "notebooks" / "mappings"
WINDOW_DAYS = 14
LEAST_DAYS = 21  # that are learnt from
MODEL_FOLDS = 5
SEED = 1


@dataclass(frozen=True)
class Real:
    """A table of real prices, and how it is parted into cases."""

    name: str
    file: str
    mapping: str
    parted: Callable[[Intake], Iterator[Case]]
    seed: int = SEED

    @property
    def key(self) -> str:
        """The folder of its parts."""
        return self.name.replace(" ", "-").replace(",", "")

    def cases(self) -> Iterator[Case]:
        """The parts of its good rows."""
        return self.parted(read(DATA / self.file, MAPPINGS / self.mapping))


def read(path: Path, mapped: Path) -> Intake:
    """Read a table through its mapping, its rows numbered as `offer_id`, shuffled and then in order of their days."""
    with tempfile.TemporaryDirectory() as folder:
        numbered = pl.read_parquet(path).with_columns(offer_id=pl.int_range(pl.len()).cast(pl.String))
        numbered.sample(fraction=1.0, shuffle=True, seed=SEED).write_parquet(Path(folder) / path.name)
        found = intake.read(
            path=Path(folder) / path.name,
            contract=ledger.SALES,
            mapping=mapping.load(mapped),
            as_of=None,
        )
    intake.refuse_above(found, 0.02)
    return found


def _days(found: Intake) -> Iterator[Case]:
    """Windows of two weeks at the end, as many as leave three weeks to learn from."""
    sales = found.good.sort("sold_on", maintain_order=True)
    days = (sales["sold_on"].max() - sales["sold_on"].min()).days + 1  # type: ignore[operator,union-attr]
    windows = backtest.windows(
        sales=sales, window_days=WINDOW_DAYS, origins=max(1, (days - LEAST_DAYS) // WINDOW_DAYS)
    )
    for window in windows:
        yield in_time(sales=sales, asked=sales, attributes=found.attributes, window=window, seed=SEED)


def _models(found: Intake) -> Iterator[Case]:
    """Folds of whole models: each is valued by those who never saw it."""
    devices = found.good.with_columns(on=pl.col("sold_on"))
    known = vocabulary.complete(devices=devices, known=vocabulary.facts())
    group = _numbers(features.table(devices=known, attributes={})["model"])
    dealt = np.random.default_rng(SEED).permutation(int(group.max()) + 1)
    return grouped(
        sales=found.good,
        attributes=found.attributes,
        group=dealt[group],
        fold=dealt[group] % MODEL_FOLDS,
        seed=SEED,
    )


def _buyers(found: Intake) -> Iterator[Case]:
    """One fold for each buyer: what he offers is told by those who never saw an offer of his."""
    buyer = _numbers(found.good["channel"])
    return grouped(sales=found.good, attributes=found.attributes, group=buyer, fold=buyer, seed=SEED)


def _numbers(words: pl.Series) -> Whole:
    return (words.rank("dense").cast(pl.Int64) - 1).to_numpy()


OFFERS = ("sea_trade_in_offers_2025.parquet", "sea-trade-in-offers.toml")
TABLES = (
    Real("UK laptops", "uk_laptops_sold_2020.parquet", "uk-laptops.toml", _days),
    Real("US consoles and cards", "us_consoles_gpus_sold_2020.parquet", "us-consoles.toml", _days),
    Real("trade-in offers, unseen models", *OFFERS, _models),
    Real("trade-in offers, unseen buyers", *OFFERS, _buyers),
)
