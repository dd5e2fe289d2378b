"""The appraiser: models, calibration, vocabulary and card, as one thing that can be packed, carried and opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from valuation import explanation, features, ledger, vocabulary
from valuation.appraisal import Appraisal, Value
from valuation.grades import Grade
from valuation.ledger import Attribute
from valuation.resale import OUTCOMES, ResaleModel

NAME = "reprise-appraiser"
ROWS_AT_ONCE = 5_000


class AppraiserError(ValueError):
    """An appraiser directory that is refused, or devices that an appraiser cannot read."""


class CurrencyNotLearnedError(AppraiserError):
    """A value was asked for in a currency in which the appraiser has seen no sale."""


@dataclass(frozen=True, kw_only=True)
class Appraiser:
    """Tells what devices sell for.

    `attributes` are the further columns it was trained on; `devices` is its vocabulary; `centres` what each feature
    contributes on average; `card` describes it to people; `digest` is the content address of its directory, empty
    until it is packed.
    """

    model: ResaleModel
    attributes: Mapping[str, Attribute]
    devices: pl.DataFrame
    centres: Mapping[str, float]
    as_of: date
    simulated: bool
    card: Mapping[str, Any]
    digest: str = ""
    name: str = NAME

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies in which it has seen sales; it can value in no other."""
        return tuple(self.model.location.equation.members["currency"])

    def appraise(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        """Value a table of devices in the columns of ledger.DEVICES, each on its day `on` and at its grade.

        Returns the OUTCOMES, `basis` and `comparables`, one row per row in the same order; quantiles and mean are in
        major units of each row's currency.
        """
        parts = [self._appraised(part) for part in devices.iter_slices(ROWS_AT_ONCE)]
        return pl.concat(parts) if parts else self._appraised(devices)

    def _appraised(self, devices: pl.DataFrame) -> pl.DataFrame:
        table = self._table(devices)
        ladder = self.model.ladder(table=table)
        grade = table["grade_rank"].cast(pl.Int64).to_numpy()
        basis, sales = self.model.location.basis(table=table)
        own = ladder[np.arange(table.height), grade]
        return pl.DataFrame(own, schema=OUTCOMES, orient="row").with_columns(
            basis=basis, comparables=pl.Series(sales)
        )

    @cached_property
    def _facts(self) -> vocabulary.Facts:
        return vocabulary.facts(known=self.devices)

    def _table(self, devices: pl.DataFrame) -> pl.DataFrame:
        absent = [
            pl.lit(None, pl.Float64 if a.kind == "number" else pl.String).alias(a.name)
            for a in self.attributes.values()
            if a.name not in devices.columns
        ]
        known = vocabulary.complete(devices=devices.with_columns(absent), known=self._facts)
        return features.table(devices=known, attributes=self.attributes)

    def appraise_one(
        self, *, device: Mapping[str, object], market: str, currency: str, grade: Grade, on: date
    ) -> Appraisal:
        """Value one device at every grade, and explain its value at `grade`.

        `device` holds category, brand and model, and whatever else is known of the device columns of the ledger and
        of the attributes; a key that is neither raises AppraiserError, a currency without past sales
        CurrencyNotLearnedError.
        """
        if currency not in self.currencies:
            raise CurrencyNotLearnedError(
                f"There are no past sales in {currency} to value from; there are some in "
                f"{', '.join(self.currencies)}. Retrain with sales of market {market}."
            )
        row = self._row(device, market, currency, grade, on)
        table = self._table(row)
        ladder = self.model.ladder(table=table)[0]
        basis, sales = self.model.location.basis(table=table)
        values = {g: Value(**dict(zip(OUTCOMES, ladder[g].tolist(), strict=True))) for g in Grade}
        return Appraisal(
            market=market,
            currency=currency,
            category=str(device["category"]),
            on=on,
            grade=grade,
            ladder=values,
            basis=basis[0],
            comparables=int(sales[0]),
            effects=explanation.effects(
                location=self.model.location, table=table, value=values[grade].p50, centres=dict(self.centres)
            ),
        )

    def _row(
        self, device: Mapping[str, object], market: str, currency: str, grade: Grade, on: date
    ) -> pl.DataFrame:
        schema = {c.name: ledger.DTYPES[c.kind] for c in ledger.DEVICES.columns} | {
            a.name: ledger.DTYPES[a.kind] for a in self.attributes.values()
        }
        unknown = sorted(set(device) - set(schema))
        if unknown:
            raise AppraiserError(
                f"A device has no {', '.join(unknown)}; this appraiser knows {', '.join(sorted(schema))}."
            )
        told = {**device, "market": market, "currency": currency, "grade": grade.name, "on": on}
        return pl.DataFrame({name: [told.get(name)] for name in schema}, schema=schema)
