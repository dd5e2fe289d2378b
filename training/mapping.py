"""Mapping files: how somebody's table becomes one of the ledger's, in TOML.

    [columns]                   a column of the contract, or an attribute, and how to read it
    price = { from = "price_gbp" }
    market = { value = "GB" }

    [[columns.storage_gb]]      several readings: the first that finds something wins
    from = ["capacity", "title"]
    number = '(\\d+) ?(GB|TB)'
    units = { GB = 1, TB = 1024 }

    [[aside]]                   rows that are no sale of one device; the first rule that hits counts
    rule = "a lot of several"
    from = "title"
    match = '\\blot of\\b'

    [attributes]                further columns that become features
    ram_gb = { direction = "+" }
    gpu_maker = { direction = "none", kind = "text" }

A reading is either `value`, a constant (as the last reading: a default), or `from`, a column or several in
fall-back order, with at most one of

    number   a pattern whose first group is the number; with `units` its second group is the unit
    text     a pattern whose group is the text
    match    a list of [pattern, value]: the value of the first pattern that is found
    words    a table of translations of the whole cell; a word that it lacks stays as it is
    date     a strptime format, such as "%d.%m.%Y", for texts; a text that does not fit it stays as it is

and without any of them the cell as it is. `number` and `text` take one pattern or several in order of
preference. `case` is lower, upper or title. Spaces around a cell do not count, and a blank cell is nothing.
Patterns are regular expressions of the Rust crate `regex` (no look-around) and ignore case.

An aside rule has a `rule`, the sentence that the report shows, and either `from` with `match`, a pattern that
one of these cells holds, or `above_launch`, a multiple of the launch price that the price exceeds.

A column of the contract that the file does not mention is taken by its own name. All that is wrong with a
file is told at once, one line a problem, as MappingError.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
import pydantic

from valuation import ledger

ASIDE = "aside"  # the column, beside those of the contract, that holds the rule of a row set aside


class MappingError(ValueError):
    """A mapping that is wrong in itself or does not fit the table; one line a problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _groups(pattern: str) -> int:
    """The number of capture groups."""
    found = pl.select(pl.lit("").str.extract_groups(pattern)).to_series()
    return len(found.struct.fields)


def _compiled(pattern: str) -> str:
    try:
        _groups(pattern)
    except pl.exceptions.ComputeError as error:
        raise ValueError(f"{pattern!r} is no pattern: {str(error).splitlines()[-1]}") from None
    return f"(?i){pattern}"


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Constant = str | bool | float | date
Pattern = Annotated[str, pydantic.AfterValidator(_compiled)]
Patterns = Annotated[tuple[Pattern, ...], pydantic.BeforeValidator(_several)]
Names = Annotated[tuple[str, ...], pydantic.BeforeValidator(_several)]


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Reading(_Part):
    """One way to find the value of a column."""

    value: Constant | None = None
    source: Names = pydantic.Field((), alias="from")
    number: Patterns = ()
    units: dict[str, float] = {}
    text: Patterns = ()
    match: tuple[tuple[Pattern, Constant], ...] = ()
    words: dict[str, Constant] = {}
    date: str | None = None
    case: Literal["lower", "upper", "title"] | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.value is None) == (not self.source):
            raise ValueError("give either `value` or `from`")
        ways = [self.number, self.text, self.match, self.words, self.date]
        if sum(bool(way) for way in ways) > bool(self.source):
            raise ValueError("give `from` and at most one of number, text, match, words, date")
        if self.units and not self.number:
            raise ValueError("`units` belong to `number`")
        for pattern in (*self.number, *self.text):
            if _groups(pattern) != (wanted := 2 if self.units else 1):
                raise ValueError(f"{pattern[4:]!r} needs {wanted} group(s) in round brackets")
        return self


class Aside(_Part):
    """A rule that sets rows aside."""

    rule: str
    source: Names = pydantic.Field((), alias="from")
    match: Pattern | None = None
    above_launch: float | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.source) != bool(self.match) or bool(self.match) == bool(self.above_launch):
            raise ValueError("give either `from` and `match`, or `above_launch`")
        return self


class Declared(_Part):
    """How an attribute moves the price."""

    direction: Literal["+", "-", "none"]
    kind: Literal["number", "text"] = "number"

    @pydantic.model_validator(mode="after")
    def _only_numbers_rise(self) -> Self:
        if self.kind == "text" and self.direction != "none":
            raise ValueError("a text neither rises nor falls: its direction is none")
        return self


class Mapping(_Part):
    """A mapping as read: how to find each column, what to set aside, what to learn from."""

    columns: dict[str, Annotated[tuple[Reading, ...], pydantic.BeforeValidator(_several)]] = {}
    aside: tuple[Aside, ...] = ()
    declared: dict[str, Declared] = pydantic.Field({}, alias="attributes")

    @property
    def attributes(self) -> dict[str, ledger.Attribute]:
        """The declared attributes, by name."""
        return {
            name: ledger.Attribute(name=name, direction=one.direction, kind=one.kind)
            for name, one in self.declared.items()
        }


IDENTITY = Mapping()


def load(path: Path) -> Mapping:
    """Read a mapping file. Raises MappingError with every problem of the file."""
    try:
        return Mapping(**tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError([f"{path} is no mapping file in TOML: {error}"]) from None
    except pydantic.ValidationError as error:
        raise MappingError([f"{path}: {_told(dict(one))}" for one in error.errors()]) from None


def _told(error: dict[str, Any]) -> str:
    """A problem of the file in one line, by its key."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such key; see the top of training/mapping.py"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"


def apply(*, table: pl.LazyFrame, mapping: Mapping, contract: ledger.Contract) -> pl.LazyFrame:
    """The columns of the contract and the attributes, and `aside`, the rule that sets a row aside, or null.

    Columns that nothing in the table or the file speaks of are left out.

    Raises MappingError where the mapping names columns that the table or the contract does not have, or where
    neither of them has a column that the contract requires.
    """
    schema = table.collect_schema()
    if problems := [*_misfits(mapping, contract, list(schema))]:
        raise MappingError([*problems, f"the table has {', '.join(schema)}"])
    names = [column.name for column in contract.joined_by(mapping.attributes).columns]
    found = {
        name: _found(mapping.columns.get(name, (Reading(**{"from": name}),)), schema)
        for name in names
        if name in mapping.columns or name in schema
    }
    hits = {f"{ASIDE} {place}": _hit(rule) for place, rule in enumerate(mapping.aside) if rule.match}
    rules = [_rule(rule, place) for place, rule in enumerate(mapping.aside)]
    if any(rule.above_launch for rule in mapping.aside) and not {"price", "launch_price"} <= set(found):
        raise MappingError(["aside: `above_launch` needs price and launch_price; map them, or drop the rule"])
    return (
        table.select(**found, **hits)
        .with_columns(pl.coalesce(pl.lit(None, dtype=pl.String), *rules).alias(ASIDE))
        .drop(*hits)
    )


def _misfits(mapping: Mapping, contract: ledger.Contract, names: list[str]) -> Iterator[str]:
    """What the file says that does not fit the contract or the table."""
    own = {column.name: column for column in contract.columns}
    sources = [
        (f"columns.{target}", one)
        for target, ways in mapping.columns.items()
        for way in ways
        for one in way.source
    ] + [(f"aside.{place}", one) for place, rule in enumerate(mapping.aside) for one in rule.source]
    for key, source in sources:
        if source not in names:
            yield f"{key}: there is no column {source!r} in the table"
    for name, column in own.items():
        if column.required and name not in mapping.columns and name not in names:
            yield f"columns.{name}: {contract.kind} need this column; say in a mapping file how to read it"
    for target in mapping.columns:
        if target not in own and target not in mapping.declared:
            yield f"columns.{target}: {contract.kind} have no such column; declare it under [attributes]"
    for name in mapping.declared:
        if name in own or name == ASIDE:
            yield f"attributes.{name}: this name is taken; choose another"
        elif name not in mapping.columns and name not in names:
            yield f"attributes.{name}: neither [columns] nor the table has it"


def _found(ways: tuple[Reading, ...], schema: pl.Schema) -> pl.Expr:
    """What the first reading that finds something finds."""
    return pl.coalesce(part for way in ways for part in _parts(way, schema))


def _parts(way: Reading, schema: pl.Schema) -> Iterator[pl.Expr]:
    if way.value is not None:
        yield pl.lit(way.value)
    for source in way.source:
        is_text = schema[source] == pl.String
        cell = _text(source) if way.case or is_text else pl.col(source)
        yield _cased(cell if way.date and not is_text else _read(way, source, cell), way.case)


def _text(source: str) -> pl.Expr:
    """The cell as text without the spaces around it; null where nothing is left."""
    text = pl.col(source).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _read(way: Reading, source: str, cell: pl.Expr) -> pl.Expr:
    text = _text(source)
    if way.number:
        return pl.coalesce(_measured(text, pattern, way.units) for pattern in way.number)
    if way.text:
        return pl.coalesce(text.str.extract(pattern) for pattern in way.text)
    if way.match:
        return pl.coalesce(
            pl.when(text.str.contains(pattern)).then(pl.lit(value)) for pattern, value in way.match
        )
    if way.words:
        return pl.coalesce(text.replace_strict(way.words, default=None), text)
    if way.date:
        return pl.coalesce(text.str.to_datetime(way.date, strict=False).dt.date().cast(pl.String), text)
    return cell


def _measured(text: pl.Expr, pattern: str, units: dict[str, float]) -> pl.Expr:
    number = text.str.extract(pattern).cast(pl.Float64, strict=False)
    if not units:
        return number
    lower = {unit.lower(): factor for unit, factor in units.items()}
    unit = text.str.extract(pattern, 2).str.to_lowercase()
    return number * unit.replace_strict(lower, default=None, return_dtype=pl.Float64)


def _cased(value: pl.Expr, case: str | None) -> pl.Expr:
    if case is None:
        return value
    text = value.str
    return {"lower": text.to_lowercase, "upper": text.to_uppercase, "title": text.to_titlecase}[case]()


def _hit(rule: Aside) -> pl.Expr:
    return pl.any_horizontal(_text(source).str.contains(rule.match or "") for source in rule.source)


def _rule(rule: Aside, place: int) -> pl.Expr:
    """The sentence of the rule where it hits."""
    if rule.match:
        return pl.when(pl.col(f"{ASIDE} {place}")).then(pl.lit(rule.rule))
    price, launch = (pl.col(name).cast(pl.Float64, strict=False) for name in ("price", "launch_price"))
    return pl.when(price > rule.above_launch * launch).then(pl.lit(rule.rule))
