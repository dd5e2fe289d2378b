"""The worksheet says what its terms say one by one: this is the sum worked term by term."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from training.layout import layout
from valuation.block import Rows
from valuation.encoding import AT_ONCE, Encoded
from valuation.features import Feature
from valuation.grades import Grade
from valuation.hedonic import Hedonic

N = AT_ONCE + 300  # more than one part
LISTED = (
    Feature(name="grade", kind="category", why="", expr=pl.col("grade"), spread=0.2),
    Feature(
        name="grade_rank",
        kind="number",
        direction="+",
        why="",
        expr=pl.col("grade_rank"),
        knots=(0, 1, 2, 5),
        varies_by={"category": 0.1},
    ),
    Feature(
        name="age",
        kind="number",
        direction="-",
        why="",
        expr=pl.col("age"),
        knots=(0, 1, 3),
        varies_by={"brand": 0.1, "grade": 0.1},
        tilts_by={"model": 0.1},
    ),
    Feature(
        name="battery",
        kind="number",
        direction="+",
        why="",
        expr=pl.col("battery"),
        knots=(0, 0.8, 1),
        varies_by={"grade": 0.3},
        wears_with="age",
    ),
    Feature(name="ram", kind="number", why="", expr=pl.col("ram"), varies_by={"category": 0.1}),
    *(
        Feature(name=name, kind="category", why="", expr=pl.col(name))
        for name in ("market", "category", "brand", "model")
    ),
)


def drawn(seed: int) -> tuple[Hedonic, pl.DataFrame]:
    """An equation with coefficients of any sign, and devices of which much is not told or was never met."""
    rng = np.random.default_rng(seed)

    def words(*some: str) -> np.ndarray:
        return rng.choice(some, N)

    table = pl.DataFrame(
        {
            "grade": words(*(g.name for g in Grade)),
            "age": rng.uniform(-1, 5, N),
            "battery": np.where(rng.random(N) < 0.3, np.nan, rng.random(N)),
            "ram": np.where(rng.random(N) < 0.3, np.nan, rng.choice([4.0, 8.0, 16.0], N)),
            "market": words("FR", "DE"),
            "category": words("phone", "tablet"),
            "brand": words("a", "b", "c"),
            "model": words("x", "y", "z"),
            "day": rng.integers(0, 60, N),
        }
    ).with_columns(pl.col("battery", "ram").fill_nan(None))
    table = table.with_columns(grade_rank=pl.col("grade").replace_strict({g.name: float(g) for g in Grade}))
    blocks = layout(table=table, listed=LISTED, days=(0, 59))
    values = tuple(rng.normal(size=(len(b.members), b.width)) for b in blocks)
    strange = [
        pl.when(pl.Series(rng.random(N) < 0.1)).then(pl.lit("never met")).otherwise(name).alias(name)
        for name in ("market", "category", "brand", "model")
    ]
    return Hedonic(blocks=blocks, coefficients=values, until=59), table.with_columns(strange)


def term_by_term(equation: Hedonic, devices: Encoded) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The shares of each feature and the doubt, from the definition of a block."""
    shares: dict[str, np.ndarray] = {}
    doubt, slopes, lines = np.zeros(devices.rows), {}, {}
    for block, values in zip(equation.blocks, equation.coefficients, strict=True):
        row = Rows(block, equation.members).of(devices)
        own = np.vstack([values, np.zeros(block.width)])[row]
        if block.number:
            slopes[block.number] = slopes.get(block.number, 0.0) + own
            lines.setdefault(block.number, block)
            continue
        if block.knots:
            before, along = block.place(devices)
            pick = np.arange(devices.rows)
            said = own[pick, before] * (1 - along) + own[pick, before + 1] * along
        else:
            said = own[:, 0]
            if block.by:
                doubt += (row == len(block.members)) * block.spread**2 * block.heights(devices)[:, 0]
        shares[block.feature] = shares.get(block.feature, 0.0) + said
    for number, slope in slopes.items():
        block = lines[number]
        cut = block.sign * np.maximum(block.sign * slope, 0) if block.sign else slope
        shares[number] = shares.get(number, 0.0) + (cut * block.heights(devices)).sum(axis=1)
    return shares, doubt


@pytest.mark.parametrize("seed", range(4))
def test_the_sheet_says_what_the_terms_say(seed: int) -> None:
    equation, table = drawn(seed)
    devices = equation.encode(table=table)
    shares, doubt = term_by_term(equation, devices)
    found = equation.contributions(devices=devices)
    assert set(found) == set(shares)
    for name, share in shares.items():
        assert found[name] == pytest.approx(share, abs=1e-11)
    assert equation.predict(devices=devices) == pytest.approx(sum(shares.values()), abs=1e-11)
    assert equation.doubt(devices=devices) == pytest.approx(doubt, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_a_device_at_every_grade_is_the_device_told_at_that_grade(seed: int) -> None:
    equation, table = drawn(seed)
    table = table.head(AT_ONCE)
    said, doubt = equation.at_every_grade(devices=equation.encode(table=table))
    for grade in Grade:
        at = table.with_columns(grade=pl.lit(grade.name), grade_rank=pl.lit(float(grade)))
        devices = equation.encode(table=at)
        assert said[:, grade] == pytest.approx(equation.predict(devices=devices), abs=1e-11)
        assert doubt[:, grade] == pytest.approx(equation.doubt(devices=devices), abs=1e-12)


def test_a_walk_by_grade_is_refused() -> None:
    equation, _ = drawn(0)
    walk = next(b for b in equation.blocks if b.knots and not b.by)
    walks = replace(walk, by=("grade",), members=(("GOOD",),))
    with pytest.raises(ValueError, match="A walk by grade"):
        replace(
            equation,
            blocks=(*equation.blocks, walks),
            coefficients=(*equation.coefficients, np.zeros((1, walk.knots))),
        ).at_every_grade(devices=equation.encode(table=drawn(0)[1]))
