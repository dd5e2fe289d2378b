"""What is told of one device, told by its columns: features of it without a table, as Feature.one has them.

What is not told is None; a number that cannot be, NaN, as polars has it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from valuation import catalogue

Device = Mapping[str, Any]

_EPOCH = date(1970, 1, 1)
_FIRST_WORD = re.compile(r"[^\s\d]+")


def text(column: str) -> Callable[[Device], str | None]:
    """A text as it is compared."""
    return lambda device: None if device[column] is None else catalogue.key(device[column])


def number(column: str) -> Callable[[Device], float | None]:
    """A number, or a yes as 1."""
    return lambda device: None if device[column] is None else float(device[column])


def log(value: float | None) -> float | None:
    """The natural logarithm."""
    if value is None or value > 0:
        return None if value is None else math.log(value)
    return -math.inf if value == 0 else math.nan


def age_days(device: Device) -> int | None:
    """Days since its launch, below 0 before it."""
    return None if device["launched_on"] is None else (device["on"] - device["launched_on"]).days


def no_less(days: int | None, per: float = 1.0) -> float | None:
    """Days in a longer unit, 0 for less."""
    return None if days is None else max(days, 0) / per


def day(device: Device) -> int:
    """The day of the value, counted from 1970-01-01."""
    return int((device["on"] - _EPOCH).days)


def first_word(name: str) -> str:
    """The first word of a name, before any number; nothing where it begins with one."""
    found = _FIRST_WORD.match(name)
    return found[0] if found else ""
