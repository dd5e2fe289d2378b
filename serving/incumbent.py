"""The incumbent: an appraiser in office, and what is known of devices by it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from valuation import catalogue
from valuation.appraiser import Appraiser
from valuation.catalogue import Catalogue, Variant

Identity = tuple[str, str, float | None]


@dataclass(frozen=True)
class Incumbent:
    """An appraiser with the version under which it was registered."""

    appraiser: Appraiser
    version: str

    def age_days(self, *, on: date) -> int:
        """How long before a day it was learned."""
        return (on - self.appraiser.as_of).days

    @cached_property
    def catalogue(self) -> Catalogue:
        """The devices that can be asked for: those with launch facts and those that were sold."""
        return Catalogue.embedded().with_devices(self.appraiser.devices)

    def usual(self, *, variant: Variant, currency: str) -> dict[str, Any]:
        """What the sales say of a device: its launch day and its usual attributes; {} if never sold."""
        rows = self._sold.get(_identity(vars(variant)), [])
        row = next((row for row in rows if row["currency"] == currency), rows[0] if rows else {})
        names = ["launched_on", *self.appraiser.attributes]
        return {name: row[name] for name in names if name in row}

    def namesake(self, *, brand: str, model: str) -> Variant | None:
        """The known device of this brand and model with the least storage."""
        return self._least.get((catalogue.key(brand), catalogue.model_key(brand=brand, model=model)))

    def most_storage(self, *, brand: str, model: str) -> float:
        """The most storage of the known devices of this brand and model; 0 where there is none."""
        return self._largest.get((catalogue.key(brand), catalogue.model_key(brand=brand, model=model)), 0.0)

    def knows(self, *, attributes: Mapping[str, float | str]) -> bool:
        """Whether each number lies within what devices that were sold have."""
        told = {name: value for name, value in attributes.items() if not isinstance(value, str)}
        return all(least <= told[name] <= most for name in told for least, most in (self._bounds(name),))

    def _bounds(self, name: str) -> tuple[float, float]:
        known = self.appraiser.devices
        told = known[name].drop_nulls().to_list() if name in known.columns else []
        return min(told, default=math.inf), max(told, default=-math.inf)

    @cached_property
    def _largest(self) -> dict[tuple[str, str], float]:
        rising = sorted(self.catalogue.variants, key=lambda variant: variant.storage_gb or 0)
        return {_named(variant): variant.storage_gb or 0 for variant in rising}

    @cached_property
    def _least(self) -> dict[tuple[str, str], Variant]:
        falling = sorted(self.catalogue.variants, key=lambda variant: -(variant.storage_gb or 0))
        return {_named(variant): variant for variant in falling}

    def most_sold(self) -> tuple[Variant, str]:
        """The phone with the most sales, or else the device, and the currency of these."""
        rows = [
            ((row["category"] == "smartphone", row["sales"]), sold, row["currency"])
            for sold in self._sold
            for row in self._sold[sold]
        ]
        _, most, currency = max(rows, key=lambda row: row[0])
        return next(v for v in self.catalogue.variants if _identity(vars(v)) == most), currency

    @cached_property
    def _sold(self) -> dict[Identity, list[dict[str, Any]]]:
        rows = defaultdict(list)
        for row in self.appraiser.devices.iter_rows(named=True):
            rows[_identity(row)].append(row)
        return dict(rows)


def _identity(row: Mapping[str, Any]) -> Identity:
    brand, model = row["brand"], row["model"]
    return catalogue.key(brand), catalogue.model_key(brand=brand, model=model), row["storage_gb"]


def _named(variant: Variant) -> tuple[str, str]:
    return catalogue.key(variant.brand), catalogue.model_key(brand=variant.brand, model=variant.model)
