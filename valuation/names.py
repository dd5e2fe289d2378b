"""Finding a name that somebody typed, with its slips of the keyboard, among the names that are known."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

Words = tuple[str, ...]

_SAID = tomllib.loads((Path(__file__).parent / "names.toml").read_text(encoding="utf-8"))
_LEFT_OUT, _UNSAID = frozenset(_SAID["left_out"]), frozenset(_SAID["unsaid"])
_STORAGE = re.compile(r"([0-9]{1,12}) ?(?:(gb|tb)|(go|to|g)(?![^\W_]))")
_ALONE = re.compile(r"(?<![^\W_])[0-9]{2,7}(?![^\W_])")
_WORD = re.compile(r"(?<![0-9])5g(?![^\W_])|[0-9]+|[^\W0-9_]+")
_MISSING, _UNTYPED, _REORDERED = 12, 6, 3
_LEAST_LIKENESS = 65  # of 100; below it two names have nothing in common
_MOST_LEFT_OUT = 6
_CANDIDATES = 300  # spellings that are looked at for their numbers


def words(text: str) -> Words:
    """The words and the numbers of a name, apart: "PS5 Pro (2nd gen)" -> playstation, 5, pro, 2.

    Without accents and without words that tell no device from another.
    """
    plain = re.sub(r"([0-9])(?:st|nd|rd|th)(?![^\W_])", r"\1", _plain(text))
    found = [word for part in _WORD.findall(plain) for word in _SAID["short"].get(part, part).split()]
    return tuple(word for word in found if word not in _UNSAID) or tuple(found)


def storage_apart(text: str, storages: Collection[float | None]) -> tuple[str, float | None]:
    """The text without a storage, and that storage in GB: "1 TB iPhone 15" -> iphone 15, 1024.

    It is the last number before GB or TB, or a known storage before G, Go or To, or else the last number that stands
    alone, is at least 32 and a known storage. Of a number run together with another, it is the known storage at the
    end: "iphone13128gb".
    """
    plain = _plain(text)
    found: list[float] = []

    def cut(match: re.Match[str]) -> str:
        before, storage_gb = _split(match, storages)
        if storage_gb is None:
            return match[0]
        found.append(storage_gb)
        return f" {before} "

    rest = _STORAGE.sub(cut, plain)
    if not found and (alone := [m for m in _ALONE.finditer(plain) if _is_storage(m[0], storages)]):
        found.append(float(alone[-1][0]))
        rest = plain[: alone[-1].start()] + plain[alone[-1].end() :]
    return (rest, found[-1]) if found and words(rest) else (plain, None)


def _is_storage(digits: str, storages: Collection[float | None]) -> bool:
    return int(digits) >= 32 and float(digits) in storages


def _split(match: re.Match[str], storages: Collection[float | None]) -> tuple[str, float | None]:
    """What stands before the storage in a number, and the storage in GB; None where it is none."""
    digits, unit = match[1], match[2] or match[3]
    size = 1024.0 if unit.startswith("t") else 1.0
    for at in range(len(digits) if match[2] else 1):
        if float(digits[at:]) * size in storages:
            return digits[:at], float(digits[at:]) * size
    return "", float(digits) * size if match[2] else None


@dataclass(frozen=True)
class Index:
    """Names that can be found, each with the ways in which it may be spelled."""

    names: Mapping[str, Words]

    def nearest(self, typed: Words) -> list[str]:
        """The names like these words, or like those of them that occur in names, best first; empty where none is.

        Likeness is that of all letters and digits without the spaces, 0..100, or of the words in the order of the
        alphabet less 3, whichever is more; of all the spellings of a name the best counts. Then 12 less for
        every number that the spelling lacks and 6 for every number that was not typed: 12 and 13 differ by a
        letter, and by a model. Of 10,000 names made by rule (half of a name, two slips, other orders, run
        together) 98.7 % had the right device among the first three, and half or twice the weights change that
        by 0.1 points.
        """
        if found := self._nearest(typed):
            return found
        known = tuple(word for word in typed if word in self._known)
        return self._nearest(known) if any(len(word) > 2 for word in known) else []

    def _nearest(self, typed: Words) -> list[str]:
        likeness = np.maximum(
            _likeness("".join(typed), self._joined),
            _likeness("".join(sorted(typed)), self._sorted) - _REORDERED,
        )
        near = np.flatnonzero(likeness >= _LEAST_LIKENESS)
        scores: dict[str, float] = {}
        numbers = _numbers(typed)
        for at in near[np.argsort(-likeness[near], kind="stable")][:_CANDIDATES]:
            name, way = self._ways[at]
            theirs = _numbers(way)
            apart = _MISSING * len(numbers - theirs) + _UNTYPED * len(theirs - numbers)
            scores[name] = max(scores.get(name, 0.0), float(likeness[at]) - apart)
        return sorted(scores, key=lambda name: -scores[name])

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(word for _, way in self._ways for word in way)

    @cached_property
    def _ways(self) -> list[tuple[str, Words]]:
        """Every name with each way to say it."""
        said = {
            (name, way): None
            for name, spellings in self.names.items()
            for spelling in spellings
            for known in (spelling, *_also(spelling))
            for way in _shorter(words(known))
        }
        return list(said)

    @cached_property
    def _joined(self) -> list[str]:
        return ["".join(way) for _, way in self._ways]

    @cached_property
    def _sorted(self) -> list[str]:
        return ["".join(sorted(way)) for _, way in self._ways]


def _also(spelling: str) -> Iterator[str]:
    for name, other in _SAID["also"].items():
        if name in spelling.lower():
            yield spelling.lower().replace(name, other)


def _shorter(name: Words) -> Iterator[Words]:
    """The name with and without each of the words that people leave out, of the first few: 2 to their number."""
    optional = [at for at, word in enumerate(name) if word in _LEFT_OUT][:_MOST_LEFT_OUT]
    for count in range(len(optional) + 1):
        for out in combinations(optional, count):
            if way := tuple(word for at, word in enumerate(name) if at not in out):
                yield way


def _likeness(typed: str, spellings: list[str]) -> NDArray[np.float64]:
    """How alike these letters are to those of each spelling, 0..100: (n,)."""
    if not typed or not spellings:
        return np.zeros(len(spellings))
    (likeness,) = process.cdist(
        [typed], spellings, scorer=fuzz.ratio, dtype=np.float64, score_cutoff=_LEAST_LIKENESS
    )
    return np.asarray(likeness)


def _numbers(name: Words) -> frozenset[str]:
    return frozenset(word for word in name if word.isdecimal())


def _plain(text: str) -> str:
    spelled = unicodedata.normalize("NFKD", text).lower().replace("+", " plus ")
    return "".join(char for char in spelled if not unicodedata.combining(char))
