"""Laws of the buyback counter: a quote is accepted, inspected, paid or void, through the front door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving.case import Case, advised
from tests.serving.conftest import ANSWERS, House

Post = Callable[..., Any]


@pytest.fixture
def post(client: TestClient) -> Post:
    """Sends a step of a quote, under a key of its own where none is told."""
    count = iter(range(1000))

    def send(given: dict[str, Any], step: str, body: Any, key: str = "") -> Any:
        address = f"/v1/buyback/quotes/{given['quote_id']}/{step}"
        return client.post(address, json=body, headers={"Idempotency-Key": key or f"step-{next(count)}"})

    return send


@pytest.fixture(autouse=True)
def everybody_is_an_operator(house: House) -> None:
    """Who may do what is for test_keys."""
    house.show_key("storefront", "seller", "operator")


@pytest.fixture
def accepted(quote: Any, post: Post) -> dict[str, Any]:
    given: dict[str, Any] = quote().json()
    assert post(given, "accept", {"amount": given["offer"]}).status_code == 200
    return given


def kinds(life: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in life["events"]]


def cents(money: dict[str, str]) -> int:
    return int(Decimal(money["amount"]) * 100)


def test_a_quote_lives_from_its_offer_to_its_payment(
    quote: Any, post: Post, client: TestClient, accepted: Any
) -> None:
    inspected = post(accepted, "inspection", {"found": ANSWERS}).json()
    assert (inspected["status"], inspected["events"][-1]["turn"]) == ("PAYABLE", "SAME")
    paid = post(accepted, "payment", {"amount": accepted["offer"]}).json()
    assert (paid["status"], kinds(paid)) == ("PAID", ["ISSUED", "ACCEPTED", "INSPECTED", "PAID"])
    address = f"/v1/buyback/quotes/{accepted['quote_id']}"
    assert client.get(address).json() == accepted | {"status": "PAID"}
    assert client.get(f"{address}/events").json()["events"] == paid["events"]


WORSE = [{"screen": "CRACKED"}, {"screen": "VISIBLE"}, {"battery_health": 0.6}, {"accessories": False}]


@pytest.mark.parametrize("found", WORSE, ids=lambda found: next(iter(found)))
def test_a_lower_requote_is_the_exact_difference_and_waits_for_a_yes(
    post: Post, accepted: Any, found: dict[str, Any]
) -> None:
    life = post(accepted, "inspection", {"found": ANSWERS | found}).json()
    inspected = life["events"][-2] if life["status"] == "REQUOTED" else life["events"][-1]
    moved = cents(inspected["amount"]) - cents(accepted["offer"])
    assert sum(cents(line["amount"]) for line in inspected["differences"]) == moved
    if inspected["turn"] == "SAME":
        return
    assert (moved < 0, life["status"], kinds(life)[-2:]) == (True, "REQUOTED", ["INSPECTED", "REQUOTED"])
    assert inspected["reasons"]
    assert post(accepted, "payment", {"amount": life["amount"]}).status_code == 409
    assert post(accepted, "accept", {"amount": accepted["offer"]}).json()["code"] == "amount_differs"
    agreed = post(accepted, "accept", {"amount": life["amount"]}).json()
    assert agreed["status"] == "PAYABLE"
    assert post(accepted, "payment", {"amount": life["amount"]}).json()["status"] == "PAID"


def test_a_higher_requote_is_paid_without_a_word(quote: Any, post: Post) -> None:
    given = quote(answers={"screen": "VISIBLE"}).json()
    post(given, "accept", {"amount": given["offer"]})
    life = post(given, "inspection", {"found": ANSWERS}).json()
    assert (life["status"], life["events"][-1]["turn"]) == ("PAYABLE", "HIGHER")
    assert cents(life["amount"]) > cents(given["offer"])


def test_a_device_that_may_not_be_bought_goes_back(post: Post, accepted: Any) -> None:
    life = post(accepted, "inspection", {"found": ANSWERS | {"blacklisted": True}}).json()
    assert (life["status"], life["events"][-2]["turn"], life["amount"]["amount"]) == (
        "REQUOTED",
        "RETURN",
        "0.00",
    )
    assert post(accepted, "accept", {"amount": life["amount"]}).json()["code"] == "wrong_status"
    assert post(accepted, "void", {"reason": "RETURNED"}).json()["status"] == "VOIDED"


def test_what_the_owner_could_not_see_is_never_held_against_him(quote: Any, post: Post) -> None:
    given = quote(market="FR").json()
    post(given, "accept", {"amount": given["offer"]})
    life = post(given, "inspection", {"found": ANSWERS | {"battery_health": 0.5}}).json()
    declared = life["events"][-1]
    assert declared["turn"] in ("SAME", "LOWER")


def test_an_inspection_by_a_later_model_is_still_by_the_model_of_the_quote(
    house: House, post: Post, accepted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.appraiser
    house.employ(type(first)(p50=10.0, digest="b" * 64), "2")
    away = post(accepted, "inspection", {"found": ANSWERS})
    assert (away.status_code, away.json()["code"]) == (503, "model_away")
    from serving import archive

    monkeypatch.setattr(archive, "opened", lambda folder, digest: first)
    assert post(accepted, "inspection", {"found": ANSWERS}).json()["events"][-1]["turn"] == "SAME"


def test_a_quote_is_priced_again_from_what_was_kept_to_the_cent(house: House, quote: Any) -> None:
    for number in range(20):
        given = quote(f"{number}", answers={"battery_health": 0.5 + number / 50}).json()
        known = house.quotes.find(quote_id=given["quote_id"])
        assert known is not None
        _, again = advised(case=Case.read(known.quote.inputs), appraiser=house.appraiser)  # type: ignore[arg-type]
        assert again.offer.amount.minor == known.quote.offer_minor


def test_an_offer_is_accepted_until_it_expires_and_not_after(house: House, quote: Any, post: Post) -> None:
    first, second = quote("a").json(), quote("b").json()
    house.wait(days=21, milliseconds=-1)
    assert post(first, "accept", {"amount": first["offer"]}).status_code == 200
    house.wait(milliseconds=1)
    late = post(second, "accept", {"amount": second["offer"]})
    assert (late.status_code, late.json()["code"], late.json()["quote_status"]) == (
        409,
        "wrong_status",
        "EXPIRED",
    )


def test_accepting_twice_with_one_key_is_one_acceptance_to_the_byte(
    quote: Any, post: Post, house: House
) -> None:
    given = quote().json()
    first = post(given, "accept", {"amount": given["offer"]}, key="yes")
    house.wait(days=30)
    assert post(given, "accept", {"amount": given["offer"]}, key="yes").content == first.content
    other = {"amount": {"amount": "1.00", "currency": "GBP"}}
    assert post(given, "accept", other, key="yes").json()["code"] == "idempotency_key_reused"


def test_thirty_two_who_accept_at_once_are_one(quote: Any, post: Post) -> None:
    given = quote().json()
    with ThreadPoolExecutor(32) as pool:
        answers = pool.map(
            lambda key: post(given, "accept", {"amount": given["offer"]}, key=f"race-{key}"), range(64)
        )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 63]


def test_only_what_was_offered_can_be_accepted(quote: Any, post: Post) -> None:
    refused = quote(answers={"blacklisted": True}).json()
    assert refused["decision"] == "REFUSE"
    answer = post(refused, "accept", {"amount": refused["offer"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_status")


@pytest.mark.parametrize("answers", [{}, {"blacklisted": True}])
def test_only_what_was_accepted_is_inspected(quote: Any, post: Post, answers: dict[str, Any]) -> None:
    given = quote(answers=answers).json()
    answer = post(given, "inspection", {"found": ANSWERS})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_status")


def test_another_currency_is_no_amount(accepted: Any, quote: Any, post: Post) -> None:
    given = quote("k2").json()
    euros = {"amount": given["offer"]["amount"], "currency": "EUR"}
    assert post(given, "accept", {"amount": euros}).status_code == 422


IMEI = "490154203237518"  # the example of 3GPP TS 23.003, annex B


def test_one_device_has_one_open_quote(quote: Any, post: Post, house: House) -> None:
    first = quote("a", unit={"imei": IMEI}).json()
    taken = quote("b", unit={"imei": IMEI})
    assert (taken.status_code, taken.json()["code"]) == (409, "unit_taken")
    assert quote("a", unit={"imei": IMEI}).json() == first
    assert post(first, "void", {"reason": "WITHDRAWN"}).json()["status"] == "VOIDED"
    assert quote("b", unit={"imei": IMEI}).status_code == 201
    with house.quotes.database.reading() as connection:
        assert IMEI not in repr(connection.exec_driver_sql("SELECT * FROM quotes, events").all())


def test_what_is_no_offer_is_not_held_for_its_unit(quote: Any, house: House) -> None:
    for number in range(20):
        asked = quote(f"{number}", unit={"imei": IMEI}, answers={"blacklisted": True})
        assert asked.json()["decision"] == "REFUSE"
    assert quote("mine", unit={"imei": IMEI}).json()["decision"] == "OFFER"
    with house.quotes.database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM events WHERE unit_digest IS NOT NULL")
        assert kept.scalar() == 1


DESCRIBED = {"category": "laptop", "brand": "Lenovo", "model": "ThinkPad T480", "storage_gb": 256}


@pytest.mark.parametrize(
    ("told", "decision"),
    [
        ({}, "OFFER"),
        ({"storage_gb": 128}, "OFFER"),
        ({"storage_gb": 1_000_000}, "REVIEW"),
        ({"model": "ThinkPad T480 256GB"}, "REVIEW"),
        ({"model": "ThinkPad X1000"}, "REVIEW"),
        ({"attributes": {"ram_gb": 8}}, "OFFER"),
        ({"attributes": {"ram_gb": 64}}, "REVIEW"),
    ],
)
def test_no_price_is_promised_on_the_word_of_its_owner_alone(
    quote: Any, told: dict[str, Any], decision: str
) -> None:
    given = quote(device=DESCRIBED | told).json()
    assert given["decision"] == decision
    assert decision == "OFFER" or given["reasons"][0]["code"] == "DEVICE_UNKNOWN"


def test_who_accepts_too_late_is_told_so_whatever_was_written_meanwhile(
    quote: Any, post: Post, house: House
) -> None:
    given = quote().json()
    post(given, "void", {"reason": "WITHDRAWN"})
    late = post(given, "accept", {"amount": given["offer"]})
    assert (late.json()["code"], late.json()["quote_status"]) == ("wrong_status", "VOIDED")


@pytest.mark.parametrize("unit", [{"serial": IMEI}, {"serial": "4901-5420-3237-518"}, {"imei": "0" * 15}])
def test_digits_that_are_no_serial_and_no_imei_are_refused(quote: Any, unit: dict[str, str]) -> None:
    assert quote(unit=unit).status_code == 422


@pytest.mark.parametrize("imei", ["490154203237517", "49015420323751", "x" * 15, "٤٩٠١٥٤٢٠٣٢٣٧٥١٨"])
def test_an_imei_with_a_mistyped_digit_is_none(quote: Any, imei: str) -> None:
    answer = quote("a", unit={"imei": imei})
    assert answer.status_code == 422
    assert imei not in answer.text
    assert quote("b", unit={}).status_code == 422
    assert quote("c", unit={"imei": IMEI, "serial": "ABCDE12345"}).status_code == 422


@pytest.fixture
def small_cap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from dataclasses import replace

    from valuation import markets
    from valuation.money import Money

    usual = markets.terms
    cap = Money(150_000, "GBP")
    monkeypatch.setattr(markets, "terms", lambda **told: replace(usual(**told), exposure_cap=cap))
    yield


def test_more_than_the_cap_is_never_promised_for_a_model(small_cap: None, quote: Any, post: Post) -> None:
    given = [quote(f"{number}").json() for number in range(20)]
    offers = [each for each in given if each["decision"] == "OFFER"]
    assert sum(cents(each["offer"]) for each in offers) <= 150_000
    asked = given[len(offers)]
    assert (asked["decision"], asked["reasons"][0]["code"]) == ("REVIEW", "EXPOSED")
    post(offers[0], "void", {"reason": "WITHDRAWN"})
    assert quote("after").json()["decision"] == "OFFER"


def test_what_another_caller_was_given_is_not_there(
    quote: Any, client: TestClient, house: House, post: Post
) -> None:
    given = quote().json()
    house.show_key("storefront")
    for answer in (
        client.get(f"/v1/buyback/quotes/{given['quote_id']}"),
        client.get(f"/v1/buyback/quotes/{given['quote_id']}/events"),
        post(given, "accept", {"amount": given["offer"]}),
    ):
        unknown = client.get(f"/v1/buyback/quotes/{'0' * 32}")
        assert (answer.status_code, answer.json()["detail"]) == (404, unknown.json()["detail"])
    house.show_key("operator")
    assert client.get(f"/v1/buyback/quotes/{given['quote_id']}").status_code == 200


def test_only_its_owner_says_yes_to_a_requote(
    quote: Any, post: Post, house: House, accepted: dict[str, Any]
) -> None:
    house.show_key("operator")
    life = post(accepted, "inspection", {"found": ANSWERS | {"screen": "CRACKED"}}).json()
    refused = post(accepted, "accept", {"amount": life["amount"]})
    assert (life["status"], refused.status_code, refused.json()["code"]) == ("REQUOTED", 403, "owner")


@pytest.mark.parametrize("reason", ["NEVER_ARRIVED", "MISTAKE", "RETURNED"])
def test_what_only_an_operator_can_know_is_no_reason_of_an_owner(
    quote: Any, post: Post, house: House, reason: str
) -> None:
    house.show_key("storefront")
    given = quote().json()
    refused = post(given, "void", {"reason": reason})
    assert (refused.status_code, refused.json()["code"]) == (403, "reason")
    assert post(given, "void", {"reason": "WITHDRAWN"}).status_code == 200


@pytest.mark.parametrize("model", ["iPhone 13", "IPHONE  13", "Apple iPhone 13", "- iphone 13"])
def test_a_model_is_exposed_once_however_it_is_spelled(quote: Any, house: House, model: str) -> None:
    named: set[str] = set()
    for number, told in enumerate((model, "iPhone 13")):
        device = {"category": "smartphone", "brand": "apple", "model": told, "storage_gb": 128}
        given = quote(f"{number}", device=device).json()
        known = house.quotes.find(quote_id=given["quote_id"])
        assert known is not None
        named.add(known.quote.exposure)
    assert len(named) == 1


def test_who_is_no_operator_withdraws_only_before_he_has_accepted(
    quote: Any, post: Post, client: TestClient
) -> None:
    del client.headers["Authorization"]
    first, second = quote("a").json(), quote("b").json()
    post(second, "accept", {"amount": second["offer"]})
    assert post(first, "void", {"reason": "WITHDRAWN"}).status_code == 200
    assert post(second, "void", {"reason": "WITHDRAWN"}).json()["code"] == "wrong_status"


def test_a_device_asked_again_is_not_valued_again_until_the_day_or_the_model_changes(
    house: House, quote: Any
) -> None:
    first = quote("a").json()
    asked = len(house.appraiser.asked)
    second = quote("b").json()
    assert len(house.appraiser.asked) == asked
    own = {"quote_id", "request_id"}
    assert {k: v for k, v in first.items() if k not in own} == {
        k: v for k, v in second.items() if k not in own
    }
    assert first["quote_id"] != second["quote_id"]
    house.wait(days=1)
    quote("c")
    assert len(house.appraiser.asked) > asked
    other = type(house.appraiser)(p50=300.0, digest="b" * 64)
    house.employ(other, "2")
    assert quote("d").json()["model"]["version"] == "2"
    assert other.asked
