"""A machine that does to quotes whatever may be done, beside a model of a few lines of what must come of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from starlette.testclient import TestClient

from serving.app import create_app
from serving.champion import Champion
from serving.checking import check
from serving.database import Database
from serving.expiry import _sweep
from serving.incumbent import Incumbent
from serving.keys import Keys
from serving.quotes import Quotes
from serving.settings import Settings
from tests.serving.conftest import ANSWERS, LAPTOP, START, InventedAppraiser

WHICH = st.integers(0, 999)  # of the quotes, in their order: their ids are others in each run
KEYS = st.integers(0, 7).map(lambda number: f"key-{number}")
ASKS = st.sampled_from(
    [
        {"market": "GB", "device": LAPTOP, "answers": ANSWERS},
        {"market": "GB", "device": LAPTOP, "answers": ANSWERS | {"screen": "CRACKED"}},
        {"market": "FR", "device": LAPTOP, "answers": ANSWERS},
        {"market": "GB", "device": LAPTOP, "answers": ANSWERS | {"blacklisted": True}},
        {"market": "GB", "device": LAPTOP, "answers": ANSWERS, "unit": {"imei": "490154203237518"}},
    ]
)
FINDINGS = st.sampled_from([{}, {"screen": "CRACKED"}, {"screen": "FLAWLESS"}, {"blacklisted": True}])


class Customers(RuleBasedStateMachine):
    """Asks, steps, repetitions, restarts and the passing of time; the model knows quotes as small dictionaries."""

    steps = 0  # of all machines

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="reprise-machine-"))
        self.now: datetime = START
        self.answers: dict[str, tuple[str, bytes]] = {}  # by key: what was asked, and the answer
        self.quotes: dict[str, dict[str, Any]] = {}
        self.open: Any = None
        keys = Keys(Settings(home=self.folder).keys, lambda: self.now)
        self.key = keys.new(name="all", scopes=frozenset(("storefront", "seller", "operator")))

    @initialize()
    def start(self) -> None:
        self._open()

    @invariant()
    def count(self) -> None:
        Customers.steps += 1

    def teardown(self) -> None:
        if self.open:
            assert check(self.store.database).quotes == len(self.quotes)
            self.open.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> None:
        told = Settings(home=self.folder, allowed_hosts=("testserver",))
        champion = Champion(folder=told.champion)
        champion.incumbent = Incumbent(InventedAppraiser(), "1")  # type: ignore[arg-type]
        self.store = Quotes(database=Database(url=told.quotes))
        app = create_app(settings=told, champion=champion, quotes=self.store, now=lambda: self.now)
        self.open = TestClient(app, raise_server_exceptions=False)
        self.client = self.open.__enter__()
        self.client.headers["Authorization"] = f"Bearer {self.key}"

    @rule()
    def restart(self) -> None:
        """The server ends and starts again; what it remembered is gone, what it promised is not."""
        self.open.__exit__(None, None, None)
        self._open()

    @rule(hours=st.sampled_from([1, 24, 24 * 7, 24 * 13]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def sweep(self) -> None:
        while not _sweep(self.store, self.now - timedelta(days=400), self.now):
            pass

    @rule(key=KEYS, ask=ASKS)
    def ask(self, key: str, ask: dict[str, Any]) -> None:
        wanted = json.dumps(ask, sort_keys=True)
        answer = self._post("/v1/buyback/quotes", ask, key)
        if key in self.answers:
            self._repeated(key, wanted, answer)
            return
        taken = "unit" in ask and any(
            each["unit"] and self._status(each) in LIVE for each in self.quotes.values()
        )
        if taken:
            assert (answer.status_code, answer.json()["code"]) == (409, "unit_taken")
            return
        assert answer.status_code == 201, answer.text
        given = answer.json()
        self.answers[key] = (wanted, answer.content)
        self.quotes[given["quote_id"]] = {
            "status": "ISSUED",
            "amount": given["offer"],
            "offered": given["decision"] == "OFFER",
            "until": datetime.fromisoformat(given["valid_until"]),
            "unit": "unit" in ask and given["decision"] == "OFFER",
            "inspected": False,
        }

    @precondition(lambda self: self.quotes)
    @rule(key=KEYS, which=WHICH, step=st.sampled_from(["accept", "payment", "void"]))
    def step(self, key: str, which: int, step: str) -> None:
        quote_id = self._quote(which)
        body = {"reason": "RETURNED"} if step == "void" else {"amount": self.quotes[quote_id]["amount"]}
        self._happen(quote_id, step, body, key)

    @precondition(lambda self: self.quotes)
    @rule(key=KEYS, which=WHICH, found=FINDINGS)
    def inspect(self, key: str, which: int, found: dict[str, Any]) -> None:
        self._happen(self._quote(which), "inspection", {"found": ANSWERS | found}, key)

    def _happen(self, quote_id: str, step: str, body: dict[str, Any], key: str) -> None:
        quote, path = self.quotes[quote_id], f"/v1/buyback/quotes/{quote_id}/{step}"
        wanted = path + json.dumps(body, sort_keys=True)
        answer = self._post(path, body, key)
        if key in self.answers:
            self._repeated(key, wanted, answer)
            return
        status = self._status(quote)
        possible = {
            "accept": status in ("ISSUED", "REQUOTED")
            and quote["offered"]
            and quote["amount"]["amount"] != "0.00",
            "inspection": status == "ACCEPTED",
            "payment": status == "PAYABLE",
            "void": status in ("ISSUED", "ACCEPTED", "REQUOTED", "PAYABLE"),
        }[step]
        if not possible:
            assert answer.status_code == 409, (step, status, answer.text)
            return
        assert answer.status_code == 200, (step, status, answer.text)
        life = answer.json()
        self.answers[key] = (wanted, answer.content)
        quote["status"], quote["amount"] = life["status"], life["amount"]
        expected = {
            "accept": ("ACCEPTED", "PAYABLE"),
            "inspection": ("PAYABLE", "REQUOTED"),
            "payment": ("PAID",),
        }
        assert life["status"] in expected.get(step, ("VOIDED",))

    @precondition(lambda self: self.quotes)
    @rule(which=WHICH)
    def read(self, which: int) -> None:
        quote_id = self._quote(which)
        quote = self.quotes[quote_id]
        life = self.client.get(f"/v1/buyback/quotes/{quote_id}/events").json()
        assert life["status"] == self._status(quote)
        if life["status"] != "EXPIRED":
            assert life["amount"] == quote["amount"]

    def _quote(self, which: int) -> str:
        return list(self.quotes)[which % len(self.quotes)]

    def _repeated(self, key: str, wanted: str, answer: Any) -> None:
        asked, content = self.answers[key]
        if asked == wanted:
            assert answer.content == content
        else:
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), answer.text

    def _status(self, quote: dict[str, Any]) -> str:
        if quote["status"] == "ISSUED" and self.now >= quote["until"]:
            return "EXPIRED"
        return str(quote["status"])

    def _post(self, path: str, body: Any, key: str) -> Any:
        return self.client.post(path, json=body, headers={"Idempotency-Key": key})


LIVE = ("ISSUED", "ACCEPTED", "REQUOTED", "PAYABLE")


@pytest.mark.parametrize(
    ("times", "steps", "least"), [(8, 40, 200), pytest.param(500, 50, 20_000, marks=pytest.mark.soak)]
)
def test_whatever_is_done_to_quotes_comes_to_what_it_must(times: int, steps: int, least: int) -> None:
    Customers.steps = 0
    run_state_machine_as_test(
        Customers,
        settings=settings(
            max_examples=times,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{Customers.steps} steps")
    assert Customers.steps >= least
