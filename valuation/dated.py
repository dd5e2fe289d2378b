"""Files of dated values: TOML tables whose every value has a first day and a source, oldest first.

    [vat_rate]
    2011-01-04 = { value = "0.20", source = "..." }

A schema gives every key of such a file the kind of its values: a function that reads one, a table of such
functions by member, or an OpenTable. A key with a dot is a table within a table: refurbishment.laptop.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

from valuation import money
from valuation.money import Money

Read = Callable[[Any, str], Any]  # (as written, the file's currency) -> value; ValueError says what is wrong


@dataclass(frozen=True, kw_only=True)
class OpenTable:
    """The kind of a table with any members, in their order: how the name of one is read, and its value."""

    member: Read
    value: Read


Schema = Mapping[str, Read | Mapping[str, Read] | OpenTable]


class TermsError(ValueError):
    """A file breaks rules; `problems` has one sentence for each, with file and key."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Dated:
    """One value of a key: from when it holds, as written, as read, and where it comes from."""

    since: date
    written: Any
    value: Any
    source: str


def read(*, path: Path, schema: Schema) -> dict[str, tuple[Dated, ...]]:
    """The dated values of every key of the schema, oldest first; TermsError lists every problem found.

    The schema has a key `currency`, with one value only: all amounts of the file are in it.
    """
    file = name(path=path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TermsError([f"{file} is no TOML file: {error}"]) from error
    tables = _flat(document, schema)
    problems = [f"{file}, {key}: is not a known key; is it misspelt?" for key in tables if key not in schema]
    problems += [f"{file}, {key}: is missing; give it a dated value" for key in schema if key not in tables]
    known = {key: kind for key, kind in schema.items() if key in tables}
    history: dict[str, tuple[Dated, ...]] = {}
    for key, kind in sorted(known.items(), key=lambda item: item[0] != "currency"):
        currency = history["currency"][0].value if history.get("currency") else None
        history[key] = _history(tables[key], kind, currency or "XXX", f"{file}, {key}", problems)
    if len(history.get("currency", ())) > 1:
        problems.append(f"{file}, currency: has more than one value, but all amounts of the file are in it")
    if problems:
        raise TermsError(problems)
    return history


def name(*, path: Path) -> str:
    """How messages call a file: its last three parts, such as valuation/terms/gb.toml."""
    return "/".join(path.parts[-3:])


# Kinds of values.


def text(written: Any, _: str) -> str:
    """A text that is not blank."""
    if not isinstance(written, str) or not written.strip():
        raise ValueError(f"{written!r} should be a text")
    return written


def one_of(*words: str) -> Read:
    """One of a few words."""

    def word(written: Any, _: str) -> str:
        if written not in words:
            raise ValueError(f"{written!r} should be one of {', '.join(words)}")
        return str(written)

    return word


def named(names: type[Enum]) -> Read:
    """The name of a member of an enum, read as that member."""
    word = one_of(*names.__members__)
    return lambda written, currency: names[word(written, currency)]


def currency(written: Any, _: str) -> str:
    """An ISO 4217 code."""
    money.digits(code := text(written, _))
    return code


def language(written: Any, _: str) -> str:
    """A locale for money.spelled, such as fr_FR."""
    money.locale(code := text(written, _))
    return code


def share(written: Any, _: str) -> Decimal:
    """A decimal string from 0 to 1."""
    if not isinstance(written, str) or not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,8})?", written):
        raise ValueError(f'{written!r} should be a decimal string such as "0.20"')
    if (read_share := Decimal(written)) > 1:
        raise ValueError(f"{written!r} is out of range: a share lies between 0 and 1")
    return read_share


def float_share(written: Any, _: str) -> float:
    """A share to compare estimates with."""
    return float(share(written, _))


def amount(written: Any, currency: str) -> Money:
    """A decimal string in the file's currency, zero or more."""
    read_amount = Money.parse(written, currency)
    if read_amount.minor < 0:
        raise ValueError(f"{written!r} is below zero")
    return read_amount


def positive_amount(written: Any, currency: str) -> Money:
    """A decimal string in the file's currency, above zero."""
    read_amount = amount(written, currency)
    if read_amount.minor == 0:
        raise ValueError(f"{written!r} should be above zero")
    return read_amount


def days(written: Any, _: str) -> int:
    """A whole number of days from 1 to 3650, no string."""
    return _whole(written, "days", 3650)


def months(written: Any, _: str) -> int:
    """A whole number of months from 1 to 120, no string."""
    return _whole(written, "months", 120)


def _whole(written: Any, unit: str, most: int) -> int:
    if type(written) is not int or not 1 <= written <= most:
        raise ValueError(f"{written!r} should be a whole number of {unit} from 1 to {most}")
    return written


def _flat(document: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The tables of a document by key, those within a table as table.key."""
    groups = {key.split(".")[0] for key in schema if "." in key}
    flat: dict[str, Any] = {}
    for key, table in document.items():
        grouped = key in groups and isinstance(table, dict)
        flat |= {f"{key}.{inner}": table[inner] for inner in table} if grouped else {key: table}
    return flat


def _history(written: Any, kind: Any, currency: str, where: str, problems: list[str]) -> tuple[Dated, ...]:
    if not isinstance(written, dict) or not written:
        problems.append(f"{where}: should be a table of dated values")
        return ()
    entries = []
    for day, entry in written.items():
        at = f"{where}, {day}"
        if (since := _day(day)) is None:
            problems.append(f"{at}: is no date; write it as 2021-01-31")
        elif (
            not isinstance(entry, dict) or set(entry) != {"value", "source"} or not _is_text(entry["source"])
        ):
            problems.append(f'{at}: should be {{ value = ..., source = "where it comes from" }}')
        else:
            value = _value(entry["value"], kind, currency, at, problems)
            entries.append(Dated(since=since, written=entry["value"], value=value, source=entry["source"]))
    if any(later.since <= earlier.since for earlier, later in pairwise(entries)):
        problems.append(f"{where}: its dates are not in order; write the oldest first")
    return tuple(entries)


def _day(day: str) -> date | None:
    try:
        return date.fromisoformat(day) if len(day) == 10 else None
    except ValueError:
        return None


def _is_text(written: Any) -> bool:
    return isinstance(written, str) and bool(written.strip())


def _value(written: Any, kind: Any, currency: str, at: str, problems: list[str]) -> Any:
    if isinstance(kind, Mapping):
        if not isinstance(written, dict) or set(written) != set(kind):
            problems.append(f"{at}: should be a table with exactly {', '.join(kind)}")
            return None
        return {key: _value(written[key], kind[key], currency, f"{at}, {key}", problems) for key in kind}
    if isinstance(kind, OpenTable):
        return _open_table(written, kind, currency, at, problems)
    try:
        return kind(written, currency)
    except ValueError as error:
        problems.append(f"{at}: {error}")
        return None


def _open_table(written: Any, kind: OpenTable, currency: str, at: str, problems: list[str]) -> Any:
    if not isinstance(written, dict):
        problems.append(f"{at}: {written!r} should be a table")
        return None
    members = [_value(name, kind.member, currency, f"{at}, {name}", problems) for name in written]
    values = [_value(written[name], kind.value, currency, f"{at}, {name}", problems) for name in written]
    known = [member for member in members if member is not None]
    if len(set(known)) < len(known):
        problems.append(f"{at}: names one member twice; keep one of them")
    return dict(zip(members, values, strict=True))
