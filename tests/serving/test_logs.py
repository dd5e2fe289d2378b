"""Laws of logs: one line an event, and nothing in it that a person sent."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from typing import Any

import pytest
import structlog

from serving.database import Database
from serving.quotes import Quotes
from serving.refusal import Refusal
from serving.stored import Stored
from tests.serving import wire
from tests.serving.conftest import House
from tests.serving.routes import ADDRESSES, FORMS
from tests.serving.stores import a_quote, issue
from tests.serving.test_guard import leaves, with_raw
from tests.serving.wire import Client, head

CANARY = "490154203237518canary"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_request_is_one_line_with_its_id_its_template_and_its_status(
    house: House, quote: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(capsys)
    answer = quote()
    (line,) = [line for line in lines(capsys) if line["event"] == "answered"]
    told = {name: line[name] for name in ("method", "route", "status", "request_id", "level")}
    assert told == {
        "method": "POST",
        "route": "/v1/buyback/quotes",
        "status": 201,
        "request_id": answer.headers["x-request-id"],
        "level": "info",
    }


def test_nothing_that_was_sent_is_in_a_line(
    house: House, bodies: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    key = house.show_key("storefront", "seller", "operator")
    sent = {"Content-Type": "application/json", "Idempotency-Key": CANARY}
    for address in ADDRESSES:
        for path in leaves(bodies[address]):
            house.client.post(address, content=with_raw(bodies[address], path, f'"{CANARY}"'), headers=sent)
        house.client.post(address, json=bodies[address], headers=sent)
        house.client.post(f"{address}/{CANARY}?{CANARY}={CANARY}", json={CANARY: CANARY}, headers=sent)
    for address in FORMS:
        house.client.post(address, data={CANARY: CANARY, "device_id": CANARY, "key": CANARY})
    for name in ("Authorization", "User-Agent", "X-Forwarded-For", "Cookie", "Referer", "Accept", "Origin"):
        house.client.get(f"/v1/devices/{CANARY}?q={CANARY}", headers={name: f"Bearer {CANARY}"})
    told = capsys.readouterr().err
    assert told.count("answered") > 50
    assert CANARY not in told and CANARY[:15] not in told
    assert key.partition(".")[2] not in told


def test_a_store_that_fails_tells_nothing_of_what_it_was_to_keep(
    house: House, bodies: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with house.quotes.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE quotes RENAME TO away")
    ask = bodies["/v1/buyback/quotes"] | {
        "device": {"category": "laptop", "brand": "Lenovo", "model": CANARY},
        "unit": {"imei": CANARY[:15]},
    }
    answer = house.client.post("/v1/buyback/quotes", json=ask, headers={"Idempotency-Key": CANARY})
    told = capsys.readouterr().err
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert "store unavailable" in told
    assert CANARY[:15] not in told + answer.text


def test_what_is_sent_raw_is_in_no_line_and_makes_none_of_its_own(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    forged = '\r\n{"event": "forged"}'
    with wire.listening(house.client.app) as port:
        for raw in (
            head("GET", f"/v1/devices?q=%0d%0a{CANARY}%0a"),
            head("GET", f"/{CANARY}%0d%0aforged"),
            f"GET /{CANARY} NO-HTTP{forged}\r\n\r\n".encode(),
            f"{CANARY} / HTTP/1.1\r\n\r\n".encode(),
            head("GET", "/livez", x=f"a{forged}", user_agent=CANARY),
            head("GET", "/livez", host=CANARY),
            head("GET", "/livez", connection="upgrade", upgrade=CANARY),
        ):
            with Client(port) as client:
                assert client.ask(raw)[0] in (200, 400, 404, 422)
    told = capfd.readouterr().err
    assert all(json.loads(line) for line in told.splitlines())
    assert CANARY not in told and "forged" not in told


def test_an_exception_is_told_by_its_kind_and_place_without_its_words(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bodies: dict[str, Any],
) -> None:
    def broken(**_: object) -> None:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise RuntimeError(CANARY) from error

    monkeypatch.setattr(house.appraiser, "ladders", broken)
    assert house.client.post("/v1/valuations", json=bodies["/v1/valuations"]).status_code == 500
    told = capsys.readouterr().err
    (line,) = [json.loads(each) for each in told.splitlines() if "unforeseen" in each]
    assert line["exception"] == ["RuntimeError", "KeyError"]
    assert line["trace"][-1].endswith(" broken")
    assert CANARY not in told


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nothing(
    house: House, quote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(sys, "stderr", Full())
        assert quote().status_code == 201
        assert house.client.get("/v1/devices/none").status_code == 404


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
@pytest.mark.postgres
def test_of_a_row_that_is_refused_nothing_is_told(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    stored = Stored(quotes=Quotes(database=Database(url=store_url)), pepper=b"")
    with pytest.raises(Refusal):
        asyncio.run(_write(stored, issue(a_quote(currency="eur", request=CANARY.encode()))))
    stored.quotes.close()
    told = capsys.readouterr().err
    assert "violates check constraint" in told and CANARY not in told


async def _write(stored: Stored, work: Any) -> None:
    await stored.write(work)


def test_an_event_with_line_breaks_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("serving").warning("a\r\nb", reason="c\u2028d\x85e\n")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["reason"] == "c\u2028d\x85e\n"


def test_other_libraries_are_told_from_warnings_up_in_the_same_way() -> None:
    script = (
        "import logging\nfrom serving import logs\nlogs.configure()\n"
        "found = logging.getLogger('another.library')\nfound.info('unheard')\n"
        f"try: raise ValueError({CANARY!r})\n"
        "except ValueError: found.exception('heard\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (line,) = [json.loads(each) for each in done.stderr.splitlines()]
    assert (line["event"], line["exception"], line["level"]) == ("heard\n", ["ValueError"], "error")
    assert CANARY not in done.stderr
