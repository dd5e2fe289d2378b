"""Try a feature: one entry in the list, and what it does to the study.

marimo edit notebooks/02-try-a-feature.py                                          to look around
python notebooks/02-try-a-feature.py -- --sales 6000 --scenario drift              the table alone
python notebooks/02-try-a-feature.py -- --sales sales.parquet                      on sales of one's own
"""

import marimo

app = marimo.App(width="medium")

with app.setup:
    import tempfile
    from pathlib import Path

    import marimo as mo
    import numpy as np
    import polars as pl

    from training import backtest, intake, measures
    from training.simulator import market
    from valuation import features, ledger
    from valuation.features import Feature

    # The feature to try: write yours here. A name, a kind, why it should count, and an expression over the columns of
    # a sale (the SALES columns, `on`, the day of the value, and `base_price`). The signs, the knots and the spreads
    # that a Feature may have are told in valuation/features.py; if it helps, move the entry there.
    TRIED = Feature(
        name="named_pro",
        kind="category",
        why="Pro, Plus, Ultra and Max are dearer than their launch price tells",
        expr=pl.col("model").str.to_lowercase().str.extract(r"\b(pro max|pro|plus|ultra|max|mini|lite|se)\b", 1),
        spread=0.1,
    )


@app.function
def read(told, scenario):
    """The good rows of a file of sales, or of a simulated market of so many."""
    if not str(told).isdigit():
        return intake.read(path=Path(told), contract=ledger.SALES, mapping=None, as_of=None).good
    with tempfile.TemporaryDirectory() as folder:
        market.write(sales=int(told), seed=1, directory=Path(folder), scenario=scenario)
        path = Path(folder) / "sales.parquet"
        return intake.read(path=path, contract=ledger.SALES, mapping=None, as_of=None).good


@app.function
def rehearsed(sales, listed, origins):
    """Predict the newest sales from those before them, with these features."""
    kept, features.FEATURES = features.FEATURES, listed
    try:
        windows = backtest.windows(sales=sales, origins=origins)
        return backtest.run(sales=sales, attributes={}, windows=windows, seed=1, beside={})
    finally:
        features.FEATURES = kept


@app.function
def compared(without, beside):
    """The measures of both, and the difference of the errors on the same sales with its 95 % interval."""
    sold = without["price"].to_numpy()
    rows = []
    for name, found in (("without", without), ("with", beside)):
        value, low, high = (found[q].to_numpy() for q in ("p50", "p05", "p95"))
        rows.append(
            {
                "feature": name,
                "n": found.height,
                "MdAPE": measures.mdape(value, sold),
                "cover 90": measures.coverage(low, high, sold),
                "Winkler (log)": measures.winkler(low, high, sold, 0.9),
            }
        )
    gap = np.abs(np.log(beside["p50"].to_numpy() / sold)) - np.abs(np.log(without["p50"].to_numpy() / sold))
    drawn = np.random.default_rng(1).choice(gap, (1000, len(gap))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    verdict = "it helps" if high < 0 else "it harms" if low > 0 else "it cannot be told from chance"
    return pl.DataFrame(rows), f"Mean error in log price {gap.mean():+.5f} ({low:+.5f} to {high:+.5f}): {verdict}."


@app.cell
def _():
    asked = mo.cli_args()
    told, scenario = asked.get("sales", "4000"), asked.get("scenario", "steady")
    sales = read(told, scenario)
    where = f"A SIMULATED market, scenario {scenario}" if str(told).isdigit() else f"{told}"
    return sales, where


@app.cell
def _(sales, where):
    origins = int(mo.cli_args().get("origins", 2))
    usual = rehearsed(sales, features.FEATURES, origins)
    tried = rehearsed(sales, (*features.FEATURES, TRIED), origins)
    table, sentence = compared(usual, tried)
    print(f"{where}, {sales.height:,} sales, out of time in {origins} windows; feature {TRIED.name}: {TRIED.why}")
    print(table)
    print(sentence)
    return sentence, table


@app.cell
def _(sentence, table, where):
    mo.vstack([mo.md(f"**{where}.** {sentence}"), mo.ui.table(table)])
    return


if __name__ == "__main__":
    app.run()
