"""A search for settings keeps its budget, judges on sales it did not see, and writes a file that can be read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from training import fitting, settings, tuning
from training.intake import Intake
from training.settings import BOUNDS, DEFAULTS, Settings


@pytest.fixture(scope="module")
def read(sales: pl.DataFrame) -> Intake:
    none = sales.clear()
    return Intake(good=sales.sort("sold_on").tail(1_500), faults=none, aside=none, attributes={}, read=1_500)


def test_a_search_begins_with_the_usual_settings_and_writes_what_can_be_read(
    read: Intake, tmp_path: Path
) -> None:
    said: list[str] = []
    found = tuning.search(read=read, window_days=28, minutes=0.01, seed=1, say=said.append)
    assert found.trials == 1
    assert found.settings == DEFAULTS
    assert found.loss == found.usual_loss
    assert not found.better
    tuning.write(found=found, path=tmp_path / "tuned.toml", title="Settings.")
    assert settings.load(tmp_path / "tuned.toml") == DEFAULTS
    assert said[0].startswith("trial 1: pinball loss")


def test_other_settings_make_another_appraiser(read: Intake) -> None:
    slow = Settings(tail=2.0, half_life_days=20.0)
    fitted = [
        fitting.fit(sales=read.good, attributes={}, as_of=read.good["sold_on"].max(), settings=s)
        for s in (DEFAULTS, slow)
    ]
    first, second = (one.appraise(devices=read.good.head(50).with_columns(on="sold_on")) for one in fitted)
    assert not first.equals(second)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("leaves = 2.5", "whole number"),
        ("leaves = 1000", "out of bounds: write 4 to 63"),
        ("depth = 3", "'depth' is no setting; there are learning_rate"),
        ("leaves = [", "cannot be read"),
        ("tail = nan", "out of bounds"),
        ("tail = true", "write a number"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_to_write(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(text)
    with pytest.raises(settings.SettingsError, match=reason.replace("[", r"\[")):
        settings.load(path)


def test_every_setting_has_bounds_and_its_usual_value_lies_within() -> None:
    assert set(BOUNDS) == set(asdict(DEFAULTS))
    for name, value in asdict(DEFAULTS).items():
        low, high, _ = BOUNDS[name]
        assert low <= value <= high
