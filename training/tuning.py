"""What a retrain may choose differently from table to table: a search for it, and the small file that keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl

from training import backtest, fitting, measures
from training.backtest import Window
from training.intake import Intake
from training.settings import BOUNDS, DEFAULTS, Settings
from valuation.appraisal import QUANTILE_NAMES, QUANTILES

Say = Callable[[str], None]
SEARCHED = 2  # windows before the last one, on which the search looks


@dataclass(frozen=True, kw_only=True)
class Found:
    """The settings found, after how many trials; and how well they and the usual ones did on sales that none saw.

    `loss` and `usual_loss` are mean pinball losses in log price over `n` sales of the last window.
    """

    settings: Settings
    trials: int
    loss: float
    usual_loss: float
    n: int

    @property
    def better(self) -> bool:
        """Whether they are to be preferred."""
        return self.loss < self.usual_loss


def search(*, read: Intake, window_days: int, minutes: float, seed: int, say: Say) -> Found:
    """Search for better settings for `minutes`, on two windows; the last one judges what was found.

    The usual settings are the first trial. A trial that has begun is finished.
    """
    windows = backtest.windows(sales=read.good, window_days=window_days, origins=SEARCHED + 1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(asdict(DEFAULTS))
    end = time.monotonic() + 60 * minutes

    def trial(asked: optuna.Trial) -> float:
        settings = Settings(**{name: _suggested(asked, name) for name in asdict(DEFAULTS)})
        loss, _ = _loss(read, windows[:-1], settings, seed)
        left = max(0.0, end - time.monotonic()) / 60
        say(f"trial {asked.number + 1}: pinball loss {loss:.5f} in log price, {left:.1f} minutes left")
        return loss

    study.optimize(trial, timeout=60 * minutes)
    best = Settings(**study.best_params)
    say("judging on the last window")
    loss, n = _loss(read, windows[-1:], best, seed)
    usual, _ = _loss(read, windows[-1:], DEFAULTS, seed)
    return Found(settings=best, trials=len(study.trials), loss=loss, usual_loss=usual, n=n)


def _suggested(asked: optuna.Trial, name: str) -> Any:
    low, high, log = BOUNDS[name]
    if isinstance(getattr(DEFAULTS, name), int):
        return asked.suggest_int(name, int(low), int(high), log=log)
    return asked.suggest_float(name, low, high, log=log)


def _loss(read: Intake, windows: Sequence[Window], settings: Settings, seed: int) -> tuple[float, int]:
    parts: pl.DataFrame = backtest.run(
        sales=read.good,
        attributes=read.attributes,
        windows=windows,
        seed=seed,
        fit=partial(fitting.fit, settings=settings),
        beside={},
    )
    quantiles = parts.select(QUANTILE_NAMES).to_numpy()
    return measures.pinball(quantiles, np.array(QUANTILES), parts["price"].to_numpy()), parts.height


def write(*, found: Found, path: Path, title: str) -> None:
    """Write the settings, one a line, and what they did."""
    lines = [
        f"# {title}",
        f"# {found.trials} trials. Pinball loss in log price on the {found.n:,} sales of the last window, which the",
        f"# search did not see: {found.loss:.5f} with these settings, {found.usual_loss:.5f} with the usual ones.",
        *(f"{name} = {value:.4g}" for name, value in asdict(found.settings).items()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
