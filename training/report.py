"""Writes a ratio study for machines, study.json, and for people, report.html: a page that asks no server."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jinja2

from training.gate import Verdict
from training.measures import Slope
from training.ratio_study import MODEL, Spread, Study

TEMPLATE = Path(__file__).with_name("report.html.j2")
UNDEFINED = "not defined"


def write(*, study: Study, verdict: Verdict | None, directory: Path, title: str, simulated: bool) -> None:
    """Write study.json and report.html into a directory, which is made where there is none.

    Without a verdict there is none in either. `simulated` is said at the top of both.
    """
    directory.mkdir(parents=True, exist_ok=True)
    told = {
        "title": title,
        "simulated": simulated,
        "verdict": dataclasses.asdict(verdict) if verdict else None,
        **study.to_json(),
    }
    (directory / "study.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", "utf-8")
    (directory / "report.html").write_text(_page(study, verdict, title, simulated), "utf-8")


def _page(study: Study, verdict: Verdict | None, title: str, simulated: bool) -> str:
    house = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    house.filters["percent"] = _percent
    return house.from_string(TEMPLATE.read_text("utf-8")).render(
        study=study,
        verdict=verdict,
        title=title,
        simulated=simulated,
        every={MODEL: study.model, **study.baselines},
        intervals=[*_intervals(study.spread), *_slopes(study)],
    )


def _intervals(spread: Spread) -> list[tuple[str, str]]:
    return [
        ("prices within the 50 % interval", _percent(spread.coverage_50)),
        ("prices within the 80 % interval", _percent(spread.coverage_80)),
        ("prices within the 90 % interval", _percent(spread.coverage_90)),
        ("... in the worst segment of 500 sales", _percent(spread.worst_group)),
        ("... in the worst week of 50 sales", _percent(spread.worst_week)),
        ("width of the 90 % interval over the value", _percent(spread.width)),
        ("values with an FSD of at most .15", _percent(spread.hit_rate)),
        ("pinball loss in log price", f"{spread.pinball:.4f}"),
        ("Winkler score of the 90 % interval in log price", f"{spread.winkler:.3f}"),
    ]


def _slopes(study: Study) -> list[tuple[str, str]]:
    return [
        ("calibration slope, on the value", _slope(study.model.calibration_slope)),
        ("price-related bias (PRB), on half value, half price", _slope(study.model.prb)),
    ]


def _slope(found: Slope | None) -> str:
    return f"{found.slope:+.3f}, standard error {found.error:.3f}" if found else UNDEFINED


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None else f"{share:.1%}"
