"""The command that studies offers on past quotes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from training import (
    intake,
    mapping,
    offers_figures,
    offers_known,
    offers_report,
    offers_study,
    screen,
    simulator,
)
from training.offers_figures import Figures
from valuation import ledger


def offers_study_(
    sales: Annotated[Path, typer.Option(help="SALES: csv, csv.gz or parquet.")],
    quotes: Annotated[Path, typer.Option(help="QUOTES, with offers that were drawn by chance among them.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for offers.parquet, .json and .html.")],
    truth: Annotated[Path | None, typer.Option(help="The truth that was simulated with them.")] = None,
    map_path: Annotated[Path | None, typer.Option("--map", help="Mapping file for the sales.")] = None,
    window_days: Annotated[int, typer.Option(min=7, help="Length of a window that is offered for.")] = 28,
    origins: Annotated[int, typer.Option(min=1, help="Number of windows, at the end of the quotes.")] = 3,
    max_faults: Annotated[
        float, typer.Option(min=0, max=1, help="Share of faulty rows above which nothing is learned.")
    ] = 0.02,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 1,
) -> None:
    """Offer for past quotes by several policies, each from what was known then: what would they have earned?"""
    with screen.refusing(), screen.progress() as step:
        step("reading")
        read = _read(sales, ledger.SALES, map_path, max_faults)
        asked = _read(quotes, ledger.QUOTES, None, max_faults)
        history = offers_study.History(
            sales=read.good, quotes=asked.good, attributes=read.attributes, seed=seed
        )
        judged = offers_study.rehearse(
            history=history, window_days=window_days, origins=origins, progress=step
        )
        if truth is not None:
            judged = offers_known.with_truth(judged=judged, truth=pl.read_parquet(truth))
        found = offers_figures.figures(judged)
        simulated = any(
            ids.str.starts_with(simulator.MARK).any()
            for ids in (read.good["sale_id"], asked.good["quote_id"])
        )
        title = f"Offers for {quotes.name}"
        offers_report.write(figures=found, directory=out_dir, title=title, simulated=simulated)
        judged.write_parquet(out_dir / "offers.parquet")
    _tell(found, " on a SIMULATED market" if simulated else "")
    screen.say(f"Written to {out_dir}: offers.parquet, offers.json, offers.html")


def _read(path: Path, contract: ledger.Contract, map_path: Path | None, max_faults: float) -> intake.Intake:
    chosen = mapping.load(map_path) if map_path else None
    read = intake.read(path=path, contract=contract, mapping=chosen, as_of=datetime.now(UTC).date())
    intake.refuse_above(read, max_faults)
    return read


def _tell(found: Figures, where: str) -> None:
    rows = [
        {
            "policy": policy.name,
            "margin": policy.estimate.value,
            "low": policy.estimate.low,
            "high": policy.estimate.high,
            "n drawn": policy.estimate.n,
            "within reach": policy.estimate.within_reach,
            "regret": policy.regret and policy.regret.value,
        }
        for policy in found.policies
    ]
    screen.table(
        pl.DataFrame(rows), f"Margin a quote, % of a usual flawless device, {found.n:,} quotes{where}"
    )
    if found.draws and found.draws.doubt:
        screen.say(found.draws.doubt)
    words = found.words
    if words.realised is None or words.in_full is None or words.in_full_told is None:
        return
    screen.say(
        f"Taken offers paid in full: told {words.in_full_told:.1%}, was {words.in_full:.1%} (n {words.inspected:,}). "
        f"Price realised over told: {words.realised.value:.3f} ({words.realised.low:.3f} to "
        f"{words.realised.high:.3f}, n {words.sold:,})."
    )
