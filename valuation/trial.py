"""A first try of an appraiser directory in a throw-away process.

A doctored file can end the process that reads it or keep it in a loop, and no exception says so. So whoever receives a
directory lets a child process open it first and value the golden rows that were packed with it. The child gets no
environment, little memory and time, may write nothing but its complaint, and starts or calls nobody.
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from valuation import ledger, package
from valuation.appraisal import OUTCOMES
from valuation.appraiser import Appraiser, AppraiserError
from valuation.grades import Grade

TOLERANCE = 1e-6  # relative: the same trees on another machine
LONGEST_COMPLAINT = 500  # characters
MOST_MEMORY_BYTES = 4 * 2**30  # of addresses: a small appraiser takes 1.1 GiB, of which 140 MB are used
MOST_WRITTEN_BYTES = 64 * 2**10
# LightGBM takes pandas and scikit-learn along where they are, which is two thirds of the time of a trial.
CHILD = (
    "import sys; sys.modules.update(pandas=None, sklearn=None); "
    "from valuation import trial; trial.main(sys.argv[1], float(sys.argv[2]))"
)
# What the opening of files never does: events of sys.addaudithook.
DEEDS = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.",
    "socket.",
    "pickle.",
    "ctypes.dlopen",
)


def try_out(*, directory: Path, timeout_seconds: float) -> None:
    """Open the directory in a child process and compare its values of the golden rows.

    Raises AppraiserError where the child refuses it, dies or takes longer than `timeout_seconds`.
    """
    command = [
        sys.executable,
        "-P",
        "-X",
        "utf8",
        "-c",
        CHILD,
        str(directory.absolute()),
        f"{timeout_seconds}",
    ]
    code = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.run(
                command,
                cwd="/",
                env=code,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AppraiserError(
                f"{directory} could not be opened within {timeout_seconds:g} s in a process of its own. Retrain."
            ) from error
        if child.returncode:
            raise AppraiserError(
                f"{directory} failed its trial (exit {child.returncode}): {_end(said) or 'it said nothing'}"
            )


def _end(said: Any) -> str:
    """The last words of a complaint, on one line."""
    said.seek(max(0, said.seek(0, 2) - 4 * LONGEST_COMPLAINT))
    words: str = said.read().decode(errors="replace")
    return " ".join(word for word in words.split() if word.isprintable())[-LONGEST_COMPLAINT:]


def differences(*, appraiser: Appraiser, golden: pl.DataFrame) -> pl.DataFrame:
    """List the golden rows that the appraiser values otherwise, with the column of values it gives now."""
    now = appraiser.appraise(devices=golden.drop(*OUTCOMES, "basis", "comparables"))
    then = golden.select(OUTCOMES).to_numpy()
    told = now.select(OUTCOMES).to_numpy()
    alike = np.isclose(told, then, rtol=TOLERANCE, atol=0.0) & np.isfinite(told)
    return golden.with_columns(p50_now=now["p50"]).filter(pl.Series(~alike.all(axis=1)))


def explained(*, appraiser: Appraiser, golden: pl.DataFrame) -> None:
    """Value and explain a known and a strange golden row alone: the way through LightGBM that a table does not take."""
    known = {*(c.name for c in ledger.DEVICES.columns), *appraiser.attributes}
    place = {"market", "currency", "grade", "on", "sold_on", "condition"}
    for row in (golden.row(0, named=True), golden.row(-1, named=True)):
        appraiser.appraise_one(
            device={name: row[name] for name in known - place},
            market=row["market"],
            currency=row["currency"],
            grade=Grade[row["grade"]],
            on=row["on"],
        )


def main(directory: str, seconds: float) -> None:
    """Open the directory and end with a complaint where it does not value as it did when it was packed."""
    _confine(seconds)
    try:
        packed = package.read(directory=Path(directory))
        found = package.opened(packed=packed)
        golden = pl.read_parquet(packed.contents[package.GOLDEN])
        other = differences(appraiser=found, golden=golden)
        explained(appraiser=found, golden=golden)
    except AppraiserError as error:
        sys.exit(str(error))
    except (Exception, pl.exceptions.PanicException) as error:
        sys.exit(f"It cannot value its golden rows: {error!r}")
    if other.height:
        row = other.row(0, named=True)
        sys.exit(
            f"{other.height} golden rows are valued otherwise than when packed; the first, {row['brand']} "
            f"{row['model']}: {row['p50_now']} instead of {row['p50']}."
        )


def _confine(seconds: float) -> None:
    """Let this process use so much and do nothing but read and reckon, from here on."""
    limits = {
        resource.RLIMIT_AS: MOST_MEMORY_BYTES,
        resource.RLIMIT_CPU: math.ceil(seconds),
        resource.RLIMIT_FSIZE: MOST_WRITTEN_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    sys.addaudithook(_forbid)


def _forbid(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(DEEDS):
        raise PermissionError(f"The directory made its reader call {event}.")
