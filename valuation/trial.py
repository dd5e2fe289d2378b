"""A first try of an appraiser directory in a throw-away process.

A doctored LightGBM file can end the process that reads it or keep it in a loop, and no exception says so. So whoever
receives a directory lets a child process open it first and value the golden rows that were packed with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from valuation import ledger, package
from valuation.appraisal import OUTCOMES
from valuation.appraiser import Appraiser, AppraiserError
from valuation.grades import Grade

TOLERANCE = 1e-6  # relative: the same trees on another machine
LONGEST_COMPLAINT = 500  # characters


def try_out(*, directory: Path, timeout_seconds: float) -> None:
    """Open the directory in a child process and compare its values of the golden rows.

    Raises AppraiserError where the child refuses it, dies or takes longer than `timeout_seconds`.
    """
    command = [sys.executable, "-m", "valuation.trial", str(directory)]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AppraiserError(
            f"{directory} could not be opened within {timeout_seconds:g} s in a process of its own. Retrain."
        ) from error
    if child.returncode:
        said = child.stderr.strip()[-LONGEST_COMPLAINT:]
        raise AppraiserError(
            f"{directory} failed its trial (exit {child.returncode}): {said or 'it said nothing'}"
        )


def differences(*, appraiser: Appraiser, golden: pl.DataFrame) -> pl.DataFrame:
    """List the golden rows that the appraiser values otherwise, with the column of values it gives now."""
    now = appraiser.appraise(devices=golden.drop(*OUTCOMES, "basis", "comparables"))
    then = golden.select(OUTCOMES).to_numpy()
    far = ~np.isclose(now.select(OUTCOMES).to_numpy(), then, rtol=TOLERANCE, atol=0.0).all(axis=1)
    return golden.with_columns(p50_now=now["p50"]).filter(pl.Series(far))


def explained(*, appraiser: Appraiser, golden: pl.DataFrame) -> None:
    """Value and explain the first golden row alone: the way through LightGBM that a table does not take."""
    row = golden.row(0, named=True)
    known = {*(c.name for c in ledger.DEVICES.columns), *appraiser.attributes}
    place = {"market", "currency", "grade", "on", "sold_on", "condition"}
    appraiser.appraise_one(
        device={name: row[name] for name in known - place},
        market=row["market"],
        currency=row["currency"],
        grade=Grade[row["grade"]],
        on=row["on"],
    )


def main(directory: str) -> None:
    """Open the directory and end with a complaint where it does not value as it did when it was packed."""
    path = Path(directory)
    try:
        found = package.load(directory=path)
        golden = pl.read_parquet(path / package.GOLDEN)
        other = differences(appraiser=found, golden=golden)
        explained(appraiser=found, golden=golden)
    except AppraiserError as error:
        sys.exit(str(error))
    if other.height:
        row = other.row(0, named=True)
        sys.exit(
            f"{other.height} golden rows are valued otherwise than when packed; the first, {row['brand']} "
            f"{row['model']}: {row['p50_now']} instead of {row['p50']}."
        )


if __name__ == "__main__":
    main(sys.argv[1])
