"""Markets are written whole or not at all, and the same arguments give the same bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from training import intake
from training.simulator import market, scenario
from training.simulator.refusal import SimulatorError
from valuation import ledger

FILES = {f"{name}.parquet" for name in market.TABLES}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", scenario.names())
def test_a_scenario_and_a_seed_give_the_same_bytes_in_every_process(tmp_path: Path, name: str) -> None:
    script = (
        "import sys, pathlib; from training.simulator import market; market.SALES_OF_A_PART = 1500; "
        "market.write(scenario=sys.argv[1], sales=4000, seed=7, directory=pathlib.Path(sys.argv[2]))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script, name, str(tmp_path / folder)],
            env={"PYTHONHASHSEED": hash_seed, "POLARS_MAX_THREADS": threads},
        )
        for folder, hash_seed, threads in (("a", "1", "1"), ("b", "2", "2"))
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert set(digests(tmp_path / "a")) == FILES


def test_another_seed_gives_another_market() -> None:
    first, second = (market.simulate(sales=300, seed=seed) for seed in (1, 2))
    assert not first.sales["price"].equals(second.sales["price"])
    assert not first.quotes["offer"].equals(second.quotes["offer"])


@pytest.mark.parametrize("sales", [1, 2, 7, 1000])
def test_as_many_sales_are_invented_as_were_asked_for(sales: int) -> None:
    invented = market.simulate(sales=sales, seed=1)
    assert invented.sales.height == sales
    assert invented.quotes.height == round(sales / 2)


def test_a_market_in_parts_keeps_ids_order_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "SALES_OF_A_PART", 2_000)
    invented = market.simulate(scenario="dirty", sales=15_000, seed=4)
    assert invented.sales.height == 15_000
    for name, table in (("sale", invented.sales), ("listing", invented.listings), ("quote", invented.quotes)):
        assert table[f"{name}_id"].is_unique().all()
    linked = invented.quotes["sale_id"].drop_nulls()
    assert linked.is_in(invented.sales["sale_id"].implode()).all()
    across = invented.quotes.filter(pl.col("sale_id").is_not_null())
    assert across.height > 1500, "what one part bought, later ones sell"


def test_what_is_written_is_what_was_invented_and_is_taken_in(tmp_path: Path) -> None:
    rows = market.write(sales=800, seed=1, directory=tmp_path / "out")
    invented = market.simulate(sales=800, seed=1)
    for name in ("sales", "listings", "quotes"):
        read = intake.read(
            path=tmp_path / "out" / f"{name}.parquet",
            contract=ledger.CONTRACTS[name],
            mapping=None,
            as_of=None,
        )
        assert read.good.drop("row").equals(getattr(invented, name))
        assert rows[name] == read.read
    assert pl.read_parquet(tmp_path / "out" / "truth.parquet").equals(invented.truth)


def test_a_folder_that_holds_something_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(
        SimulatorError, match=r"is not empty. Name another folder, or replace what is there with --force"
    ):
        market.write(sales=10, seed=1, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    market.write(sales=10, seed=1, directory=tmp_path, force=True)
    first = digests(tmp_path)
    assert set(first) == FILES | {"mine.txt"}
    market.write(sales=10, seed=2, directory=tmp_path, force=True)
    assert digests(tmp_path)["sales.parquet"] != first["sales.parquet"]


def test_a_market_that_fails_half_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.write(sales=10, seed=1, directory=tmp_path)
    before = digests(tmp_path)
    monkeypatch.setattr(market, "SALES_OF_A_PART", 10)

    def fail(line: str) -> None:
        if line.startswith("part 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        market.write(sales=100, seed=2, directory=tmp_path, force=True, say=fail)
    assert digests(tmp_path) == before


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    market.write(sales=10, seed=1, directory=tmp_path)
    before = digests(tmp_path)["sales.parquet"]
    (tmp_path / "listings.parquet").unlink()
    (tmp_path / "listings.parquet").mkdir()
    with pytest.raises(SimulatorError, match=r"listings\.parquet is a folder where a file should be"):
        market.write(sales=20, seed=2, directory=tmp_path, force=True)
    assert hashlib.sha256((tmp_path / "sales.parquet").read_bytes()).hexdigest() == before


def test_a_market_in_which_nothing_is_on_sale_is_refused_and_no_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    none = "".join(f"{name} = 0\n" for name in ("smartphone", "tablet", "laptop", "smartwatch", "console"))
    path.write_text(f'says = "Nothing."\n[categories]\n{none}camera = 1\n')
    with pytest.raises(SimulatorError, match="Nothing is on sale on 2024-07-01"):
        market.write(scenario=str(path), sales=10, seed=1, directory=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SimulatorError, match=r"is no folder. Name a folder to write into"):
        market.write(sales=10, seed=1, directory=tmp_path / "file")


def test_a_folder_that_cannot_be_made_is_told() -> None:
    with pytest.raises(
        SimulatorError, match=r"/proc/nothing cannot be written to: .*Name a folder that you may write to"
    ):
        market.write(sales=10, seed=1, directory=Path("/proc/nothing"))


@pytest.mark.parametrize("sales", [0, -5])
def test_a_market_of_no_sales_is_refused(tmp_path: Path, sales: int) -> None:
    with pytest.raises(SimulatorError, match=f"of {sales} sales cannot be invented: give at least 1"):
        market.write(sales=sales, seed=1, directory=tmp_path / "out")
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(SimulatorError, match=r"seed of -1 cannot be: give a whole number from 0"):
        market.simulate(sales=10, seed=-1)
