from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from training import gate, ratio_study
from training.measures import Slope
from valuation.grades import Grade

FIRST = date(2024, 1, 1)


def broken(verdict):
    return {reason.rule for reason in verdict.reasons if not reason.passed}


class Appraisals:
    """An appraiser whose values are `ladder[grade]` times the quantiles: enough for the rule of the ladder."""

    as_of = FIRST
    devices = pl.DataFrame(
        {
            "model": ["m", "n"],
            "storage_gb": [64.0, None],
            "launch_price": [100.0, None],
            "currency": ["GBP", "GBP"],
        }
    )
    model = SimpleNamespace(
        location=SimpleNamespace(equation=SimpleNamespace(members={"market": {"GB GBP": 0}}))
    )

    def __init__(self, ladder=(1, 2, 3, 4, 5, 6), quantiles=(5, 6, 7, 8, 9, 10, 11)):
        self.ladder, self.quantiles = dict(zip(Grade.__members__, ladder, strict=False)), quantiles

    def appraise(self, *, devices):
        factor = devices["grade"].replace_strict(self.ladder, return_dtype=pl.Float64)
        names = ("p05", "p10", "p25", "p50", "p75", "p90", "p95", "mean")
        return pl.DataFrame({n: q * factor for n, q in zip(names, (*self.quantiles, 8), strict=True)})


MEASURES = ratio_study.Measures(
    n=600,
    median_ratio=1.0,
    low=0.98,
    high=1.02,
    cod=0.1,
    prd=1.0,
    prb=None,
    calibration_slope=Slope(slope=0.0, error=0.01),
    mdape=0.10,
    mape=0.12,
    within_05=0.3,
    within_10=0.5,
    within_20=0.8,
    rt20=0.1,
)
CELL = ratio_study.Cell(
    dimension="brand",
    member="Alpha",
    n=300,
    median_ratio=1.0,
    low=0.97,
    high=1.03,
    mdape=0.10,
    within_10=0.5,
    within_20=0.8,
    cod=0.1,
    coverage_90=0.9,
    width=0.4,
)
STUDY = ratio_study.Study(
    sold_from=FIRST,
    sold_to=FIRST,
    model=MEASURES,
    spread=ratio_study.Spread(
        pinball=0.03,
        winkler=0.6,
        coverage_50=0.5,
        coverage_80=0.8,
        coverage_90=0.9,
        worst_group=0.88,
        worst_week=0.85,
        width=0.4,
        hit_rate=0.9,
    ),
    baselines={"last_sale": replace(MEASURES, mdape=0.12)},
    gaps={"last_sale": (-0.03, -0.01)},
    segments=(CELL,),
    at_our_price=None,
)
CASE = {
    "study": STUDY,
    "incumbent": gate.Rivals(challenger=STUDY, champion=STUDY),
    "fault_share": 0.0,
    "max_fault_share": 0.02,
    "appraiser": Appraisals(),
}


def with_model(**changes):
    return {"study": replace(STUDY, model=replace(MEASURES, **changes))}


def with_champion(study):
    return {"incumbent": gate.Rivals(challenger=STUDY, champion=study)}


def spread(cover):
    return replace(STUDY, spread=replace(STUDY.spread, coverage_90=cover))


BREAKS = {
    "enough sales": with_model(n=29),
    "level": with_model(median_ratio=1.2, low=1.101, high=1.3),
    "level of segments": {"study": replace(STUDY, segments=(replace(CELL, low=0.4, high=0.849),))},
    "tilt": with_model(calibration_slope=Slope(slope=-0.13, error=0.01)),
    "coverage": {"study": spread(0.749)},
    "baselines": {"study": replace(STUDY, gaps={"last_sale": (0.001, 0.02)})},
    "overvalued": with_model(rt20=0.351),
    "faults": {"fault_share": 0.021},
    "ladder": {"appraiser": Appraisals(ladder=(1, 2, 4, 3, 5, 6))},
    "champion's error": with_champion(replace(STUDY, model=replace(MEASURES, mdape=0.097))),
    "champion's coverage": {"incumbent": gate.Rivals(challenger=spread(0.85), champion=spread(0.89))},
    "champion's segments": with_champion(replace(STUDY, segments=(replace(CELL, mdape=0.09),))),
}


def test_a_case_that_keeps_every_rule_passes_with_every_reason_told():
    verdict = gate.judge(**CASE)
    assert verdict.passed
    assert [reason.rule for reason in verdict.reasons] == [rule.name for rule in gate.RULES]


@pytest.mark.parametrize("rule", [rule.name for rule in gate.RULES])
def test_every_rule_has_a_case_that_breaks_it_alone(rule):
    verdict = gate.judge(**{**CASE, **BREAKS[rule]})
    assert broken(verdict) == {rule}
    assert not verdict.passed


KEPT_AT_THE_LIMIT = {
    "thirty sales": with_model(n=30),
    "an interval that reaches the level": with_model(median_ratio=0.88, low=0.86, high=0.90),
    "a small segment": {"study": replace(STUDY, segments=(replace(CELL, n=199, low=0.4, high=0.5),))},
    "a steep slope that is not sure": with_model(calibration_slope=Slope(slope=0.15, error=0.03)),
    "no slope at all": with_model(calibration_slope=None),
    "three quarters covered": {"study": spread(0.75)},
    "a baseline better by chance": {"study": replace(STUDY, gaps={"last_sale": (-0.001, 0.02)})},
    "as many faults as are allowed": {"fault_share": 0.02},
    "no champion": {"incumbent": None},
    "a champion better by two per cent": with_champion(replace(STUDY, model=replace(MEASURES, mdape=0.0981))),
}


@pytest.mark.parametrize("how", KEPT_AT_THE_LIMIT)
def test_a_limit_itself_may_be_reached(how):
    assert gate.judge(**{**CASE, **KEPT_AT_THE_LIMIT[how]}).passed


@pytest.mark.parametrize(
    ("appraiser", "found"),
    [
        (Appraisals(ladder=(1, 2, 4, 3, 5, 6)), "300 better grades worth less"),
        (Appraisals(quantiles=(5, 7, 6, 8, 9, 10, 11)), "1800 quantiles out of order"),
        (
            Appraisals(quantiles=(5, 6, 7, 8, 9, 10, float("inf"))),
            "1800 values that are no number above zero",
        ),
    ],
)
def test_the_ladder_says_what_is_wrong_and_how_often(appraiser, found):
    verdict = gate.judge(**{**CASE, "appraiser": appraiser})
    assert found in next(reason.sentence for reason in verdict.reasons if reason.rule == "ladder")


def test_a_reason_names_the_segment_and_its_figures():
    verdict = gate.judge(**{**CASE, **BREAKS["champion's segments"]})
    assert "brand Alpha 10.00% against 9.00% (n 300)" in verdict.reasons[-1].sentence


def test_every_rule_says_why():
    assert all(rule.why for rule in gate.RULES)
