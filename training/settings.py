"""The settings of a fit that may differ from table to table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType


class SettingsError(ValueError):
    """A file of settings that is refused."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the anchor's trees grow, how little a far residual pulls, and how fast old errors are forgotten.

    `learning_rate`, `leaves`, `least_rows` of a leaf, its `leaf_penalty` and the share of the `features` that each
    tree sees are LightGBM's; `tail` is the degrees of freedom of Student's t of the residuals.
    """

    learning_rate: float = 0.1
    leaves: int = 31
    least_rows: int = 10
    leaf_penalty: float = 5.0
    features: float = 0.5
    tail: float = 8.0
    half_life_days: float = 84.0


DEFAULTS = Settings()
BOUNDS: Mapping[str, tuple[float, float, bool]] = (
    MappingProxyType(  # low, high, and whether steps are of logs
        {
            "learning_rate": (0.02, 0.3, True),
            "leaves": (4, 63, True),
            "least_rows": (3, 100, True),
            "leaf_penalty": (0.1, 50.0, True),
            "features": (0.2, 1.0, False),
            "tail": (2.0, 30.0, True),
            "half_life_days": (14.0, 365.0, True),
        }
    )
)


def load(path: Path) -> Settings:
    """Read a file of settings; what it does not name is as usual.

    Raises SettingsError, naming what is wrong: an unknown name, a value that is no number or out of its bounds.
    """
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read as settings: {error}. Write one with: reprise tune"
        ) from None
    kinds = {field.name: type(getattr(DEFAULTS, field.name)) for field in fields(Settings)}
    for name, value in told.items():
        if name not in kinds:
            raise SettingsError(f"{path}: {name!r} is no setting; there are {', '.join(kinds)}.")
        low, high, _ = BOUNDS[name]
        whole = kinds[name] is int
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise SettingsError(f"{path}: {name} = {value!r}: write a {'whole ' if whole else ''}number.")
        if not low <= value <= high:
            raise SettingsError(f"{path}: {name} = {value} is out of bounds: write {low:g} to {high:g}.")
    return Settings(**{name: kinds[name](value) for name, value in told.items()})
