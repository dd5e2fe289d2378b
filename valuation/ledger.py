"""The tables of past trade, and the audit that parts their good rows from their faults.

A row that breaks a rule is a fault: it is set aside with its number, its rule, the value and the remedy, and
is never repaired. A table that cannot be audited at all (no row, a column missing or of a hopeless type) is a
LedgerError.

Reading a cell: a blank text is a null; a text holds a number (` 12.50`), a day (2020-03-10), an instant
(2020-03-10T11:28:00Z) or a bool (true, FALSE, 1, 0); a typed instant without a zone is UTC; an integer may
be an id. Nothing else is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Literal, cast

import polars as pl

from valuation import rules
from valuation.rules import Column, Kind, Rule

LONGEST_VALUE_SHOWN = 120  # characters of a faulty value
FAULTS = pl.Schema(
    {"row": pl.Int64, "column": pl.String, "rule": pl.String, "value": pl.String, "remedy": pl.String}
)
DTYPES: Mapping[Kind, pl.DataType] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "date": pl.Date(),
    "bool": pl.Boolean(),
    "instant": pl.Datetime("us", "UTC"),
}


class LedgerError(ValueError):
    """A table that cannot be audited: no row, or a column that is missing or of a hopeless type."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A further column that the owner of a table declares a feature.

    `direction` says how the price may move when the number rises: `+` up, `-` down, `none` either way.
    """

    name: str
    direction: Literal["+", "-", "none"]
    kind: Literal["number", "text"]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A table by its columns; `days` names the columns that tell the day of a row, the first known counts."""

    kind: str
    columns: tuple[Column, ...]
    days: tuple[str, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that cover a column of this table."""
        return tuple(rule for rule in rules.RULES if any(rule.covers(column) for column in self.columns))

    def joined_by(self, attributes: Mapping[str, Attribute]) -> Contract:
        """The same table with the declared attributes at its end."""
        more = (Column(one.name, one.kind, False) for one in attributes.values())
        return replace(self, columns=(*self.columns, *more))


def _contract(kind: str, days: tuple[str, ...], *lines: str) -> Contract:
    """A table out of lines of `name kind` pairs; a kind with `?` may be absent or null."""
    pairs = (pair.split() for line in lines for pair in line.split(", "))
    columns = (Column(name, cast(Kind, kind.rstrip("?")), not kind.endswith("?")) for name, kind in pairs)
    return Contract(kind=kind, columns=tuple(columns), days=days)


# Amounts are in major units of the row's currency, storage in GB, battery_health a share of a new battery.
_DEVICE = "category text, brand text, model text, storage_gb number?"
_STATE = "battery_health number?, carrier_locked bool?, launched_on date?, launch_price number?"

# One row per device sold. price: paid for the device, with VAT where there is one, without shipping. unit_id:
# the same physical device. at_our_price: sold at a price that this engine suggested.
SALES = _contract(
    "sales",
    ("sold_on",),
    "sale_id text, sold_on date, market text, currency text, price number",
    _DEVICE,
    "grade text",
    _STATE,
    "channel text?, seller_id text?, unit_id text?, at_our_price bool?",
)

# One row per offer for sale. ended_on null: still open.
LISTINGS = _contract(
    "listings",
    ("listed_on",),
    "listing_id text, market text, currency text",
    _DEVICE,
    "grade text",
    _STATE,
    "listed_on date, ended_on date?, sold bool, list_price number",
    "competitors number?, competitor_min_price number?",
)

# One row per buyback quote. propensity: the density, per unit of log offer, with which the offer was drawn; a
# probability is none, and training/drawing.py tells. accepted null: open. sale_id: the later sale.
QUOTES = _contract(
    "quotes",
    ("quoted_at",),
    "quote_id text, quoted_at instant, market text, currency text",
    _DEVICE,
    "condition text",
    _STATE,
    "offer number, policy text, randomised bool, propensity number?, accepted bool?, accepted_at instant?",
    "inspected_condition text?, final_amount number?, sale_id text?",
)

# One row per device to value, by its grade or its condition. on: the day of its value, before sold_on.
DEVICES = _contract(
    "devices",
    ("on", "sold_on"),
    "on date?, sold_on date?, market text, currency text",
    _DEVICE,
    "grade text?, condition text?",
    _STATE,
    "channel text?",
)

CONTRACTS = MappingProxyType({contract.kind: contract for contract in (SALES, LISTINGS, QUOTES, DEVICES)})


@dataclass(frozen=True, kw_only=True)
class Audit:
    """`good`: the contract's columns, the attributes and `row`; `faults`: row, column, rule, value, remedy.

    `row` counts data rows from 1. A row may have several faults.
    """

    good: pl.DataFrame
    faults: pl.DataFrame


def audit(
    *,
    frame: pl.DataFrame,
    contract: Contract,
    as_of: date | None,
    attributes: Mapping[str, Attribute] = MappingProxyType({}),
) -> Audit:
    """Part the rows that keep every rule of the contract from the faults, each with its rule and remedy.

    `as_of` is the last day that may occur; without it no row is in the future. Absent optional columns come
    back as nulls; columns that are neither the contract's nor declared are dropped.

    Raises LedgerError where a required column or a declared attribute is missing, where a column has a type
    that cannot hold its values, or where there is no row.
    """
    table = contract.joined_by(attributes)
    _refuse_missing_columns(frame, table, attributes)
    _refuse_hopeless_types(frame, table)
    if frame.is_empty():
        raise LedgerError(f"The table of {table.kind} has its columns but no row. Give at least one row.")
    typed = frame.select(_read(frame, column) for column in table.columns)
    broken = _broken(
        typed.hstack(frame.select(_given(frame, column) for column in table.columns)), table, as_of
    )
    good = typed.with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    if broken:
        good = good.filter(~pl.col("row").is_in(pl.concat(broken.values()).unique().implode()))
    return Audit(good=good, faults=_faults(frame, broken))


def _refuse_missing_columns(
    frame: pl.DataFrame, table: Contract, attributes: Mapping[str, Attribute]
) -> None:
    needed = [c.name for c in table.columns if c.required or c.name in attributes]
    if table.kind == "devices":
        needed.append("grade or condition")
    missing = [name for name in needed if not {*name.split(" or ")} & {*frame.columns}]
    if missing:
        raise LedgerError(
            f"The table lacks {', '.join(missing)}: {table.kind} need {', '.join(needed)}, and it has "
            f"{', '.join(c for c in frame.columns if c != 'aside')}. Add the columns, or name their sources in "
            "a mapping file."
        )


def _refuse_hopeless_types(frame: pl.DataFrame, table: Contract) -> None:
    hopeless = [
        f"{column.name} is {frame.schema[column.name]}, not {column.kind}"
        for column in table.columns
        if column.name in frame.columns and not _can_hold(frame.schema[column.name], column.kind)
    ]
    if hopeless:
        raise LedgerError(
            f"These columns cannot be read: {'; '.join(hopeless)}. Write them in that type, or as text."
        )


def _can_hold(dtype: pl.DataType, kind: Kind) -> bool:
    by_kind = {
        "text": dtype.is_integer() or dtype in (pl.Categorical, pl.Enum),
        "number": dtype.is_numeric(),
        "date": dtype in (pl.Date, pl.Datetime),
        "bool": dtype == pl.Boolean or dtype.is_integer(),
        "instant": dtype == pl.Datetime,
    }
    return dtype in (pl.String, pl.Null) or by_kind[kind]


def _read(frame: pl.DataFrame, column: Column) -> pl.Expr:
    """The column in its declared type: null where it is absent, blank or cannot be read."""
    dtype = DTYPES[column.kind]
    value = pl.col(column.name) if column.name in frame.columns else pl.lit(None)
    given = frame.schema.get(column.name, pl.Null())
    if column.kind == "bool" and given != pl.Boolean:
        value, given = value.cast(pl.String), pl.String()
    if given == pl.String:
        value = _OUT_OF_TEXT[column.kind](value)
    if column.kind == "instant" and isinstance(given, pl.Datetime) and given.time_zone is None:
        value = value.dt.replace_time_zone("UTC")
    return value.cast(dtype).alias(column.name)


_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_OUT_OF_TEXT: Mapping[Kind, Callable[[pl.Expr], pl.Expr]] = {
    "text": lambda text: pl.when(text.str.strip_chars() != "").then(text),
    "number": lambda text: text.str.strip_chars().cast(pl.Float64, strict=False),
    "date": lambda text: text.str.strip_chars().str.to_date("%Y-%m-%d", strict=False),
    "bool": lambda text: (
        text.str.strip_chars()
        .str.to_lowercase()
        .replace_strict(_BOOLS, default=None, return_dtype=pl.Boolean)
    ),
    "instant": lambda text: text.str.strip_chars().str.to_datetime("%+", time_zone="UTC", strict=False),
}


def _given(frame: pl.DataFrame, column: Column) -> pl.Expr:
    """True where the cell held something: neither null nor a text of spaces."""
    held = pl.lit(False)
    if column.name in frame.columns:
        value = pl.col(column.name)
        text = frame.schema[column.name] == pl.String
        held = value.is_not_null() & (value.str.strip_chars() != "") if text else value.is_not_null()
    return held.alias(rules.given(column.name))


def _broken(checked: pl.DataFrame, table: Contract, as_of: date | None) -> dict[tuple[str, Rule], pl.Series]:
    """The rows, counted from 1, of every column and rule that some row breaks."""
    row = rules.Row(day=pl.coalesce(pl.col(name).cast(pl.Date) for name in table.days), as_of=as_of)
    found = {
        (column.name, rule): checked.select(
            rule.broken(column.name, row).arg_true().cast(pl.Int64) + 1
        ).to_series()
        for rule in table.rules
        for column in table.columns
        if rule.covers(column)
    }
    return {place: rows for place, rows in found.items() if rows.len()}


def _faults(frame: pl.DataFrame, broken: Mapping[tuple[str, Rule], pl.Series]) -> pl.DataFrame:
    """One line for each row, column and rule, by row."""
    tables = [
        pl.DataFrame({"row": rows}).select(
            "row",
            column=pl.lit(column),
            rule=pl.lit(rule.name),
            value=_shown(frame, column, rows),
            remedy=pl.lit(rule.remedy),
        )
        for (column, rule), rows in broken.items()
    ]
    return pl.concat([FAULTS.to_frame(), *tables]).sort("row", maintain_order=True)


def _shown(frame: pl.DataFrame, column: str, rows: pl.Series) -> pl.Series:
    """The values at these rows, as text, shortened."""
    if column not in frame.columns:
        return pl.repeat(None, rows.len(), dtype=pl.String, eager=True)
    return frame[column].gather(rows - 1).cast(pl.String).str.head(LONGEST_VALUE_SHOWN)
