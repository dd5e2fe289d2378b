"""make judge: everyone values the same sales, and the page says who came nearest."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[_pool] = "1"  # before they are loaded, here and in the processes to come

import polars as pl  # noqa: E402
import typer  # noqa: E402

from tests.judge import figures, ladders, page, parts, real  # noqa: E402
from tests.judge.cases import ORIGINS, Invented, day_after  # noqa: E402
from tests.judge.figures import Figure  # noqa: E402
from tests.judge.learners import LEARNERS  # noqa: E402
from tests.judge.parts import Judged, Source  # noqa: E402
from training import fitting  # noqa: E402
from training.simulator import scenario  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "reprise-judge"
PAGE = real.ROOT / "docs" / "judgement.md"
LADDER_SEED = 1
EVERY = ",".join(scenario.names())

Names = Annotated[str, typer.Option(help="Comma-separated; none for real tables only.")]
Redo = Annotated[str, typer.Option(help="Learners to ask again, comma-separated: " + ", ".join(LEARNERS))]


def main(
    scenarios: Names = EVERY,
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "1,2,3",
    sales: Annotated[int, typer.Option(min=1000, help="Of each market.")] = 20_000,
    origins: Annotated[int, typer.Option(min=1, help="Windows of 28 days of each market.")] = ORIGINS,
    tables: Annotated[bool, typer.Option("--real/--no-real", help="The real tables too.")] = True,
    crossings: Annotated[int, typer.Option("--ladders", min=0, help="How many to count over.")] = 100_000,
    redo: Redo = "",
    folder: Annotated[Path, typer.Option(help="Where the parts are kept.")] = CACHE,
    out: Annotated[Path, typer.Option(help="The page.")] = PAGE,
    processes: Annotated[int, typer.Option(min=1, max=2)] = 2,
) -> None:
    """Judge ours beside the oracle and the peers; what was judged before is not judged again."""
    invented = [
        Invented(scenario=name, sales=sales, seed=int(seed), origins=origins)
        for name in _split(scenarios)
        for seed in _split(seeds)
    ]
    sources: list[Source] = [*_real(wanted=tables), *invented]
    if not sources:
        raise typer.BadParameter("There is nothing to judge: name a scenario, or judge the real tables.")
    again = _split(redo)
    _refuse_strangers(again)
    parts.forget(sources, folder=folder, names=again)
    judged = parts.judge(sources, folder=folder, processes=processes)
    found = list(_figures(judged))
    pl.DataFrame([asdict(f) for f in found], infer_schema_length=None).write_csv(folder / "figures.csv")
    names = {source.name for source in invented}
    written = page.write(
        found=found,
        counts=_counted(invented[0], crossings, folder, again) if invented and crossings else None,
        invented=sorted(names),
        failed=[line for one in judged for line in one.failed],
        scope=f"{len(names)} scenarios, seeds {seeds}, {sales:,} sales each, {origins} windows of 28 days.",
        command=" ".join(["make judge", *(f'ARGS="{" ".join(sys.argv[1:])}"' for _ in sys.argv[1:2])]),
        on=datetime.now(UTC).date(),
    )
    out.write_text(written, encoding="utf-8")
    print(written)
    raise typer.Exit(1 if any(one.failed for one in judged) else 0)


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _refuse_strangers(names: Sequence[str]) -> None:
    if strangers := [name for name in names if name not in LEARNERS]:
        raise typer.BadParameter(f"Nobody is called {', '.join(strangers)}; there are {', '.join(LEARNERS)}.")


def _real(*, wanted: bool) -> Sequence[Source]:
    if wanted and not real.DATA.is_dir():
        print(f"LEFT OUT: the real tables are not at {real.DATA}", flush=True)
        return ()
    return real.TABLES if wanted else ()


def _figures(judged: Sequence[Judged]) -> Iterator[Figure]:
    for table in dict.fromkeys(one.table for one in judged):
        mine = [one for one in judged if one.table == table]
        yield from figures.of_table(table, parts.gather([one for one in mine if not one.stepped]))
        if stepped := [one for one in mine if one.stepped]:
            yield from figures.after_a_step(table, parts.gather(stepped))


def _counted(source: Invented, count: int, folder: Path, again: Sequence[str]) -> pl.DataFrame:
    """Count the falls of an appraiser fitted to a whole market; what was counted before is read."""
    path = folder / source.key / f"ladders-{count}.parquet"
    if not path.exists() or "ours" in again:
        good, _ = source.history()
        appraiser = fitting.fit(sales=good, attributes={}, as_of=day_after(good), seed=source.seed)
        parts.write(ladders.count(appraiser, ladders=count, seed=LADDER_SEED, say=print), path)
    return pl.read_parquet(path)


if __name__ == "__main__":
    typer.run(main)
