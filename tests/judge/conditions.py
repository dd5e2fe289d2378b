"""Buyback by condition: what each buyer of the real offers pays, told by those who never saw an offer of his.

python -m tests.judge.conditions --out docs/buyback-by-condition.md
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray

from tests.judge import learners, real
from tests.judge.cases import Case
from tests.judge.figures import SEED, verdict
from tests.judge.learners import OURS
from tests.judge.page import NONE, lines, number, percent
from training import baselines, measures
from valuation import features, vocabulary
from valuation.grades import Grade

Whole = NDArray[np.int64]

TABLE = "trade-in offers, unseen buyers"
PAGE = real.ROOT / "docs" / "buyback-by-condition.md"
METHODS = {OURS: "ours", "model_median": "group median", "plain_lightgbm": "plain LightGBM"}
PEERS = [name for name in METHODS if name != OURS]
WORDS = ("Flawless", "Excellent", "Good", "Fair", "Damaged")  # of the table, best first
CELL = (
    "market",
    "category",
    "model",
    "storage_gb",
    "grade",
)  # what a group of the group median has in common
OF_AN_OFFER = ("sale_id", "sold_on", "row", "price", "grade", "word", *METHODS, "basis", "others")
ENOUGH_BUYERS = 3  # for the median of their offers to be a level of the market
HEAD = """# Buyback by condition

Made by `python -m tests.judge.conditions`; do not edit. {offers} offers of {buyers} buyers in Malaysia, Singapore and
Thailand, a few days of 2025 (`sea_trade_in_offers_2025`, {lists} price lists). QUOTED, not sold.

Each buyer is held out in turn, with all his lists in all markets: what values his offers has learnt from the other
{others} buyers alone. Ours is the product's recipe (`training.fitting`) as it is; the peers are two baselines of the
product (`training.baselines`). *Group median*: the median offer of the others for the same model, storage and grade in
the market; where there is no such group ({none} % of the offers) a wider one, down to all offers of the market. *Plain
LightGBM*: untuned, on every feature of ours. Nobody knows the held-out buyer's own level: part of every error here is
how much more or less he pays than the others do, which no table without him can tell.

Error is MdAPE, %; in brackets the median of value / offer, 1 where the level is right. The gap is ours less the better
of the two peers on the same rows, points of MdAPE, with 95 of 100 draws of whole buyers, and of whole models (the
second says nothing of buyers to come); below 0 ours is better. The verdict is by buyers, and by models where there is
one buyer. With fewer than five buyers an interval by buyers is too narrow.
"""
OFFERS_TOLD = """## Offers of the buyer held out

By the words of the table. Flawless and Excellent are one grade to all three, EXCELLENT; Damaged is PARTS. The words do
not mean the same with two buyers: Flawless, Good and Damaged are one ladder, Excellent, Good and Fair another (CompAsia
where it pays money).
"""
MISSES_TOLD = """A buyer's own level is what is missed most: the brackets of ours, by buyer. FAIR is a word of one
buyer, so nobody else has taught what it is worth: ours takes it for half of the way from GOOD to PARTS, a group median
and trees that know no FAIR take the other grades for it.
"""
LEVEL_TOLD = """## Level of the market

What buyers of a market pay for a model, storage and grade: the median over buyers (of each, his median offer), where
{enough} or more quote it. Told once for each of them as he is held out; n counts these. His offer is one of those in
the median, and those of the others have been seen by all three: a group median repeats them, while ours says what
somebody unknown pays. Only devices that {enough} buyers write alike are here.
"""
RATIOS_TOLD = """## Ratio of conditions

Median over devices of a buyer: what he offers in a condition over what he offers for the same device (all that the
table tells of it) in his best one. Predicted from the same rows: value over value, by those who never saw an offer of
his. n devices. A group median without a group of that grade says 1.
"""
Offers = pl.DataFrame  # a row an offer, as `valued` gives them


def main(out: Annotated[Path, typer.Option(help="The page.")] = PAGE) -> None:
    """Hold out every buyer in turn, and write how near his offers were told, by condition."""
    out.write_text(write(valued()), encoding="utf-8")


def valued() -> Offers:
    """Every offer of the table valued by those who saw no offer of its buyer (see `asked`), with its `word`."""
    (source,) = (table for table in real.TABLES if table.name == TABLE)
    words = pl.read_parquet(real.DATA / source.file).select(
        pl.int_range(pl.len()).cast(pl.String).alias("sale_id"), word="condition"
    )
    rows = pl.concat([asked(case) for case in source.cases()])
    return rows.join(words, on="sale_id", how="left", maintain_order="left", validate="1:1")


def asked(case: Case) -> Offers:
    """The asked offers of a case with the value of each of METHODS, the `basis` of ours, and how many offers of the
    `others` are of the same CELL; `model` is written as it is compared.
    """
    ours = learners.ours(case).select("sale_id", "basis", pl.col("p50").alias(OURS))
    peers = {name: baselines.BASELINES[name](case.known, case.asked, case.attributes) for name in PEERS}
    known = _as_compared(case.known).group_by(CELL).agg(others=pl.len())
    return (
        _as_compared(case.asked.with_columns(**{name: pl.Series(told) for name, told in peers.items()}))
        .join(ours, on="sale_id", how="left", maintain_order="left", validate="1:1")
        .join(known, on=CELL, how="left", nulls_equal=True, maintain_order="left")
        .with_columns(pl.col("others").fill_null(0))
    )


def _as_compared(sales: pl.DataFrame) -> pl.DataFrame:
    devices = vocabulary.complete(devices=sales.with_columns(on=pl.col("sold_on")), known=vocabulary.facts())
    return sales.with_columns(features.table(devices=devices, attributes={})["model"])


def market_level(rows: Offers) -> Offers:
    """One row a CELL and buyer, where ENOUGH_BUYERS quote it: `price` is the median over buyers of what each offers in
    the median, the values those of the buyer held out.
    """
    each = rows.group_by(*CELL, "channel").agg(pl.col("price", *METHODS, "others").median())
    counted = each.with_columns(pl.col("price").median().over(CELL), buyers=pl.len().over(CELL))
    return counted.filter(pl.col("buyers") >= ENOUGH_BUYERS).sort(*CELL, "channel")


def ratios(rows: Offers) -> pl.DataFrame:
    """One row a device of a buyer and condition below his best: `word`, `best`, and the ratio of the `price` and of the
    value of each of METHODS to those at the best.
    """
    device = [name for name in rows.columns if name not in OF_AN_OFFER]
    money = ("price", *METHODS)
    rank = pl.col("word").replace_strict(WORDS, range(len(WORDS)))
    each = rows.group_by(*device, "word").agg(pl.col(money).median()).sort(rank, *device)
    firsts = each.unique(device, keep="first", maintain_order=True).rename({"word": "best"})
    beside = each.join(firsts, on=device, nulls_equal=True, maintain_order="left", suffix="_best")
    return beside.filter(pl.col("word") != pl.col("best")).select(
        "market", "channel", "value_type", "best", "word", *(pl.col(m) / pl.col(f"{m}_best") for m in money)
    )


def _blocks(rows: pl.DataFrame, column: str) -> Whole:
    return (rows[column].rank("dense").cast(pl.Int64) - 1).to_numpy()


def scored(title: str, rows: Offers) -> list[str]:
    """A line of the page: how near everyone came, and ours less the better of the peers."""
    sold = rows["price"].to_numpy()
    told = {name: rows[name].to_numpy() for name in METHODS}
    errors = {name: measures.mdape(value, sold) for name, value in told.items()}
    best = min(PEERS, key=lambda name: errors[name])
    drawn = {
        unit: measures.mdape_gap(told[OURS], told[best], sold, _blocks(rows, unit), SEED)
        for unit in ("channel", "model")
        if rows[unit].n_unique() > 1
    }
    by = drawn.get("channel") or drawn.get("model")
    return [
        title,
        f"{rows.height:,}",
        f"{rows['channel'].n_unique()}",
        percent((rows["others"] > 0).mean()),  # type: ignore[arg-type]
        *(f"{percent(errors[n])} ({number(measures.median_ratio(told[n], sold), 2)})" for n in METHODS),
        f"**{verdict(*by)}** {100 * (errors[OURS] - errors[best]):+.1f}" if by else NONE,
        *(_interval(drawn.get(unit)) for unit in ("channel", "model")),
    ]


def _interval(bounds: tuple[float, float] | None) -> str:
    return f"[{100 * bounds[0]:+.1f}, {100 * bounds[1]:+.1f}]" if bounds else NONE


def _scores(head: str, lined: Iterable[list[str]]) -> str:
    titles = [head, "n", "buyers", "in a group, %", *METHODS.values(), "gap", "by buyers", "by models"]
    return lines(titles, lined)


def _not_ahead(*parts: Iterable[list[str]]) -> str:
    """Name the lines whose verdict is another than ahead."""
    told = [f"{line[0]}: {line[7].replace('*', '')}" for part in parts for line in part]
    missed = "; ".join(line for line in told if "ahead" not in line) or "nowhere"
    return textwrap.fill(f"Ours is not ahead of the better peer in: {missed}.", 118) + "\n"


def _by_word(rows: Offers) -> Iterator[list[str]]:
    for word in WORDS:
        part = rows.filter(word=word)
        yield scored(f"{word} ({part['grade'].item(0)})", part)
    yield from _by_market(rows)
    yield scored("all, in a group", rows.filter(pl.col("others") > 0))
    yield scored("all, in none", rows.filter(pl.col("others") == 0))


def _by_grade(rows: Offers) -> Iterator[list[str]]:
    for grade in sorted(rows["grade"].unique(), key=lambda name: -Grade[name]):
        yield scored(grade, rows.filter(grade=grade))
    yield from _by_market(rows)


def _by_market(rows: Offers) -> Iterator[list[str]]:
    for market in sorted(rows["market"].unique()):
        yield scored(f"all, {market}", rows.filter(market=market))
    yield scored("all", rows)


def _by_buyer(rows: Offers) -> Iterator[list[str]]:
    for (market, buyer), part in sorted(rows.partition_by("market", "channel", as_dict=True).items()):
        yield scored(f"{market} {buyer}", part)


def _of_ratios(found: pl.DataFrame) -> Iterator[list[str]]:
    """The medians of the ratios of all, of each market and of each price list, a line each."""
    listed = pl.concat_str("market", "channel", "value_type", separator=" ")
    for scope in (pl.lit("all"), pl.col("market"), listed):
        named = found.with_columns(scope=scope)
        medians = named.group_by("best", "word", "scope").agg(pl.len(), pl.col("price", *METHODS).median())
        order = [pl.col(c).replace_strict(WORDS, range(len(WORDS))) for c in ("best", "word")]
        for row in medians.sort("scope", *order).iter_rows(named=True):
            told = (number(row[name], 2) for name in ("price", *METHODS))
            yield [row["scope"], f"{row['word']} / {row['best']}", f"{row['len']:,}", *told]


def write(rows: Offers) -> str:
    """Write the page."""
    by_word, by_buyer = list(_by_word(rows)), list(_by_buyer(rows))
    by_grade = list(_by_grade(market_level(rows)))
    buyers, lists = rows["channel"].n_unique(), rows.n_unique(["market", "channel", "value_type"])
    head = HEAD.format(
        offers=f"{rows.height:,}",
        buyers=buyers,
        others=buyers - 1,
        lists=lists,
        none=percent((rows["others"] == 0).mean()),  # type: ignore[arg-type]
    )
    ratio_head = ["ratio", "condition", "n", "observed", *METHODS.values()]
    return "\n".join(
        [
            head,
            OFFERS_TOLD,
            _scores("condition", by_word),
            "By buyer:\n",
            _scores("market and buyer", by_buyer),
            _not_ahead(by_word, by_buyer),
            MISSES_TOLD,
            LEVEL_TOLD.format(enough=ENOUGH_BUYERS),
            _scores("grade", by_grade),
            _not_ahead(by_grade),
            RATIOS_TOLD,
            lines(ratio_head, _of_ratios(ratios(rows))),
        ]
    )


if __name__ == "__main__":
    typer.run(main)
