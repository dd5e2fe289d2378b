"""Laws of limits: so much for one caller, whoever else asks; and what counts them stays small."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving import limits
from serving.limits import BAD_KEYS_A_MINUTE, Buckets, Devices, Limits, devices_of
from serving.refusal import Refusal
from tests.serving.conftest import LAPTOP, House, built

PHONE = {"device_id": "apple-iphone-13-128gb"}
NOW = datetime(2026, 11, 23, 21, tzinfo=UTC)


def limited(*, reads: int = 5, writes: int = 3, devices: int = 0) -> Limits:
    return Limits(reads=reads, writes=writes, devices=devices, free=("127.0.0.1",), now=lambda: NOW)


def answered(counted: Limits, times: int, **asked: Any) -> int:
    """How many of so many requests are let through."""
    through = 0
    for _ in range(times):
        try:
            counted.ask(**{"caller": "", "address": "192.0.2.1", "writes": False, **asked})
        except Refusal as refusal:
            assert (refusal.status, int(refusal.headers["Retry-After"])) == (429, 1)
        else:
            through += 1
    return through


def test_reads_and_writes_are_counted_apart() -> None:
    counted = limited()
    assert answered(counted, 20) in (5, 6)  # a fifth of a second may go by
    assert answered(counted, 20, writes=True) in (3, 4)


def test_a_bucket_gives_what_is_in_it_and_then_as_much_as_comes_in() -> None:
    clock = [0.0]
    buckets = Buckets(most=20, seconds=60, clock=lambda: clock[0])
    waits = [buckets.take("a") for _ in range(25)]
    assert waits[:20] == [0.0] * 20 and waits[20:] == [pytest.approx(3)] * 5
    assert buckets.take("b") == 0
    clock[0] = 2.9
    assert 0 < buckets.take("a") < 0.2
    clock[0] = 9.0
    assert [buckets.take("a") > 0 for _ in range(4)] == [False] * 3 + [True]
    clock[0] = 1e6
    assert [buckets.take("a") > 0 for _ in range(21)] == [False] * 20 + [True]


@pytest.mark.parametrize("count", [10, 1000])
def test_over_a_long_time_no_more_is_given_than_comes_in(count: int) -> None:
    clock = [0.0]
    buckets, given = Buckets(most=count, seconds=1, clock=lambda: clock[0]), 0
    for _ in range(20 * count):
        clock[0] += 0.5 / count
        given += buckets.take("a") == 0
    assert given == pytest.approx(11 * count, abs=2)  # what was in it, and ten seconds


def test_of_many_callers_those_who_asked_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 100)
    buckets = Buckets(most=1, seconds=1e6)
    for n in range(10_000):
        assert buckets.take(f"{n}") == 0
    assert len(buckets._full_at) == 100
    assert all(buckets.take(f"{n}") for n in range(9_900, 10_000))


def test_what_one_caller_asks_is_not_held_against_another() -> None:
    counted = limited()
    answered(counted, 20)
    assert answered(counted, 1, address="192.0.2.2") == 1
    assert answered(counted, 1, caller="a key") == 1


def test_after_a_while_one_may_ask_again() -> None:
    counted = limited()
    answered(counted, 20)
    time.sleep(2)
    assert answered(counted, 1) == 1


def test_all_addresses_of_one_network_of_ipv6_are_one_caller() -> None:
    counted = limited()
    answered(counted, 20, address="2001:db8::1")
    assert answered(counted, 5, address="2001:db8::2") < 5
    assert answered(counted, 1, address="2001:db8:0:1::1") == 1


def test_the_owner_of_the_machine_is_not_limited_but_his_keys_are() -> None:
    counted = limited()
    assert answered(counted, 1000, address="127.0.0.1") == 1000
    assert answered(counted, 100, address="127.0.0.1", caller="a key") < 100


def test_no_limit_is_no_limit() -> None:
    assert answered(limited(reads=0, writes=0), 1000) == 1000


@pytest.mark.parametrize("most", [10, 1000])
def test_a_caller_sees_about_so_many_devices_a_day_and_those_again(most: int) -> None:
    counted = Devices(most=most, now=lambda: NOW)
    seen = [n for n in range(3 * most) if counted.ask("a", iter([f"device {n}"]))]
    assert most <= len(seen) <= 1.6 * most
    assert all(counted.ask("a", iter([f"device {n}"])) for n in seen)
    assert counted.ask("b", iter(["device 0"]))


def test_the_next_day_is_a_new_budget() -> None:
    clock = [NOW]
    counted = Devices(most=1, now=lambda: clock[0])
    counted.ask("a", iter(["one"]))
    others = [f"device {n}" for n in range(50)]
    assert not all(counted.ask("a", iter([other])) for other in others)
    assert counted.seconds_left() == 3 * 3600
    clock[0] += timedelta(hours=3)
    assert counted.ask("a", iter(["two"]))


def test_to_count_takes_a_bounded_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 100)
    counted = Devices(most=10_000, now=lambda: NOW)
    tracemalloc.start()
    for n in range(20_000):
        counted.ask(f"caller {n}", iter([f"device {n}"]))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * 10_000 * 1.2


DESCRIBED = {"category": "laptop", "brand": "Dell", "model": "Latitude"}


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"device": PHONE}, 1),
        ({"device": DESCRIBED}, 1),
        ({"devices": [{"device": PHONE}, {"device": LAPTOP}, {"device": DESCRIBED}, {"device": PHONE}]}, 3),
        ({"device_id": "x", "market": "GB"}, 1),
        ({"devices": [1, None, {"device": [1]}, {}]}, 0),
        ({"devices": "x", "device": 1}, 0),
        ([PHONE], 0),
        (None, 0),
    ],
)
def test_the_devices_of_a_request_are_found_whatever_it_says(asked: Any, count: int) -> None:
    assert len(set(devices_of(asked))) == count


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[House]:
    with built(tmp_path, writes=1000, reads=1000, devices=1, unlimited=()) as house:
        yield house


def test_whoever_goes_through_the_catalogue_is_stopped_on_every_route(strict: House, bodies: Any) -> None:
    check, values = bodies["/v1/sellers/price-checks"], bodies["/v1/valuations"]
    assert strict.client.post("/v1/sellers/price-checks", json=check).status_code == 200
    assert strict.client.post("/v1/valuations", json=values).status_code == 200
    values["devices"].append({"device": PHONE})
    refused = strict.client.post("/v1/valuations", json=values)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_devices")
    assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
    for address in ("/v1/comparables?market=GB&grade=GOOD&device_id=apple-iphone-13-128gb",):
        assert strict.client.get(address).status_code == 429
    form = {"device_id": "apple-iphone-13-128gb", "market": "GB", "grade": "GOOD", "price": "100"}
    assert strict.client.post("/check", data=form).status_code == 429


def test_a_caller_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with built(tmp_path, reads=2, unlimited=()) as house:
        answers = [house.client.get("/v1/markets") for _ in range(12)]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json()["code"] == "too_many_rate"
        assert house.client.get("/livez").status_code == 200


def test_the_21st_unknown_key_in_a_minute_is_too_many_and_a_known_one_still_opens(house: House) -> None:
    known = house.keys.new(name="one", scopes=frozenset(("seller",)))
    tries = [
        house.client.get("/v1/markets", headers={"Authorization": f"Bearer {n:012x}.x"})
        for n in range(BAD_KEYS_A_MINUTE + 1)
    ]
    assert [answer.status_code for answer in tries] == [401] * BAD_KEYS_A_MINUTE + [429]
    assert 0 < int(tries[-1].headers["retry-after"]) <= 60
    answer = house.client.get("/v1/markets", headers={"Authorization": f"Bearer {known}"})
    assert answer.status_code == 200


def test_to_count_a_request_takes_little_time() -> None:
    counted = limited(reads=10**6, writes=10**6, devices=1000)
    times = 3000
    began = time.process_time()
    for n in range(times):
        counted.ask(caller="", address=f"192.0.2.{n % 250}", writes=True)
        counted.value(caller="", address=f"192.0.2.{n % 250}", devices=devices_of({"device": PHONE}))
    assert (time.process_time() - began) / times < 100e-6  # measured: 12 us; a quote takes some 400
