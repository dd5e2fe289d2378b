from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from training import backtest
from training.baselines import BASELINES
from valuation import ledger
from valuation.ledger import Attribute

FIRST = date(2026, 1, 1)
RAM = {"ram_gb": Attribute(name="ram_gb", direction="+", kind="number")}
HIDDEN = {"price", "sale_id", "seller_id", "unit_id", "at_our_price", "row"}


def sales(days, **columns):
    """One sale a day, audited, with one attribute."""
    n = len(days)
    frame = pl.DataFrame(
        {
            "sale_id": [f"s{i}" for i in range(n)],
            "sold_on": [FIRST + timedelta(days=d) for d in days],
            "market": "GB",
            "currency": "GBP",
            "price": [100.0 + d for d in days],
            "category": "tablet",
            "brand": "Alpha",
            "model": "One",
            "grade": "GOOD",
            "ram_gb": 8.0,
        }
    ).with_columns(**columns)
    return ledger.audit(frame=frame, contract=ledger.SALES, as_of=None, attributes=RAM).good


class Recorder:
    """Fits appraisers that value everything at 100, and keeps what they were shown."""

    def __init__(self):
        self.fitted, self.shown = [], []
        self.attributes = RAM

    def fit(self, **told):
        self.fitted.append(told)
        return self

    def appraise(self, *, devices):
        self.shown.append(devices)
        names = ("p05", "p10", "p25", "p50", "p75", "p90", "p95", "mean", "fsd")
        told = pl.DataFrame({name: [100.0] * devices.height for name in names})
        return told.with_columns(basis=pl.lit("model"), comparables=pl.lit(3))


def run(table, windows, **more):
    recorder = Recorder()
    frame = backtest.run(sales=table, attributes=RAM, windows=windows, seed=5, fit=recorder.fit, **more)
    return recorder, frame


def test_windows_are_half_open_follow_each_other_and_end_with_the_last_day():
    found = backtest.windows(sales=sales(range(200)), window_days=28, origins=2)
    assert [(w.start, w.end) for w in found] == [
        (date(2026, 5, 25), date(2026, 6, 22)),
        (date(2026, 6, 22), date(2026, 7, 20)),
    ]
    assert FIRST + timedelta(days=199) == found[-1].end - timedelta(days=1)


@pytest.mark.parametrize(("days", "origins"), [(56, 1), (111, 1), (112, 2), (335, 5), (336, 6), (2_000, 6)])
def test_without_a_number_the_windows_leave_half_of_the_days_to_learn_from(days, origins):
    assert len(backtest.windows(sales=sales([0, days - 1]))) == origins


def test_an_embargo_keeps_the_days_before_a_window_from_being_learnt():
    table = sales(range(100))
    (window,) = backtest.windows(sales=table, window_days=10, origins=1, embargo_days=14)
    assert window.start - window.known_before == timedelta(days=14)
    recorder, _ = run(table, (window,))
    assert recorder.fitted[0]["sales"]["sold_on"].max() == window.known_before - timedelta(days=1)


def test_too_few_days_name_the_longest_window_that_fits():
    with pytest.raises(backtest.BacktestError, match=r"51 days.* need 84. Pass a window of at most 17 days"):
        backtest.windows(sales=sales(range(51)), origins=2)


def test_an_embargo_that_leaves_nothing_is_to_be_shortened():
    with pytest.raises(backtest.BacktestError, match="Shorten the embargo"):
        backtest.windows(sales=sales(range(20)), window_days=5, embargo_days=30)


@pytest.mark.parametrize("wrong", [{"window_days": 0}, {"origins": 0}, {"embargo_days": -1}])
def test_a_window_of_no_days_is_refused(wrong):
    with pytest.raises(backtest.BacktestError, match="start at 1"):
        backtest.windows(sales=sales(range(100)), **wrong)


def test_no_sales_have_no_windows():
    with pytest.raises(backtest.BacktestError, match="no sale to score"):
        backtest.windows(sales=sales(range(3)).clear())


def test_every_window_is_valued_by_what_was_sold_before_it_and_by_nothing_later():
    table = sales(range(100))
    windows = backtest.windows(sales=table, window_days=10, origins=3)
    recorder, frame = run(table, windows)
    for window, told in zip(windows, recorder.fitted, strict=True):
        assert told["sales"]["sold_on"].max() < window.start
        assert (told["as_of"], told["seed"], told["attributes"]) == (window.start, 5, RAM)
    assert frame["window"].to_list() == [w.start for w in windows for _ in range(10)]


def test_the_appraiser_is_shown_the_device_and_the_day_but_never_the_price():
    table = sales(range(60))
    recorder, _ = run(table, backtest.windows(sales=table, window_days=10, origins=1))
    (shown,) = recorder.shown
    assert set(shown.columns) & HIDDEN == set()
    assert shown["on"].to_list() == [FIRST + timedelta(days=d) for d in range(50, 60)]
    assert shown["ram_gb"].to_list() == [8.0] * 10


def test_every_sale_of_a_window_is_scored_once_beside_every_baseline():
    table = sales(range(60), model=pl.Series(["One"] * 55 + ["never met"] * 5))
    _, frame = run(table, backtest.windows(sales=table, window_days=10, origins=1))
    assert frame["sale_id"].to_list() == [f"s{i}" for i in range(50, 60)]
    assert frame["price"].to_list() == [150.0 + i for i in range(10)]
    assert frame.select(*BASELINES, "p50", "at_our_price").null_count().sum_horizontal().item() == 0


def test_a_device_sold_again_in_a_window_is_not_learnt_from_for_it():
    table = sales(range(60), unit_id=pl.Series([f"u{i % 50}" if i % 2 else None for i in range(60)]))
    recorder, _ = run(table, backtest.windows(sales=table, window_days=10, origins=1))
    known = recorder.fitted[0]["sales"]
    assert known.height == 45
    assert set(known["unit_id"].drop_nulls()) & set(table.tail(10)["unit_id"].drop_nulls()) == set()


def test_a_window_without_a_sale_is_passed_over():
    table = sales([*range(50), *range(60, 70)])
    windows = backtest.windows(sales=table, window_days=10, origins=2)
    recorder, frame = run(table, windows)
    assert len(recorder.fitted) == 1
    assert frame["window"].unique().to_list() == [windows[1].start]


def test_progress_says_which_window_is_next():
    said = []
    table = sales(range(60))
    run(table, backtest.windows(sales=table, window_days=10, origins=2), progress=said.append)
    assert said == ["window 1 of 2: 10 sales from 2026-02-10", "window 2 of 2: 10 sales from 2026-02-20"]


def test_windows_that_hold_no_sale_are_refused():
    other = backtest.Window(start=date(2030, 1, 1), end=date(2030, 2, 1), known_before=date(2030, 1, 1))
    with pytest.raises(backtest.BacktestError, match="2030-01-01 to 2030-02-01"):
        run(sales(range(60)), (other,))


def test_a_window_with_nothing_before_it_is_refused():
    whole = backtest.Window(start=FIRST, end=date(2030, 1, 1), known_before=FIRST)
    with pytest.raises(backtest.BacktestError, match="No sale before 2026-01-01"):
        run(sales(range(60)), (whole,))


def test_a_champion_is_scored_on_the_same_rows_without_a_refit_or_a_baseline():
    table = sales(range(60))
    windows = backtest.windows(sales=table, window_days=10, origins=2)
    recorder, refitted = run(table, windows)
    scored = backtest.score(appraiser=recorder, sales=table, windows=windows)
    assert scored.equals(refitted.drop(BASELINES))
    assert len(recorder.fitted) == 2
