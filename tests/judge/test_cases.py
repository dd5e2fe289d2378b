from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.judge import cases, parts, real
from tests.judge.cases import Case, Invented
from training import backtest


@pytest.fixture(scope="module")
def dirty() -> tuple[Invented, list[Case]]:
    source = Invented(scenario="dirty", sales=2_000, seed=3, origins=2)
    return source, list(source.cases())


class Recorder:
    """Stands in for fitting.fit: keeps what it is taught, and values everything at 100."""

    attributes: dict[str, Any] = {}  # noqa: RUF012 - nothing is ever put into it

    def __init__(self) -> None:
        self.taught: list[pl.DataFrame] = []

    def fit(self, **told: Any) -> Any:
        self.taught.append(told["sales"])
        return self

    def appraise(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame({"p50": [100.0] * devices.height})


def test_a_case_teaches_and_asks_what_the_backtest_of_the_product_does(sales: pl.DataFrame) -> None:
    recorder = Recorder()
    windows = backtest.windows(sales=sales, origins=2)
    valued = backtest.run(sales=sales, attributes={}, windows=windows, seed=1, fit=recorder.fit)
    for window, taught in zip(windows, recorder.taught, strict=True):
        case = cases.in_time(sales=sales, asked=sales, attributes={}, window=window, seed=1)
        assert case.known.equals(taught)
        assert case.asked["sale_id"].to_list() == valued.filter(window=window.start)["sale_id"].to_list()


def test_dirt_is_learnt_from_and_never_asked_for(dirty: tuple[Invented, list[Case]]) -> None:
    source, found = dirty
    good, truth = source.history()
    soiled = set(good["sale_id"]) - set(truth["sale_id"])
    assert soiled
    for case in found:
        assert soiled & set(case.known["sale_id"])
        assert not soiled & set(case.asked["sale_id"])
        assert case.facts["oracle_p50"].null_count() == 0


def test_what_a_peer_holds_back_comes_after_what_it_learns_from(dirty: tuple[Invented, list[Case]]) -> None:
    for case in dirty[1]:
        (first, watched), late = case.rehearsal, case.late
        assert first["sold_on"].max() < watched["sold_on"].min()
        assert watched["sold_on"].max() < late["sold_on"].min()
        assert late["sold_on"].max() < case.asked["sold_on"].min()
        assert first.height + watched.height + late.height == case.known.height


def test_a_changed_price_is_another_case(dirty: tuple[Invented, list[Case]]) -> None:
    source, found = dirty
    assert [case.digest for case in source.cases()] == [case.digest for case in found]
    case = found[0]
    moved = replace(case, known=case.known.with_columns(pl.col("price") * 1.01))
    assert moved.digest != case.digest


def test_only_a_fall_of_all_prices_for_good_is_a_step() -> None:
    assert cases.steps("drift") == [date(2026, 3, 2)]
    assert cases.steps("stock-flood") == cases.steps("launch-shock") == cases.steps("steady") == []


def test_every_group_is_asked_for_once_by_those_who_never_saw_it() -> None:
    group = np.random.default_rng(1).integers(0, 20, 300)
    days = [date(2026, 1, 1) + timedelta(days=d % 3) for d in range(300)]
    sales = pl.DataFrame({"sale_id": [f"s{i}" for i in range(300)], "sold_on": days, "group": group})
    found = list(cases.grouped(sales=sales, attributes={}, group=group, fold=group % 5, seed=1))
    assert sorted(name for case in found for name in case.asked["sale_id"]) == sorted(sales["sale_id"])
    for case in found:
        first, watched = case.rehearsal
        apart = [set(rows["group"]) for rows in (first, watched, case.late, case.asked)]
        assert all(apart) and sum(map(len, apart)) == len(set.union(*apart)) == 20


def test_a_part_is_asked_for_once_until_it_is_forgotten(
    dirty: tuple[Invented, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, found = dirty
    asked: list[str] = []

    def median(case: Case) -> pl.DataFrame:
        asked.append(case.name)
        return case.asked.select("sale_id", p05=pl.lit(50.0), p50=pl.lit(100.0), p95=pl.lit(200.0))

    monkeypatch.setattr(parts.learners, "LEARNERS", {"median": median})
    monkeypatch.setattr(parts.learners, "of", lambda case, stepped: ("median",))
    monkeypatch.setattr(Invented, "cases", lambda self: iter(found))
    judged = parts._source(source, tmp_path)
    assert parts._source(source, tmp_path) == judged
    assert asked == [case.name for case in found]
    parts.forget([source], folder=tmp_path, names=["other"])
    parts._source(source, tmp_path)
    assert len(asked) == 2
    parts.forget([source], folder=tmp_path, names=["median"])
    parts._source(source, tmp_path)
    assert len(asked) == 4
    rows = parts.gather(judged)
    assert rows.height == sum(case.asked.height for case in found)
    assert rows["median_p50"].null_count() == 0


def test_one_who_breaks_down_is_told_of_and_left_out(
    dirty: tuple[Invented, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, found = dirty

    def broken(case: Case) -> pl.DataFrame:
        raise ValueError("no idea")

    known = {"oracle": parts.learners.oracle, "broken": broken}
    monkeypatch.setattr(parts.learners, "LEARNERS", known)
    monkeypatch.setattr(parts.learners, "of", lambda case, stepped: tuple(known))
    judged = parts._case(source, found[0], tmp_path)
    assert len(judged.failed) == 1 and "broken BROKE DOWN: ValueError: no idea" in judged.failed[0]
    assert [c for c in parts.gather([judged]).columns if c.endswith("_p50")] == ["oracle_p50"]


@pytest.mark.parametrize("table", real.TABLES, ids=lambda table: table.key)
def test_a_real_table_is_parted_without_a_look_ahead(table: real.Real, real_data: Path) -> None:
    found = list(table.cases())
    assert len(found) >= 3
    for case in found:
        assert not set(case.known["sale_id"]) & set(case.asked["sale_id"])
        assert all(part.height for part in (*case.rehearsal, case.late, case.asked))


def test_the_offers_are_read_without_a_fault(real_data: Path) -> None:
    found = real.read(real_data / real.OFFERS[0], real.MAPPINGS / real.OFFERS[1])
    assert found.read == 9_258 and found.faults.is_empty() and found.aside.height == 19
    assert found.good["channel"].n_unique() == 10
