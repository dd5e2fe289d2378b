"""Laws of the API: what is asked, what is answered, and what is promised."""

from __future__ import annotations

import json
import re
import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from starlette.testclient import TestClient

from serving import replies
from serving.writer import REST_SECONDS
from tests.serving.routes import ADDRESSES, NO_QUOTE, PRICED

SHAPES = {
    "/v1/buyback/quotes": replies.Quote,
    "/v1/valuations": replies.Valuations,
    "/v1/sellers/price-checks": replies.PriceCheck,
    "/v1/buyback/questions?market=GB&device_id=apple-iphone-13-128gb": replies.Questions,
    "/v1/markets": replies.Markets,
    "/v1/devices": replies.Devices,
    "/v1/devices/apple-iphone-13-128gb": replies.DeviceFound,
    "/v1/models/champion": replies.Champion,
    "/livez": replies.Health,
    "/readyz": replies.Health,
}


def _examples(client: TestClient) -> list[tuple[str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    found = []
    for path, methods in paths.items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        for example in content.get("application/json", {}).get("examples", {}).values():
            found.append((path, example["value"]))
    return found


def test_every_example_in_the_description_is_answered_with_yes(client: TestClient) -> None:
    examples = _examples(client)
    assert {path for path, _ in examples} == {path.replace(NO_QUOTE, "{quote_id}") for path in ADDRESSES}
    for number, (path, body) in enumerate(one for one in examples if one[0] in PRICED):
        answer = client.post(path, json=body, headers={"Idempotency-Key": f"{number}"})
        assert answer.is_success, answer.text


@pytest.mark.parametrize("address", SHAPES)
def test_every_reply_has_exactly_the_fields_of_its_shape(
    client: TestClient, bodies: dict[str, Any], address: str
) -> None:
    if address in bodies:
        answer = client.post(address, json=bodies[address], headers={"Idempotency-Key": "k"})
    else:
        answer = client.get(address)
    shape = SHAPES[address]
    shape.model_validate_json(answer.content, extra="forbid")
    assert set(answer.json()) == set(shape.model_fields)
    assert answer.headers["content-type"] == "application/json"


def test_every_shape_that_the_description_names_is_in_it(client: TestClient) -> None:
    described = client.get("/openapi.json")
    named = set(re.findall("#/components/schemas/([A-Za-z]+)", described.text))
    schemas = described.json()["components"]["schemas"]
    assert named <= set(schemas)
    assert {"Problem", "UnknownDevice"} <= named
    assert "HTTPValidationError" not in schemas


def test_no_reply_has_a_field_with_a_default(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for shape in SHAPES.values():
        schema = schemas[shape.__name__]
        assert set(schema["required"]) == set(schema["properties"])


def test_the_lines_of_a_quote_add_up_to_the_offer(quote: Any) -> None:
    given = quote().json()
    assert given["decision"] == "OFFER"
    assert sum(Decimal(line["amount"]["amount"]) for line in given["breakdown"]) == Decimal(
        given["offer"]["amount"]
    )
    assert {line["amount"]["currency"] for line in given["breakdown"]} == {"GBP"}


def test_a_quote_says_what_it_rests_on_and_until_when_it_holds(quote: Any) -> None:
    given = quote().json()
    assert given["model"] == {"name": "reprise-appraiser", "version": "1", "as_of": "2026-11-01"}
    assert given["grade"] == "FUNCTIONAL_GOOD"
    assert [reason["code"] for reason in given["grade_reasons"]] == ["SCREEN_LIGHT"]
    assert given["resale"]["p10"]["amount"] == "340.00"
    assert given["range"]["p90"]["amount"] == "468.00"
    assert given["confidence"] == {
        "score": 0.88,
        "level": "A",
        "fsd": 0.12,
        "basis": "model",
        "comparables": 40,
    }
    assert given["explanation"] == [{"feature": "model", "effect": {"amount": "400.00", "currency": "GBP"}}]
    assert given["quoted_at"] == "2026-11-23T12:00:00Z"
    assert given["valid_until"] > given["quoted_at"]
    assert not given["expired"] and not given["simulated"]


def test_what_was_learned_from_simulated_sales_says_so(house: Any, quote: Any) -> None:
    house.appraiser.simulated = True
    assert quote().json()["simulated"]


def test_the_answers_about_battery_and_lock_reach_the_appraiser(house: Any, quote: Any) -> None:
    quote(answers={"battery_health": 0.77, "carrier_locked": True})
    asked = house.appraiser.asked[-1]
    assert (asked["battery_health"], asked["carrier_locked"]) == (0.77, True)


def test_a_worse_answer_never_raises_the_offer(quote: Any) -> None:
    offers = [
        Decimal(quote(key, answers={"screen": key}).json()["offer"]["amount"])
        for key in ("FLAWLESS", "LIGHT", "VISIBLE", "CRACKED")
    ]
    assert offers == sorted(offers, reverse=True)


def test_a_locked_device_is_refused_with_its_reason(quote: Any) -> None:
    given = quote(answers={"activation_locked": True}).json()
    assert given["decision"] == "REFUSE"
    assert given["offer"]["amount"] == "0.00"
    assert [reason["code"] for reason in given["reasons"]] == ["ACTIVATION_LOCKED"]
    assert given["breakdown"] == []


def test_a_device_sold_for_parts_is_explained_at_that_price(house: Any, quote: Any) -> None:
    house.appraiser.p50 = 60.0
    given = quote(answers={"powers_on": False, "screen": "CRACKED"}).json()
    assert given["resale"]["grade"] == "PARTS"
    assert given["explanation"][0]["effect"] == given["resale"]["p50"]


@pytest.mark.parametrize("p50", [float("nan"), float("inf"), -1.0, 0.0, 1e12, 1e300])
def test_an_impossible_estimate_is_for_a_person(house: Any, quote: Any, p50: float) -> None:
    house.appraiser.p50 = p50
    answer = quote()
    assert answer.status_code == 201
    assert answer.json()["decision"] == "REVIEW"
    assert answer.json()["offer"]["amount"] == "0.00"


@pytest.mark.parametrize("route", ["/v1/valuations", "/v1/sellers/price-checks"])
def test_an_impossible_estimate_is_no_value(
    house: Any, client: TestClient, bodies: dict[str, Any], route: str
) -> None:
    house.appraiser.p50 = float("nan")
    answer = client.post(route, json=bodies[route])
    assert (answer.status_code, answer.json()["code"]) == (409, "estimate_impossible")


def test_a_quote_asked_twice_with_one_key_is_one_quote(quote: Any, house: Any) -> None:
    first = quote("same")
    house.wait(hours=1)
    house.appraiser.p50 = 1000.0
    again = quote("same")
    assert again.content == first.content
    assert again.status_code == first.status_code == 201


def test_the_order_of_names_in_a_request_does_not_matter(quote: Any, client: TestClient, bodies: Any) -> None:
    first = quote("same")
    body = bodies["/v1/buyback/quotes"]
    turned = {name: body[name] for name in reversed(body)}
    again = client.post("/v1/buyback/quotes", json=turned, headers={"Idempotency-Key": "same"})
    assert again.content == first.content


def test_a_key_does_not_stand_for_two_requests(quote: Any) -> None:
    quote("same")
    other = quote("same", answers={"screen": "CRACKED"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_another_key_is_another_quote(quote: Any) -> None:
    assert quote("a").json()["quote_id"] != quote("b").json()["quote_id"]


def test_a_missing_key_is_asked_for(client: TestClient, bodies: dict[str, Any]) -> None:
    answer = client.post("/v1/buyback/quotes", json=bodies["/v1/buyback/quotes"])
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_a_strange_key_is_malformed(quote: Any, key: str) -> None:
    assert quote(key).status_code == 422


def test_a_refused_request_does_not_use_up_its_key(quote: Any) -> None:
    assert quote("k", market="JP").status_code == 409
    assert quote("k").status_code == 201


def test_a_quote_is_read_as_it_was_given(quote: Any, client: TestClient) -> None:
    given = quote().json()
    assert client.get(f"/v1/buyback/quotes/{given['quote_id']}").json() == given


def test_a_quote_holds_to_its_last_instant_and_is_never_priced_again(
    quote: Any, client: TestClient, house: Any
) -> None:
    given = quote().json()
    address = f"/v1/buyback/quotes/{given['quote_id']}"
    house.appraiser.p50 = 999.0
    house.wait(days=21, milliseconds=-1)
    assert client.get(address).json() == given
    house.wait(milliseconds=1)
    assert client.get(address).json() == given | {"expired": True, "status": "EXPIRED"}


QUOTE_IDS = ["0" * 32, "f" * 32]


def test_a_promise_is_as_exact_as_the_store_keeps_it(quote: Any, house: Any) -> None:
    house.wait(microseconds=123_456)
    given = quote().json()
    assert given["quoted_at"] == "2026-11-23T12:00:00.123000Z"
    stored = house.quotes.find(quote_id=given["quote_id"])
    assert given["valid_until"] == stored.quote.expires_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("quote_id", QUOTE_IDS)
def test_an_unknown_quote_is_not_found(client: TestClient, quote_id: str) -> None:
    assert client.get(f"/v1/buyback/quotes/{quote_id}").status_code == 404


def test_an_id_that_is_none_is_malformed(client: TestClient) -> None:
    assert client.get("/v1/buyback/quotes/1").status_code == 422


def test_no_letter_of_an_id_can_be_changed(quote: Any, client: TestClient) -> None:
    quote_id = quote().json()["quote_id"]
    for place, letter in enumerate(quote_id):
        other = quote_id[:place] + ("0" if letter != "0" else "1") + quote_id[place + 1 :]
        assert client.get(f"/v1/buyback/quotes/{other}").status_code == 404


@pytest.mark.parametrize("route", PRICED)
def test_a_market_without_terms_is_closed(client: TestClient, bodies: dict[str, Any], route: str) -> None:
    answer = client.post(route, json=bodies[route] | {"market": "JP"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "market_closed")
    assert "GB" in answer.json()["detail"]


@pytest.mark.parametrize("route", PRICED)
def test_a_market_in_whose_currency_nothing_was_sold_is_not_priced(
    client: TestClient, bodies: dict[str, Any], house: Any, route: str
) -> None:
    house.appraiser.currencies = ("GBP",)
    answer = client.post(route, json=bodies[route] | {"market": "SE"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "currency_not_learned")
    assert "GBP" in answer.json()["detail"]


def test_a_market_tells_its_language_guarantees_and_grade_words(client: TestClient) -> None:
    listed = {market["market"]: market for market in client.get("/v1/markets").json()["markets"]}
    assert set(listed) >= {"FR", "DE", "GB", "US", "PL", "SE"}
    german = listed["DE"]
    assert (german["language"], german["return_days"], german["warranty_months"]) == ("de_DE", 30, 12)
    assert german["grade_words"]["PARTS"] == "Für Bastler"
    assert german["grade_words_elsewhere"]["refurbed"]["Gut"] == "FAIR"
    assert german["grade_words_elsewhere"]["back_market"]["Gut"] == "GOOD"


def test_a_market_is_closed_before_its_first_terms(quote: Any, client: TestClient, house: Any) -> None:
    house.wait(days=-365 * 30)
    assert quote().status_code == 409
    assert client.get("/v1/markets").json()["markets"] == []


@pytest.mark.parametrize("route", PRICED)
def test_an_unknown_device_is_answered_with_the_nearest(
    client: TestClient, bodies: dict[str, Any], route: str
) -> None:
    body = json.loads(json.dumps(bodies[route]).replace("thinkpad-t480", "thinkpad-t481"))
    answer = client.post(route, json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 404
    assert "lenovo-thinkpad-t480-256gb" in [near["device_id"] for near in answer.json()["suggestions"]]


def test_a_device_that_is_not_listed_is_valued_from_its_description(quote: Any, house: Any) -> None:
    device = {
        "category": "laptop",
        "brand": "Framework",
        "model": "13",
        "launch_price": {"amount": "849.00", "currency": "GBP"},
        "launched_on": "2021-07-21",
        "attributes": {"ram_gb": 16, "gpu": "Iris Xe"},
    }
    given = quote(device=device)
    assert given.json()["device"] == "Framework 13"
    asked = house.appraiser.asked[-1]
    assert (asked["launch_price"], asked["ram_gb"], asked["gpu"]) == (849.0, 16, "Iris Xe")
    assert asked["launched_on"].year == 2021


def test_a_known_device_brings_its_usual_attributes_unless_others_are_told(quote: Any, house: Any) -> None:
    quote("a")
    assert house.appraiser.asked[-1]["ram_gb"] == 8
    quote("b", device={"device_id": "lenovo-thinkpad-t480-256gb", "attributes": {"ram_gb": 32}})
    assert house.appraiser.asked[-1]["ram_gb"] == 32


def test_a_launch_price_is_left_to_what_the_appraiser_knows_in_the_currency(quote: Any, house: Any) -> None:
    quote("a", market="GB")
    assert "launch_price" not in house.appraiser.asked[-1]


@pytest.mark.parametrize(
    "attributes", [{"colour": "red"}, {"ram_gb": "8"}, {"gpu": 8}], ids=["unknown", "text", "number"]
)
def test_an_attribute_is_one_that_the_appraiser_knows(quote: Any, attributes: dict[str, Any]) -> None:
    answer = quote(device={"category": "laptop", "brand": "A", "model": "B", "attributes": attributes})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "attributes"
    assert "colour" not in answer.text


@pytest.mark.parametrize("amount", [("1.00", "EUR"), ("1.001", "GBP"), ("1.00", "XXQ")])
def test_an_amount_is_in_the_currency_of_the_market(
    client: TestClient, bodies: dict[str, Any], amount: tuple[str, str]
) -> None:
    body = bodies["/v1/sellers/price-checks"]
    body["price"] = {"amount": amount[0], "currency": amount[1]}
    answer = client.post("/v1/sellers/price-checks", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "price")


IPHONE = {"category": "smartphone", "brand": "apple", "model": "IPHONE 13", "storage_gb": 128}


def test_what_is_known_of_a_device_goes_before_what_is_told_of_its_launch(quote: Any, house: Any) -> None:
    price = {"amount": "1999.00", "currency": "GBP"}
    assert quote(device=IPHONE | {"launched_on": "2026-01-01", "launch_price": price}).status_code == 201
    told = house.appraiser.asked[-1]
    assert (told["launched_on"], told["launch_price"]) == (date(2021, 9, 24), None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"category": "laptop"}, "category"),
        ({"model": "iPhone 99", "launched_on": "2199-01-01"}, "launched_on"),
    ],
)
def test_a_description_that_cannot_be_is_malformed(quote: Any, change: dict[str, Any], field: str) -> None:
    answer = quote(device=IPHONE | change)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_default_that_is_told_is_the_same_request(quote: Any) -> None:
    assert quote(device=IPHONE).json() == quote(device=IPHONE | {"attributes": {}}).json()


def test_a_price_check_rates_the_price_and_says_the_floor(client: TestClient, bodies: dict[str, Any]) -> None:
    body = bodies["/v1/sellers/price-checks"]
    ratings = []
    for amount in ("300.00", "350.00", "400.00", "450.00", "500.00"):
        body["price"]["amount"] = amount
        found = client.post("/v1/sellers/price-checks", json=body).json()
        ratings.append(found["rating"])
    assert ratings == ["GREAT", "GOOD", "FAIR", "HIGH", "OVERPRICED"]
    assert found["fair_range"]["low"]["amount"] == "372.00"
    assert Decimal(found["floor"]["amount"]) > 0


def test_a_dearer_purchase_raises_the_floor(client: TestClient, bodies: dict[str, Any]) -> None:
    body = bodies["/v1/sellers/price-checks"]
    floors = []
    for paid in ("100.00", "200.00"):
        body["paid"] = {"amount": paid, "currency": "GBP"}
        found = client.post("/v1/sellers/price-checks", json=body).json()
        floors.append(Decimal(found["floor"]["amount"]))
    assert floors[0] < floors[1]


def test_a_valuation_is_the_ladder_of_grades_best_first(client: TestClient, bodies: dict[str, Any]) -> None:
    found = client.post("/v1/valuations", json=bodies["/v1/valuations"]).json()
    ladder = found["valuations"][0]["ladder"]
    assert [step["grade"] for step in ladder] == ["NEW", "PREMIUM", "EXCELLENT", "GOOD", "FAIR", "PARTS"]
    middles = [Decimal(step["p50"]["amount"]) for step in ladder]
    assert middles == sorted(middles, reverse=True)


def test_a_thousand_devices_are_valued_in_their_order_and_not_one_more(
    client: TestClient, bodies: dict[str, Any]
) -> None:
    body = bodies["/v1/valuations"]
    described = [
        {"device": {"category": "other", "brand": "B", "model": f"M{number}"}} for number in range(1000)
    ]
    found = client.post("/v1/valuations", json=body | {"devices": described}).json()
    assert [value["device"] for value in found["valuations"]] == [f"B M{number}" for number in range(1000)]
    too_many = client.post("/v1/valuations", json=body | {"devices": [*described, described[0]]})
    assert too_many.status_code == 422


def test_one_unknown_device_of_many_is_named_by_its_place(client: TestClient, bodies: dict[str, Any]) -> None:
    body = bodies["/v1/valuations"]
    body["devices"] += [{"device": {"device_id": "thinkpad-t481"}}]
    answer = client.post("/v1/valuations", json=body)
    assert answer.status_code == 404
    assert answer.json()["errors"] == [{"field": "devices.1", "title": "No device has this id."}]


def test_what_is_wrong_with_one_device_of_many_is_named_with_its_field(
    client: TestClient, bodies: dict[str, Any]
) -> None:
    body = bodies["/v1/valuations"]
    later = {"category": "other", "brand": "B", "model": "M", "launched_on": "2199-01-01"}
    answer = client.post("/v1/valuations", json=body | {"devices": [*body["devices"], {"device": later}]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["devices.1.device.launched_on"]


def test_devices_are_found_by_what_people_type(client: TestClient) -> None:
    found = client.get("/v1/devices?q=thinkpad+t480").json()["devices"]
    assert found[0]["device_id"] == "lenovo-thinkpad-t480-256gb"


def test_devices_are_narrowed_by_brand_and_category(client: TestClient) -> None:
    found = client.get("/v1/devices?brand=LENOVO&limit=100").json()["devices"]
    assert {device["brand"] for device in found} == {"Lenovo"}
    found = client.get("/v1/devices?category=console&limit=3").json()["devices"]
    assert {device["category"] for device in found} == {"console"}
    assert len(found) == 3


def test_a_device_lists_the_attributes_that_can_be_told(client: TestClient) -> None:
    found = client.get("/v1/devices/lenovo-thinkpad-t480-256gb").json()
    assert found["device"]["name"] == "Lenovo ThinkPad T480 256 GB"
    assert found["attributes"] == ["gpu", "ram_gb"]


def test_nothing_is_priced_before_an_appraiser_is_in_office(
    house: Any, client: TestClient, bodies: dict[str, Any]
) -> None:
    house.employ(None)
    for route in PRICED:
        answer = client.post(route, json=bodies[route], headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200


def test_an_earlier_quote_is_found_without_an_appraiser(house: Any, quote: Any, client: TestClient) -> None:
    given = quote("k")
    house.employ(None)
    assert quote("k").content == given.content
    assert client.get(f"/v1/buyback/quotes/{given.json()['quote_id']}").status_code == 200


def test_the_next_quote_names_the_new_champion_and_the_first_is_unchanged(
    house: Any, quote: Any, client: TestClient
) -> None:
    first = quote("a").json()
    house.employ(type(house.appraiser)(p50=500.0, digest="b" * 64), "2")
    assert quote("b").json()["model"]["version"] == "2"
    assert client.get(f"/v1/buyback/quotes/{first['quote_id']}").json() == first


def test_a_store_that_fails_promises_nothing(
    house: Any, quote: Any, client: TestClient, tmp_path: Any
) -> None:
    given = quote("a").json()
    house.quotes.database.engine.dispose()
    store = tmp_path / "quotes.db"
    store.rename(tmp_path / "away")
    store.mkdir()
    for answer in (quote("b"), client.get(f"/v1/buyback/quotes/{given['quote_id']}")):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    store.rmdir()
    (tmp_path / "away").rename(store)
    time.sleep(REST_SECONDS)
    assert quote("b").status_code == 201
