"""The appraiser: models, calibration, vocabulary and card, as one thing that can be packed, carried and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from valuation import comparables, explanation, features, ledger, vocabulary
from valuation.appraisal import Appraisal, Value
from valuation.comparables import Comparable
from valuation.encoding import Encoded
from valuation.grades import Grade
from valuation.ledger import Attribute
from valuation.resale import BASES, ResaleModel, Said
from valuation.spread import OUTCOMES, SALES

NAME = "reprise-appraiser"
ROWS_AT_ONCE = 50_000
FORECAST_DAYS = (30, 60, 90)


class AppraiserError(ValueError):
    """An appraiser directory that is refused, or devices that an appraiser cannot read."""


class CurrencyNotLearnedError(AppraiserError):
    """A value was asked for in a currency in which the appraiser has seen no sale."""


@dataclass(frozen=True, kw_only=True)
class Appraiser:
    """Tells what devices sell for.

    `attributes` are the further columns it was trained on; `devices` is its vocabulary; `past` are sales to compare
    with; `centres` what each feature contributes on average, by currency; `card` describes it to people; `digest` is
    the content address of its directory, empty until it is packed.
    """

    model: ResaleModel
    attributes: Mapping[str, Attribute]
    devices: pl.DataFrame
    past: pl.DataFrame
    centres: Mapping[str, Mapping[str, float]]
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
        read = self._read(vocabulary.complete(devices=self._whole(devices), known=self._facts))
        ladder = self.model.ladder(devices=read)
        grade = read.numbers["grade_rank"].astype(np.int64)
        own = ladder[np.arange(read.rows), grade]
        names = pl.Series(BASES, dtype=pl.String)
        return pl.DataFrame(own, schema=OUTCOMES, orient="row").with_columns(
            basis=names.gather(self.model.location.basis(devices=read)),
            comparables=pl.Series(read.codes[SALES]),
        )

    def _whole(self, devices: pl.DataFrame) -> pl.DataFrame:
        absent = [
            pl.lit(None, ledger.DTYPES[a.kind]).alias(a.name)
            for a in self.attributes.values()
            if a.name not in devices.columns
        ]
        return devices.with_columns(absent)

    def _read(self, completed: pl.DataFrame) -> Encoded:
        return self.model.location.encode(table=features.table(devices=completed, attributes=self.attributes))

    @cached_property
    def _facts(self) -> vocabulary.Facts:
        return vocabulary.facts(known=self.devices)

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
        read = self._read(self._row(device, market, currency, grade, on))
        said = self.model.said(devices=read)
        ladder = self.model.ladder(devices=read, said=said)[0]
        values = {g: Value(**dict(zip(OUTCOMES, ladder[g].tolist(), strict=True))) for g in Grade}
        return Appraisal(
            market=market,
            currency=currency,
            category=str(device["category"]),
            on=on,
            grade=grade,
            ladder=values,
            basis=BASES[self.model.location.basis(devices=read)[0]],
            comparables=int(read.codes[SALES][0]),
            effects=explanation.effects(
                shares=self._shares(read, said, grade),
                value=values[grade].p50,
                centres=self.centres[currency],
                rest="grade" if read.codes[SALES][0] else "model",
            ),
        )

    def forecast(
        self,
        *,
        device: Mapping[str, object],
        market: str,
        currency: str,
        grade: Grade,
        on: date,
        days: Sequence[int] = FORECAST_DAYS,
    ) -> dict[int, Value]:
        """Tell what the device will sell for, so many days after `on`: from its age then and from the seasons.

        The market stands still as far as anybody knows; from a month after the last sale on, the range grows with the
        days. Raises as appraise_one.
        """
        later = {ahead: on + timedelta(days=ahead) for ahead in days}
        return {
            ahead: self.appraise_one(
                device=device, market=market, currency=currency, grade=grade, on=day
            ).value
            for ahead, day in later.items()
        }

    def comparables(
        self, *, device: Mapping[str, object], market: str, currency: str, grade: Grade, on: date
    ) -> tuple[Comparable, ...]:
        """Tell the past sales nearest to a device, up to `on`, with what the difference is worth, the nearest first."""
        row = features.table(
            devices=self._row(device, market, currency, grade, on), attributes=self.attributes
        )
        rows = comparables.candidates(past=self.past, table=self._past, device=row, on=on)
        location = self.model.location
        own = location.contributions(devices=location.encode(table=row))
        theirs = location.contributions(devices=location.encode(table=self._past[rows]))
        return comparables.nearest(
            past=self.past[rows], theirs=theirs, own={name: float(share[0]) for name, share in own.items()}
        )

    @cached_property
    def _past(self) -> pl.DataFrame:
        """The features of the past sales, on their days."""
        whole = vocabulary.complete(devices=self._whole(self.past), known=self._facts)
        return features.table(devices=whole, attributes=self.attributes)

    def _shares(self, device: Encoded, said: Said, grade: Grade) -> dict[str, float]:
        """What each feature adds to the log price of one device at its grade."""
        constant, graded, _ = said
        shares = constant | {name: share[grade : grade + 1] for name, share in graded.items()}
        return {n: float(s[0]) for n, s in self.model.location.split(devices=device, shares=shares).items()}

    def _row(
        self, device: Mapping[str, object], market: str, currency: str, grade: Grade, on: date
    ) -> pl.DataFrame:
        unknown = sorted(set(device) - set(self._schema))
        if unknown:
            raise AppraiserError(
                f"A device has no {', '.join(unknown)}; this appraiser knows {', '.join(sorted(self._schema))}."
            )
        told = dict.fromkeys(self._schema) | {
            **device,
            "market": market,
            "currency": currency,
            "grade": grade.name,
            "on": on,
        }
        completed = vocabulary.complete_one(device=told, known=self._facts)
        return pl.DataFrame([completed], schema={**self._schema, **vocabulary.ADDED}, orient="row")

    @cached_property
    def _schema(self) -> dict[str, Any]:
        """The columns that a device is told in, and their types."""
        columns = {c.name: ledger.DTYPES[c.kind] for c in ledger.DEVICES.columns}
        return columns | {a.name: ledger.DTYPES[a.kind] for a in self.attributes.values()}
