"""An invented market: sales of the catalogue's devices at prices of a known making, in the columns of ledger.SALES.

A first, small one, to begin with where nobody has sales yet. Its numbers are in training/scenarios, each with its
source or marked as assumed. Nothing it teaches is a price of a real market: `simulated` says so, and every sale_id
begins with sim-.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import ledger
from valuation.catalogue import Catalogue, Variant
from valuation.grades import Grade

SCENARIOS = Path(__file__).parent / "scenarios"
DAYS_PER_YEAR = 365.25

Floats = NDArray[np.float64]
Scenario = dict[str, Any]


MARK = "sim-"  # begins the sale_id of every simulated sale


class SimulatorError(ValueError):
    """A market that cannot be invented as asked."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """What happened in an invented market, as tables of the ledger."""

    sales: pl.DataFrame
    simulated: bool = True


def simulate(*, scenario: str = "steady", sales: int, seed: int) -> Market:
    """Invent this many sales, in the order of their days; the same arguments give the same sales.

    Raises SimulatorError for a scenario that there is not, for no sales, and for a negative seed.
    """
    if sales <= 0 or seed < 0:
        raise SimulatorError(
            f"A market of {sales} sales with seed {seed} cannot be invented: give at least 1 sale, and a seed from 0."
        )
    facts, rng = _scenario(scenario), np.random.default_rng(seed)
    sold = _conditions(_arrivals(_shelf(facts), facts, sales, rng), facts, rng)
    priced = sold.with_columns(_index(sold, facts, rng)).with_columns(value=_log_value(facts), sd=_sd(facts))
    freedom = facts["noise"]["freedom"]
    noise = rng.standard_t(freedom, sales) * np.sqrt((freedom - 2) / freedom)
    numbered = priced.with_columns(
        price=(pl.col("value") + pl.col("sd") * pl.Series(noise)).exp().clip(lower_bound=1).round(2),
        sale_id=pl.format(MARK + "{}", pl.int_range(1, sales + 1).cast(pl.String).str.zfill(8)),
        unit_id=pl.format("unit-{}", pl.Series(rng.permutation(sales) + 1)),
    )
    return Market(sales=_as_ledger(numbered))


def write(market: Market, directory: Path) -> Path:
    """Write the tables of a market into a folder, as parquet, and tell the file of sales."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "sales.parquet"
    market.sales.write_parquet(path)
    return path


def scenarios() -> tuple[str, ...]:
    """List the scenarios that there are."""
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.toml")))


def _scenario(name: str) -> Scenario:
    if name not in scenarios():
        raise SimulatorError(f"There is no scenario {name!r}. There are: {', '.join(scenarios())}.")
    return tomllib.loads((SCENARIOS / f"{name}.toml").read_text(encoding="utf-8"))


def _shelf(facts: Scenario) -> pl.DataFrame:
    """What there is to sell: one row per variant and market, with its launch price there.

    `base_price` is that of the model's least storage, and `doublings` how much more storage this one has.
    """
    rates = {market["currency"]: market["per_usd"] for market in facts["markets"].values()}
    rows = [
        {
            "variant": at,
            **{name: getattr(variant, name) for name in ("category", "brand", "model", "storage_gb")},
            "launched_on": variant.launched_on,
            "market": market,
            "currency": told["currency"],
            "rate": told["per_usd"],
            "launch_price": _launch_price(variant, told["currency"], rates),
        }
        for at, variant in enumerate(Catalogue.embedded().variants)
        for market, told in facts["markets"].items()
    ]
    model = ("brand", "model", "market")
    return pl.DataFrame(rows).with_columns(
        base_price=pl.col("launch_price").sort_by("storage_gb").first().over(model),
        doublings=(pl.col("storage_gb") / pl.col("storage_gb").min().over(model)).log(2),
    )


def _launch_price(variant: Variant, currency: str, rates: dict[str, float]) -> float:
    """The catalogue's price, or else one in dollars or another currency at the scenario's rates, in whole units."""
    known = {launch.price.currency: float(launch.price.amount) for launch in variant.launches}
    if currency in known:
        return known[currency]
    other = next(name for name in ("USD", *rates) if name in known)
    return float(round(known[other] / rates[other] * rates[currency]))


def _arrivals(shelf: pl.DataFrame, facts: Scenario, sales: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw what is sold on which day: any day alike, only what is launched, the newer the more."""
    first: date = facts["ends_on"] - timedelta(days=facts["days"] - 1)
    days = np.arange(facts["days"])
    since = shelf.select((pl.lit(first) - pl.col("launched_on")).dt.total_days()).to_series().to_numpy()
    age = (since + days[:, None]) / DAYS_PER_YEAR  # (days, shelf)
    fading = np.where(age < 0, 0.0, np.exp(-age / facts["popularity"]["fades_years"]))
    below = np.cumsum(fading * _demand(shelf, facts, rng), axis=1)
    below = below / below[:, -1:] + days[:, None]  # rising from each day's number to the next one's
    day = np.sort(rng.integers(0, facts["days"], sales))
    drawn = np.searchsorted(below.ravel(), day + rng.random(sales), side="right") - day * shelf.height
    return shelf[drawn].with_columns(
        day=pl.Series(day),
        sold_on=pl.Series(np.datetime64(first) + day),
        age=pl.Series(age[day, drawn]),
    )


def _demand(shelf: pl.DataFrame, facts: Scenario, rng: np.random.Generator) -> Floats:
    """The popularity of each row of the shelf, were it new (shelf,)."""
    variants = int(shelf["variant"].n_unique())
    liked = np.exp(facts["popularity"]["spread"] * rng.standard_normal(variants))[shelf["variant"].to_numpy()]
    share = _told(facts["categories"], "category", "share")
    alike = pl.len().over("category", "market")
    weight = shelf.select(_told(facts["markets"], "market", "share") * share / alike).to_series()
    return np.asarray(weight.to_numpy() * liked, dtype=np.float64)


def _conditions(sold: pl.DataFrame, facts: Scenario, rng: np.random.Generator) -> pl.DataFrame:
    """Draw grade, channel, battery (its `health`, and what is told of it) and lock."""
    battery, lock = facts["battery"], facts["lock"]
    least, most = battery["wear_varies"]
    wear = battery["wear_per_year"] * sold["age"].to_numpy() * rng.uniform(least, most, sold.height)
    health = pl.Series((1 - wear).clip(battery["worst"]).round(2))
    has_battery = pl.col("category").is_in(battery["categories"]) & (pl.col("grade") != "NEW")
    told = pl.Series(rng.random(sold.height) < battery["told_share"])
    lockable = pl.col("category").is_in(lock["categories"]) & pl.col("market").is_in(lock["markets"])
    return (
        sold.with_columns(
            grade=_drawn(facts["grades"], sold.height, rng),
            channel=_drawn(facts["channels"], sold.height, rng),
        )
        .with_columns(
            health=pl.when(has_battery).then(health).otherwise(1.0),
            carrier_locked=pl.when(lockable).then(pl.Series(rng.random(sold.height) < lock["share"])),
        )
        .with_columns(battery_health=pl.when(has_battery & told).then("health"))
    )


def _drawn(shares: Scenario, sales: int, rng: np.random.Generator) -> pl.Series:
    chances = [told["share"] for told in shares.values()]
    return pl.Series(rng.choice(list(shares), sales, p=chances))


def _index(sold: pl.DataFrame, facts: Scenario, rng: np.random.Generator) -> pl.Series:
    """The log level of each sale's market and category on its day: a yearly wave and an AR(1) (sales,)."""
    told, days = facts["index"], facts["days"]
    places = {"market": list(facts["markets"]), "category": list(facts["categories"])}
    level = told["step"] * rng.standard_normal((days, *map(len, places.values())))
    for day in range(1, days):
        level[day] += told["persistence"] * level[day - 1]
    at = (sold[name].replace_strict(known, range(len(known))).to_numpy() for name, known in places.items())
    year = sold["sold_on"].dt.ordinal_day().to_numpy() / DAYS_PER_YEAR
    wave = told["season"] * np.cos(2 * np.pi * (year - told["highest_share_of_year"]))
    return pl.Series("index", level[sold["day"].to_numpy(), *at] + wave)


def _log_value(facts: Scenario) -> pl.Expr:
    """The log of what a sale is worth, before chance."""
    age, storage, novelty = pl.col("age"), facts["storage"], facts["novelty"]
    knees = facts["battery"]["knees"]
    dear = (pl.col("base_price") / pl.col("rate") / facts["launch"]["typical_usd"]).log()
    bigger = storage["doubling"] + storage["doubling_when_new"] * (-age / storage["fades_years"]).exp()
    worn = (slope * (pl.col("health") - float(knee)).clip(upper_bound=0) for knee, slope in knees.items())
    value: pl.Expr = (
        pl.col("base_price").log()
        + (facts["launch"]["elasticity"] - 1) * dear
        + _told(facts["age"], "brand", "keeps").log()
        + (1 - _told(facts["age"], "brand", "loses")).log() * age
        + novelty["premium"] * (-age / novelty["fades_years"]).exp()
        + pl.col("doublings") * bigger
        + _told(facts["grades"], "grade", "level")
        + _told(facts["channels"], "channel", "level")
        + _told(facts["markets"], "market", "level")
        + pl.sum_horizontal(worn)
        + pl.col("carrier_locked").fill_null(False) * facts["lock"]["level"]
        + pl.col("index")
    )
    return value


def _sd(facts: Scenario) -> pl.Expr:
    """How far a price strays from its value, as a log: further for the old and the worn."""
    noise = facts["noise"]
    least, most = noise["sd"]
    rank = pl.col("grade").replace_strict({grade.name: float(grade) for grade in Grade})
    sd: pl.Expr = (
        least + noise["per_year"] * pl.col("age") + noise["per_grade_below_new"] * (Grade.NEW - rank)
    )
    return sd.clip(least, most)


def _told(table: Scenario, column: str, fact: str) -> pl.Expr:
    """What the scenario's table tells of the value of a column; its entry `others` is for all it does not name."""
    known = {name: float(facts[fact]) for name, facts in table.items()}
    return pl.col(column).replace_strict(known, default=known.get("others"), return_dtype=pl.Float64)


def _as_ledger(sold: pl.DataFrame) -> pl.DataFrame:
    """The columns of SALES in their order; what the market does not tell is null."""
    columns = {column.name: ledger.DTYPES[column.kind] for column in ledger.SALES.columns}
    return sold.select(
        (pl.col(name) if name in sold.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in columns.items()
    )
