"""The oracle: values devices as one who knows the world. In the mean no model can be nearer to the prices to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar

import polars as pl

from training.simulator.costs import CONDITIONS
from training.simulator.refusal import SimulatorError
from training.simulator.truth import REPAIRED, Truth
from training.simulator.world import Goods, World
from valuation import catalogue
from valuation.bargain import Bargain
from valuation.grades import Grade
from valuation.ledger import Attribute
from valuation.rows import Floats

_DEVICE = ("brand", "model", "storage_gb", "market")
_STATE = ("channel", "battery_health", "carrier_locked")


@dataclass(frozen=True)
class Oracle:
    """Stands in for an appraiser: backtest.run(fit=lambda **_: oracle).

    It knows the devices of its own world only, and no days but the world's: before the first and after the last of
    them, prices stand where they stood then.
    """

    world: World
    attributes: ClassVar[Mapping[str, Attribute]] = MappingProxyType({})

    @cached_property
    def truth(self) -> Truth:
        """The truth of its world."""
        return Truth(self.world)

    def appraise(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        """Value devices of the ledger on their day `on` at their grade: p05..p95, mean, fsd, basis, comparables."""
        ranks = pl.col("grade").replace_strict({g.name: int(g) for g in Grade}, return_dtype=pl.Int64)
        values = self.truth.values(self._goods(devices.with_columns(rank=ranks)))
        return values.with_columns(basis=pl.lit("model"), comparables=pl.lit(0, pl.Int64))

    def bargain(self, *, devices: pl.DataFrame) -> Bargain:
        """What every offer for devices in their `condition` leads to: who accepts, what it earns, the best one."""
        places = {str(condition): place for place, condition in enumerate(CONDITIONS)}
        declared = devices["condition"].replace_strict(places, return_dtype=pl.Int64)
        ranks = pl.Series(REPAIRED).gather(declared)
        return self.truth.bargain(self._goods(devices.with_columns(rank=ranks)), declared.to_numpy())

    def _goods(self, devices: pl.DataFrame) -> Goods:
        """The devices as the world knows them. Raises SimulatorError for one that it does not have."""
        absent = [pl.lit(None).alias(name) for name in _STATE if name not in devices.columns]
        keyed = devices.with_columns(*absent, *_keys())
        found = keyed.join(self._shelf, on=_DEVICE, how="left", maintain_order="left")
        self._refuse_strangers(found)
        period = self.world.scenario.period
        day = found.select(
            (pl.col("on").cast(pl.Date) - pl.lit(period.starts_on)).dt.total_days()
        ).to_series()
        places = {name: place for place, name in enumerate(self.world.channels)}
        channel = found["channel"].cast(pl.String).replace_strict(places, default=0, return_dtype=pl.Int64)
        return Goods(
            shelf=found["shelf"].to_numpy(),
            day=day.to_numpy().clip(0, period.days - 1),
            grade=found["rank"].to_numpy(),
            channel=channel.to_numpy(),
            health=_numbers(found["battery_health"]),
            locked=_numbers(found["carrier_locked"]),
        )

    def _refuse_strangers(self, found: pl.DataFrame) -> None:
        for stranger in found.filter(pl.col("shelf").is_null()).head(1).iter_rows(named=True):
            named = ", ".join(f"{name} {stranger[name]}" for name in _DEVICE)
            raise SimulatorError(
                f"There is no device with {named} in this world: an oracle values those of its own scenario only."
            )

    @cached_property
    def _shelf(self) -> pl.DataFrame:
        return self.world.shelf.select(
            *_keys(), "storage_gb", "market", shelf=pl.int_range(pl.len(), dtype=pl.Int64)
        )


def _keys() -> list[pl.Expr]:
    return [catalogue.key_expr(pl.col(name)) for name in ("brand", "model")]


def _numbers(column: pl.Series) -> Floats:
    """Null as NaN: (n,)."""
    return column.cast(pl.Float64).to_numpy()
