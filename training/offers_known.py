"""Holds offers against the truth of an invented market: what each would have earned, and how often it is taken."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.interpolate import CubicSpline

from training import offers_study
from training.offers_study import LEARNED, STEP, OffersStudyError
from training.simulator.quotes import CURVE
from valuation.rows import Floats

BEST = "best margin"
PERCENTS = np.array(CURVE) / 100


def with_truth(*, judged: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Add to the rows of offers_study.rehearse what is known of their quotes by TRUTH.

    By policy, `true margin of ...`, `true chance of ...`; the margin of the best offer; and of the learned policy how
    steep the chance is there, `true slope`, beside what it says itself. Raises OffersStudyError where a quote has no
    truth.
    """
    quotes = truth.filter(pl.col("kind") == "quote").rename({"id": "quote_id"})
    told = judged.join(
        quotes.select("quote_id", "reserve_p50", "best_margin", *_names("margin"), *_names("accept")),
        on="quote_id",
        how="left",
        maintain_order="left",
    )
    if told["reserve_p50"].null_count():
        raise OffersStudyError(
            f"Of {told.height} quotes, {told['reserve_p50'].null_count()} are not in the truth: give the one that was "
            "simulated with them."
        )
    margins, chances = (told.select(_names(kind)).to_numpy() for kind in ("margin", "accept"))
    usual, scale = told["reserve_p50"].to_numpy(), told["scale"].to_numpy()
    offers = {name: told[f"offer of {name}"].to_numpy() for name in offers_study.policies(judged)}

    def lost(share: Floats) -> Floats:
        """What more is paid than the curve tells, to all who take it there."""
        return np.asarray((share - PERCENTS[-1]).clip(0) * usual * chances[:, -1])

    shares = {name: paid / usual for name, paid in offers.items()}
    return judged.with_columns(
        **{f"true margin of {n}": pl.Series((_at(margins, s) - lost(s)) * scale) for n, s in shares.items()},
        **{f"true chance of {n}": pl.Series(_at(chances, s)) for n, s in shares.items()},
        **{"true slope": pl.Series(_slope(chances, shares[LEARNED]))},
        **{BEST: pl.Series(told["best_margin"].to_numpy() * scale)},
    )


def _names(kind: str) -> list[str]:
    return [f"{kind}_at_{percent}" for percent in CURVE]


def _at(curves: Floats, share: Floats) -> Floats:
    """The curve of each row (n, percents) at its offer as a share of the usual least (n,); nothing for no offer."""
    spline = CubicSpline(PERCENTS, curves, axis=1)
    inside = share.clip(PERCENTS[0], PERCENTS[-1])
    piece = np.minimum(np.searchsorted(PERCENTS, inside, side="right") - 1, len(PERCENTS) - 2)
    along, rows = inside - PERCENTS[piece], np.arange(len(share))
    third, second, first, start = spline.c[:, piece, rows]
    found = ((third * along + second) * along + first) * along + start
    return np.asarray(found * np.minimum(share / PERCENTS[0], 1))


def _slope(chances: Floats, share: Floats) -> Floats:
    """How fast the chance rises with the log of the offer: (n,)."""
    high, low = _at(chances, share * np.exp(STEP)), _at(chances, share * np.exp(-STEP))
    return np.asarray((high - low) / (2 * STEP))
