"""Learns the owners from quotes: which offers they take and what is found; and checks it on later quotes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import norm

from training import accepting, drawing, inspecting
from training.accepting import TooFewQuotesError
from training.drawing import PropensityError
from training.inspecting import TooFewInspectionsError
from training.measures import calibration_error
from valuation import ledger, price_list
from valuation.acceptance import CONDITION, Acceptance
from valuation.appraiser import Appraiser
from valuation.inspection import CONDITIONS, PLACES, Inspection
from valuation.owners import Owners
from valuation.rows import Floats, Mask

ROUNDS = 3  # of what owners take, by who is among them
HELD_SHARE = 0.25  # of the drawn quotes, the latest: acceptance is checked on them
FEWEST_HELD = 50
WORSE_SE = 2.0  # standard errors of a mean log loss by which another must be better to be believed
_SEEN = ("condition", "market", "category", "brand")
_ROUNDS = 100
_CHALLENGER = {
    "objective": "binary",
    "num_leaves": 7,
    "min_data_in_leaf": 50,
    "learning_rate": 0.05,
    "monotone_constraints": [1, 0, *(0 for _ in _SEEN)],
    "num_threads": 1,
    "deterministic": True,
    "verbose": -1,
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """How well acceptance told `n` drawn offers later than those it learned from: mean log losses, beside that of a
    monotone LightGBM (`challenger`) and of one chance for all (`constant`), and the expected calibration error.
    """

    n: int
    log_loss: float
    challenger: float
    constant: float
    calibration_error: float
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether offers may rest on it."""
        return not self.reasons


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What was learned of the owners from `quotes`, of which so many were answered offers `drawn` by chance: nothing,
    for some `reasons`, or who they are; and its check, if any.
    """

    owners: Owners | None
    check: Check | None
    reasons: tuple[str, ...]
    quotes: int
    drawn: int

    @property
    def policy(self) -> str:
        """How offers are made by who learned this."""
        return price_list.COST_PLUS if self.owners is None else price_list.BY_MARGIN

    def to_json(self) -> dict[str, Any]:
        """For the card of an appraiser."""
        inspected = self.owners and self.owners.inspection.quotes
        return {
            "policy": self.policy,
            "reasons": list(self.reasons),
            "quotes": self.quotes,
            "drawn": self.drawn,
            "inspected": inspected,
            "check_out_of_time": self.check and asdict(self.check),
        }


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Quotes as they are learned from, row by row (n,): features of the devices with their condition, the quotes, and
    what each device would bring flawless, in the channel where most are sold.
    """

    owners: pl.DataFrame
    quotes: pl.DataFrame
    flawless: Floats
    sold_in: str | None

    def at(self, rows: Mask) -> Asked:
        """Some of them."""
        kept = pl.Series(rows)
        return replace(
            self,
            owners=self.owners.filter(kept),
            quotes=self.quotes.filter(kept),
            flawless=self.flawless[rows],
        )


def resold_in(*, quotes: pl.DataFrame, sales: pl.DataFrame) -> str | None:
    """The channel of most of the sales of what was bought, of good rows of QUOTES and SALES; None where none says."""
    bought = sales.join(quotes.select("sale_id").drop_nulls(), on="sale_id", how="semi")
    counted = bought["channel"].drop_nulls().value_counts().sort("count", "channel", descending=[True, False])
    return counted["channel"][0] if counted.height else None


def asked(*, quotes: pl.DataFrame, appraiser: Appraiser, sold_in: str | None) -> Asked:
    """Value the devices of good rows of QUOTES as they would be flawless, sold in this channel.

    Those in other currencies are left out.
    """
    known = quotes.filter(pl.col("currency").is_in(appraiser.currencies)).sort("quoted_at", "quote_id")
    told = devices(known).with_columns(channel=pl.lit(sold_in, pl.String))
    return Asked(
        owners=appraiser.features(devices=told).with_columns(known["condition"]),
        quotes=known,
        flawless=appraiser.appraise(devices=told)["p50"].to_numpy(),
        sold_in=sold_in,
    )


def devices(quotes: pl.DataFrame) -> pl.DataFrame:
    """The devices of quotes in the columns of ledger.DEVICES, flawless, on the days of the quotes."""
    told = quotes.with_columns(on=pl.col("quoted_at").dt.date(), grade=pl.lit("EXCELLENT"))
    absent = [column for column in ledger.DEVICES.columns if column.name not in told.columns]
    return told.with_columns(pl.lit(None, ledger.DTYPES[column.kind]).alias(column.name) for column in absent)


def learn(*, quotes: pl.DataFrame, sales: pl.DataFrame, appraiser: Appraiser) -> Lesson:
    """Learn the owners from good rows of QUOTES and SALES, if there are enough drawn ones, drawn as they say, and later
    ones agree.
    """
    told = asked(quotes=quotes, appraiser=appraiser, sold_in=resold_in(quotes=quotes, sales=sales))
    drawn = int(accepting.answered(told.quotes).sum())
    try:
        drawing.checked(
            weight=drawing.weights(owners=told.owners, quotes=told.quotes, flawless=told.flawless),
            cell=drawing.cells(owners=told.owners, quotes=told.quotes),
        )
        owners = fit(told)
        check = checked(told)
    except (PropensityError, TooFewQuotesError, TooFewInspectionsError) as why:
        return Lesson(owners=None, check=None, reasons=(str(why),), quotes=quotes.height, drawn=drawn)
    kept = owners if check.passed else None
    return Lesson(owners=kept, check=check, reasons=check.reasons, quotes=quotes.height, drawn=drawn)


def fit(told: Asked) -> Owners:
    """Learn from all of them. Raises TooFewQuotesError, TooFewInspectionsError.

    Acceptance is learned of those who declare a condition. Among them are some who own something worse, and take less:
    so those who own what they declare take more than that. What each takes, and who is among them, follow from each
    other.
    """
    declared = accepting.fit(owners=told.owners, quotes=told.quotes, flawless=told.flawless)
    acceptance = declared
    for _ in range(ROUNDS):
        inspection = inspecting.fit(
            owners=told.owners, quotes=told.quotes, flawless=told.flawless, acceptance=acceptance
        )
        acceptance = _of_true(declared, acceptance, inspection, told)
    return Owners(acceptance=acceptance, inspection=inspection, resold_in=told.sold_in)


def _of_true(declared: Acceptance, acceptance: Acceptance, inspection: Inspection, told: Asked) -> Acceptance:
    """The acceptance by true condition of which that by declared condition is the mixture: a step toward it."""
    offer = told.quotes["offer"].to_numpy()
    asked = told.at(offer > 0)
    offer, place = offer[offer > 0], asked.owners["condition"].replace_strict(PLACES).to_numpy()
    own = np.arange(len(offer)), place
    chance = inspection.by_declared(categories=asked.owners["category"].to_list())[own]
    target = declared.least_by_condition(devices=asked.owners, flawless=asked.flawless)[own]
    least = acceptance.least_by_condition(devices=asked.owners, flawless=asked.flawless)
    far = np.log(offer[:, None] / least) / acceptance.spread
    over = (chance * ndtr(far)).sum(axis=1) - declared.probability(offer=offer, least=target)
    steep = norm.pdf(far[own]) / acceptance.spread
    shifts = dict(acceptance.shifts[CONDITION])
    for at, condition in enumerate(CONDITIONS):
        rows = place == at
        if rows.any():
            shifts[condition] = shifts.get(condition, 0.0) + float(over[rows].sum() / steep[rows].sum())
    return replace(acceptance, shifts={**acceptance.shifts, CONDITION: shifts})


def checked(told: Asked) -> Check:
    """Learn from the earlier drawn quotes and tell the later ones. Raises TooFewQuotesError."""
    drawn = told.at(accepting.answered(told.quotes).to_numpy())
    held = int(len(drawn.flawless) * HELD_SHARE)
    if held < FEWEST_HELD:
        raise TooFewQuotesError(
            f"Of {len(drawn.flawless)} answered offers drawn by chance, the last {held} would check what the others "
            f"teach: {FEWEST_HELD} are needed. Let offers be drawn for longer, or pay by cost."
        )
    late = np.arange(len(drawn.flawless)) >= len(drawn.flawless) - held
    earlier, later = drawn.at(~late), drawn.at(late)
    taken = later.quotes["accepted"].cast(pl.Float64).to_numpy()
    own = _told(accepting.fit(owners=earlier.owners, quotes=earlier.quotes, flawless=earlier.flawless), later)
    rate = float(earlier.quotes["accepted"].mean())  # type: ignore[arg-type]
    losses = {
        "own": _log_loss(own, taken),
        "challenger": _log_loss(_challenger(earlier, later), taken),
        "constant": _log_loss(np.full(held, rate), taken),
    }
    return Check(
        n=held,
        log_loss=float(losses["own"].mean()),
        challenger=float(losses["challenger"].mean()),
        constant=float(losses["constant"].mean()),
        calibration_error=calibration_error(told=own, happened=taken),
        reasons=tuple(_reasons(losses)),
    )


def _told(acceptance: Acceptance, asked: Asked) -> Floats:
    least = acceptance.least(owners=asked.owners, flawless=asked.flawless)
    return acceptance.probability(offer=asked.quotes["offer"].to_numpy(), least=least)


def _log_loss(told: Floats, taken: Floats) -> Floats:
    chance = told.clip(1e-6, 1 - 1e-6)
    return np.asarray(-np.log(np.where(taken > 0, chance, 1 - chance)))


def _reasons(losses: dict[str, Floats]) -> list[str]:
    """Say who is better than what was learned, by more than chance."""
    found = []
    for name, words in (("constant", "one chance for all"), ("challenger", "a monotone LightGBM")):
        worse = losses["own"] - losses[name]
        error = worse.std() / np.sqrt(len(worse))
        if worse.mean() > WORSE_SE * error:
            found.append(
                f"Of {len(worse)} later drawn offers, {words} tells better which were taken (log loss lower by "
                f"{worse.mean():.4f}, standard error {error:.4f}): offers are made by cost until more were drawn."
            )
    return found


def _challenger(earlier: Asked, later: Asked) -> Floats:
    """Tell the later offers by trees that never fall with the offer: (held,)."""
    words = {name: sorted(set(earlier.owners[name].drop_nulls())) for name in _SEEN}
    data = lgb.Dataset(
        _matrix(earlier, words),
        earlier.quotes["accepted"].cast(pl.Int8).to_numpy(),
        categorical_feature=list(range(2, 2 + len(_SEEN))),
    )
    found = lgb.train(_CHALLENGER, data, num_boost_round=_ROUNDS)
    return np.asarray(found.predict(_matrix(later, words)))


def _matrix(told: Asked, words: dict[str, list[str]]) -> NDArray[np.float64]:
    """The log of the offer over the flawless value, the age, and a code for each word: (n, 6)."""
    codes = [
        told.owners[name].replace_strict(
            {word: code for code, word in enumerate(words[name])}, default=-1, return_dtype=pl.Float64
        )
        for name in _SEEN
    ]
    ratio = np.log(told.quotes["offer"].to_numpy() / told.flawless)
    return np.column_stack([ratio, told.owners["age_years"].to_numpy(), *(code.to_numpy() for code in codes)])
