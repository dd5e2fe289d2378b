"""Writes a study of offers for machines, offers.json, and for people, offers.html: a page that asks no server."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2

from training.offers_figures import Figures, Interval

UNDEFINED = "not defined"
TEMPLATE = Path(__file__).with_name("offers.html.j2")


def write(*, figures: Figures, directory: Path, title: str, simulated: bool) -> None:
    """Write offers.json and offers.html into a directory, which is made where there is none.

    `simulated` is said at the top of both.
    """
    directory.mkdir(parents=True, exist_ok=True)
    told = {"title": title, "simulated": simulated, **figures.to_json()}
    (directory / "offers.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", "utf-8")
    house = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    house.filters |= {"percent": _percent, "between": _between, "plain": _plain}
    page = house.from_string(TEMPLATE.read_text("utf-8"))
    (directory / "offers.html").write_text(
        page.render(figures=figures, title=title, simulated=simulated), "utf-8"
    )


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None else f"{share:.1%}"


def _plain(figure: float | None) -> str:
    return UNDEFINED if figure is None else f"{figure:.3f}"


def _between(found: Interval | None) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})" if found else UNDEFINED
