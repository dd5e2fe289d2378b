"""The figures of a rehearsal of offers: what each policy would have earned, and how true the model's words were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from training import drawing, off_policy, offers_study
from training.drawing import Weights
from training.measures import calibration_error
from training.off_policy import Estimate, Logged
from training.offers_known import BEST
from training.offers_study import HISTORY, LEARNED
from valuation.rows import Floats

SEED = 1
FIRM_BINS = 5  # a share paid in full is near to 1 for most


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a policy would have earned, a quote, in hundredths of a usual flawless device; where the truth is known, the
    share of the best margins that it misses (`regret`), its true value, and whether the interval holds that.
    """

    name: str
    offered_share: float
    estimate: Estimate
    regret: Interval | None
    truth: float | None

    @property
    def held(self) -> bool | None:
        """Whether the truth lies within the interval; None of history, whose makers knew more than the truth tells."""
        if self.truth is None or self.name == HISTORY:
            return None
        return self.estimate.holds(self.truth)


@dataclass(frozen=True, kw_only=True)
class Words:
    """How true the model's words were: calibration errors with their n, and ratios that should be 1.

    None where there was nothing to tell it by. `acceptance_error` is of drawn offers; with the truth,
    `true_acceptance_error` of the learned policy's own offers, `slope` of acceptance there, and `cohort`, what those
    bring who take them, both told over true.
    """

    drawn: int
    acceptance_error: float | None
    inspected: int
    firmness_error: float | None
    in_full_told: float | None
    in_full: float | None
    sold: int
    realised: Interval | None
    true_acceptance_error: float | None
    slope: float | None
    cohort: float | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a rehearsal over `n` quotes; `draws` says whether drawn ones were drawn as they say."""

    n: int
    draws: Weights | None
    policies: tuple[Policy, ...]
    words: Words

    @property
    def known(self) -> bool:
        """Whether the truth is known."""
        return self.words.slope is not None

    def to_json(self) -> dict[str, Any]:
        """For offers.json; what is not known is null."""
        told: dict[str, Any] = _finite(asdict(self))
        return told


def _finite(told: Any) -> Any:
    """The same with None for an end of an interval that is not known."""
    if isinstance(told, dict):
        return {name: _finite(each) for name, each in told.items()}
    if isinstance(told, (list, tuple)):
        return [_finite(each) for each in told]
    return None if isinstance(told, float) and not np.isfinite(told) else told


def figures(judged: pl.DataFrame) -> Figures:
    """Take the figures of the rows of offers_study.rehearse, or of offers_known.with_truth. Raises PropensityError."""
    draws = drawing.checked(weight=judged["weight"].to_numpy(), cell=judged["cell"])
    return Figures(n=judged.height, draws=draws, policies=tuple(_policies(judged)), words=_words(judged))


def _policies(judged: pl.DataFrame) -> Iterator[Policy]:
    logged = _logged(judged)
    for name in offers_study.policies(judged):
        offer, told = (judged[f"{what} of {name}"].to_numpy() for what in ("offer", "margin"))
        unsure = np.abs(judged[f"wider of {name}"].to_numpy() - told)
        known = f"true margin of {name}" in judged.columns
        yield Policy(
            name=name,
            offered_share=float((offer > 0).mean()),
            estimate=off_policy.as_it_was(logged=logged)
            if name == HISTORY
            else off_policy.value(logged=logged, target=offer, told=told, unsure=unsure),
            regret=_regret(judged, name, logged) if known else None,
            truth=float(judged[f"true margin of {name}"].mean()) if known else None,  # type: ignore[arg-type]
        )


def _logged(judged: pl.DataFrame) -> Logged:
    return Logged(
        drawn=judged["drawn"].to_numpy(),
        density=judged["propensity"].fill_null(1.0).to_numpy(),
        offer=judged["offer"].to_numpy(),
        reward=judged["reward"].fill_null(float("nan")).to_numpy(),
        told=judged[f"margin of {HISTORY}"].to_numpy(),
        cell=judged["cell"].rank("dense").cast(pl.Int64).to_numpy(),
    )


def _regret(judged: pl.DataFrame, name: str, logged: Logged) -> Interval:
    earned, best = judged[f"true margin of {name}"].to_numpy(), judged[BEST].to_numpy()
    low, high = off_policy.ratio_interval(best - earned, best, logged.cell, SEED)
    return Interval(value=float(1 - earned.sum() / best.sum()), low=low, high=high)


def _words(judged: pl.DataFrame) -> Words:
    drawn = judged.filter(pl.col("drawn") & pl.col("accepted").is_not_null())
    came = judged.filter(pl.col("accepted") & pl.col("inspected_condition").is_not_null())
    in_full = (came["final_amount"] == came["offer"]).fill_null(value=False).cast(pl.Float64).to_numpy()
    sold = judged.filter(pl.col("sold_for").is_not_null() & pl.col("final_amount").is_not_null())
    known = f"true chance of {LEARNED}" in judged.columns
    own = judged.filter(pl.col(f"offer of {LEARNED}") > 0)
    told = own[f"chance of {LEARNED}"].to_numpy()
    return Words(
        drawn=drawn.height,
        acceptance_error=_calibration(drawn[f"chance of {HISTORY}"], drawn["accepted"]),
        inspected=came.height,
        firmness_error=_known(
            calibration_error(told=came["in_full_told"].to_numpy(), happened=in_full, bins=FIRM_BINS)
        ),
        in_full_told=_mean(came["in_full_told"].to_numpy()),
        in_full=_mean(in_full),
        sold=sold.height,
        realised=_realised(sold) if sold.height else None,
        true_acceptance_error=_calibration(told, own[f"true chance of {LEARNED}"]) if known else None,
        slope=_slope(own) if known else None,
        cohort=_brings(own, "") / _brings(own, "true ") if known else None,
    )


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _slope(own: pl.DataFrame) -> float:
    told, true = (own[name].to_numpy().sum() for name in ("slope_told", "true slope"))
    return float(told / true)


def _calibration(told: Any, happened: pl.Series) -> float | None:
    error = calibration_error(told=np.asarray(told), happened=happened.cast(pl.Float64).to_numpy())
    return _known(error)


def _realised(sold: pl.DataFrame) -> Interval:
    """What devices sold for over what was told that those who take such an offer bring."""
    scale = sold["scale"].to_numpy()
    price, told = (sold[name].to_numpy() * scale for name in ("sold_for", "price_told"))
    cell = sold["cell"].rank("dense").cast(pl.Int64).to_numpy()
    low, high = off_policy.ratio_interval(price, told, cell, SEED)
    return Interval(value=float(price.sum() / told.sum()), low=low, high=high)


def _brings(own: pl.DataFrame, true: str) -> float:
    """What those who take the learned offers bring net of costs and tax, before they are paid, in the mean."""
    chance, margin = (own[f"{true}{what} of {LEARNED}"].to_numpy() for what in ("chance", "margin"))
    paid: Floats = own[f"offer of {LEARNED}"].to_numpy() * own["scale"].to_numpy()
    return float(((chance * paid).sum() + margin.sum()) / chance.sum())
