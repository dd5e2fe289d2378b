"""The market price index: where the level of prices stands now, by market, by category and by model.

Trees and lines never see calendar time. What time does to prices is carried by levels: exponentially forgetting means
of what the anchor left unexplained, each shrunk to zero by `prior_sales`, so a node with few sales moves little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One rung of the index: the mean residual per node, a sale of `half_life_days` ago counting half.

    `sums` has a row per node and day on which it sold: node, day, total (of residuals) and sales, both cumulative and
    both weighed by 2 ** ((day - origin) / half_life_days). A closed level has one row per node, the last, and stands
    for every day: before `closed_on` as on that day, from then on fading.
    """

    by: tuple[str, ...]
    half_life_days: float
    prior_sales: float
    origin: int
    sums: pl.DataFrame
    closed_on: int | None = None

    def at(self, *, table: pl.DataFrame, lag_days: NDArray[np.int64] | int = 0) -> Floats:
        """Tell the level of each row in log price, from sales before its day less `lag_days`: (n,)."""
        total, sales = self.totals(table=table, lag_days=lag_days)
        return total / (sales + self.prior_sales)

    def totals(self, *, table: pl.DataFrame, lag_days: NDArray[np.int64] | int = 0) -> tuple[Floats, Floats]:
        """Sum the weighed residuals and the weights of each row's node, as `at` sees them: (n,) and (n,)."""
        if self.closed_on is not None:
            return self._closed_totals(table, self.closed_on)
        asked = table.select(node=_node(self.by), day="day").with_row_index("row")
        known = pl.Series(np.asarray(table["day"].to_numpy() - 1 - lag_days, dtype=np.int64))
        found = (
            asked.with_columns(known=known)
            .sort("known")
            .join_asof(self.sums, left_on="known", right_on="day", by="node", check_sortedness=False)
            .sort("row")
        )
        fade = np.exp2(-(found["day"].to_numpy() - self.origin) / self.half_life_days)
        total, sales = (found[c].fill_null(0.0).to_numpy() * fade for c in ("total", "sales"))
        return total, sales

    def _closed_totals(self, table: pl.DataFrame, closed_on: int) -> tuple[Floats, Floats]:
        nodes = table.select(_node(self.by)).to_series().to_list()
        found = np.array([self._ends.get(node, (0.0, 0.0)) for node in nodes]).reshape(-1, 2)
        day = np.maximum(table["day"].to_numpy(), closed_on)
        fade = np.exp2(-(day - self.origin) / self.half_life_days)
        return found[:, 0] * fade, found[:, 1] * fade

    @cached_property
    def _ends(self) -> dict[str, tuple[float, float]]:
        return {
            node: (total, sales)
            for node, total, sales in self.sums.select("node", "total", "sales").iter_rows()
        }

    def close(self) -> Level:
        """Keep only where each node stood at the end."""
        last = self.sums.group_by("node", maintain_order=True).last()
        closed_on = int(self.sums["day"].max()) + 1  # type: ignore[arg-type]
        return replace(self, sums=last.sort("node"), closed_on=closed_on)


def accumulate(
    *,
    table: pl.DataFrame,
    residuals: Floats,
    by: Sequence[str],
    half_life_days: float,
    prior_sales: float,
) -> Level:
    """Sum the residuals (n,) of sales by node and day into a level."""
    origin = int(table["day"].min())  # type: ignore[arg-type]
    weight = (2.0 ** ((pl.col("day") - origin) / half_life_days)).alias("weight")
    sums = (
        table.select(node=_node(tuple(by)), day="day", residual=pl.Series(residuals))
        .with_columns(weight)
        .group_by("node", "day")
        .agg(total=(pl.col("residual") * pl.col("weight")).sum(), sales=pl.col("weight").sum())
        .sort("day", "node")
        .with_columns(pl.col("total", "sales").cum_sum().over("node"))
    )
    return Level(
        by=tuple(by), half_life_days=half_life_days, prior_sales=prior_sales, origin=origin, sums=sums
    )


def _node(by: tuple[str, ...]) -> pl.Expr:
    return pl.concat_str([pl.lit(""), *(pl.col(c).fill_null("") for c in by)], separator="|")
