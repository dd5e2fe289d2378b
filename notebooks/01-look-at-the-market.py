"""A look at an invented market, with the public numbers it is calibrated to.

marimo edit notebooks/01-look-at-the-market.py                                     to look around
python notebooks/01-look-at-the-market.py -- --scenario drift --out drift.png      one picture
"""

import marimo

app = marimo.App(width="full")

with app.setup:
    import io
    from datetime import date
    from pathlib import Path

    import altair as alt
    import marimo as mo
    import numpy as np
    import polars as pl
    from PIL import Image

    from training.simulator import market as markets
    from training.simulator import scenario as scenarios

    # The numbers and where they come from. Buyback: one American buyer's posted table, 23 February 2026, share of the
    # launch price; SellCell relays for the single points. Resale: one-year losses by brand 2021-22; budget Android;
    # iPhone 13 128 GB listed at 300/269/252 USD.
    FITS = {"iPhone": (0.754, 0.225, 0.12), "Galaxy": (0.720, 0.339, 0.20)}
    MEDIANS = {"iPhone": (0.55, 0.41, 0.30, 0.26, 0.20), "Galaxy": (0.45, 0.31, 0.26, 0.16, 0.07)}
    RELAYS = [
        ("iPhone", 1.0, 0.525),
        ("iPhone", 0.04, 0.588),
        ("iPhone", 0.75, 0.653),
        ("Galaxy", 1.0, 0.361),
    ]
    RELAYS += [("Galaxy", 0.42, 0.534), ("Pixel", 0.42, 0.431)]
    RESALE = [("iPhone", 1, 0.78), ("Galaxy", 1, 0.61), ("Pixel", 1, 0.68), ("OnePlus", 1, 0.64)]
    RESALE += [("iPhone", 4.4, 0.375), ("other Android", 1, 0.58), ("other Android", 2, 0.41)]
    RESALE += [("other Android", 3, 0.28), ("other Android", 4, 0.12)]
    LISTED = {"EXCELLENT": 1.0, "GOOD": 269 / 300, "FAIR": 252 / 300}
    MAKERS = {"iPhone": "^iPhone", "Galaxy": "^Galaxy (S|Note|A)", "Pixel": "^Pixel", "OnePlus": "^OnePlus"}
    MAKERS |= {"other Android": "^(Redmi|Xiaomi|Phone|Nothing|Huawei|Nova One)"}
    COLOURS = alt.Scale(domain=list(MAKERS), range=["#1b6ca8", "#d1495b", "#5a9e6f", "#8d6a9f", "#b08d57"])


@app.function
def aged(table, day, amount):
    """American rows of phones with their age in years, their share of the launch price, and their maker."""
    maker = pl.coalesce(pl.when(pl.col("model").str.contains(p)).then(pl.lit(n)) for n, p in MAKERS.items())
    return table.filter(market="US", category="smartphone").select(
        maker=maker,
        age=(pl.col(day).cast(pl.Date) - pl.col("launched_on")).dt.total_days() / 365.25,
        share=pl.col(amount) / pl.col("launch_price"),
        state=pl.col("grade") if "grade" in table.columns else pl.col("condition"),
    )


@app.function
def by_age(rows, state):
    """The median share of each maker in each third of a year, where there are at least 15."""
    third = (pl.col("age") * 3).floor() / 3 + 1 / 6
    found = rows.filter(pl.col("state") == state, pl.col("age") < 6, pl.col("maker").is_not_null())
    return (
        found.group_by("maker", age=third).agg(pl.col("share").median(), n=pl.len()).filter(pl.col("n") >= 15)
    )


@app.function
def buyback(told):
    """Offers for flawless phones by age, the public fit with its spread as a band, public medians as squares."""
    ages = np.linspace(0, 6, 49)
    fits = [
        (name, age, start * (1 - loss) ** age * np.exp(-sd), start * (1 - loss) ** age * np.exp(sd))
        for name, (start, loss, sd) in FITS.items()
        for age in ages
    ]
    band = pl.DataFrame(fits, schema=["maker", "age", "low", "high"], orient="row")
    points = [(name, year + 1, share) for name, row in MEDIANS.items() for year, share in enumerate(row)]
    public = pl.DataFrame([*points, *RELAYS], schema=["maker", "age", "share"], orient="row", strict=False)
    colour = alt.Color("maker", scale=COLOURS, title="lines: market; marks: public")
    x = alt.X("age", title="years since launch")
    y = alt.Y("share", title="buyback offer / launch price", scale=alt.Scale(domain=(0, 0.9)))
    rows = by_age(aged(told.quotes, "quoted_at", "offer"), "FUNCTIONAL_FLAWLESS")
    return alt.layer(
        alt.Chart(band)
        .mark_area(opacity=0.15)
        .encode(x=x, y=alt.Y("low", title=None), y2="high", color=colour),
        alt.Chart(rows).mark_line(point=False).encode(x=x, y=y, color=colour),
        alt.Chart(public).mark_point(shape="square", filled=True, size=45).encode(x=x, y=y, color=colour),
    ).properties(title="Buyback of a flawless phone, US; bands: public fits", width=330, height=230)


@app.function
def resale(told):
    """Sales in EXCELLENT grade by age, and public resale figures as squares."""
    colour = alt.Color("maker", scale=COLOURS)
    x = alt.X("age", title="years since launch")
    y = alt.Y("share", title="resale price / launch price")
    rows = by_age(aged(told.sales.filter(pl.col("price") > 0), "sold_on", "price"), "EXCELLENT")
    public = pl.DataFrame(RESALE, schema=["maker", "age", "share"], orient="row", strict=False)
    return alt.layer(
        alt.Chart(rows).mark_line().encode(x=x, y=y, color=colour),
        alt.Chart(public).mark_point(shape="square", filled=True, size=45).encode(x=x, y=y, color=colour),
    ).properties(title="Resale in EXCELLENT grade, US", width=330, height=230)


@app.function
def ladder(told):
    """Prices over the value in EXCELLENT grade, by grade: median and middle half; listings of iPhone 13 as squares."""
    sales = told.sales.with_columns(on="sold_on")
    clean = told.truth.filter(kind="sale")["dirt"].is_null()
    levels = told.oracle.world.scenario.grades.level
    known = told.truth.filter(kind="sale").select("value_p50")
    ratio = pl.col("price") / (
        pl.col("value_p50") / pl.col("grade").replace_strict(levels, return_dtype=pl.Float64).exp()
    )
    rows = sales.hstack(known).filter(clean).select("grade", ratio=ratio)
    order = ["NEW", "PREMIUM", "EXCELLENT", "GOOD", "FAIR", "PARTS"]
    spread = rows.group_by("grade").agg(
        pl.col("ratio").median(), low=pl.col("ratio").quantile(0.25), high=pl.col("ratio").quantile(0.75)
    )
    listed = pl.DataFrame({"grade": list(LISTED), "ratio": list(LISTED.values())})
    x = alt.X("grade", sort=order, title=None)
    y = alt.Y("ratio", title="price / value in EXCELLENT", scale=alt.Scale(domain=(0.2, 1.4)))
    return alt.layer(
        alt.Chart(spread)
        .mark_rule(strokeWidth=9, opacity=0.3)
        .encode(x=x, y=alt.Y("low", title=None), y2="high"),
        alt.Chart(spread).mark_tick(thickness=3, width=26).encode(x=x, y=y),
        alt.Chart(listed).mark_point(shape="square", filled=True, size=45, color="#d1495b").encode(x=x, y=y),
    ).properties(title="Ladder of grades; red: iPhone 13 listings", width=330, height=230)


@app.function
def index(told):
    """The level of phones by market and day, beside the mean of the first month; events as red lines."""
    world = told.oracle.world
    brand = next((event.brands[0] for event in world.scenario.events if event.brands), "Samsung")
    rows = world.shelf.with_row_index().filter(category="smartphone", brand=brand)
    rows = (
        rows.filter(pl.col("launched_on") < date(2019, 9, 1)).group_by("market").agg(pl.col("index").first())
    )
    first = world.scenario.period.starts_on
    days = pl.date_range(first, world.scenario.period.ends_on, eager=True)
    lines = pl.concat(
        pl.DataFrame({"day": days, "market": place, "level": np.exp(level - level[:30].mean())})
        for place, at in rows.sort("market").iter_rows()
        for level in (world.times.level[:, at],)
    )
    marks = [event.on for event in world.scenario.events] + [
        e.until for e in world.scenario.events if e.until
    ]
    marks += [device.on for device in world.scenario.launches] + list(
        world.scenario.markets.opens_on.values()
    )
    shocks = alt.Chart(pl.DataFrame({"day": marks}, schema={"day": pl.Date})).mark_rule(
        color="#d1495b", strokeDash=[4, 3]
    )
    y = alt.Y("level", title="level of a phone's price", scale=alt.Scale(zero=False))
    line = alt.Chart(lines).mark_line(strokeWidth=1.2).encode(x=alt.X("day", title=None), y=y, color="market")
    title = f"Index of an old {brand} phone by market; red: events"
    return (line + shocks.encode(x="day")).properties(title=title, width=330, height=230)


@app.function
def acceptance(told):
    """Accepted offers by their distance from the usual least: as the truth says, as drawn, and as people made them."""
    known = told.truth.filter(kind="quote").select("id", "accept_probability", "reserve_p50")
    rows = told.quotes.join(known, left_on="quote_id", right_on="id").filter(pl.col("accepted").is_not_null())
    rows = rows.with_columns(far=((pl.col("offer") / pl.col("reserve_p50")).log() * 12.5).round() / 12.5)
    rows = rows.filter(pl.col("far").abs() < 0.6)
    kind = pl.when("randomised").then(pl.lit("drawn offers")).otherwise(pl.lit("people's offers"))
    seen = rows.group_by("far", of=kind).agg(pl.col("accepted").mean().alias("chance"), n=pl.len())
    truth = rows.group_by("far", of=pl.lit("truth")).agg(
        pl.col("accept_probability").mean().alias("chance"), n=pl.len()
    )
    every = pl.concat([seen, truth]).filter(pl.col("n") >= 30).with_columns(ratio=pl.col("far").exp())
    x = alt.X("ratio", title="offer / the least of half of the owners", scale=alt.Scale(zero=False))
    y = alt.Y("chance", title="accepted")
    line = alt.Chart(every.filter(of="truth")).mark_line(color="#333").encode(x=x, y=y)
    dots = alt.Chart(every.filter(pl.col("of") != "truth")).mark_point(filled=True, size=45)
    dots = dots.encode(x=x, y=y, color=alt.Color("of", title=None))
    share = rows["accepted"].mean()
    title = f"Acceptance; line: truth. {share:.0%} of all offers (assumed 25-45 %)"
    return (line + dots).properties(title=title, width=330, height=230)


@app.function
def selling(told):
    """Days to sell by list price over value: as the hazard says and as it came, listings that did not sell included."""
    known = told.truth.filter(kind="listing").select("id", "hazard", "value_p50")
    last = told.listings["listed_on"].max()
    rows = told.listings.join(known, left_on="listing_id", right_on="id").with_columns(
        ratio=((pl.col("list_price") / pl.col("value_p50")).log() * 25).round() / 25,
        days=(pl.col("ended_on").fill_null(last) - pl.col("listed_on")).dt.total_days() + 1,
    )
    by = (
        rows.filter(pl.col("ratio").abs() < 0.26)
        .group_by("ratio")
        .agg(
            truth=pl.col("days").sum() / (pl.col("hazard") * pl.col("days")).sum(),
            seen=pl.col("days").sum() / pl.col("sold").sum(),
        )
    )
    by = by.with_columns(ratio=pl.col("ratio").exp())
    x = alt.X("ratio", title="list price / value", scale=alt.Scale(zero=False))
    y = alt.Y("truth", title="mean days to sell", scale=alt.Scale(type="log"))
    sold = told.listings.filter("sold")
    middle = (sold["ended_on"] - sold["listed_on"]).dt.total_days().median() + 1
    title = f"Days to sell; dots: seen. Sold ones took {middle:.0f} (median)"
    line = alt.Chart(by).mark_line(color="#333").encode(x=x, y=y)
    dots = alt.Chart(by).mark_point(filled=True, size=45).encode(x=x, y=alt.Y("seen", title=None))
    return (line + dots).properties(title=title, width=330, height=230)


@app.function
def picture(name, sales, seed):
    """Six views of one scenario."""
    told = markets.simulate(scenario=name, sales=sales, seed=seed)
    views = (buyback, resale, ladder, index, acceptance, selling)
    charts = [view(told) for view in views]
    rows = [alt.hconcat(*charts[at : at + 3]).resolve_scale(color="independent") for at in (0, 3)]
    says = told.oracle.world.scenario.says
    title = alt.TitleParams(
        f"SIMULATED: {name}", subtitle=f"{says} {sales:,} sales, seed {seed}.", anchor="start"
    )
    return alt.vconcat(*rows).properties(title=title)


@app.function
def save(chart, path):
    """A small picture: few colours are enough for lines."""
    drawn = io.BytesIO()
    chart.save(drawn, format="png", ppi=80)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(
        path, optimize=True
    )


@app.cell
def _():
    asked = mo.cli_args()
    choice = mo.ui.dropdown(scenarios.names(), value=asked.get("scenario", "steady"), label="scenario")
    choice
    return asked, choice


@app.cell
def _(asked, choice):
    shown = picture(choice.value, int(asked.get("sales", 150_000)), int(asked.get("seed", 1)))
    if "out" in asked:
        save(shown, Path(asked["out"]))
    shown
    return


if __name__ == "__main__":
    app.run()
