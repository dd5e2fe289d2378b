"""Laws of measures: they tell what happened, on this machine only, and never grow with what callers send."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from serving import metrics
from tests.serving.conftest import House


def told() -> dict[str, float]:
    """Every series and its value."""
    lines = generate_latest(metrics.REGISTRY).decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


@pytest.fixture
def change() -> Iterator[Any]:
    before = told()
    yield lambda name: told().get(name, 0.0) - before.get(name, 0.0)


def test_answers_are_counted_by_template_and_timed(house: House, quote: Any, change: Any) -> None:
    given = quote().json()
    house.client.get(f"/v1/buyback/quotes/{given['quote_id']}")
    house.client.get(f"/v1/buyback/quotes/{'0' * 32}")
    route = "/v1/buyback/quotes/{quote_id}"
    assert change(f'reprise_requests_total{{route="{route}",status="2xx"}}') == 1
    assert change(f'reprise_requests_total{{route="{route}",status="4xx"}}') == 1
    assert change(f'reprise_request_seconds_count{{route="{route}",status="2xx"}}') == 1
    assert change('reprise_request_seconds_count{route="*",status="4xx"}') == 1
    assert change('reprise_decisions_total{decision="OFFER",market="GB"}') == 1
    assert change("reprise_store_commit_seconds_count") >= 1


def test_what_was_refused_for_want_of_room_or_by_a_limit_is_counted(house: House, change: Any) -> None:
    house.client.app.state.admission.most = 0  # type: ignore[attr-defined]
    house.client.get("/v1/markets")
    assert change("reprise_shed_total") == 1
    for n in range(21):
        house.client.get("/v1/markets", headers={"Authorization": f"Bearer {n:012x}.x"})
    assert change('reprise_limited_total{limit="too_many_bad_keys"}') == 1


def test_the_appraiser_in_office_is_told_with_its_age() -> None:
    as_of = datetime.now(UTC).date() - timedelta(days=12)
    metrics.in_office("7", as_of)
    found = told()
    assert found["reprise_champion_version"] == 7
    assert found["reprise_champion_age_days"] == 12
    assert found["reprise_champion_as_of_timestamp_seconds"] % 86400 == 0


@pytest.mark.parametrize("devices", [500, pytest.param(100_000, marks=pytest.mark.soak)])
def test_the_number_of_series_does_not_grow_with_what_is_asked(house: House, devices: int) -> None:
    for n in range(devices):
        house.client.get(f"/v1/devices/device-{n}")
        if n % 5 == 0:
            house.client.get(f"/nowhere/{n}")
    found = told()
    assert len(found) < 500
    assert not [name for name in found if re.search(r"device-\d|nowhere", name)]


def test_even_if_every_route_gave_every_kind_of_answer_the_series_are_few() -> None:
    script = (
        "from prometheus_client import generate_latest\n"
        "from serving import metrics\nfrom serving.entries import ENTRIES\nfrom valuation import markets\n"
        "for name in [*ENTRIES, 'X ']:\n"
        "  for status in (200, 303, 400, 500) if name == 'POST /sell' else (200, 400, 500):\n"
        "    metrics.answered(route=name.partition(' ')[2], status=status, seconds=0.1)\n"
        "[metrics.decided(m, d) for m in markets.markets() for d in ('OFFER', 'REVIEW', 'RECYCLE', 'REFUSE')]\n"
        "[metrics.cached(hit) for hit in (True, False)]\n"
        "[metrics.limited(f'too_many_{why}') for why in ('rate', 'devices', 'bad_keys')]\n"
        "print(sum(l[0] != '#' for l in generate_latest(metrics.REGISTRY).decode().splitlines()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500


def fetched(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_measures_are_told_on_a_port_of_their_own_and_not_beside_the_api(house: House) -> None:
    port = metrics.serve(0)
    assert "reprise_requests_total" in fetched(port)
    assert house.client.get("/metrics").status_code == 404


def test_a_port_that_is_taken_stops_nothing() -> None:
    port = metrics.serve(0)
    assert metrics.serve(port) == 0
    assert "reprise" in fetched(port)


@pytest.mark.parametrize("memory", ["", "none"])
def test_several_workers_are_told_together(tmp_path: Path, memory: str) -> None:
    script = (
        "import os, subprocess, sys, pathlib, urllib.request\n"
        "from serving import metrics\n"
        f"metrics.MEMORY = pathlib.Path({str(tmp_path / memory)!r})\n"
        f"port = metrics.serve(0, together=pathlib.Path({str(tmp_path / 'home')!r}))\n"
        'work = \'from serving import metrics; metrics.decided("GB", "OFFER"); metrics.waiting(3)\'\n'
        "for _ in range(2): subprocess.run([sys.executable, '-c', work], check=True)\n"
        "taken = metrics.serve(port, together=pathlib.Path('elsewhere'))\n"
        "assert taken == 0\n"
        "print(urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics').read().decode())\n"
    )
    env = {name: value for name, value in os.environ.items() if name != metrics.TOGETHER}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert 'reprise_decisions_total{decision="OFFER",market="GB"} 2.0' in done.stdout
    assert (tmp_path / "home" / "metrics").exists() == bool(memory)
