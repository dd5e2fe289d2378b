"""Customers of a running server who do not give up: each asks again with the same key until he is answered."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 60.0
ANSWERS = {
    "powers_on": True,
    "fully_functional": True,
    "screen": "LIGHT",
    "body": "LIGHT",
    "battery_health": 0.9,
    "carrier_locked": False,
    "activation_locked": False,
    "blacklisted": False,
}


def ask(
    port: int, method: str, path: str, body: Any = None, key: str = "", seconds: float = 10.0
) -> tuple[int, bytes]:
    """One request on a connection of its own: its status and body. OSError or HTTPException where it is cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    headers = {"Content-Type": "application/json", "Idempotency-Key": key} if body is not None else {}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@dataclass
class Customers:
    """Some customers who together ask so many quotes a second until they are told to stop.

    `answered` holds what each key was answered, `tries` how often one asked for it, `refused` the answers other than
    yes, which are asked again.
    """

    port: int
    bodies: Sequence[Any]
    per_second: float = 50.0
    count: int = 8
    answered: dict[str, bytes] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[int, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Customers:
        self._threads = [threading.Thread(target=self._ask_on, args=(each,)) for each in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, number: int) -> None:
        draw, every = random.Random(number), self.count / self.per_second
        turn = time.monotonic() + every * number / self.count
        while not self._over.is_set():
            time.sleep(max(0.0, turn - time.monotonic()))
            turn = max(turn + every, time.monotonic() - 1.0)
            self._until_answered(uuid.uuid4().hex, draw.choice(self.bodies))

    def _until_answered(self, key: str, body: Mapping[str, Any]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            self.tries[key] = self.tries.get(key, 0) + 1
            began = time.perf_counter()
            try:
                status, content = ask(self.port, "POST", "/v1/buyback/quotes", body, key)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status == 201:
                self.took_ms.append(1000 * (time.perf_counter() - began))
                self.answered[key] = content
                return
            self.refused.append((status, content))
            if status not in (429, 503):
                break
            time.sleep(0.1)
        self.lost.append(key)
