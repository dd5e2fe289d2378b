"""What the commands show: progress, tables, refusals with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from training import (
    accepting,
    backtest,
    drawing,
    fitting,
    gate,
    inspecting,
    intake,
    mapping,
    offers_study,
    owning,
    ratio_study,
    settings,
)
from training.simulator.refusal import SimulatorError
from training.version import RegistryError, Version
from valuation import ledger
from valuation.appraiser import AppraiserError

WIDE = 120  # columns at least, so that no table is cut where the output is no terminal
out = Console(soft_wrap=True, width=max(WIDE, Console().width))
err = Console(stderr=True, soft_wrap=True, log_path=False)

REFUSALS = (
    AppraiserError,
    RegistryError,
    accepting.TooFewQuotesError,
    backtest.BacktestError,
    drawing.PropensityError,
    fitting.TooFewSalesError,
    inspecting.TooFewInspectionsError,
    intake.IntakeError,
    ledger.LedgerError,
    ratio_study.StudyError,
    mapping.MappingError,
    offers_study.OffersStudyError,
    settings.SettingsError,
    SimulatorError,
    OSError,
)


def say(text: str) -> None:
    """Print one line as it is."""
    out.print(text, markup=False, highlight=False)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a refusal into its reasons and exit code 1."""
    try:
        yield
    except REFUSALS as error:
        err.print(f"Refused: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done, and when it began."""
    with err.status("starting") as status:

        def step(name: str) -> None:
            status.update(name)
            err.log(name, highlight=False)

        yield step


def table(frame: pl.DataFrame, title: str) -> None:
    """Print a frame."""
    shown = Table(title=title, title_justify="left")
    for name in frame.columns:
        shown.add_column(name, no_wrap=True)
    for row in frame.iter_rows():
        shown.add_row(*(_cell(value) for value in row))
    out.print(shown, markup=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def faults(found: pl.DataFrame) -> None:
    """Print the rules broken, one a line."""
    for line in intake.told(found):
        say(line)


def versions(found: tuple[Version, ...]) -> None:
    """Print registered appraisers, one a line."""
    shown = Table()
    for name in ("version", "office", "verdict", "as of", "sales", "n", "MdAPE", "cover 90", "data"):
        shown.add_column(name, no_wrap=True)
    for version in found:
        shown.add_row(*version.row())
    out.print(shown)


def verdict(found: gate.Verdict) -> None:
    """Print a verdict with the finding of every rule."""
    say(f"Verdict: {'passed' if found.passed else 'FAILED'}")
    for reason in found.reasons:
        say(f"  {'ok ' if reason.passed else 'NO '} {reason.sentence}")


def lesson(learned: owning.Lesson) -> None:
    """Print how offers will be made, and how well the answers to later ones were told."""
    say(
        f"Offers: {learned.policy}, from {learned.quotes:,} quotes, {learned.drawn:,} of them drawn by chance"
    )
    if learned.check is not None:
        check = learned.check
        say(
            f"  {check.n:,} later drawn offers: log loss {check.log_loss:.4f}, of a monotone LightGBM "
            f"{check.challenger:.4f}, of one chance for all {check.constant:.4f}; calibration error "
            f"{check.calibration_error:.3f}"
        )
    for reason in learned.reasons:
        say(f"  {reason}")
