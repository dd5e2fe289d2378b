"""The parts of a judgement: what one learner values in one case, a file each, so that nothing is asked twice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from tests.judge import learners
from tests.judge.cases import STEP, Case, Invented
from tests.judge.real import Real

Source = Invented | Real
FACTS = "facts"  # the part that holds them


@dataclass(frozen=True)
class Judged:
    """The folder of a case, by the name of its table and the seed; `failed` tells of each learner who broke down."""

    table: str
    seed: int
    case: str
    folder: Path
    stepped: bool
    failed: tuple[str, ...]


def judge(sources: Sequence[Source], *, folder: Path, processes: int) -> list[Judged]:
    """Ask every learner in every case whose part is not there yet, in processes of one thread each."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = [pool.submit(_source, source, folder) for source in sources]
        for count, done in enumerate(as_completed(found), start=1):
            print(f"{count} of {len(sources)} tables and seeds done", flush=True)
            done.result()
    return [judged for done in found for judged in done.result()]


def forget(sources: Iterable[Source], *, folder: Path, names: Sequence[str]) -> None:
    """Delete the parts of these learners, so that they are asked again."""
    for source in sources:
        for name in names:
            for part in (folder / source.key).glob(f"*/{name}.parquet"):
                part.unlink()


def _source(source: Source, folder: Path) -> list[Judged]:
    return [
        _case(source, case, folder / source.key / f"{case.name}-{case.digest}") for case in source.cases()
    ]


def _case(source: Source, case: Case, folder: Path) -> Judged:
    folder.mkdir(parents=True, exist_ok=True)
    stepped = case.name.startswith(STEP)
    if not (folder / f"{FACTS}.parquet").exists():
        write(case.facts, folder / f"{FACTS}.parquet")
    due = [n for n in learners.of(case, stepped=stepped) if not (folder / f"{n}.parquet").exists()]
    told = [_part(case, name, folder, f"{source.key} {case.name}") for name in due]
    failed = tuple(line for line in told if line)
    return Judged(
        table=source.name, seed=source.seed, case=case.name, folder=folder, stepped=stepped, failed=failed
    )


def _part(case: Case, name: str, folder: Path, title: str) -> str:
    """Write the part of one learner; what went wrong, in a line, where it broke down."""
    start = time.perf_counter()
    try:
        values = learners.LEARNERS[name](case)
    except Exception as error:
        line = f"{title}: {name} BROKE DOWN: {type(error).__name__}: {error}"
        print(line, flush=True)
        return line
    seconds = time.perf_counter() - start
    write(values.with_columns(seconds=pl.lit(seconds)), folder / f"{name}.parquet")
    print(f"{title}: {name} {seconds:.1f} s", flush=True)
    return ""


def write(table: pl.DataFrame, path: Path) -> None:
    """Write a file that is whole or not there."""
    table.write_parquet(path.with_suffix(".writing"))
    path.with_suffix(".writing").replace(path)


def gather(judged: Sequence[Judged]) -> pl.DataFrame:
    """Put what was valued side by side: the facts, `seed`, `case`, `week`, `block`, and `learner_p05`, _p50 and _p95.

    `block` numbers the (model, week) blocks of each seed from 0. Ours adds `basis` and `comparables`. A learner who
    broke down in any of the cases is left out.
    """
    names = [n for n in learners.LEARNERS if all((j.folder / f"{n}.parquet").exists() for j in judged)]
    rows = pl.concat([_beside(j, names) for j in judged])
    block = pl.struct("seed", "market", "category", "brand", "model", "week").rank("dense").cast(pl.Int64) - 1
    return rows.with_columns(week=pl.col("sold_on").dt.truncate("1w")).with_columns(block=block)


def _beside(judged: Judged, names: Sequence[str]) -> pl.DataFrame:
    rows = pl.read_parquet(judged.folder / f"{FACTS}.parquet").select(~pl.selectors.starts_with("oracle_"))
    for name in names:
        part = pl.read_parquet(judged.folder / f"{name}.parquet")
        told = part.select("sale_id", pl.col("p05", "p50", "p95", "seconds").name.prefix(f"{name}_"))
        if name == learners.OURS:
            told = told.with_columns(part.select("basis", "comparables"))
        rows = rows.join(told, on="sale_id", how="left", maintain_order="left", validate="1:1")
    return rows.with_columns(seed=pl.lit(judged.seed), case=pl.lit(judged.case))
