"""Laws of the door: what may come in, and what every answer carries."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from serving import guard
from serving.admission import Admission
from serving.entries import JSON, Entries, Entry
from serving.guard import Guard
from serving.keys import Keys
from serving.limits import Limits
from serving.refusal import Refusal
from serving.settings import Settings
from tests.serving.conftest import House, built
from tests.serving.routes import ADDRESSES as ROUTES
from tests.serving.routes import FORMS, NO_QUOTE, POSTED, PRICED

SECRET = "zqxjkv"  # stands in every bad body, and may stand in no answer
HEADERS = {"Content-Type": "application/json", "Idempotency-Key": "k"}


@pytest.fixture(autouse=True)
def everybody_may_do_everything(house: Any) -> None:
    """Who may do what is for test_keys."""
    house.show_key("storefront", "seller", "operator")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a body."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in members:
        yield (*path, name)
        yield from leaves(inner, (*path, name))


def with_raw(body: Any, path: tuple[Any, ...], raw: str) -> bytes:
    """The body with raw JSON text at a path."""
    changed = json.loads(json.dumps(body))
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "@@"
    return json.dumps(changed).replace('"@@"', raw).encode()


# Text that is no value of any field, wherever it stands.
WRONG = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus infinity": "-Infinity",
    "beyond a float": "1e400",
    "huge int": "9" * 400,
    "long int": "1234567890123456789",
    "number in quotes with underscore": '"1_0"',
    "underscore": "1_0",
    "hexadecimal": "0x10",
    "leading zero": "007",
    "minus": "-1",
    "tiny": "-1e-300",
    "number in quotes": '"12"',
    "Arabic digits": '"١٢"',
    "full-width digits": '"１２"',
    "lone surrogate": '"\\ud800"',
    "surrogate pair the wrong way": '"\\udc00\\ud800"',
    "NUL": '"\\u0000"',
    "newline": '"a\\nb"',
    "right to left": '"\\u202etxt"',
    "zero width": '"iPh\\u200bone"',
    "byte order mark inside": '"\\ufeffiPhone"',
    "private use": '"\\ue000"',
    "Cyrillic look-alike": '"\\u0410pple"',
    "Greek look-alike": '"\\u0391pple"',
    "secret": f'"{SECRET}"',
    "markup": f'"<script>{SECRET}</script>"',
    "query": f'"\'; DROP TABLE quotes; -- {SECRET}"',
    "template": f'"{{{{ {SECRET} }}}}"',
    "path": f'"../../etc/{SECRET}"',
    "empty text": '""',
    "blank": '"   "',
    "long text": f'"{SECRET * 50}"',
    "empty list": "[]",
    "list": f'["{SECRET}"]',
    "empty object": "{}",
    "object": f'{{"{SECRET}": 1}}',
    "an object with the same name twice": '{"a": 1, "a": 2}',
    "deep": "[" * 20 + "]" * 20,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("route", ROUTES)
def test_no_wrong_value_of_any_field_is_taken_nor_repeated_nor_breaks_the_server(
    client: TestClient, bodies: dict[str, Any], route: str, wrong: str
) -> None:
    for path in leaves(bodies[route]):
        answer = client.post(route, content=with_raw(bodies[route], path, WRONG[wrong]), headers=HEADERS)
        if (wrong, path[-1]) == ("number in quotes", "amount"):
            assert answer.status_code in (200, 404, 422)  # "12" is how an amount is written
            continue
        assert answer.status_code in (400, 404, 409, 422), (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert SECRET not in answer.text and SECRET not in str(answer.headers)
        assert len(answer.json()["errors"]) <= 20


@pytest.mark.parametrize("route", ROUTES)
def test_true_is_no_number_and_one_no_truth(client: TestClient, bodies: dict[str, Any], route: str) -> None:
    for path in leaves(bodies[route]):
        field = path[-1]
        for raw in ("true", "1"):
            if field == "battery_health" and raw == "1":
                continue
            if raw == "true" and isinstance(_at(bodies[route], path), bool):
                continue
            answer = client.post(route, content=with_raw(bodies[route], path, raw), headers=HEADERS)
            assert answer.status_code == 422, (path, raw)


def _at(body: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        body = body[name]
    return body


@pytest.mark.parametrize("route", ROUTES)
def test_a_field_that_is_not_known_is_refused_at_any_depth(
    client: TestClient, bodies: dict[str, Any], route: str
) -> None:
    for path in [(), *leaves(bodies[route])]:
        if isinstance(_at(bodies[route], path), dict):
            body = json.loads(json.dumps(bodies[route]))
            _at(body, path)[SECRET] = 1
            answer = client.post(route, json=body, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 422
            assert SECRET not in answer.text


@pytest.mark.parametrize("route", PRICED)
def test_a_missing_field_is_named(client: TestClient, bodies: dict[str, Any], route: str) -> None:
    del bodies[route]["market"]
    answer = client.post(route, json=bodies[route], headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "market", "title": "Field required"}]


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/vnd.x+json", "application/json; charset=utf-16"]
)
@pytest.mark.parametrize("route", ROUTES)
def test_only_json_in_utf_8_is_taken(
    client: TestClient, bodies: dict[str, Any], route: str, kind: str
) -> None:
    body = json.dumps(bodies[route]).encode()
    assert client.post(route, content=body, headers=HEADERS | {"Content-Type": kind}).status_code == 415


def test_utf_8_may_be_said(client: TestClient, bodies: dict[str, Any]) -> None:
    body = json.dumps(bodies["/v1/valuations"]).encode()
    kind = {"Content-Type": "Application/JSON; charset=UTF-8"}
    assert client.post("/v1/valuations", content=body, headers=kind).status_code == 200


@pytest.mark.parametrize("route", [*ROUTES, *FORMS])
def test_a_packed_body_is_refused(client: TestClient, route: str) -> None:
    kind = POSTED[route].body
    answer = client.post(route, content=b"{}", headers={"Content-Type": kind, "Content-Encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize("route", [*ROUTES, *FORMS])
def test_a_body_above_the_limit_is_refused_told_or_not(client: TestClient, route: str) -> None:
    entry = POSTED[route]
    kind = {"Content-Type": entry.body}
    body = b"x" * (entry.most_bytes + 1)
    assert client.post(route, content=body, headers=kind).status_code == 413
    assert client.post(route, content=iter([body[:9], body[9:]]), headers=kind).status_code == 413


def test_every_post_route_says_what_it_takes(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    posted = {path for path, methods in schema["paths"].items() if "post" in methods}
    without_body = {"/v1/models/champion/look"}
    assert posted - without_body == {path.replace(NO_QUOTE, "{quote_id}") for path in ROUTES}


@pytest.mark.parametrize(
    "host", ["evil.example", "10.evil.example", "testserver.evil.example", "", "testserver:1:2"]
)
def test_an_unknown_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/livez", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["[::1]", "[::1]:8000", "127.0.0.1:8000", "LocalHost"])
def test_this_machine_is_taken_under_each_of_its_names(tmp_path: Path, host: str) -> None:
    with built(tmp_path, allowed_hosts=Settings().allowed_hosts) as house:
        assert house.client.get("/livez", headers={"Host": host}).status_code == 200


def test_the_own_host_is_taken_with_a_port_and_in_any_case(client: TestClient) -> None:
    assert client.get("/livez", headers={"Host": "TestServer:8000"}).status_code == 200


@pytest.mark.parametrize(
    "address", ["/v1/devices?q=%00", "/v1/devices/a%0ab", "/?q=%ff", "/v1/devices?q=%E2%80%AE"]
)
def test_an_address_with_odd_letters_is_refused(client: TestClient, address: str) -> None:
    assert client.get(address).status_code in (400, 422)


def test_a_long_query_is_refused(client: TestClient) -> None:
    assert client.get("/v1/devices?q=" + "a" * 2050).status_code == 414


@pytest.mark.parametrize(
    "address", ["/v1/devices?limit=0", "/v1/devices?limit=x", "/v1/devices?category=<b>"]
)
def test_a_wrong_parameter_is_malformed(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 422
    assert "<b>" not in answer.text


QUERIES = {
    "/v1/devices": {"q": "iphone", "brand": "Apple", "category": "smartphone", "limit": "3"},
    "/v1/buyback/questions": {"market": "GB", "device_id": "apple-iphone-13-128gb", "lang": "en"},
    "/v1/comparables": {
        "market": "GB",
        "device_id": "apple-iphone-13-128gb",
        "grade": "GOOD",
        "battery_health": "0.9",
        "carrier_locked": "false",
    },
}
FREE = {("/v1/devices", "q"), ("/v1/devices", "brand")}  # words to look for: any letters that people write
WRONG_LETTERS = (
    "%ed%a0%80",
    "%00",
    "a%0ab",
    "%e2%80%aetxt",
    "iPh%e2%80%8bone",
    "%ef%bb%bfa",
    "%ee%80%80",
    "%ff",
)
WRONG_WORDS = (
    "NaN",
    "Infinity",
    "1e400",
    "9" * 400,
    "1_0",
    "0x10",
    "-1e-300",
    "%d9%a1",
    "%ef%bc%91",
    "",
    "%20",
)
MORE_WORDS = (
    SECRET,
    f"<script>{SECRET}",
    f"'; DROP {SECRET}",
    f"../{SECRET}",
    SECRET * 50,
    "[]",
    "{}",
    "null",
)


@pytest.mark.parametrize("wrong", [*WRONG_LETTERS, *WRONG_WORDS, *MORE_WORDS])
@pytest.mark.parametrize("address", QUERIES)
def test_no_wrong_value_of_any_parameter_is_taken_nor_repeated_nor_breaks_the_server(
    client: TestClient, address: str, wrong: str
) -> None:
    for name in QUERIES[address]:
        others = "&".join(f"{other}={value}" for other, value in QUERIES[address].items() if other != name)
        answer = client.get(f"{address}?{name}={wrong}&{others}")
        allowed = (200, 400, 422) if (address, name) in FREE else (400, 404, 409, 422)
        assert answer.status_code in allowed, (name, answer.text)
        assert answer.status_code in (400, 422) or wrong not in WRONG_LETTERS
        assert SECRET not in answer.text and SECRET not in str(answer.headers)


@pytest.mark.parametrize("address", [*QUERIES, "/", "/check"])
def test_a_parameter_that_is_told_twice_is_refused(client: TestClient, address: str) -> None:
    answer = client.get(f"{address}?market=GB&q=a&market=FR")
    assert (answer.status_code, answer.json()["code"]) == (400, "parameter_twice")


@pytest.mark.parametrize(
    "name", ["Idempotency-Key", "Content-Type", "Content-Length", "Authorization", "Host"]
)
def test_a_header_that_says_who_or_what_is_not_told_twice(client: TestClient, name: str) -> None:
    twice = [("Host", "testserver"), (name, "1"), (name, "1")]
    answer = client.get("/v1/markets", headers=twice)
    assert (answer.status_code, answer.json()["code"]) == (400, "header_twice")


MUTANTS = [2_000, pytest.param(50_000, marks=pytest.mark.soak)]


@pytest.mark.parametrize("count", MUTANTS)
def test_no_bytes_break_the_server_nor_hold_it_up(tmp_path: Path, bodies: dict[str, Any], count: int) -> None:
    with built(tmp_path / "patient", writes=0) as house:
        house.show_key("storefront", "seller", "operator")
        _send_mutants(house, bodies, count)


def _send_mutants(house: House, bodies: dict[str, Any], count: int) -> None:
    rng = random.Random(20261123)
    sent = [json.dumps(bodies[route]).encode() for route in ROUTES]
    took, seen = [], set()
    for number in range(count):
        route = number % len(ROUTES)
        mutant = bytearray(sent[route])
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            _mutate(mutant, rng)
        began = time.perf_counter()
        headers = {**HEADERS, "Idempotency-Key": str(number)}
        answer = house.client.post(ROUTES[route], content=bytes(mutant), headers=headers)
        took.append(time.perf_counter() - began)
        seen.add(answer.status_code)
        assert answer.status_code < 500, bytes(mutant)
    assert seen <= {200, 201, 400, 404, 409, 413, 415, 422}
    p99 = sorted(took)[int(0.99 * count)]
    print(f"{count} mutants, p99 {1000 * p99:.1f} ms")
    assert p99 < (0.02 if count > 10_000 else 0.1)  # the short form runs on busy machines


PIECES = (b"[", b"{", b'"', b"\\ud800", b"1e999", b"-", b"\x00", b"null", b"\xff", b",", b"9" * 30)


def _mutate(body: bytearray, rng: random.Random) -> None:
    at, byte = rng.randrange(len(body)), rng.randrange(256)
    kind = rng.randrange(5)
    if kind == 0:
        body[at] = byte
    elif kind == 1:
        body.insert(at, byte)
    elif kind == 2 and len(body) > 8:
        del body[at : at + rng.randrange(1, 8)]
    elif kind == 3:
        body[at:at] = rng.choice(
            (b"[", b"{", b'"', b"\\ud800", b"1e999", b"-", b"\x00", b"null", b"\xff", b",", b"9" * 30)
        )
    else:
        body[at:at] = body[: rng.randrange(1, 40)]


HOARDS = {
    "a million brackets": b"[" * 1_000_000,
    "a million objects deep": b'{"a":' * 200_000,
    "half a million numbers": b"[" + b"1," * 500_000 + b"1]",
    "half a million names": b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
    "one number of a million digits": b"1" * 1_000_000,
    "one fraction of a million digits": b"1." + b"1" * 1_000_000,
    "one text of a million letters": b'"' + b"a" * 1_000_000 + b'"',
    "one text of many foreign letters": b'"' + "\u00e9".encode() * 500_000 + b'"',
    "a text of escapes": b'"' + b"\\u00e9" * 170_000 + b'"',
}


@pytest.mark.parametrize("name", HOARDS)
def test_a_body_made_to_take_long_is_refused_soon(client: TestClient, name: str) -> None:
    began = time.process_time()
    body = HOARDS[name][: 1024 * 1024]
    answer = client.post("/v1/valuations", content=body, headers=HEADERS)
    assert answer.status_code in (400, 422)
    assert time.process_time() - began < 0.2


ORIGIN = "https://shop.example"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[TestClient]:
    with built(tmp_path / "shared", origins=(ORIGIN,)) as house:
        yield house.client


def _preflight(client: TestClient, origin: str, method: str = "POST", headers: str = "content-type") -> Any:
    wished = {"Origin": origin, "Access-Control-Request-Method": method}
    return client.options("/v1/buyback/quotes", headers={**wished, "Access-Control-Request-Headers": headers})


def test_scripts_of_other_sites_may_not_ask_unless_they_are_named(
    client: TestClient, shared: TestClient
) -> None:
    assert _preflight(client, ORIGIN).status_code == 405
    assert "access-control-allow-origin" not in client.get("/v1/markets", headers={"Origin": ORIGIN}).headers
    allowed = _preflight(shared, ORIGIN, headers="content-type,idempotency-key,authorization")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert _preflight(shared, "https://evil.example").status_code == 400
    assert _preflight(shared, "null").status_code == 400
    assert _preflight(shared, ORIGIN, method="DELETE").status_code == 400
    for path in ("/v1/markets", "/v1/devices/none", "/v1/devices?limit=x"):
        heard = shared.get(path, headers={"Origin": ORIGIN}).headers
        assert heard["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in heard
        unheard = shared.get(path, headers={"Origin": "https://evil.example"}).headers
        assert "access-control-allow-origin" not in unheard


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://shop.example/", "https://*.example"])
def test_an_origin_is_a_scheme_and_a_host(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, origins=(origin,))


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/metrics", "/docs/oauth2-redirect"])
def test_what_is_not_for_everybody_is_not_there(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "address", ["/", "/livez", "/nowhere", "/v1/devices/none", "/style.css", "/quotes/none"]
)
def test_every_answer_is_guarded_by_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 32


def test_the_wrong_method_is_told_the_right_one(client: TestClient) -> None:
    answer = client.post("/v1/markets")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_address_is_a_problem_without_its_text(client: TestClient) -> None:
    answer = client.get(f"/{SECRET}")
    assert answer.status_code == 404
    assert SECRET not in answer.text


def test_what_nobody_foresaw_is_a_problem_without_a_trace(
    client: TestClient, house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(house.appraiser, "ladders", broken)
    body = {"market": "GB", "devices": [{"device": {"device_id": "apple-iphone-13-128gb"}}]}
    answer = client.post("/v1/valuations", json=body)
    assert answer.status_code == 500
    assert answer.json()["code"] == "unforeseen"
    assert SECRET not in answer.text and "Traceback" not in answer.text


def _ask(receive: Callable[[], Any], **scope: Any) -> list[dict[str, Any]]:
    """What a guard before an application that must not be reached sends."""
    sent: list[dict[str, Any]] = []

    async def unreachable(*_: object) -> None:
        raise AssertionError("the body should have been refused")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"h"), (b"content-type", b"application/json")]
    full = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": headers} | scope
    now = lambda: datetime(2026, 11, 23, tzinfo=UTC)  # noqa: E731
    door = Guard(
        unreachable,
        hosts=["h"],
        entries=Entries({"POST /x": Entry(body=JSON)}),
        keys=Keys(Path("none"), now),
        limits=Limits(reads=0, writes=0, devices=0, free=(), now=now),
        admission=Admission(most=1),
    )
    anyio.run(door, full, receive, send)  # type: ignore[arg-type]
    return sent


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    assert _ask(anyio.sleep_forever)[0]["status"] == 408


def test_a_body_that_breaks_off_is_refused() -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    assert _ask(gone)[0]["status"] == 400


def test_two_hosts_are_refused() -> None:
    sent = _ask(anyio.sleep_forever, headers=[(b"host", b"h"), (b"host", b"h")])
    assert sent[0]["status"] == 400


def test_a_problem_has_the_fields_of_rfc_9457() -> None:
    problem = Refusal(409, "market_closed", "No.").response(request_id="r")
    content = json.loads(problem.body)
    assert problem.media_type == "application/problem+json"
    assert (content["type"], content["title"], content["status"]) == ("about:blank", "Conflict", 409)
    assert {"detail", "code", "errors", "request_id"} <= set(content)
