"""Markets at the command line: invented, audited, judged; and what is asked wrongly is told."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.simulator import scenario


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("name", scenario.names())
def test_the_tables_of_every_scenario_are_audited_without_a_fault_but_the_dirt(
    tmp_path: Path, name: str
) -> None:
    code, said = run(
        "simulate", "--scenario", name, "--sales", "3000", "--seed", "2", "--out", str(tmp_path / "m")
    )
    assert code == 0
    assert "SIMULATED" in said and "sales.parquet  3,000 rows" in said
    dirty = scenario.load(scenario.find(name)).dirt.fault > 0
    for kind in ("sales", "listings", "quotes"):
        file = str(tmp_path / "m" / f"{kind}.parquet")
        code, said = run("check", file, "--kind", kind, "--as-of", "2026-06-30")
        assert code == int(dirty and kind == "sales"), said


def test_a_backtest_of_an_invented_market_says_that_it_is_simulated(tmp_path: Path) -> None:
    run("simulate", "--sales", "1500", "--out", str(tmp_path / "m"))
    sales = str(tmp_path / "m" / "sales.parquet")
    code, said = run("backtest", "--sales", sales, "--origins", "1", "--out", str(tmp_path / "study"))
    assert code == 0 and "SIMULATED" in said
    assert "SIMULATED" in (tmp_path / "study" / "report.html").read_text("utf-8")


def test_a_dirty_market_can_be_learned_from_within_the_usual_share_of_faults(tmp_path: Path) -> None:
    run("simulate", "--scenario", "dirty", "--sales", "3000", "--out", str(tmp_path / "m"))
    sales = str(tmp_path / "m" / "sales.parquet")
    code, said = run("backtest", "--sales", sales, "--origins", "1", "--out", str(tmp_path / "study"))
    assert code == 0, said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--scenario", "boom", "--sales", "10"), "There are: dirty, drift"),
        (("--sales", "0"), "give at least 1"),
        (("--sales", "10", "--seed", "-1"), "give a whole number from 0"),
    ],
)
def test_what_cannot_be_invented_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    code, said = run("simulate", *arguments, "--out", str(tmp_path / "m"))
    assert code == 1 and told in said
    assert not (tmp_path / "m").exists()


def test_a_folder_in_use_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, said = run("simulate", "--sales", "10", "--out", str(tmp_path))
    assert code == 1 and "--force" in said
    code, _ = run("simulate", "--sales", "10", "--out", str(tmp_path), "--force")
    assert code == 0 and pl.read_parquet(tmp_path / "sales.parquet").height == 10


def test_every_problem_of_a_scenario_file_is_told_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('says = "Mine."\n[noise]\ntimes = -1\n[lock]\nmarket = ["US"]\n')
    code, said = run("simulate", "--scenario", str(path), "--sales", "10", "--out", str(tmp_path / "m"))
    assert code == 1
    assert "mine.toml, noise.times" in said and "mine.toml, lock.market: is not a known key" in said


def test_the_scenarios_are_listed_with_what_they_say() -> None:
    code, said = run("scenarios")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == list(scenario.names())
    assert "few sales there" in said
