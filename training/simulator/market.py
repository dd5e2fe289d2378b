"""Markets: a world's tables, invented part by part and written to files, so that memory does not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from training.simulator import dirt, listings, quotes, sales, tables
from training.simulator import scenario as scenarios
from training.simulator.goods import Arrivals
from training.simulator.oracle import Oracle
from training.simulator.quotes import Explored
from training.simulator.refusal import SimulatorError
from training.simulator.truth import Truth
from training.simulator.world import Goods, World
from valuation.rows import Whole

DEFAULT = "steady"
TABLES = ("sales", "listings", "quotes", "truth")
SALES_OF_A_PART = 250_000
PARTS = 2  # the stream of chance of the tables; each part has one of its own

Part = dict[str, pl.DataFrame]  # by name of TABLES
Span = tuple[int, int]  # from the first up to before the second
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Market:
    """What happened in an invented market, as tables of the ledger; the truth of every row; the oracle of its world."""

    sales: pl.DataFrame
    listings: pl.DataFrame
    quotes: pl.DataFrame
    truth: pl.DataFrame
    oracle: Oracle


def world(*, scenario: str = DEFAULT, seed: int) -> World:
    """Draw the world of a scenario, by its name or the path of its file. Raises SimulatorError."""
    if seed < 0:
        raise SimulatorError(f"A seed of {seed} cannot be: give a whole number from 0.")
    return World.draw(scenarios.load(scenarios.find(scenario)), seed)


def simulate(*, scenario: str = DEFAULT, sales: int, seed: int) -> Market:
    """Invent this many sales, and the listings and quotes beside them; the same arguments give the same market.

    Raises SimulatorError for a scenario that there is not or that breaks rules, for no sales, and a negative seed.
    """
    drawn = world(scenario=scenario, seed=seed)
    found = list(parts(drawn, sales=sales))
    return Market(
        oracle=Oracle(drawn), **{name: pl.concat([part[name] for part in found]) for name in TABLES}
    )


def write(
    *, scenario: str = DEFAULT, sales: int, seed: int, directory: Path, force: bool = False, say: Say = str
) -> dict[str, int]:
    """Write a market into a folder as sales, listings, quotes and truth .parquet; tell the rows of each.

    The same arguments give the same bytes. Nothing is replaced before all is written. Raises SimulatorError as
    `simulate` does, where the folder cannot be written to, and where it holds something and `force` is not given.
    """
    found = parts(world(scenario=scenario, seed=seed), sales=sales, say=say)
    _refuse_occupied(directory, force)
    first = next(found)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".being-written-") as folder:
            invented = _write(chain([first], found), Path(folder))
            for name in TABLES:
                (Path(folder) / f"{name}.parquet").replace(directory / f"{name}.parquet")
    except OSError as error:
        raise SimulatorError(
            f"{directory} cannot be written to: {error.strerror or error}. Name a folder that you may write to."
        ) from None
    return invented


def _write(found: Iterable[Part], folder: Path) -> dict[str, int]:
    """Write part after part into one file for each table; tell the rows of each."""
    rows, files = dict.fromkeys(TABLES, 0), dict[str, pq.ParquetWriter]()
    with ExitStack() as open_files:
        for part in found:
            for name, table in part.items():
                arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
                if name not in files:
                    file = pq.ParquetWriter(folder / f"{name}.parquet", arrow.schema, compression="zstd")
                    files[name] = open_files.enter_context(file)
                files[name].write_table(arrow)
                rows[name] += table.height
    return rows


def _refuse_too_few(sales: int) -> None:
    if sales <= 0:
        raise SimulatorError(f"A market of {sales} sales cannot be invented: give at least 1.")


def _refuse_occupied(directory: Path, force: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise SimulatorError(f"{directory} is no folder. Name a folder to write into.")
    if not force and directory.is_dir() and any(directory.iterdir()):
        raise SimulatorError(
            f"{directory} is not empty. Name another folder, or replace what is there with --force."
        )
    for path in (directory / f"{name}.parquet" for name in TABLES):
        if path.is_dir():
            raise SimulatorError(
                f"{path} is a folder where a file should be. Name another folder to write into."
            )


def parts(drawn: World, *, sales: int, say: Say = str) -> Iterator[Part]:
    """The tables by name, one stretch of days after the other. Raises SimulatorError for no sales."""
    _refuse_too_few(sales)
    days, volume = drawn.scenario.period.days, drawn.scenario.volume
    count = min(days, -(-sales // SALES_OF_A_PART))
    edges = [days * at // count for at in range(count + 1)]
    totals = {
        "sales": sales,
        "quotes": round(sales * volume.quotes_per_sale),
        "listings": round(sales * volume.listings_per_sale),
    }
    inventor = _Inventor(drawn)
    for at, (first, end) in enumerate(pairwise(edges)):
        say(f"part {at + 1} of {count}")
        due = {name: (total * first // days, total * end // days) for name, total in totals.items()}
        yield inventor.part(at, (first, end), due)


class _Inventor:
    """Invents the parts of a market in their order: what one part bought, a later one sells."""

    def __init__(self, drawn: World) -> None:
        self.truth, self.arrivals, self.explored = Truth(drawn), Arrivals(drawn), Explored(drawn)
        self.waiting: list[
            tuple[Goods, Whole]
        ] = []  # bought by quotes, not sold yet; with the quotes' numbers
        self.numbered = 0  # sales that came from no quote

    def part(self, at: int, days: Span, due: dict[str, Span]) -> Part:
        """The tables of one stretch of days."""
        rng = np.random.default_rng([self.truth.world.seed, PARTS, at])
        quoted = quotes.draw(
            self.truth, self.arrivals, self.explored, days=days, numbers=due["quotes"], rng=rng
        )
        listed = listings.draw(self.truth, self.arrivals, days=days, numbers=due["listings"], rng=rng)
        self.waiting.append(quotes.born(quoted))
        made = {
            "sales": self._sales(days, due["sales"][1] - due["sales"][0], rng),
            "listings": tables.listings(self.truth, listed),
            "quotes": tables.quotes(self.truth, quoted, self.explored.density),
        }
        truth = pl.concat([known for _, known in made.values()])
        return {**{name: table for name, (table, _) in made.items()}, "truth": truth}

    def _sales(self, days: Span, count: int, rng: np.random.Generator) -> tables.Two:
        born, first, drawn = self._due(before=days[1]), self.numbered, self.truth.world
        sold = sales.draw(drawn, self.arrivals, days=days, count=count, born=born, first_unit=first, rng=rng)
        self.numbered += count - len(born[1])
        kinds = dirt.labels(drawn.scenario.dirt, sold, rng)
        return tables.sales(self.truth, dirt.duplicated(sold, kinds), kinds, first, rng)

    def _due(self, *, before: int) -> tuple[Goods, Whole]:
        """What waits and is sold before a day; it waits no longer."""
        goods, number = (
            Goods.joined([g for g, _ in self.waiting]),
            np.concatenate([n for _, n in self.waiting]),
        )
        due = goods.day < before
        self.waiting = [(goods.at(~due), number[~due])]
        return goods.at(due), number[due]
