"""The gate: rules that a challenger must keep before it may value a customer's device, and the verdict with reasons.

First what any appraiser must keep, then that it is not worse than the champion on the same sales. The limits refuse
what is broken, not what is merely young: a noisy market of 1,500 sales can pass them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from training import backtest, ratio_study, segments
from training.ratio_study import Study
from training.segments import Cell
from valuation.appraisal import QUANTILE_NAMES
from valuation.appraiser import Appraiser
from valuation.grades import Grade

LEAST_GAP = 1e-6  # of MdAPE: less is the last digit of a float
FEWEST_SALES = 30
FEWEST_IN_SEGMENT = 200
LEVEL = (0.90, 1.10)
SEGMENT_LEVEL = (0.85, 1.15)
STEEPEST_TILT = 0.10
COVERAGE_90 = (0.75, 0.99)
MOST_OVERVALUED = 0.35
MOST_WORSE = 0.02
MOST_WORSE_SEGMENT = 0.10
MOST_WORSE_COVERAGE = 0.03
GRID_DEVICES = 300
GRID_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """Challenger and champion on the same sales, none of which the champion learnt from."""

    challenger: Study
    champion: Study


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a rule may look at; `rivals` is None where there is no champion, or no 30 sales later than it."""

    study: Study
    rivals: Rivals | None
    fault_share: float
    max_fault_share: float
    appraiser: Appraiser


@dataclass(frozen=True, kw_only=True)
class Reason:
    """What one rule found, in a sentence with the figures."""

    rule: str
    passed: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether every rule is kept, and what each of them found, in the order of RULES."""

    passed: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: `check` tells whether a case keeps it, and a sentence with the figures."""

    name: str
    why: str
    check: Callable[[Case], tuple[bool, str]]


def judge(
    *,
    study: Study,
    incumbent: Rivals | None,
    fault_share: float,
    max_fault_share: float,
    appraiser: Appraiser,
) -> Verdict:
    """Hold a challenger against every rule; no rule is skipped because another was broken."""
    case = Case(
        study=study,
        rivals=incumbent,
        fault_share=fault_share,
        max_fault_share=max_fault_share,
        appraiser=appraiser,
    )
    found = ((rule.name, *rule.check(case)) for rule in RULES)
    reasons = tuple(Reason(rule=name, passed=passed, sentence=text) for name, passed, text in found)
    return Verdict(passed=all(reason.passed for reason in reasons), reasons=reasons)


def rivals(*, champion: Appraiser, sales: pl.DataFrame, predictions: pl.DataFrame) -> Rivals | None:
    """Study champion and challenger on those sales of the predictions that the champion cannot have learnt from.

    None where there are fewer than 30.
    """
    later = predictions.filter((pl.col("sold_on") >= champion.as_of) & ~pl.col("at_our_price"))
    if later.height < FEWEST_SALES:
        return None
    first, last = later.select(first=pl.col("sold_on").min(), last=pl.col("sold_on").max()).row(0)
    window = backtest.Window(start=first, end=last + timedelta(days=1), known_before=champion.as_of)
    same = sales.join(later, on="sale_id", how="semi")
    valued = backtest.score(appraiser=champion, sales=same, windows=(window,))
    return Rivals(challenger=ratio_study.study(later), champion=ratio_study.study(valued))


def _enough_sales(case: Case) -> tuple[bool, str]:
    n = case.study.model.n
    return n >= FEWEST_SALES, f"Judged on {n:,} sales; {FEWEST_SALES} are the least."


def _level(case: Case) -> tuple[bool, str]:
    m = case.study.model
    return _overlap(m.low, m.high, LEVEL), (
        f"Median value / price is {m.median_ratio:.3f} (95 %: {m.low:.3f} to {m.high:.3f}); "
        f"the interval must reach into {LEVEL[0]:.2f} to {LEVEL[1]:.2f}."
    )


def _segment_level(case: Case) -> tuple[bool, str]:
    large = [c for c in case.study.segments if c.n >= FEWEST_IN_SEGMENT]
    off = [c for c in large if not _overlap(c.low, c.high, SEGMENT_LEVEL)]
    return not off, (
        f"{len(off)} of {len(large)} segments with {FEWEST_IN_SEGMENT} sales or more have a median ratio outside "
        f"{SEGMENT_LEVEL[0]:.2f} to {SEGMENT_LEVEL[1]:.2f}{_named(off, lambda c: f'{c.median_ratio:.3f}')}."
    )


def _overlap(low: float, high: float, limits: tuple[float, float]) -> bool:
    return low <= limits[1] and high >= limits[0]


def _named(cells: Iterable[Cell], figure: Callable[[Cell], str]) -> str:
    listed = "; ".join(f"{c.dimension} {c.member} {figure(c)} (n {c.n:,})" for c in cells)
    return f": {listed}" if listed else ""


def _tilt(case: Case) -> tuple[bool, str]:
    found = case.study.model.calibration_slope
    if found is None:
        return True, "All values are alike, so whether dear devices are valued otherwise cannot be told."
    return abs(found.slope) - 2 * found.error <= STEEPEST_TILT, (
        f"As the value doubles, the ratio moves by {found.slope:+.3f} (standard error {found.error:.3f}); "
        f"the limit is {STEEPEST_TILT:.2f} either way, beyond two standard errors."
    )


def _coverage(case: Case) -> tuple[bool, str]:
    share = case.study.spread.coverage_90
    return COVERAGE_90[0] <= share <= COVERAGE_90[1], (
        f"{share:.1%} of the prices lie within the 90 % interval; {COVERAGE_90[0]:.0%} to {COVERAGE_90[1]:.0%} may."
    )


def _baselines(case: Case) -> tuple[bool, str]:
    """Refuse where a baseline is better beyond chance: on 500 noisy sales another seed moves MdAPE by some per cent."""
    ours, gaps = case.study.model.mdape, case.study.gaps
    lost = [f"{name} by {low:.2%} to {high:.2%}" for name, (low, high) in gaps.items() if low > LEAST_GAP]
    figures = ", ".join(f"{name} {m.mdape:.2%}" for name, m in case.study.baselines.items())
    lower = sum(m.mdape < ours for m in case.study.baselines.values())
    ending = f"{lower} lower, beyond chance {', '.join(lost) or 'none'}"
    return not lost, f"The median error is {ours:.2%}; that of the baselines: {figures}; {ending}."


def _overvalued(case: Case) -> tuple[bool, str]:
    share = case.study.model.rt20
    return share <= MOST_OVERVALUED, (
        f"{share:.1%} of the devices are valued more than 20 % above their price; {MOST_OVERVALUED:.0%} may be."
    )


def _faults(case: Case) -> tuple[bool, str]:
    return case.fault_share <= case.max_fault_share, (
        f"{case.fault_share:.2%} of the rows are faulty; {case.max_fault_share:.2%} may be."
    )


def _ladder(case: Case) -> tuple[bool, str]:
    values = _grid(case.appraiser)
    quantiles = values[..., :-1]
    wrong = {
        "quantiles out of order": int((quantiles[..., 1:] < quantiles[..., :-1]).any(axis=2).sum()),
        "better grades worth less": int((values[:, 1:] < values[:, :-1]).any(axis=2).sum()),
        "values that are no number above zero": int(
            (~(np.isfinite(values) & (values > 0))).any(axis=2).sum()
        ),
    }
    found = ", ".join(f"{count} {what}" for what, count in wrong.items())
    return not any(
        wrong.values()
    ), f"On {len(values)} random devices at {len(Grade)} grades: {found}; 0 may be."


def _grid(appraiser: Appraiser) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Value random devices at every grade: (devices, grades, quantiles and the mean).

    They are devices of its vocabulary on a random day of the next two months, three in ten of them with a model, a
    storage or a launch price that it has not met.
    """
    places = [member.split() for member in appraiser.model.location.equation.members["market"]]
    markets = pl.DataFrame(places, schema=["market", "currency"], orient="row")
    known = appraiser.devices.join(markets, on="currency", how="inner", maintain_order="left_right")
    rng = np.random.default_rng(GRID_SEED)
    drawn = known[rng.integers(0, known.height, GRID_DEVICES)]
    odd = [pl.Series(rng.random(GRID_DEVICES) < 0.1) for _ in range(3)]
    devices = drawn.with_columns(
        model=pl.when(odd[0]).then(pl.lit("never met")).otherwise("model"),
        storage_gb=pl.when(odd[1]).then(2 * pl.col("storage_gb").fill_null(64)).otherwise("storage_gb"),
        launch_price=pl.when(odd[2]).then(None).otherwise("launch_price"),
        battery_health=pl.Series(rng.uniform(0.6, 1.0, GRID_DEVICES)),
        carrier_locked=pl.Series(rng.random(GRID_DEVICES) < 0.2),
        channel=pl.lit(None, pl.String),
        on=pl.Series([appraiser.as_of + timedelta(days=int(d)) for d in rng.integers(0, 60, GRID_DEVICES)]),
    )
    every = pl.concat([devices.with_columns(grade=pl.lit(grade.name)) for grade in Grade])
    values = appraiser.appraise(devices=every).select(*QUANTILE_NAMES, "mean").to_numpy()
    return values.reshape(len(Grade), GRID_DEVICES, -1).transpose(1, 0, 2)


NOT_COMPARED = (
    f"Not compared: no champion, or fewer than {FEWEST_SALES} sales later than those it learnt from."
)


def _against(check: Callable[[Rivals], tuple[bool, str]]) -> Callable[[Case], tuple[bool, str]]:
    return lambda case: check(case.rivals) if case.rivals else (True, NOT_COMPARED)


def _champion_error(both: Rivals) -> tuple[bool, str]:
    ours, theirs = both.challenger.model, both.champion.model
    return ours.mdape <= theirs.mdape * (1 + MOST_WORSE), (
        f"On the same {ours.n:,} sales the median error is {ours.mdape:.2%}, the champion's {theirs.mdape:.2%}; "
        f"it may be {MOST_WORSE:.0%} of that worse."
    )


def _champion_coverage(both: Rivals) -> tuple[bool, str]:
    ours, theirs = both.challenger.spread.coverage_90, both.champion.spread.coverage_90
    return abs(ours - 0.9) <= abs(theirs - 0.9) + MOST_WORSE_COVERAGE, (
        f"On the same sales the 90 % interval covers {ours:.1%}, the champion's {theirs:.1%}; "
        f"it may lie {100 * MOST_WORSE_COVERAGE:.0f} points further from 90 %."
    )


def _champion_segments(both: Rivals) -> tuple[bool, str]:
    theirs = {(c.dimension, c.member): c.mdape for c in both.champion.segments}
    shared = [
        c
        for c in both.challenger.segments
        if c.n >= FEWEST_IN_SEGMENT and c.dimension not in segments.OF_THE_MODEL
    ]
    worse = [c for c in shared if c.mdape > theirs[c.dimension, c.member] * (1 + MOST_WORSE_SEGMENT)]
    figures = _named(worse, lambda c: f"{c.mdape:.2%} against {theirs[c.dimension, c.member]:.2%}")
    return not worse, (
        f"In {len(worse)} of {len(shared)} segments with {FEWEST_IN_SEGMENT} sales or more the median error is more "
        f"than {MOST_WORSE_SEGMENT:.0%} worse than the champion's{figures}."
    )


RULES: tuple[Rule, ...] = (
    Rule(
        name="enough sales",
        why="the median error of fewer than 30 sales is uncertain by a fifth of itself: it decides nothing",
        check=_enough_sales,
    ),
    Rule(name="level", why="values that are high or low as a whole lose money or customers", check=_level),
    Rule(name="level of segments", why="an average hides a brand at half its price", check=_segment_level),
    Rule(
        name="tilt",
        why="dear and cheap devices must be valued alike; PRD and PRB fail even a perfect model, this slope does not",
        check=_tilt,
    ),
    Rule(name="coverage", why="an offer rests on how sure a value is", check=_coverage),
    Rule(name="baselines", why="a model that a rule of thumb beats is not worth its risk", check=_baselines),
    Rule(name="overvalued", why="these are the devices that are bought at a loss", check=_overvalued),
    Rule(name="faults", why="what is learnt from a broken table is broken", check=_faults),
    Rule(
        name="ladder", why="a customer who sees a worse device valued higher is right to leave", check=_ladder
    ),
    Rule(name="champion's error", why="an heir must not be worse", check=_against(_champion_error)),
    Rule(
        name="champion's coverage",
        why="nor less honest about what it does not know",
        check=_against(_champion_coverage),
    ),
    Rule(
        name="champion's segments",
        why="nor worse for some to be better for most",
        check=_against(_champion_segments),
    ),
)
