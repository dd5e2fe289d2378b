"""Cases: sales to be valued by those who saw only the sales known, in invented markets and in real tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import backtest
from training.backtest import Window
from training.simulator import market, scenario
from training.simulator.events import Event
from valuation import ledger, vocabulary
from valuation.appraisal import QUANTILE_NAMES
from valuation.ledger import Attribute

Whole = NDArray[np.int64]

ORIGINS = 6
WINDOW_DAYS = 28
LATE_DAYS = 28  # held back by a peer to learn how far its values lie from prices; a third of the days at most
WATCHED_SHARE = 0.1  # of the days before those, to see when to stop
STEP_WEEKS = 6
STEP = "week"  # begins the name of a case that looks at a step
FACTS = ("sale_id", "sold_on", "market", "currency", "category", "brand", "model", "storage_gb", "grade")


@dataclass(frozen=True, kw_only=True)
class Case:
    """`asked` are to be valued by what `known` taught; both audited, with `attributes`.

    `order` numbers the known rows (known,) by day, model or buyer: what a peer holds back from itself is the last of
    them, so that it rehearses what it is asked. The rows from `late_from` on show its spread. `truth` has the sale_id
    and the quantiles of each asked row where the world is known.
    """

    name: str
    known: pl.DataFrame
    asked: pl.DataFrame
    attributes: Mapping[str, Attribute]
    as_of: date
    seed: int
    order: Whole
    late_from: int
    truth: pl.DataFrame | None = None

    @cached_property
    def digest(self) -> str:
        """Name the rows of the case: eight letters that change with any of them."""
        tables = (self.known, self.asked, pl.DataFrame({"order": self.order}))
        written = "".join(table.write_csv() for table in tables) + str(self.late_from)
        return hashlib.sha256(written.encode()).hexdigest()[:8]

    @property
    def early(self) -> pl.DataFrame:
        """The known rows before the late ones."""
        return self.known.filter(self.order < self.late_from)

    @property
    def late(self) -> pl.DataFrame:
        """The known rows by which a peer learns its spread."""
        return self.known.filter(self.order >= self.late_from)

    @property
    def rehearsal(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The early rows, parted into those to learn from and the last ones, to see when to stop."""
        steps = np.unique(self.order[self.order < self.late_from])
        watched_from = steps[min(int((1 - WATCHED_SHARE) * len(steps)), len(steps) - 1)]
        watched = self.order[self.order < self.late_from] >= watched_from
        return self.early.filter(~watched), self.early.filter(watched)

    @property
    def facts(self) -> pl.DataFrame:
        """What the measures need of the asked rows: FACTS, launched_on, price and the truth, in their order."""
        told = vocabulary.with_launch(devices=self.asked).select(*FACTS, "launched_on", "price")
        if self.truth is None:
            return told
        return told.join(self.truth, on="sale_id", how="left", maintain_order="left")


def in_time(
    *,
    sales: pl.DataFrame,
    asked: pl.DataFrame,
    attributes: Mapping[str, Attribute],
    window: Window,
    seed: int,
    name: str = "",
    truth: pl.DataFrame | None = None,
) -> Case:
    """Ask for the sales `asked` of a window by those before it: the rows of backtest.run."""
    again = pl.col("unit_id").is_in(_within(sales, window)["unit_id"].drop_nulls().implode())
    known = sales.filter((pl.col("sold_on") < window.known_before) & ~again.fill_null(False))
    day = known["sold_on"].to_physical().cast(pl.Int64).to_numpy()
    return Case(
        name=name or str(window.start),
        known=known,
        asked=_within(asked, window),
        attributes=attributes,
        as_of=window.start,
        seed=seed,
        order=day,
        late_from=int(day.max()) + 1 - min(LATE_DAYS, int(day.max() - day.min() + 1) // 3),
        truth=truth,
    )


def _within(sales: pl.DataFrame, window: Window) -> pl.DataFrame:
    return sales.filter(pl.col("sold_on").is_between(window.start, window.end, closed="left")).sort(
        "sold_on", "sale_id"
    )


def grouped(
    *, sales: pl.DataFrame, attributes: Mapping[str, Attribute], group: Whole, fold: Whole, seed: int
) -> Iterator[Case]:
    """Ask for the rows of each fold by those of the others; every group (n,) lies in one fold (n,).

    The rows held back are whole groups: those of the next fold.
    """
    folds = int(fold.max()) + 1
    for asked in range(folds):
        known = fold != asked
        place = (fold[known] - asked - 2) % folds  # the next fold is the last
        order = place * (int(group.max()) + 1) + group[known]
        yield Case(
            name=f"fold-{asked}",
            known=sales.filter(known),
            asked=sales.filter(~known).sort("sold_on", "sale_id"),
            attributes=attributes,
            as_of=day_after(sales),
            seed=seed,
            order=order,
            late_from=int(order[place == place.max()].min()),
        )


def day_after(sales: pl.DataFrame) -> date:
    """The day after the newest sale."""
    newest: date = sales["sold_on"].max()  # type: ignore[assignment]
    return newest + timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Invented:
    """A scenario's market of so many sales, drawn by a seed."""

    scenario: str
    sales: int
    seed: int
    origins: int = ORIGINS

    @property
    def name(self) -> str:
        """The name that the table calls it by; the scenario may be the path of a file too."""
        return Path(self.scenario).stem

    @property
    def key(self) -> str:
        """The folder of its parts."""
        return f"{self.name}-{self.sales}-{self.seed}"

    def history(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The good rows of its sales, and the truth of those that are what they say they are."""
        drawn = market.simulate(scenario=self.scenario, sales=self.sales, seed=self.seed)
        as_of = drawn.oracle.world.scenario.period.ends_on
        good = ledger.audit(frame=drawn.sales, contract=ledger.SALES, as_of=as_of).good
        clean = (pl.col("kind") == "sale") & pl.col("dirt").is_null()
        quantiles = {f"value_{name}": f"oracle_{name}" for name in QUANTILE_NAMES}
        truth = drawn.truth.filter(clean).select(pl.col("id").alias("sale_id"), *quantiles).rename(quantiles)
        return good, truth

    def cases(self) -> Iterator[Case]:
        """The windows of a backtest, and the weeks after each step; dirt is learnt from but not asked for."""
        good, truth = self.history()
        clean = good.join(truth, on="sale_id", how="semi")
        origins = backtest.windows(sales=good, window_days=WINDOW_DAYS, origins=self.origins)
        weeks = [_week(step, number) for step in steps(self.scenario) for number in range(STEP_WEEKS)]
        for window in (*origins, *weeks):
            name = f"{STEP}-{window.start}" if window in weeks else ""
            told = {"attributes": {}, "seed": self.seed, "name": name, "truth": truth}
            yield in_time(sales=good, asked=clean, window=window, **told)  # type: ignore[arg-type]


def _week(step: date, number: int) -> Window:
    start = step + timedelta(days=7 * number)
    return Window(start=start, end=start + timedelta(days=7), known_before=start)


def steps(name: str) -> list[date]:
    """The days on which all prices of a scenario fall for good."""
    return [event.on for event in scenario.load(scenario.find(name)).events if _for_all(event)]


def _for_all(event: Event) -> bool:
    some = event.markets or event.categories or event.brands or event.until
    return event.level < 0 and not some
