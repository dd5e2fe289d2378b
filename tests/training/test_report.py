from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser

import pytest

from training import gate, ratio_study, report
from training.measures import Slope

MEASURES = ratio_study.Measures(
    n=1_234,
    median_ratio=0.9876,
    low=0.971,
    high=1.012,
    cod=0.1,
    prd=1.01,
    prb=None,
    calibration_slope=Slope(slope=0.012, error=0.004),
    mdape=0.1451,
    mape=0.19,
    within_05=0.2,
    within_10=0.38,
    within_20=0.64,
    rt20=0.18,
)
CELL = ratio_study.Cell(
    dimension="brand",
    member="<script>alert(1)</script>",
    n=77,
    median_ratio=1.0,
    low=0.9,
    high=1.1,
    mdape=0.2,
    within_10=0.3,
    within_20=0.5,
    cod=0.2,
    coverage_90=0.85,
    width=0.6,
)
STUDY = ratio_study.Study(
    sold_from=date(2026, 1, 1),
    sold_to=date(2026, 1, 28),
    model=MEASURES,
    spread=ratio_study.Spread(
        pinball=0.05,
        winkler=1.1,
        coverage_50=0.5,
        coverage_80=0.8,
        coverage_90=0.9,
        worst_group=None,
        worst_week=0.83,
        width=0.6,
        hit_rate=0.3,
    ),
    baselines={"last_sale": MEASURES},
    gaps={"last_sale": (0.0, 0.0)},
    segments=(CELL,),
    at_our_price=None,
)
VERDICT = gate.Verdict(
    passed=False, reasons=(gate.Reason(rule="level", passed=False, sentence="Median 1.300 is too high."),)
)


def written(directory, *, study=STUDY, verdict=VERDICT, simulated=False):
    report.write(study=study, verdict=verdict, directory=directory, title="A & B", simulated=simulated)
    return json.loads((directory / "study.json").read_text()), (directory / "report.html").read_text()


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.opened, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_study_is_there_for_machines_with_the_verdict_and_its_reasons(tmp_path):
    told, _ = written(tmp_path / "deep" / "new")
    assert told["overall"][0]["valued by"] == "reprise"
    assert told["verdict"]["reasons"][0]["sentence"] == "Median 1.300 is too high."
    assert (told["title"], told["simulated"]) == ("A & B", False)


def test_the_page_shows_the_table_beside_the_baselines_and_the_verdict(tmp_path):
    _, page = written(tmp_path)
    for said in ("1,234", "14.5%", "0.988", "last_sale", "not passed", "Median 1.300 is too high.", "+0.012"):
        assert said in page


def test_what_is_not_defined_is_said_and_not_shown_as_a_number(tmp_path):
    _, page = written(tmp_path)
    assert report.UNDEFINED in page
    assert "nan" not in page.lower()
    assert "None" not in page


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_sales_are_called_so_on_the_page_and_in_the_file(tmp_path, simulated):
    told, page = written(tmp_path, simulated=simulated)
    assert told["simulated"] is simulated
    assert ("SIMULATED" in page) is simulated


def test_without_a_verdict_there_is_none_to_see(tmp_path):
    told, page = written(tmp_path, verdict=None)
    assert told["verdict"] is None
    assert "Verdict" not in page


def test_sales_at_our_own_price_are_told_apart_where_there_are_some(tmp_path):
    study = ratio_study.Study(**{**vars(STUDY), "at_our_price": MEASURES})
    assert "Apart from these: 1,234 sales" in written(tmp_path, study=study)[1]
    assert "Apart from these" not in written(tmp_path)[1]


def test_the_page_asks_no_server_runs_no_script_and_trusts_no_name(tmp_path):
    _, page = written(tmp_path)
    tags = Tags(page)
    assert tags.open == []
    assert {tag for tag, _ in tags.opened} & {"script", "link", "img", "iframe", "form"} == set()
    assert not re.search(r"https?:|url\(|@import|src=|href=", page)
    assert "&lt;script&gt;" in page
    assert "A &amp; B" in page
