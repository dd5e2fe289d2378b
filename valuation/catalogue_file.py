"""The file of the catalogue: its entries, or every problem that it has."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from rapidfuzz import fuzz, process

from valuation import money
from valuation.money import Money

CATEGORIES = (
    *("smartphone", "tablet", "laptop", "smartwatch", "console"),
    *("audio", "camera", "component", "other"),
)
CURRENCIES = ("EUR", "USD", "GBP", "PLN", "SEK")  # of the markets that have terms
COLUMNS = (
    *("device_id", "brand", "family", "model", "category", "storage_gb"),
    *("launched_on", "launch_price", "currency", "source", "confidence"),
)
_SAME = ("brand", "family", "model", "category", "launched_on")  # in every row of a device
_YEARS = range(1970, 2100)

Row = Mapping[str, str]
Rows = Mapping[int, Row]  # by the line on which they end
Problem = tuple[int, str]


class CatalogueError(ValueError):
    """A catalogue file breaks rules: one line for each problem, with file, line and remedy."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: what a device with one storage cost at its launch, in one currency."""

    device_id: str
    brand: str
    family: str
    model: str
    category: str
    storage_gb: float
    launched_on: date
    price: Money
    source: str
    confidence: str


def read(*, path: Path, device_id: Callable[[Row], str]) -> tuple[Entry, ...]:
    """Read and check a file; `device_id` tells the id that follows from the names of a row.

    A row that is broken by itself is left out of what is compared between rows, so that one slip is one
    problem. Raises CatalogueError for all of them together.
    """
    rows, problems = _rows(path)
    broken = {line: found for line, row in rows.items() if (found := list(_problems(row, device_id)))}
    problems += [(line, text) for line, found in broken.items() for text in found]
    sound = {line: row for line, row in rows.items() if line not in broken}
    for compare in (_strays, _repeats, _disagreements, _falls):
        problems += compare(sound)
    if problems:
        raise CatalogueError(
            "\n".join(f"{path.name}, line {line}: {text}." for line, text in sorted(problems))
        )
    return tuple(_entry(row) for row in rows.values())


def _rows(path: Path) -> tuple[Rows, list[Problem]]:
    """The rows under the right columns, or none and what is wrong with the file as a whole."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restkey="more", restval="less", strict=True)
            problems = [(1, text) for text in _columns_apart(reader.fieldnames or ())]
            rows = {}
            for row in () if problems else reader:
                line = reader.line_num
                rows[line] = row
    except UnicodeDecodeError:
        return {}, [(line, "is not UTF-8 here or a little below; save the file as UTF-8")]
    except csv.Error as error:
        return {}, [(line, f"cannot be read as CSV here or a little below: {error}")]
    if not rows and not problems:
        problems = [(1, "no device follows; add one, or leave the file out")]
    return rows, problems


def _columns_apart(given: Sequence[str]) -> Iterator[str]:
    """What is wrong with the first line; an unknown column that is like a missing one is that one misspelt."""
    if not given:
        yield f"the file is empty; begin it with {','.join(COLUMNS)}"
        return
    missing = [name for name in COLUMNS if name not in given]
    for name, times in Counter(given).items():
        if name not in COLUMNS and (
            meant := process.extractOne(name, missing, scorer=fuzz.ratio, score_cutoff=60)
        ):
            missing.remove(meant[0])
            yield f"column {name!r:.40} is unknown; write {meant[0]}"
        elif name not in COLUMNS:
            yield f"column {name!r:.40} is unknown; remove it"
        elif times > 1:
            yield f"column {name} is there {times} times; keep one"
    for name in missing:
        yield f"column {name} is missing; add it"
    if set(given) == set(COLUMNS) and len(given) == len(COLUMNS) and tuple(given) != COLUMNS:
        yield f"the columns are in another order; write them as {','.join(COLUMNS)}"


def _problems(row: Row, device_id: Callable[[Row], str]) -> Iterator[str]:
    """What is wrong with one row by itself."""
    if "more" in row:
        yield "has more fields than columns; quote a field that holds a comma"
        return
    if row[COLUMNS[-1]] == "less":
        yield "has fewer fields than columns; fill in what is missing"
        return
    names = ("brand", "family", "model", "source")
    for name in names:
        if not row[name].strip():
            yield f"{name} is empty; fill it in"
        elif row[name] != " ".join(row[name].split()):
            yield f"{name} {row[name]!r:.60} has spaces to spare; write {' '.join(row[name].split())!r:.60}"
    if row["category"] not in CATEGORIES:
        yield f"category {row['category']!r:.40} is unknown; write one of {', '.join(CATEGORIES)}"
    if row["confidence"] not in ("A", "B", "C"):
        yield f"confidence {row['confidence']!r:.40} is unknown; write A, B or C"
    yield from _wrong_id(row, device_id)
    yield from _wrong_date(row["launched_on"])
    yield from _wrong_price(row)


def _wrong_id(row: Row, device_id: Callable[[Row], str]) -> Iterator[str]:
    if not re.fullmatch(r"[1-9][0-9]{0,6}", row["storage_gb"]):
        yield f"storage_gb {row['storage_gb']!r:.40} is no whole number of GB above 0; write it as 128"
    elif all(row[name].strip() for name in ("brand", "model")) and row["device_id"] != (
        right := device_id(row)
    ):
        yield f"device_id {row['device_id']!r:.80} does not follow from the names; write {right}"


def _wrong_date(text: str) -> Iterator[str]:
    try:
        year = date.fromisoformat(text).year if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        year = None
    if year is None:
        yield f"launched_on {text!r:.40} is no date; write it as 2021-01-31"
    elif year not in _YEARS:
        yield f"launched_on {text} is not possible; write a year from {_YEARS[0]} to {_YEARS[-1]}"


def _wrong_price(row: Row) -> Iterator[str]:
    if row["currency"] not in CURRENCIES:
        yield f"currency {row['currency']!r:.40} is of no market; write one of {', '.join(CURRENCIES)}"
        return
    try:
        if Money.parse(row["launch_price"], row["currency"]).minor <= 0:
            yield f"launch_price {row['launch_price']} should be above zero; write what the device cost"
    except money.MoneyError as error:
        yield f"launch_price: {str(error).removesuffix('.')}"


def _strays(rows: Rows) -> Iterator[Problem]:
    """The rows of a device that do not stand with its others."""
    last: dict[str, int] = {}
    before = ""
    for line, row in rows.items():
        name = row["device_id"]
        if name in last and before != name:
            yield line, f"{name} stands apart from its rows above; move this one under line {last[name]}"
        else:
            last[name] = line
        before = name


def _repeats(rows: Rows) -> Iterator[Problem]:
    firsts: dict[tuple[str, str], int] = {}
    for line, row in rows.items():
        first = firsts.setdefault((row["device_id"], row["currency"]), line)
        if first != line:
            yield line, f"{row['device_id']} in {row['currency']} is on line {first} already; keep one"


def _disagreements(rows: Rows) -> Iterator[Problem]:
    """The rows that give a device other facts than its first."""
    firsts: dict[str, Row] = {}
    for line, row in rows.items():
        first = firsts.setdefault(row["device_id"], row)
        for name in _SAME:
            if row[name] != first[name]:
                yield (
                    line,
                    f"{row['device_id']} has {name} {first[name]!r} above and {row[name]!r} here; keep one",
                )


def _falls(rows: Rows) -> Iterator[Problem]:
    """The rows with more storage than another of the model and a lower price, in one currency."""
    prices: dict[tuple[str, ...], dict[int, tuple[Money, int]]] = defaultdict(dict)
    for line, row in rows.items():
        price = Money.parse(row["launch_price"], row["currency"])
        model = (row["brand"], row["model"], row["currency"])
        prices[model].setdefault(int(row["storage_gb"]), (price, line))
    for of_model in prices.values():
        for (less_gb, (less, above)), (_, (more, line)) in pairwise(sorted(of_model.items())):
            if more < less:
                yield (
                    line,
                    f"launch_price {more} is below the {less} of {less_gb} GB on line {above}; correct one",
                )


def _entry(row: Row) -> Entry:
    texts = {name: row[name] for name in ("device_id", "brand", "family", "model", "category")}
    return Entry(
        **texts,
        storage_gb=float(row["storage_gb"]),
        launched_on=date.fromisoformat(row["launched_on"]),
        price=Money.parse(row["launch_price"], row["currency"]),
        source=row["source"],
        confidence=row["confidence"],
    )
