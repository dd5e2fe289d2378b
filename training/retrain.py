"""One retrain: sales in, a judged and registered appraiser out, promoted only if it passed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from training import backtest, fitting, gate, intake, owning, ratio_study, report, simulator
from training.registry import Registry
from training.settings import DEFAULTS, Settings
from training.version import Version
from valuation import package, trial
from valuation.appraiser import Appraiser

Say = Callable[[str], None]
TRIAL_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to learn from and how to judge it; the windows are at the end of the sales."""

    paths: tuple[Path, ...]
    read: intake.Intake
    window_days: int = 28
    origins: int | None = None
    embargo_days: int = 0
    max_fault_share: float = 0.02
    seed: int = 1
    settings: Settings = DEFAULTS
    gated: bool = True
    quotes: pl.DataFrame | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether a sale or quote says that it is simulated: then so is all that is learned from them."""
        ids = [self.read.good["sale_id"], *([] if self.quotes is None else [self.quotes["quote_id"]])]
        return any(bool(of.str.starts_with(simulator.MARK).any()) for of in ids)

    @property
    def where(self) -> str:
        """Say so in a title."""
        return " on a SIMULATED market" if self.is_simulated else ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a retrain came to."""

    version: Version
    study: ratio_study.Study
    verdict: gate.Verdict
    promoted: bool
    lesson: owning.Lesson | None


def retrain(*, plan: Plan, registry: Registry, promote: bool, say: Say) -> Outcome:
    """Judge a challenger on the newest sales, fit it on all, register it, and promote it if it passed.

    Nobody's promotion made meanwhile is replaced unseen: RegistryError where the champion has changed.
    """
    champion = registry.champion()
    sales = plan.read.good
    predictions = rehearse(plan=plan, say=say)
    study = ratio_study.study(predictions)
    say("judging")
    incumbent = _incumbent(registry, champion, sales, predictions)
    say(f"fitting on all {sales.height:,} sales")
    challenger = fitting.fit(
        sales=sales,
        attributes=plan.read.attributes,
        as_of=_day_after(sales),
        seed=plan.seed,
        simulated=plan.is_simulated,
        settings=plan.settings,
        card=card(plan=plan, study=study),
    )
    challenger, lesson = _with_owners(plan, challenger, say)
    verdict = gate.judge(
        study=study,
        incumbent=incumbent,
        fault_share=plan.read.fault_share,
        max_fault_share=plan.max_fault_share,
        appraiser=challenger,
    )
    say("registering")
    version = _register(plan, registry, challenger, study, verdict)
    promoted = promote and (verdict.passed or not plan.gated)
    if promoted:
        registry.promote(
            version.version,
            expected=champion.version if champion else None,
            despite_verdict=not plan.gated,
        )
    return Outcome(version=version, study=study, verdict=verdict, promoted=promoted, lesson=lesson)


def _with_owners(plan: Plan, challenger: Appraiser, say: Say) -> tuple[Appraiser, owning.Lesson | None]:
    """The challenger with what the quotes teach of owners, which its card tells, or why they teach nothing."""
    if plan.quotes is None:
        return challenger, None
    say(f"learning who takes which offer from {plan.quotes.height:,} quotes")
    lesson = owning.learn(quotes=plan.quotes, sales=plan.read.good, appraiser=challenger)
    told = {**challenger.card, "offers": lesson.to_json()}
    return replace(challenger, owners=lesson.owners, card=told), lesson


def rehearse(*, plan: Plan, say: Say) -> pl.DataFrame:
    """Predict the newest sales from those before them, window by window, beside every baseline.

    Raises TooManyFaults where too many rows are faulty.
    """
    intake.refuse_above(plan.read, plan.max_fault_share)
    windows = backtest.windows(
        sales=plan.read.good,
        window_days=plan.window_days,
        origins=plan.origins,
        embargo_days=plan.embargo_days,
    )
    return backtest.run(
        sales=plan.read.good,
        attributes=plan.read.attributes,
        windows=windows,
        seed=plan.seed,
        fit=partial(fitting.fit, settings=plan.settings),
        progress=say,
    )


def card(*, plan: Plan, study: ratio_study.Study) -> dict[str, Any]:
    """Describe an appraiser to people: what it learned from, and how well it did on sales it had not seen."""
    sales = plan.read.good
    return {
        "sales": sales.height,
        "sold_from": str(sales["sold_on"].min()),
        "sold_to": str(sales["sold_on"].max()),
        "markets": sorted(sales["market"].unique().to_list()),
        "categories": sorted(sales["category"].unique().to_list()),
        "simulated": plan.is_simulated,
        "data_digest": data_digest(paths=plan.paths),
        "seed": plan.seed,
        "settings": asdict(plan.settings),
        "accuracy_out_of_time": study.to_json()["overall"],
    }


def data_digest(*, paths: tuple[Path, ...]) -> str:
    """Name the bytes of the files learned from: one sha256."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _day_after(sales: pl.DataFrame) -> date:
    newest: date = sales["sold_on"].max()  # type: ignore[assignment]
    return newest + timedelta(days=1)


def _incumbent(
    registry: Registry, champion: Version | None, sales: pl.DataFrame, predictions: pl.DataFrame
) -> gate.Rivals | None:
    """Judge champion and challenger on the same sales, those that the champion cannot have learned from."""
    if champion is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        directory = registry.fetch(champion.version, Path(folder))
        trial.try_out(directory=directory, timeout_seconds=TRIAL_SECONDS)
        office = package.load(directory=directory)
    return gate.rivals(champion=office, sales=sales, predictions=predictions)


def _register(
    plan: Plan, registry: Registry, challenger: Appraiser, study: ratio_study.Study, verdict: gate.Verdict
) -> Version:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "appraiser")
        package.save(appraiser=challenger, directory=directory)
        reports = Path(folder, "study")
        report.write(
            study=study,
            verdict=verdict,
            directory=reports,
            title=f"Retrain as of {challenger.as_of}",
            simulated=plan.is_simulated,
        )
        return registry.log(
            directory=directory,
            params={"seed": plan.seed, "window_days": plan.window_days, "sales": plan.read.good.height},
            measures=study.measures(),
            tags=_tags(challenger, verdict),
            files={path.name: path for path in sorted(reports.iterdir())},
        )


def _tags(challenger: Appraiser, verdict: gate.Verdict) -> dict[str, str]:
    return {
        "data_digest": str(challenger.card["data_digest"]),
        "verdict": "passed" if verdict.passed else "failed",
        "reasons": "\n".join(reason.sentence for reason in verdict.reasons),
    }
