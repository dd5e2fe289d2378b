"""Grades of a device that is sold, conditions of a device that is traded in."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Grade(IntEnum):
    """How worn a device is when it is sold, worst first: a higher grade never sells for less."""

    PARTS = 0
    FAIR = 1
    GOOD = 2
    EXCELLENT = 3
    PREMIUM = 4
    NEW = 5


class Condition(StrEnum):
    """How worn a device is when its owner trades it in (the six words of the Back Market seller API)."""

    FUNCTIONAL_FLAWLESS = "FUNCTIONAL_FLAWLESS"
    FUNCTIONAL_GOOD = "FUNCTIONAL_GOOD"
    FUNCTIONAL_USED = "FUNCTIONAL_USED"
    FUNCTIONAL_CRACKED = "FUNCTIONAL_CRACKED"
    NOT_FUNCTIONAL_USED = "NOT_FUNCTIONAL_USED"
    NOT_FUNCTIONAL_CRACKED = "NOT_FUNCTIONAL_CRACKED"
