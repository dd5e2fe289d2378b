"""The main job on real input: laptops sold on eBay UK in 2020, from the table to an explained quote."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.journeys.conftest import Start

MAPPING = Path(__file__).parents[2] / "notebooks" / "mappings" / "uk-laptops.toml"
LAPTOP = {
    "category": "laptop",
    "brand": "Dell",
    "model": "latitude e7470",
    "storage_gb": 256,
    "attributes": {"ram_gb": 16, "cpu_tier": 7, "cpu_generation": 6, "screen_in": 14, "storage_is_ssd": 1},
}
ANSWERS = {
    "powers_on": True,
    "fully_functional": True,
    "screen": "LIGHT",
    "body": "LIGHT",
    "carrier_locked": False,
    "activation_locked": False,
    "blacklisted": False,
}


def retrain(home: Path, sales: Path, *more: str) -> str:
    command = [sys.executable, "-m", "training", "retrain", "--sales", str(sales), "--map", str(MAPPING)]
    how = ["--origins", "1", "--promote", "--home", str(home), *more]
    done = subprocess.run([*command, *how], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until_version(client: httpx2.Client, version: str) -> None:
    for _ in range(300):
        reply = client.get("/v1/models/champion")
        if reply.status_code == 200 and reply.json()["model"]["version"] == version:
            return
        time.sleep(0.1)
    raise AssertionError(f"version {version} did not come into office")


def quote(client: httpx2.Client, key: str) -> dict[str, Any]:
    body = {"market": "GB", "device": LAPTOP, "answers": ANSWERS}
    reply = client.post("/v1/buyback/quotes", json=body, headers={"Idempotency-Key": key})
    assert reply.status_code == 201, reply.text
    return reply.json()


@pytest.fixture(scope="module")
def home(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("laptops")
    table = retrain(home, real_data / "uk_laptops_sold_2020.parquet")
    assert "Verdict: passed" in table
    return home


def studied(home: Path) -> dict[str, dict[str, Any]]:
    (study,) = home.glob("artifacts/**/study.json")
    return {line["valued by"]: line for line in json.loads(study.read_text("utf-8"))["overall"]}


CHANCE = 1.05  # of some 560 laptops' median error: plain LightGBM is level on them, not beaten


def test_the_last_four_weeks_are_predicted_better_than_by_every_rule_and_about_as_well_as_by_trees(
    home: Path,
) -> None:
    lines = studied(home)
    ours = lines.pop("reprise")
    assert ours["n"] > 500
    assert set(lines) == {"model_median", "last_sale", "linear_hedonic", "plain_lightgbm"}
    assert ours["mdape"] < CHANCE * lines.pop("plain_lightgbm")["mdape"]
    assert all(ours["mdape"] < line["mdape"] for line in lines.values())
    assert 0.8 < ours["coverage_90"] < 0.97


def test_a_real_laptop_gets_an_explained_quote_that_a_later_champion_does_not_change(
    home: Path, real_data: Path, start: Start
) -> None:
    with start(home) as server, server.client() as client:
        until_version(client, "1")
        first = quote(client, "one")
        assert first["decision"] == "OFFER"
        lines = [Decimal(line["amount"]["amount"]) for line in first["breakdown"]]
        assert sum(lines) == Decimal(first["offer"]["amount"]) > 0
        resale = {name: Decimal(first["resale"][name]["amount"]) for name in ("p10", "p50", "p90")}
        assert resale["p10"] < resale["p50"] < resale["p90"]
        assert first["confidence"]["basis"] == "model"
        explained = sum(Decimal(e["effect"]["amount"]) for e in first["explanation"])
        assert abs(explained - resale["p50"]) <= Decimal("0.20")
        assert first["valid_until"] > first["quoted_at"]
        assert first["model"]["version"] == "1"
        assert first["simulated"] is False
        assert quote(client, "one") == first

        retrain(home, real_data / "uk_laptops_sold_2020.parquet", "--seed", "2", "--no-gate")
        until_version(client, "2")
        assert quote(client, "two")["model"]["version"] == "2"
        assert client.get(f"/v1/buyback/quotes/{first['quote_id']}").json()["offer"] == first["offer"]
        assert server.stop() == 0
