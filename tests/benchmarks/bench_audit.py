"""Time and memory of an audit of ten million sales: the target is 30 s and 4 GiB on two cores."""

from __future__ import annotations

import resource
import time
from datetime import date

import numpy as np
import polars as pl
import pytest

from valuation import ledger
from valuation.grades import Grade

ROWS = 10_000_000


def many_sales(rows: int) -> pl.DataFrame:
    """Sales that keep every rule, with text columns of realistic width."""
    draw = np.random.default_rng(7)

    def words(*some: str) -> pl.Series:
        return pl.Series(some).gather(draw.integers(0, len(some), rows, dtype=np.uint32))

    return pl.select(pl.int_range(rows).alias("sale_id")).with_columns(
        sale_id=pl.format("sale-{}", pl.col("sale_id")),
        sold_on=pl.Series(draw.integers(18_000, 20_000, rows, dtype=np.int32)).cast(pl.Date),
        market=words("DE", "FR", "ES"),
        currency=words("EUR"),
        price=pl.Series(draw.lognormal(5.5, 0.6, rows)),
        category=words("tablet", "laptop", "smartphone"),
        brand=words("Samsung", "Apple", "Lenovo"),
        model=words(*(f"Galaxy Tab S{number} Plus 12.4 inch" for number in range(400))),
        storage_gb=pl.Series(2.0 ** draw.integers(5, 10, rows)),
        grade=words(*(grade.name for grade in Grade)),
    )


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@pytest.mark.bench
def test_ten_million_sales_are_audited_in_half_a_minute_and_four_gib() -> None:
    frame = many_sales(ROWS)
    before = peak_gib()
    start = time.perf_counter()
    audit = ledger.audit(frame=frame, contract=ledger.SALES, as_of=date(2026, 1, 1))
    seconds = time.perf_counter() - start
    print(f"\naudit of {ROWS:,} sales: {seconds:.1f} s, peak {peak_gib():.2f} GiB ({before:.2f} before it)")
    assert audit.good.height == ROWS
    assert audit.faults.is_empty()
    assert seconds < 30
    assert peak_gib() < 4
