"""Learns which offers owners take, from offers that were drawn by chance.

Offers that people made tell little: they knew more of a device than a table does, and what they knew moved both the
offer and the owner. Even the middle around which an offer was drawn may know more. What was drawn itself is known by
its spread alone (`propensity` is its density). So the usual offer for such a device is told apart first, and an offer
counts as far as chance moved it from there: what lies between is shrunk to the share that chance has of it (regression
calibration, R. J. Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import polars as pl
from scipy import sparse
from scipy.optimize import isotonic_regression
from scipy.special import log_ndtr

from valuation.acceptance import AGES, Acceptance, members, told
from valuation.rows import Floats, Whole

FEWEST_QUOTES = 100
# How far the answers to usual offers are expected to differ by the members of each, as the sd of a probit; learned from
# the quotes as far as they tell.
SHIFTS: Mapping[str, float] = MappingProxyType(
    {
        "condition": 0.3,
        "market": 0.3,
        "category": 0.3,
        "brand": 0.3,
        "age": 0.3,
        "condition|brand": 0.1,
        "model": 0.1,
    }
)
TRUST = 1.0  # members of evidence that a stated sd counts as
# The slope of a probit in the log of the offer, one over the spread of what owners take, and how unsure that is (m): of
# 60,000 invented quotes a logit of 8.7 was found, which is a probit of 5.1; the simulator assumes one of 4.3.
USUAL_SLOPE, SLOPE_SD = 4.5, 1.5
LEAST_SLOPE = 0.3
BASE_SD = 2.0
PEOPLE_SD = 0.3  # of how much more or less offers of people are taken than drawn ones alike
ROUNDS, MOST_STEPS, CLOSE = 12, 30, 1e-6
QUARTERS, YOUNG_YEARS = 4, 2  # of a year; and so long a device is young
TRUST_IN_EVEN = 50.0  # quotes of evidence that offers are even over a year of age
FOLDS = 5  # of quotes, each told what is usual by the others
USUAL_NOISE = 0.03  # of log offers, against which SHIFTS pool what is usual: a pair more than its members
FAR = 5.0  # robust sd: an offer that far from the usual one is a slip


class TooFewQuotesError(ValueError):
    """Quotes from which no acceptance can be learned."""


def fit(*, owners: pl.DataFrame, quotes: pl.DataFrame, flawless: Floats) -> Acceptance:
    """Learn from the drawn quotes that were answered.

    Row by row (n,): `owners` are the features of the devices with their `condition`, `quotes` have offer, randomised,
    propensity and accepted, `flawless` is what each device would bring flawless.

    Raises TooFewQuotesError below FEWEST_QUOTES of them.
    """
    used = answered(quotes)
    if used.sum() < FEWEST_QUOTES:
        raise TooFewQuotesError(
            f"Of {quotes.height} quotes, {used.sum()} were answered offers drawn by chance (`randomised`, with their "
            f"`propensity`): acceptance can be learned from {FEWEST_QUOTES} and more. Let a share of the offers be "
            "drawn, or pay by cost."
        )
    drawn, kept = used.to_numpy(), (used | _made_by_people(quotes)).to_numpy()
    asked, drawn = quotes.filter(kept), drawn[kept]
    words, known, design = _design(owners.filter(kept))
    sizes = (1, *(len(column) for column in known.values()))
    offered = np.log(asked["offer"].to_numpy() / flawless[kept])
    moved, apart = (
        np.zeros(asked.height),
        _while_young(owners.filter(kept)["age_years"], design, offered, sizes),
    )
    even = offered - apart
    usual, moved[drawn] = _told_apart(
        design[drawn], even[drawn], asked["propensity"].to_numpy()[drawn], sizes
    )
    if not drawn.all():
        apart[~drawn] += design[~drawn] @ (_usual(design[~drawn], even[~drawn], sizes) - usual)
    slope, error, (_, *shifts) = _probit(
        design=sparse.hstack([moved[:, None], ~drawn[:, None], -design], format="csr"),
        sign=np.where(asked["accepted"].to_numpy(), 1.0, -1.0),
        apart=apart,
        sizes=(1, 1, *sizes),
    )
    base, *parts = np.split(usual + np.array(shifts) / slope, np.cumsum(sizes)[:-1])
    found = {n: dict(zip(known[n], p.tolist(), strict=True)) for n, p in zip(SHIFTS, parts, strict=True)}
    return Acceptance(
        base=float(base[0]),
        shifts=found | {"age": _never_rising(found["age"], words["age"])},
        spread=1 / slope,
        spread_error=error / slope,
        quotes=int(drawn.sum()),
    )


def usual_offers(*, owners: pl.DataFrame, offered: Floats, fold: Whole) -> Floats:
    """The usual log offer for each device (n,), told by the log offers (n,) of the other folds (n,)."""
    _, known, design = _design(owners)
    return _told_by_others(design, offered, fold, (1, *map(len, known.values())))


def _told_by_others(
    design: sparse.csr_matrix, offered: Floats, fold: Whole, sizes: tuple[int, ...]
) -> Floats:
    usual = np.empty(len(offered))
    for held in np.unique(fold):
        others, own = fold != held, fold == held
        usual[own] = design[own] @ _usual(design[others], offered[others], sizes)
    return usual


def _design(owners: pl.DataFrame) -> tuple[dict[str, pl.Series], dict[str, pl.Series], sparse.csr_matrix]:
    """By SHIFTS, the member that each device is (n,) and the members met; and a column for each, after one for all."""
    columns = told(owners)
    words = {names: pl.Series(members(columns, names), dtype=pl.String) for names in SHIFTS}
    known = {names: column.drop_nulls().unique().sort() for names, column in words.items()}
    met = (_met(words[names], known[names]) for names in SHIFTS)
    return words, known, sparse.hstack([np.ones((owners.height, 1)), *met], format="csr")


def answered(quotes: pl.DataFrame) -> pl.Series:
    """Which quotes were drawn, with their propensity, and answered: (n,)."""
    told = pl.col("randomised") & pl.col("accepted").is_not_null()
    drawn = (pl.col("offer") > 0) & (pl.col("propensity") > 0)
    return quotes.select((told & drawn).fill_null(value=False)).to_series()


def _made_by_people(quotes: pl.DataFrame) -> pl.Series:
    """Which quotes were answered and not drawn: (n,)."""
    told = ~pl.col("randomised") & pl.col("accepted").is_not_null() & (pl.col("offer") > 0)
    return quotes.select(told.fill_null(value=False)).to_series()


def _never_rising(shifts: Mapping[str, float], ages: pl.Series) -> dict[str, float]:
    """The same by every age, such that owners of older devices never take more of what theirs would bring.

    An offer then never rises with age. An age that was not met is as the one before it.
    """
    met = [age for age in AGES if age in shifts]
    counts = dict(ages.value_counts().iter_rows())
    weights = [counts[age] for age in met]
    falling = (
        isotonic_regression([shifts[age] for age in met], weights=weights, increasing=False).x if met else []
    )
    by_age = dict(zip(met, map(float, falling), strict=True))
    found, last = {}, next(iter(by_age.values()), 0.0)
    for age in AGES:
        last = found[age] = by_age.get(age, last)
    return found


def _probit(
    *, design: sparse.csr_matrix, sign: Floats, apart: Floats, sizes: tuple[int, ...]
) -> tuple[float, float, Floats]:
    """The coefficients of a pooled probit at the mode of their posterior: that of the first column, its standard
    error, and the others.

    Of a design (n, p), answers (n,), 1 taken and -1 not, and the number of members of each column: the slope, the base,
    and those of SHIFTS, whose sd is learned by expectation-maximisation.
    """
    stated = np.array([SLOPE_SD, PEOPLE_SD, BASE_SD, *SHIFTS.values()])
    mean = np.zeros(sum(sizes))
    mean[0] = USUAL_SLOPE
    sds, found, variance = stated, mean, stated
    for _ in range(ROUNDS):
        found, variance = _mode(design, sign, apart * found[0], mean, np.repeat(sds**-2, sizes), found)
        second = np.split(found**2 + variance, np.cumsum(sizes)[:-1])
        sums = np.array([part.sum() for part in second])
        learned = np.sqrt((sums + TRUST * stated**2) / (np.array(sizes) + TRUST))
        sds = np.concatenate([stated[:3], learned[3:]])
    return max(float(found[0]), LEAST_SLOPE), float(np.sqrt(variance[0])), found[1:]


def _mode(
    design: sparse.csr_matrix, sign: Floats, offset: Floats, mean: Floats, precision: Floats, start: Floats
) -> tuple[Floats, Floats]:
    """The mode of the posterior of a probit by Newton's method, and about the variance of each coefficient: (p,)."""
    found = start
    for _ in range(MOST_STEPS):
        at = sign * (design @ found + offset)
        steep = np.exp(-(at**2) / 2 - log_ndtr(at)) / np.sqrt(2 * np.pi)
        weighed = design.multiply((steep * (steep + at))[:, None])
        information = (weighed.T @ design).toarray() + np.diag(precision)
        step = np.linalg.solve(information, design.T @ (sign * steep) - precision * (found - mean))
        found = found + step
        if np.abs(step).max() < CLOSE:
            break
    return found, np.asarray(np.linalg.inv(information).diagonal())


def _met(words: pl.Series, known: pl.Series) -> sparse.csr_matrix:
    """Which of the members known each row has: (n, known)."""
    places = words.replace_strict(known, pl.int_range(len(known), eager=True), default=None)
    rows = np.flatnonzero(places.is_not_null().to_numpy())
    shape = (len(words), len(known))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, places.drop_nulls().to_numpy())), shape=shape)


def _told_apart(
    design: sparse.csr_matrix, offered: Floats, density: Floats, sizes: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """The usual log offer by member (p,), and what chance added to each (n,), as far as it can be told.

    Drawn evenly, the log of an offer with this density has a variance of 1 / (12 density^2).
    """
    left = offered - _told_by_others(design, offered, np.arange(len(offered)) % FOLDS, sizes)
    size = 1.4826 * np.median(np.abs(left))
    kept = np.abs(left) <= FAR * size
    share = min(1.0, float((density[kept] ** -2 / 12).mean() / (left[kept] ** 2).mean()))
    return _usual(design[kept], offered[kept], sizes), share * np.where(kept, left, 0.0)


def _while_young(
    age: pl.Series, design: sparse.csr_matrix, offered: Floats, sizes: tuple[int, ...]
) -> Floats:
    """How far usual log offers lie from those of a device's age in years, by quarter while it is young: (n,).

    Buyers hold back at a launch. Such offers are lower ones, not worse owners.
    """
    left = pl.Series(offered - design @ _usual(design, offered, sizes))
    quarter = (age * QUARTERS).floor().clip(0, YOUNG_YEARS * QUARTERS)
    told = pl.DataFrame({"quarter": quarter, "left": left}).select(
        pl.when(pl.col("quarter") < YOUNG_YEARS * QUARTERS)
        .then(pl.col("left").sum().over("quarter") / (pl.len().over("quarter") + TRUST_IN_EVEN))
        .otherwise(0.0)
    )
    return np.array(told.to_series().fill_nan(0.0).fill_null(0.0))


def _usual(design: sparse.csr_matrix, offered: Floats, sizes: tuple[int, ...]) -> Floats:
    """The usual log offer by member; base is free, so that a member that was not met has the usual offer of all."""
    ridge = np.repeat([0.0, *((USUAL_NOISE / sd) ** 2 for sd in SHIFTS.values())], sizes)
    normal = (design.T @ design).toarray() + np.diag(ridge)
    return np.asarray(np.linalg.solve(normal, design.T @ offered))
