"""A data scientist's journey: own sales in, a verdict out, a promotion under a running server, and the way back."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import polars as pl

from tests.journeys.conftest import AS_OF, Start, invented_sales

MAPPING = """
[columns]
market = { value = "GB" }
currency = { value = "GBP" }
grade = { from = "wear", words = { "like new" = "PREMIUM", "ok" = "GOOD", "broken" = "PARTS" } }
"""
WORDS = {"PREMIUM": "like new", "GOOD": "ok", "PARTS": "broken"}
ANSWERS = {
    "powers_on": True,
    "fully_functional": True,
    "screen": "LIGHT",
    "body": "LIGHT",
    "carrier_locked": False,
    "activation_locked": False,
    "blacklisted": False,
}


def reprise(home: Path, *arguments: str, code: int = 0) -> str:
    """Run the command line, and tell what it printed."""
    command = [sys.executable, "-m", "training", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def own_table(folder: Path, level: float) -> Path:
    """Somebody's own table: other words for the grades, no market, no currency."""
    path = folder / f"sales-{level}.csv"
    kept = invented_sales(level=level).filter(pl.col("grade").is_in(list(WORDS)))
    kept.with_columns(wear=pl.col("grade").replace_strict(WORDS)).drop(
        "row", "grade", "market", "currency"
    ).write_csv(path)
    return path


def quote(client: httpx2.Client, key: str) -> dict[str, Any]:
    device = {"category": "smartphone", "brand": "Apple", "model": "iPhone 13", "storage_gb": 128}
    body = {"market": "GB", "device": device, "answers": ANSWERS}
    reply = client.post("/v1/buyback/quotes", json=body, headers={"Idempotency-Key": key})
    assert reply.status_code == 201, reply.text
    return reply.json()


def until_version(client: httpx2.Client, version: str) -> dict[str, Any]:
    """Wait until a version is in office, for a bounded number of looks."""
    for _ in range(300):
        reply = client.get("/v1/models/champion")
        if reply.status_code == 200 and reply.json()["model"]["version"] == version:
            return reply.json()
        time.sleep(0.1)
    raise AssertionError(f"version {version} did not come into office")


def test_own_sales_become_the_champion_of_a_running_server_and_can_be_taken_back(
    tmp_path: Path, start: Start
) -> None:
    mapping = tmp_path / "own.toml"
    mapping.write_text(MAPPING, "utf-8")
    how = ("--map", str(mapping), "--window-days", "14", "--origins", "1", "--as-of", str(AS_OF), "--promote")

    first = reprise(tmp_path, "retrain", "--sales", str(own_table(tmp_path, 1.0)), *how)
    assert "Verdict: passed" in first
    assert "plain_lightgbm" in first

    with start(tmp_path) as server, server.client() as client:
        until_version(client, "1")
        before = quote(client, "journey-1")
        assert before["model"]["version"] == "1"

        dearer = reprise(tmp_path, "retrain", "--sales", str(own_table(tmp_path, 1.2)), *how, "--no-gate")
        assert "Registered as version 2" in dearer
        until_version(client, "2")
        after = quote(client, "journey-2")
        assert after["model"]["version"] == "2"
        assert float(after["offer"]["amount"]) > float(before["offer"]["amount"])
        assert client.get(f"/v1/buyback/quotes/{before['quote_id']}").json()["offer"] == before["offer"]
        assert quote(client, "journey-1") == before

        assert "Version 1 is in office again" in reprise(tmp_path, "rollback")
        until_version(client, "1")
        assert server.stop() == 0

    listed = reprise(tmp_path, "models")
    assert "champion" in listed
    devices = tmp_path / "devices.csv"
    devices.write_text(
        "market,currency,category,brand,model,storage_gb,grade\n"
        "GB,GBP,smartphone,Apple,iPhone 13,128,GOOD\n"
        "GB,GBP,smartphone,Apple,iPhone 13,128,WORN\n",
        "utf-8",
    )
    out = tmp_path / "values.csv"
    reprise(tmp_path, "appraise", "--devices", str(devices), "--on", str(AS_OF), "--out", str(out), code=1)
    values = pl.read_csv(out)
    assert values["p50"][0] > 0
    assert values["p50"][1] is None
    assert "WORN" in values["fault"][1]
    by_uri = tmp_path / "by-uri.parquet"
    how = ("--on", str(AS_OF), "--out", str(by_uri), "--appraiser", "models:/reprise-appraiser/1")
    reprise(tmp_path, "appraise", "--devices", str(devices), *how, code=1)
    assert pl.read_parquet(by_uri)["p50"][0] == values["p50"][0]
