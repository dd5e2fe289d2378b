"""Laws of connections, over real sockets: nobody keeps one by being slow, and nobody's head is too large."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from serving import connection, guard
from tests.serving import wire
from tests.serving.conftest import House
from tests.serving.wire import Client, head

LIVE = head("GET", "/livez")


@pytest.fixture
def port(house: House) -> Iterator[int]:
    with wire.listening(house.client.app) as port:
        yield port


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(connection, "REST_SECONDS", 0.4)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.4)


def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    with Client(port) as client:
        assert [client.ask(LIVE)[0] for _ in range(3)] == [200, 200, 200]
        client.send(LIVE + LIVE)
        assert [client.answer()[0] for _ in range(2)] == [200, 200]


def test_who_connects_and_says_nothing_is_closed(port: int) -> None:
    with Client(port) as client:
        assert 0.3 < client.seconds_until_closed() < 3


@pytest.mark.parametrize("before", [b"", LIVE], ids=["first request", "second request"])
def test_a_head_that_comes_letter_by_letter_is_told_and_closed(port: int, before: bytes) -> None:
    with Client(port) as client:
        if before:
            client.ask(before)
        began = time.monotonic()
        for letter in LIVE[:12]:
            client.send(bytes([letter]))
            time.sleep(0.02)
        status, body = client.answer()
        assert (status, json.loads(body)["code"]) == (408, "head_too_slow")
        client.seconds_until_closed()
        assert time.monotonic() - began < 3


def test_empty_lines_are_no_request(port: int) -> None:
    with Client(port) as client:
        client.ask(LIVE)
        client.send(b"\r\n\r\n")
        assert client.seconds_until_closed() < 3


def test_a_body_that_comes_too_slowly_is_told_and_closed(port: int) -> None:
    with Client(port) as client:
        top = head("POST", "/v1/buyback/quotes", content_type="application/json", content_length="100")
        status, body = client.ask(top + b'{"')
        assert (status, json.loads(body)["code"]) == (408, "body_too_slow")
        assert client.seconds_until_closed() < 3


def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for_long(port: int) -> None:
    with Client(port) as client:
        top = head("POST", "/v1/buyback/quotes", content_type="application/json", content_length="100000000")
        status, body = client.ask(top + b"x" * 10)
        assert (status, json.loads(body)["code"]) == (413, "body_too_large")
        assert client.seconds_until_closed() < 3


def test_a_refused_body_leaves_the_connection_to_the_next_request(port: int) -> None:
    with Client(port) as client:
        top = head("POST", "/v1/buyback/quotes", content_type="text/plain", content_length="1000")
        assert client.ask(top + b"x" * 1000)[0] == 415
        assert client.ask(LIVE)[0] == 200


@pytest.mark.parametrize("name", ["one header", "many headers", "an address"])
@pytest.mark.parametrize("ends", [True, False])
def test_a_head_that_is_too_large_is_refused(port: int, name: str, ends: bool) -> None:
    large = {
        "one header": b"GET /livez HTTP/1.1\r\nhost: testserver\r\nx: " + b"a" * 200_000,
        "many headers": b"GET /livez HTTP/1.1\r\nhost: testserver" + b"\r\nx: a" * 50_000,
        "an address": b"GET /livez?" + b"a" * 200_000,
    }[name]
    last = (b" HTTP/1.1" if name == "an address" else b"") + b"\r\n\r\n"
    with Client(port) as client:
        with suppress(OSError):
            for start in range(0, len(large), 10_000):
                client.send(large[start : start + 10_000])
            client.send(last if ends else b"")
        status, _ = client.answer()
        assert status in (400, 414, 431, 0)  # 0: closed while it was still sending
    with Client(port) as client:
        assert client.ask(LIVE)[0] == 200


@pytest.mark.parametrize("before", [b"", LIVE, head("POST", "/sell", content_length="2") + b"{}"])
def test_a_head_of_many_lines_is_refused_before_it_is_read_to_its_end(
    port: int, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    read = []
    on_header = connection.Connection.on_header
    monkeypatch.setattr(
        connection.Connection, "on_header", lambda self, *told: (read.append(told), on_header(self, *told))
    )
    with Client(port) as client:
        client.send(before + b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 10_000)
        if not before:
            status, body = client.answer()
            assert (status, json.loads(body)["code"]) == (431, "head_too_large")
        client.seconds_until_closed()
    assert len(read) < 1000


def test_a_large_head_in_one_piece_is_refused_by_name(port: int) -> None:
    with Client(port) as client:
        status, body = client.ask(head("GET", "/livez", x="a" * 17_000))
        assert (status, json.loads(body)["code"]) == (431, "head_too_large")


NOT_HTTP = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "no version": b"GET /livez\r\n\r\n",
    "a length and chunks": head("POST", "/v1/valuations", content_length="4", transfer_encoding="chunked"),
    "two lengths": head("POST", "/v1/valuations", content_length="4, 5"),
    "a length in letters": head("POST", "/v1/valuations", content_length="four"),
    "a length below zero": head("POST", "/v1/valuations", content_length="-1"),
    "a space before the colon": b"GET /livez HTTP/1.1\r\nhost : testserver\r\n\r\n",
    "a header on two lines": b"GET /livez HTTP/1.1\r\nhost: testserver\r\nx: a\r\n b\r\n\r\n",
    "NUL in a header": b"GET /livez HTTP/1.1\r\nhost: testserver\r\nx: a\x00b\r\n\r\n",
    "a bare CR in a header": b"GET /livez HTTP/1.1\r\nhost: testserver\r\nx: a\rb\r\n\r\n",
    "a method of its own": b"OFFER /livez HTTP/1.1\r\nhost: testserver\r\n\r\n",
    "letters beyond ASCII in the address": "GET /é HTTP/1.1\r\nhost: testserver\r\n\r\n".encode(),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nhost: testserver\r\nhost: testserver\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_no_request_is_a_problem(port: int, name: str) -> None:
    with Client(port) as client:
        status, body = client.ask(NOT_HTTP[name] + b"4\r\nabcd\r\n0\r\n\r\n")
        assert status == 400
        assert json.loads(body)["type"] == "about:blank"


def test_a_chunk_that_is_none_is_refused(port: int) -> None:
    with Client(port) as client:
        top = head("POST", "/v1/valuations", content_type="application/json", transfer_encoding="chunked")
        assert client.ask(top + b"zz\r\n")[0] == 400


def test_a_websocket_is_not_spoken(port: int) -> None:
    with Client(port) as client:
        wish = head("GET", "/livez", connection="upgrade", upgrade="websocket", sec_websocket_key="eA==")
        assert client.ask(wish)[0] == 200


def test_beyond_the_connections_that_are_allowed_only_health_is_answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 5.0)
    with wire.listening(house.client.app, most=3) as port, ExitStack() as stack:
        busy = [stack.enter_context(Client(port)) for _ in range(3)]
        for each in busy:
            each.send(LIVE[:10])
        crowded = stack.enter_context(Client(port))
        assert crowded.ask(LIVE)[0] == 200
        status, body = crowded.ask(head("GET", "/v1/markets"))
        assert (status, json.loads(body)["code"]) == (503, "full")
        assert busy[1].ask(LIVE[10:])[0] == 200


def test_who_is_idle_makes_room_for_who_comes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 5.0)
    with wire.listening(house.client.app, most=3) as port, ExitStack() as stack:
        silent = [stack.enter_context(Client(port)) for _ in range(30)]
        asking = stack.enter_context(Client(port))
        assert asking.ask(head("GET", "/v1/markets"))[0] == 200
        assert silent[0].seconds_until_closed() < 1
        again = [stack.enter_context(Client(port)) for _ in range(2)]
        assert again[-1].ask(head("GET", "/v1/markets"))[0] == 200


def test_who_asks_on_and_on_without_waiting_for_an_answer_is_left(port: int) -> None:
    with Client(port) as client:
        with suppress(OSError):
            client.send(head("GET", "/v1/markets") * 10_000)
        assert client.seconds_until_closed() < 3


def test_a_body_that_would_be_lost_with_an_upgrade_is_refused(port: int) -> None:
    with Client(port) as client:
        wish = {"connection": "Upgrade", "upgrade": "h2c", "content_length": str(len(LIVE))}
        client.send(head("POST", "/v1/buyback/quotes", **wish))
        time.sleep(0.05)
        with suppress(OSError):
            client.send(LIVE)
        status, body = client.answer()
        assert (status, json.loads(body)["code"]) == (400, "upgrade")
        assert client.answer() == (0, b"")


def test_who_was_refused_because_the_house_is_full_is_not_read_again_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(connection.PAUSE_SECONDS) * (1 + connection.SPREAD) < 5  # HEAD_SECONDS, as they are in office
    monkeypatch.setattr(connection, "PAUSE_SECONDS", (0.25, 0.25))
    house.client.app.state.admission.most = 0  # type: ignore[attr-defined]
    with wire.listening(house.client.app) as port, Client(port) as client:
        ask = head("GET", "/v1/markets")
        assert client.ask(ask)[0] == 503
        began = time.monotonic()
        assert client.ask(ask)[0] == 503
        assert time.monotonic() - began >= 0.2
        with Client(port) as doctor:
            began = time.monotonic()
            assert doctor.ask(LIVE)[0] == 200
            assert time.monotonic() - began < 0.2
