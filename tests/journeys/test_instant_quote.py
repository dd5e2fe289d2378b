"""A customer's quote, through the front door: a registry, a server started as people start it, and HTTP."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.journeys.customers import ANSWERS
from training.registry import Registry

ASK = {
    "market": "GB",
    "device": {"device_id": "apple-iphone-13-128gb"},
    "answers": ANSWERS,
}


def _promote(home: Path, directory: Path) -> str:
    """Register a directory as the next version and put it into office."""
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
    tags = {"verdict": "passed"}
    version = registry.log(directory=directory, params={}, measures={}, tags=tags, files={}).version
    return registry.promote(version).version


def _until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found


def _total(quote: dict[str, Any]) -> Decimal:
    return sum((Decimal(line["amount"]["amount"]) for line in quote["breakdown"]), Decimal(0))


def _memory_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def _children(process_id: int) -> list[str]:
    return Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()


def test_a_quote_is_promised_kept_and_outlives_promotions_and_damage(
    tmp_path: Path, pack: Any, directory: Path, start: Any
) -> None:
    home = tmp_path

    # Nothing is promoted yet: the server lives and is not ready.
    with start(home) as server, server.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503

        # A first version is promoted; the server takes it into office and prints how to ask.
        assert _promote(home, directory) == "1"
        command = shlex.split(server.read_until("curl .*", seconds=90)[0])
        headers = dict(line.split(": ") for flag, line in pairwise(command) if flag == "-H")
        printed = client.post(command[2], content=command[-1], headers=headers)
        assert (printed.status_code, printed.json()["decision"]) == (201, "OFFER")

        # The quote is itemised to the cent, explained, and one for one key.
        mine = {"Idempotency-Key": "mine"}
        first = client.post("/v1/buyback/quotes", json=ASK, headers=mine)
        quote = first.json()
        assert _total(quote) == Decimal(quote["offer"]["amount"]) > 0
        assert (quote["model"]["version"], quote["simulated"]) == ("1", True)
        assert quote["confidence"]["basis"] == "model" and quote["confidence"]["comparables"] > 100
        assert len(quote["explanation"]) > 3
        assert client.post("/v1/buyback/quotes", json=ASK, headers=mine).content == first.content
        assert _memory_mib(server.process.pid) < 350

        # A second version takes office without a restart; the first quote stays as it was.
        assert _promote(home, pack(level=1.5)) == "2"
        champion = "/v1/models/champion"
        _until(lambda: client.get(champion).json()["model"]["version"] == "2")
        second = client.post("/v1/buyback/quotes", json=ASK, headers={"Idempotency-Key": "second"}).json()
        assert second["model"]["version"] == "2"
        assert Decimal(second["offer"]["amount"]) > Decimal(quote["offer"]["amount"])
        assert client.post("/v1/buyback/quotes", json=ASK, headers=mine).content == first.content

        # A damaged version is refused; the one in office goes on.
        damaged = pack(level=2.0)
        trees = damaged / "trees.json"
        trees.write_bytes(trees.read_bytes()[: trees.stat().st_size // 2])
        assert _promote(home, damaged) == "3"
        _until(lambda: "version refused" in (home / "server.log").read_text())
        assert client.get(champion).json()["model"]["version"] == "2"
        third = client.post("/v1/buyback/quotes", json=ASK, headers={"Idempotency-Key": "third"})
        assert third.status_code == 201


def test_quotes_and_the_champion_survive_a_restart_without_a_registry(
    tmp_path: Path, directory: Path, start: Any, employ: Any
) -> None:
    employ(tmp_path, directory)
    mine = {"Idempotency-Key": "mine"}
    with start(tmp_path) as server, server.client() as client:
        first = client.post("/v1/buyback/quotes", json=ASK, headers=mine)
        couriers = _children(server.process.pid)
        assert couriers
        assert server.stop() == 0
        _until(lambda: not any(Path(f"/proc/{courier}").exists() for courier in couriers), seconds=10)

    with start(tmp_path) as server, server.client() as client:
        assert client.get("/readyz").status_code == 200
        assert client.get(f"/v1/buyback/quotes/{first.json()['quote_id']}").json() == first.json()
        assert client.post("/v1/buyback/quotes", json=ASK, headers=mine).content == first.content
        assert server.stop() == 0


def test_the_log_is_one_json_line_an_event_and_keeps_nothing_that_a_person_sent(
    tmp_path: Path, directory: Path, start: Any, employ: Any
) -> None:
    employ(tmp_path, directory)
    with start(tmp_path) as server, server.client() as client:
        quote = client.post("/v1/buyback/quotes", json=ASK, headers={"Idempotency-Key": "anna"}).json()
        client.get(f"/v1/buyback/quotes/{quote['quote_id']}")
        client.get("/v1/devices?q=annas+phone")
        client.get("/anna")
        server.stop()
    lines = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    routes = [line["route"] for line in lines if line["event"] == "answered"]
    assert routes == ["/v1/buyback/quotes", "/v1/buyback/quotes/{quote_id}", "/v1/devices", ""]
    assert "anna" not in str(lines) and quote["quote_id"] not in str(lines)


def test_a_server_that_is_killed_takes_its_courier_along(tmp_path: Path, start: Any) -> None:
    with start(tmp_path) as server:
        courier = _until(lambda: _children(server.process.pid))[0]
        _until(lambda: "registry away" in (tmp_path / "server.log").read_text())
        server.process.kill()
        _until(lambda: not Path(f"/proc/{courier}").exists(), seconds=15)


def test_a_courier_that_is_killed_never_harms_the_server(tmp_path: Path, start: Any) -> None:
    with start(tmp_path) as server, server.client() as client:
        courier = _until(lambda: _children(server.process.pid))[0]
        os.kill(int(courier), 9)
        _until(lambda: [child for child in _children(server.process.pid) if child != courier], seconds=20)
        assert client.get("/livez").status_code == 200


def _refused(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving", "--home", str(home)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )


def test_a_wrong_setting_stops_the_start_with_its_name(tmp_path: Path) -> None:
    ended = _refused(tmp_path, REPRISE_PORT="many")
    assert ended.returncode == 2
    assert "port" in ended.stderr and "Traceback" not in ended.stderr


def test_a_home_that_is_no_folder_stops_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    ended = _refused(tmp_path / "home")
    assert ended.returncode == 1
    assert str(tmp_path / "home") in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ended = _refused(tmp_path, REPRISE_PORT=str(taken.getsockname()[1]))
    assert ended.returncode != 0
    assert "Address already in use" in ended.stderr and "Traceback" not in ended.stderr
