from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from training import measures

PUBLISHED = Path(__file__).parents[1] / "published"
FIGURES = pl.read_csv(PUBLISHED / "ratio_study_figures.csv", schema_overrides={"prd": pl.String})
SALES = pl.read_csv(PUBLISHED / "ratio_study_sales.csv").partition_by("table", as_dict=True)


def perfect(noise, n=40_000, seed=3):
    """Values that are exactly right, and prices that scatter around them: (values, prices)."""
    rng = np.random.default_rng(seed)
    worth = np.exp(rng.normal(5.5, 0.7, n))
    return worth, worth * np.exp(rng.normal(0, noise, n))


@pytest.fixture(params=FIGURES.to_dicts(), ids=lambda figures: figures["table"])
def published(request):
    sales = SALES[(request.param["table"],)]
    return (
        request.param,
        sales["estimate"].to_numpy().astype(float),
        sales["sale_price"].to_numpy().astype(float),
    )


def test_the_median_ratio_is_that_of_the_published_tables(published):
    figures, estimate, price = published
    assert round(measures.median_ratio(estimate, price), 3) == figures["median_ratio"]


def test_the_dispersion_is_that_of_the_published_tables(published):
    figures, estimate, price = published
    assert round(100 * measures.cod(estimate, price), 1) == figures["cod_percent"]


def test_the_price_related_differential_is_that_of_the_published_tables(published):
    figures, estimate, price = published
    digits = len(figures["prd"].split(".")[1])
    assert f"{measures.prd(estimate, price):.{digits}f}" == figures["prd"]


def test_the_price_related_bias_is_the_published_slope_and_not_the_intercept(published):
    figures, estimate, price = published
    assert round(measures.prb(estimate, price).slope, 3) == figures["prb"]


def test_the_standard_error_of_a_slope_is_that_of_a_line_worked_by_hand():
    # y = 0, 1, 1 on x = 0, 1, 2: slope 1/2, residuals -1/6, 1/3, -1/6, so s^2 = 1/6 and the error is sqrt(1/12)
    found = measures._slope(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]))
    assert found.slope == pytest.approx(0.5)
    assert found.error == pytest.approx(np.sqrt(1 / 12))


@pytest.mark.parametrize("slope", [-0.10, 0.0, 0.05])
def test_a_known_slope_on_the_value_is_found_again(slope):
    value, noisy = perfect(0.10)
    price = noisy / (1 + slope * np.log2(value / np.median(value)))
    found = measures.calibration_slope(value, price)
    assert abs(found.slope - slope) < 0.006


def test_noise_alone_tilts_the_bias_on_the_price_but_not_the_calibration_slope():
    value, price = perfect(0.20)
    assert measures.prb(value, price).slope < -0.015
    assert abs(measures.calibration_slope(value, price).slope) < 0.006


@pytest.mark.parametrize("noise", [0.05, 0.20])
def test_a_perfect_model_has_the_figures_that_lognormal_noise_alone_gives(noise):
    # by hand: E|exp(X) - 1|, E exp(X) twice over, and P(|exp(X) - 1| <= 0.1) of a normal X
    value, price = perfect(noise, n=200_000)
    below = NormalDist(0, noise).cdf
    swell = np.exp(noise**2 / 2)
    assert measures.cod(value, price) == pytest.approx(swell * (2 * NormalDist().cdf(noise) - 1), rel=0.01)
    assert measures.prd(value, price) == pytest.approx(swell**2, abs=0.003)
    within = below(np.log(1.1)) - below(np.log(0.9))
    assert measures.within(value, price, 0.1) == pytest.approx(within, abs=0.005)


def test_a_slope_is_not_defined_where_all_values_are_alike_or_fewer_than_three():
    prices = np.array([90.0, 100.0, 120.0])
    assert measures.calibration_slope(np.full(3, 100.0), prices) is None
    assert measures.prb(prices[:2], prices[:2]) is None


def test_errors_are_shares_of_the_price():
    value, price = np.array([90.0, 100.0, 130.0, 100.0]), np.array([100.0, 100.0, 100.0, 50.0])
    assert measures.mdape(value, price) == pytest.approx(0.2)
    assert measures.mape(value, price) == pytest.approx(0.35)
    assert [measures.within(value, price, s) for s in (0.05, 0.101, 0.301)] == [0.25, 0.5, 0.75]
    assert measures.rt20(value, price) == 0.5


def test_the_pinball_loss_of_the_median_is_half_the_absolute_error_in_logs():
    quantiles = np.array([[100.0], [100.0]])
    prices = np.array([110.0, 80.0])
    expected = (np.log(1.1) - np.log(0.8)) / 4
    assert measures.pinball(quantiles, np.array([0.5]), prices) == pytest.approx(expected)


def test_the_winkler_score_is_the_width_and_twenty_times_the_distance_of_a_miss():
    low, high = np.array([100.0, 100.0]), np.array([200.0, 200.0])
    prices = np.array([150.0, 220.0])
    expected = np.log(2) + 20 * np.log(1.1) / 2
    assert measures.winkler(low, high, prices, 0.9) == pytest.approx(expected)


def test_currency_does_not_move_pinball_and_winkler():
    value, price = perfect(0.1, n=500)
    low, high = 0.8 * value, 1.2 * value
    assert measures.winkler(100 * low, 100 * high, 100 * price, 0.9) == pytest.approx(
        measures.winkler(low, high, price, 0.9)
    )


def test_the_ends_of_an_interval_belong_to_it():
    low, high = np.full(4, 10.0), np.full(4, 20.0)
    assert measures.coverage(low, high, np.array([10.0, 20.0, 9.9, 20.1])) == 0.5
    assert measures.width(low, high, np.full(4, 20.0)) == 0.5


def test_the_hit_rate_counts_an_fsd_of_fifteen_hundredths():
    assert measures.hit_rate(np.array([0.10, 0.15, 0.16, 0.40])) == 0.5


def test_the_interval_of_the_median_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        blocks = np.repeat(np.arange(60), 5)
        ratio = np.exp(0.1 * rng.normal(size=60)[blocks] + 0.1 * rng.normal(size=300))
        low, high = measures.median_interval(ratio, blocks, seed)
        held += low <= 1 <= high
    assert 87 <= held <= 100


def test_sales_that_err_together_widen_the_interval_of_the_median():
    rng = np.random.default_rng(5)
    blocks = np.repeat(np.arange(20), 30)
    ratio = np.exp(0.1 * rng.normal(size=20)[blocks] + 0.05 * rng.normal(size=600))
    together = np.ptp(measures.median_interval(ratio, blocks, 1))
    alone = np.ptp(measures.median_interval(ratio, np.arange(600), 1))
    assert together > 2 * alone


def test_the_interval_of_the_median_is_the_same_for_the_same_seed():
    value, price = perfect(0.1, n=200)
    first, second = (measures.median_interval(value / price, np.arange(200), 9) for _ in range(2))
    assert first == second
