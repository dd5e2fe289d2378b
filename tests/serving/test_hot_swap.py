"""A champion changes each second under load: nobody notices, but for the version that a quote names."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.journeys.conftest import Server
from tests.serving.conftest import ANSWERS
from tests.serving.copies import employ, running

Directories = tuple[Path, ...]
PER_SECOND, CLIENTS = 50, 5
LOOKING_SECONDS = 5.0  # from a turn to the office, on a machine that is busy
ASK = {"market": "GB", "device": {"device_id": "apple-iphone-13-128gb"}, "answers": ANSWERS}


@dataclass
class Reply:
    """What a quote said, and when it was asked and answered."""

    asked: float
    answered: float
    status: int
    told: dict[str, Any]


@dataclass
class Turns:
    """Turns the pointer of a folder each second, from one directory to the next, as version after version."""

    folder: Path
    directories: Directories
    at: dict[str, float] = field(default_factory=dict)

    def turn(self, seconds: float) -> None:
        """Turn until the time is over."""
        end = time.monotonic() + seconds
        for version, directory in enumerate(cycle(self.directories)):
            self.at[str(version)] = time.monotonic()
            employ(self.folder, directory, str(version))
            if time.monotonic() > end:
                return
            time.sleep(1)

    def could_be(self, version: str, reply: Reply) -> bool:
        """Whether a version may be named: it came before the answer, the question not long after the next but one."""
        after_next = self.at.get(str(int(version) + 2), float("inf"))
        return self.at[version] <= reply.answered and reply.asked <= after_next + LOOKING_SECONDS


def ask(client: httpx2.Client, end: float, wait: threading.Event) -> list[Reply]:
    """Ask for quotes at an even pace until the time is over."""
    replies: list[Reply] = []
    due = time.monotonic()
    while (asked := time.monotonic()) < end:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        got = client.post("/v1/buyback/quotes", json=ASK, headers=headers)
        replies.append(Reply(asked, time.monotonic(), got.status_code, got.json()))
        due += CLIENTS / PER_SECOND
        wait.wait(max(0.0, due - time.monotonic()))
    return replies


def swapped(server: Server, turns: Turns, seconds: float) -> list[Reply]:
    """Ask while the pointer turns."""
    end, wait = time.monotonic() + seconds, threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool, server.client() as client:
        asking = [pool.submit(ask, client, end, wait) for _ in range(CLIENTS)]
        turns.turn(seconds)
        return [reply for each in asking for reply in each.result()]


def check(home: Path, directories: Directories, seconds: float) -> None:
    """Every reply is a quote, names a version that was in office, and offers what that version offers."""
    turns = Turns(home / "champion", directories)
    employ(turns.folder, directories[0], "0")
    turns.at["0"] = time.monotonic()
    with running(home) as server:
        server.read_until("is ready")
        replies = swapped(server, turns, seconds)
        assert server.stop() == 0
    assert {reply.status for reply in replies} == {201}
    assert len(replies) >= PER_SECOND * seconds * (0.8 if seconds > 10 else 0.2), (
        "the load was too light to tell anything"
    )
    named = [reply.told["model"]["version"] for reply in replies]
    assert all(turns.could_be(version, reply) for version, reply in zip(named, replies, strict=True))
    assert len(set(named)) >= seconds / 4, "hardly any version came into office"
    offered = {
        (int(v) % len(directories), r.told["offer"]["amount"]) for v, r in zip(named, replies, strict=True)
    }
    assert len(offered) == len({place for place, _ in offered}) == len(directories)
    print(f"{len(replies)} quotes of {len(set(named))} versions, 0 errors. {replayed(home)}")


def replayed(home: Path) -> str:
    """Price the last thousand quotes of all those models again, as an operator does."""
    command = [sys.executable, "-m", "serving", "--home", str(home), "quotes", "replay"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout.strip()


def test_a_swap_each_second_under_load_fails_no_request(tmp_path: Path, directories: Directories) -> None:
    check(tmp_path, directories, 5)


@pytest.mark.soak
def test_a_swap_each_second_for_a_minute_fails_no_request(tmp_path: Path, directories: Directories) -> None:
    check(tmp_path, directories, 60)
