"""The appraiser: models, calibration, vocabulary and card, as one thing that can be packed, carried and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from valuation import comparables, explanation, features, ledger, vocabulary
from valuation.appraisal import OUTCOMES, Appraisal, Outlook, Prospects, Value
from valuation.comparables import Comparable
from valuation.encoding import Encoded
from valuation.grades import Grade
from valuation.ledger import Attribute
from valuation.owners import Owners
from valuation.resale import BASES, ResaleModel
from valuation.rows import Floats, Table, Whole
from valuation.spread import SALES
from valuation.worksheet import GRADE, RANK

NAME = "reprise-appraiser"
ROWS_AT_ONCE = 50_000
FORECAST_DAYS = (30, 60, 90)
# What is told of one device and not of its model: see Prospects.usual.
OF_ONE = {
    column.name: ledger.DTYPES[column.kind]
    for column in ledger.DEVICES.columns
    if column.name in ("storage_gb", "battery_health", "carrier_locked", "launched_on", "launch_price")
}


_NO_VALUES = pl.DataFrame(
    schema=dict.fromkeys(OUTCOMES, pl.Float64) | {"basis": pl.String, "comparables": pl.Int64}
)


class AppraiserError(ValueError):
    """An appraiser directory that is refused, or devices that an appraiser cannot read."""


class CurrencyNotLearnedError(AppraiserError):
    """A value was asked for in a currency in which the appraiser has seen no sale."""


@dataclass(frozen=True, kw_only=True)
class Appraiser:
    """Tells what devices sell for.

    `attributes` are the further columns it was trained on; `devices` is its vocabulary; `past` are sales to compare
    with; `centres` what each feature contributes on average, by currency; `owners` what is known of those who ask for a
    quote, None where nothing is; `card` describes it to people; `digest` is the content address of its directory, empty
    until it is packed.
    """

    model: ResaleModel
    attributes: Mapping[str, Attribute]
    devices: pl.DataFrame
    past: pl.DataFrame
    centres: Mapping[str, Mapping[str, float]]
    as_of: date
    simulated: bool
    card: Mapping[str, Any]
    owners: Owners | None = None
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
        return pl.concat([_NO_VALUES, *parts])

    def _appraised(self, devices: pl.DataFrame) -> pl.DataFrame:
        read = self._encoded(self.features(devices=devices))
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

    def features(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        """The features of a table of devices as of `appraise`."""
        whole = vocabulary.complete(devices=self._whole(devices), known=self._facts)
        return features.table(devices=whole, attributes=self.attributes)

    def _encoded(self, table: Table) -> Encoded:
        return self.model.location.encode(table=table)

    def prospects(self, *, devices: pl.DataFrame, days: Whole, owners: Owners | None = None) -> Prospects:
        """Tell what each device of a table as of `appraise` brings on its day, and so many days later (n,).

        What is told of the grade is not looked at. `owners` tell what they would take, or nobody does.
        """
        if owners is None:
            return self._prospects(None, pl.concat([devices, _later(devices, days)]))
        asked = devices.with_columns(pl.col("channel").fill_null(pl.lit(owners.resold_in, pl.String)))
        usual = asked.with_columns(pl.lit(None, kind).alias(name) for name, kind in OF_ONE.items())
        found, like = (
            self._prospects(owners, pl.concat([each, _later(each, days)])) for each in (asked, usual)
        )
        return replace(found, usual=like)

    def _prospects(self, owners: Owners | None, both: pl.DataFrame) -> Prospects:
        """Of devices, one after the other, and the same when they are sold."""
        table = self.features(devices=both)
        read, count = self._encoded(table), both.height // 2
        ladder, basis = self.model.ladder(devices=read), self.model.location.basis(devices=read)
        return _prospects(owners, table[:count], ladder[:count], ladder[count:], basis[:count])

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
        return self.outlook(device=device, market=market, currency=currency, grade=grade, on=on).appraisal

    def ladders(
        self,
        *,
        devices: Sequence[Mapping[str, object]],
        market: str,
        currency: str,
        on: date,
        grade: Grade = Grade.GOOD,
    ) -> tuple[Appraisal, ...]:
        """Value devices at every grade, without an explanation: one appraisal at `grade` for each, in order.

        Devices as of appraise_one, of which it raises the errors. Meant for some hundreds: see `appraise` for tables.
        """
        self._require(currency, market)
        table = self._few([(device, on) for device in devices], market, currency, grade)
        if not devices:
            return ()
        read = self._encoded(table)
        basis, sold = self.model.location.basis(devices=read).tolist(), read.codes[SALES].tolist()
        return tuple(
            Appraisal(
                market=market,
                currency=currency,
                category=str(device["category"]),
                on=on,
                grade=grade,
                ladder=_ladder(ladder),
                basis=BASES[rests],
                comparables=sales,
                effects=(),
            )
            for device, ladder, rests, sales in zip(
                devices, self.model.ladder(devices=read), basis, sold, strict=True
            )
        )

    def _require(self, currency: str, market: str) -> None:
        if currency not in self.currencies:
            raise CurrencyNotLearnedError(
                f"There are no past sales in {currency} to value from; there are some in "
                f"{', '.join(self.currencies)}. Retrain with sales of market {market}."
            )

    def outlook(
        self,
        *,
        device: Mapping[str, object],
        market: str,
        currency: str,
        grade: Grade,
        on: date,
        days_later: int = 0,
        changes: Sequence[Mapping[str, object]] = (),
        days: Sequence[int] = (),
    ) -> Outlook:
        """Appraise one device, tell what it and the same device with each of some `changes` bring, and what it sells
        for so many `days` after `on`: from its age then and from the seasons.

        The prospects are those of `on` and so many `days_later`, in the channel in which what is bought from owners is
        sold, unless another is told. The market stands still as far as anybody knows; from
        a month after the last sale on, the range grows with the days. Raises as appraise_one.
        """
        self._require(currency, market)
        if days_later and self.owners is not None:
            device = {"channel": self.owners.resold_in, **device}
        like = {name: told for name, told in device.items() if name not in OF_ONE}
        variants: list[Mapping[str, object]] = [{**device, **change} for change in ({}, *changes)]
        told = [*variants, like]
        asked = [(each, on + timedelta(days=ahead)) for ahead in (0, days_later) for each in told]
        asked += [(device, on + timedelta(days=ahead)) for ahead in days]
        table, count = self._few(asked, market, currency, grade), len(told)
        read = self._encoded(table)
        ladder = self.model.ladder(devices=read)
        basis, sold = self.model.location.basis(devices=read), int(read.codes[SALES][0])
        every = _prospects(
            self.owners, _head(table, count), ladder[:count], ladder[count : 2 * count], basis[:count]
        )
        usual = every.at(np.full(len(variants), len(variants)))
        prospects = replace(every.at(slice(len(variants))), usual=usual)
        values = _ladder(ladder[0])
        appraisal = Appraisal(
            market=market,
            currency=currency,
            category=str(device["category"]),
            on=on,
            grade=grade,
            ladder=values,
            basis=BASES[basis[0]],
            comparables=sold,
            effects=explanation.effects(
                shares=self._shares(read),
                value=values[grade].p50,
                centres=self.centres[currency],
                rest="grade" if sold else "model",
            ),
            later=_ladder(prospects.later[0]),
            least=None if prospects.least is None else tuple(prospects.least[0].tolist()),
        )
        ahead = ladder[len(asked) - len(days) :]
        forecast = {day: _ladder(one)[grade] for day, one in zip(days, ahead, strict=True)}
        return Outlook(appraisal=appraisal, prospects=prospects, forecast=forecast)

    def comparables(
        self, *, device: Mapping[str, object], market: str, currency: str, grade: Grade, on: date
    ) -> tuple[Comparable, ...]:
        """Tell the past sales nearest to a device, up to `on`, with what the difference is worth, the nearest first."""
        row = self._few([(device, on)], market, currency, grade)
        own_words = {name: told[0] for name, told in row.items()}
        rows = comparables.candidates(past=self.past, table=self._past, device=own_words, on=on)
        location = self.model.location
        own = location.contributions(devices=location.encode(table=row))
        theirs = location.contributions(devices=location.encode(table=self._past[rows]))
        return comparables.nearest(
            past=self.past[rows], theirs=theirs, own={name: float(share[0]) for name, share in own.items()}
        )

    @cached_property
    def _past(self) -> pl.DataFrame:
        """The features of the past sales, on their days."""
        return self.features(devices=self.past)

    def _shares(self, devices: Encoded) -> dict[str, float]:
        """What each feature adds to the log price of the first of some devices, what the grade touches last."""
        location = self.model.location
        shares = location.contributions(devices=devices.at(slice(0, 1)))
        touched = location.equation.touched(names=(GRADE, RANK))
        return {name: float(shares[name][0]) for name in sorted(shares, key=lambda name: name in touched)}

    def _few(
        self, asked: Sequence[tuple[Mapping[str, object], date]], market: str, currency: str, grade: Grade
    ) -> dict[str, list[Any]]:
        """The features of some devices on their days."""
        if unknown := sorted({name for device, _ in asked for name in device if name not in self._untold}):
            raise AppraiserError(
                f"A device has no {', '.join(unknown)}; this appraiser knows {', '.join(sorted(self._untold))}."
            )
        place = {"market": market, "currency": currency, "grade": grade.name}
        told = [{**self._untold, **device, **place, "on": on} for device, on in asked]
        completed = [vocabulary.complete_one(device=each, known=self._facts) for each in told]
        return features.few(devices=completed, attributes=self.attributes)

    @cached_property
    def _untold(self) -> dict[str, None]:
        """The columns that a device is told in."""
        return dict.fromkeys([*(column.name for column in ledger.DEVICES.columns), *self.attributes])


def _head(table: Mapping[str, list[Any]], rows: int) -> dict[str, list[Any]]:
    return {name: told[:rows] for name, told in table.items()}


def _ladder(outcomes: Floats) -> dict[Grade, Value]:
    """The ladder of one device (grades, OUTCOMES) in words."""
    return {grade: Value(**dict(zip(OUTCOMES, outcomes[grade].tolist(), strict=True))) for grade in Grade}


def _later(devices: pl.DataFrame, days: Whole) -> pl.DataFrame:
    return devices.with_columns(on=pl.col("on") + pl.Series(days) * timedelta(days=1))


def _prospects(owners: Owners | None, table: Table, today: Floats, later: Floats, basis: Whole) -> Prospects:
    """Of the features of devices (n,), and their ladders today and on the day when they are sold."""
    flawless, least = today[:, Grade.EXCELLENT, OUTCOMES.index("p50")], None
    if owners is not None:
        least = owners.acceptance.least_by_condition(devices=table, flawless=flawless)
    return Prospects(
        today=today,
        later=later,
        category=np.array(table["category"], dtype=np.str_),
        basis=np.array(BASES)[basis],
        least=least,
    )
