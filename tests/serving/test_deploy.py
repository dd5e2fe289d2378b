"""Laws of what is deployed: measures and settings that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

from serving import metrics
from serving.settings import OF_OTHERS, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _told() -> set[str]:
    return {sample.name for family in metrics.REGISTRY.collect() for sample in family.samples} | {
        f"{family.name}{end}"
        for family in metrics.REGISTRY.collect()
        for end in ("_bucket", "_count", "_total")
    }


def test_alerts_and_dashboard_ask_only_for_what_is_measured() -> None:
    asked = (DEPLOY / "alerts.yml").read_text() + (DEPLOY / "dashboard.json").read_text()
    names = set(re.findall(r"\breprise_[a-z_]+", asked))
    metrics.committed(1, 0.01)
    assert names and names <= _told()
    assert json.loads((DEPLOY / "dashboard.json").read_text())["panels"]


def test_more_can_wait_for_the_store_than_its_alert_needs() -> None:
    alerts = (DEPLOY / "alerts.yml").read_text()
    [needed] = re.findall(r"reprise_store_waiting > ([0-9]+)", alerts)
    assert 0 < int(needed) < Settings().most_inside


def test_every_setting_of_the_deployment_is_one() -> None:
    for file in ("Dockerfile", "compose.yaml", "deploy/reprise.service"):
        told = set(re.findall(r"\bREPRISE_[A-Z_]+", (ROOT / file).read_text())) - set(OF_OTHERS)
        assert {name.removeprefix("REPRISE_").lower() for name in told} <= set(Settings.model_fields)
