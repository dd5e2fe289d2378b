"""Scenario files, read and checked: market.toml has every number once, a scenario those that differ from it.

In market.toml each number is { value = ..., source = "..." }; a source that begins with (m) marks an assumed one. A
scenario says in a sentence what is special, holds the other numbers bare, and is read on top of market.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from training.simulator.facts import Scenario
from training.simulator.kinds import OTHERS
from training.simulator.refusal import SimulatorError
from valuation import catalogue, markets
from valuation.catalogue import Catalogue

BASE = Path(__file__).parent / "market.toml"
SCENARIOS = Path(__file__).parents[1] / "scenarios"


def names() -> tuple[str, ...]:
    """List the scenarios that there are."""
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.toml")))


def find(name: str) -> Path:
    """The file of a scenario by its name, or by its own path where it ends in .toml."""
    if name.endswith(".toml"):
        return Path(name)
    if name not in names():
        raise SimulatorError(
            f"There is no scenario {name!r:.60}. There are: {', '.join(names())}. Name one of them, or the path of a "
            ".toml file of your own."
        )
    return SCENARIOS / f"{name}.toml"


def load(path: Path, *, base: Path = BASE) -> Scenario:
    """Read and check a scenario; SimulatorError has one line for each problem, with file and key."""
    own = _values(_document(path))
    whole = _laid_over(_values(_document(base)), own)
    if "says" not in own:
        del whole["says"]  # that of the market is the steady one's
    try:
        scenario = Scenario.model_validate(whole)
    except pydantic.ValidationError as error:
        told = (_told(problem, own, path, base) for problem in error.errors())
        raise SimulatorError("\n".join(dict.fromkeys(told))) from None
    if problems := list(_problems(scenario)):
        raise SimulatorError("\n".join(f"{path.name}, {key}: {problem}" for key, problem in problems))
    return scenario


@cache
def sources(base: Path = BASE) -> tuple[tuple[str, Any, str], ...]:
    """Every number of market.toml: its key, its value and its source."""
    return tuple(_sourced(_document(base), ""))


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimulatorError(f"{path.name} is no TOML file: {error}.") from None
    except OSError as error:
        raise SimulatorError(
            f"{path} cannot be read: {error.strerror}. Name a scenario: {', '.join(names())}."
        ) from None


def _is_sourced(table: Any) -> bool:
    return isinstance(table, dict) and set(table) == {"value", "source"}


def _values(table: Any) -> Any:
    """The numbers without their sources."""
    if _is_sourced(table):
        return table["value"]
    return {key: _values(inner) for key, inner in table.items()} if isinstance(table, dict) else table


def _sourced(table: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any, str]]:
    for key, inner in table.items():
        if _is_sourced(inner):
            yield f"{at}{key}", inner["value"], str(inner["source"])
        elif isinstance(inner, dict):
            yield from _sourced(inner, f"{at}{key}.")


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one; where both tell something, what is above counts."""
    both = {
        key: _laid_over(below[key], above[key]) for key in above if _are_tables(below.get(key), above[key])
    }
    return {**below, **above, **both}


def _are_tables(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _told(problem: Any, own: Mapping[str, Any], path: Path, base: Path) -> str:
    """One problem of the shape: the file where the key stands (or should), the key, and what to do."""
    keys = [_place(part) for part in problem["loc"] if part != "[key]"]
    words = {
        "extra_forbidden": "is not a known key; is it misspelt?",
        "missing": "is missing; give it a value",
    }
    said = words.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    file = path if keys and keys[0] in own else base
    return f"{file.name}, {'.'.join(keys) or 'the file'}: {said}"


def _place(part: str | int) -> str:
    """The name of a key; the entries of a list count from 1."""
    return part if isinstance(part, str) else str(part + 1)


def _problems(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What the numbers contradict among each other, by key."""
    yield from _wrong_dates(scenario)
    brands = {variant.brand for variant in Catalogue.embedded().variants}
    brands |= {OTHERS} | {device.brand for device in scenario.launches}
    named: dict[str, Iterable[str]] = {
        "age.keeps": scenario.age.keeps,
        "age.loses": scenario.age.loses,
        "storage.doubling": scenario.storage.doubling,
        "owners.worth": scenario.owners.worth,
        **{f"events.{at}.brands": event.brands for at, event in enumerate(scenario.events, start=1)},
    }
    for at, words in named.items():
        for word in sorted(set(words) - brands):
            yield at, f"no device of a brand {word!r:.40} is in the catalogue or launched here"
    yield from _launched_twice(scenario)
    if (dirt := sum(share for _, share in scenario.dirt)) > 1:
        yield "dirt", f"the shares sum to {dirt:g}; at most every row can be dirty"


def _launched_twice(scenario: Scenario) -> Iterator[tuple[str, str]]:
    known = {
        (catalogue.key(variant.brand), catalogue.key(variant.model))
        for variant in Catalogue.embedded().variants
    }
    for at, device in enumerate(scenario.launches, start=1):
        named = catalogue.key(device.brand), catalogue.key(device.model)
        if named in known:
            yield (
                f"launches.{at}.model",
                f"{device.brand} {device.model} is there already; give it a name of its own",
            )
        known.add(named)


def _wrong_dates(scenario: Scenario) -> Iterator[tuple[str, str]]:
    first, last = scenario.period.starts_on, scenario.period.ends_on
    for market in scenario.markets.share:
        try:
            markets.terms(market=market, on=first)
        except markets.TermsNotYetKnown as error:
            yield "period", f"begins on {first}. {error}"
    for name in ("events", "launches"):
        in_file = [what.on for what in getattr(scenario, name)]
        if in_file != sorted(in_file):
            yield name, "are not in order; write the oldest first"
    days = {f"events.{at}.on": event.on for at, event in enumerate(scenario.events, start=1)}
    days |= {f"launches.{at}.on": device.on for at, device in enumerate(scenario.launches, start=1)}
    days |= {f"markets.opens_on.{market}": day for market, day in scenario.markets.opens_on.items()}
    for at, day in days.items():
        if not first <= day <= last:
            yield at, f"{day} is no day of this market, which runs from {first} to {last}"
    for number, event in enumerate(scenario.events, start=1):
        if event.until and event.until <= event.on:
            yield f"events.{number}.until", f"{event.until} is not after {event.on}, when it begins"
    if set(scenario.markets.opens_on) >= {m for m, share in scenario.markets.share.items() if share > 0}:
        yield "markets.opens_on", "some market should be open from the first day"
