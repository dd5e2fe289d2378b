"""Laws of admission: so many inside, begun in order and a few at a time; the rest is told at once."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from serving import admission
from serving.admission import MOST_HELD_BYTES, STEPS_A_TURN, Admission
from serving.refusal import Refusal
from tests.serving.conftest import House


def run(*visitors: object) -> list[object]:
    async def together() -> list[object]:
        return await asyncio.gather(*visitors, return_exceptions=True)  # type: ignore[call-overload]

    return asyncio.run(together())


def test_beyond_so_many_inside_whoever_comes_is_told_to_come_again() -> None:
    house = Admission(most=3)

    async def visit() -> str:
        await house.enter()
        await asyncio.sleep(0.01)
        house.leave()
        return "served"

    found = run(*(visit() for _ in range(5)))
    refused = [one for one in found if isinstance(one, Refusal)]
    assert found.count("served") == 3
    assert {(one.status, one.headers["Retry-After"]) for one in refused} == {(503, "2")}
    assert house.inside == 0
    assert run(visit()) == ["served"]


def test_a_few_begin_in_each_turn_of_the_loop_and_in_the_order_in_which_they_came() -> None:
    house, begun, turns = Admission(most=100), [], [0]

    async def visit(number: int) -> None:
        await house.enter()
        begun.append((number, turns[0]))
        house.leave()

    async def count() -> None:
        while len(begun) < 30:
            turns[0] += 1
            await asyncio.sleep(0)

    run(count(), *(visit(number) for number in range(30)))
    assert [number for number, _ in begun] == list(range(30))
    in_turn = [turn for _, turn in begun]
    assert max(in_turn.count(turn) for turn in in_turn) <= STEPS_A_TURN


def test_a_refusal_does_not_wait_for_those_who_are_inside() -> None:
    house, told = Admission(most=30), []

    async def work() -> None:
        await house.enter()
        time.sleep(0.005)  # on the loop, as an appraisal is
        house.leave()

    async def late() -> None:
        began = time.perf_counter()
        with pytest.raises(Refusal):
            await house.enter()
        told.append(time.perf_counter() - began)

    async def crowd() -> None:
        inside = [asyncio.create_task(work()) for _ in range(34)]  # four of them are done by then
        await asyncio.sleep(0)
        began = time.perf_counter()
        await asyncio.gather(*(late() for _ in range(100)))
        assert time.perf_counter() - began < STEPS_A_TURN * 0.005 + 0.05
        await asyncio.gather(*inside)

    asyncio.run(crowd())
    assert max(told) < 0.01


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.0, 90, 100), (0.01, 32, 60)])
def test_the_line_is_as_long_as_what_is_asked_allows(
    monkeypatch: pytest.MonkeyPatch, seconds: float, least: int, most: int
) -> None:
    monkeypatch.setattr(admission, "MOST_WAIT_SECONDS", 0.1)
    house = Admission(most=1000)

    async def work() -> None:
        await house.enter()
        time.sleep(seconds)
        house.leave()

    async def crowd() -> int:
        await asyncio.gather(*(work() for _ in range(90)))  # so that the pace is known
        found = await asyncio.gather(*(work() for _ in range(100)), return_exceptions=True)
        return found.count(None)

    assert least <= asyncio.run(crowd()) <= most


def test_whoever_goes_away_while_he_waits_leaves_his_place() -> None:
    house = Admission(most=100)

    async def crowd() -> None:
        waiting = [asyncio.create_task(house.enter()) for _ in range(20)]
        await asyncio.sleep(0)
        for task in waiting[10:]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(crowd())
    assert house.inside == 10


def test_bodies_that_are_on_their_way_fill_the_house_too() -> None:
    house = Admission(most=100)
    house.hold(MOST_HELD_BYTES)
    with pytest.raises(Refusal):
        house.hold(1)
    house.hold(-MOST_HELD_BYTES)
    house.hold(1)


def test_a_full_house_still_tells_its_health(house: House) -> None:
    house.client.app.state.admission.most = 0  # type: ignore[attr-defined]
    assert [house.client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    refused = house.client.get("/v1/markets")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.content)["code"] == "full"
