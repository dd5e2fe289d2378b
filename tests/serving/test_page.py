"""Laws of the page: it works without a script, and says what the API says."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from tests.serving.conftest import ANSWERS

SELL = {
    "device_id": "lenovo-thinkpad-t480-256gb",
    "key": "0" * 32,
    "market": "GB",
    "powers_on": "yes",
    "fully_functional": "yes",
    "screen": "LIGHT",
    "body": "FLAWLESS",
    "carrier_locked": "no",
    "activation_locked": "no",
    "blacklisted": "no",
    "battery_health": "91",
}
CHECK = {
    "device_id": "lenovo-thinkpad-t480-256gb",
    "market": "GB",
    "grade": "GOOD",
    "price": "399",
    "paid": "",
    "battery_health": "",
}


def _words(answer: Any) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", answer.text)).split())


def _amounts(text: str) -> list[int]:
    return [int(re.sub("[^0-9-]", "", amount)) for amount in re.findall(r"-?£[0-9,.]+", text)]


def test_a_device_is_found_quoted_and_itemised_without_a_script(client: TestClient) -> None:
    found = client.get("/?q=thinkpad+t480")
    assert 'href="/sell?device_id=lenovo-thinkpad-t480-256gb"' in found.text
    questions = client.get("/sell?device_id=lenovo-thinkpad-t480-256gb")
    fields = set(re.findall('name="([a-z_]+)"', questions.text))
    assert fields >= set(SELL)
    sent = client.post("/sell", data=SELL, follow_redirects=False)
    assert sent.status_code == 303
    shown = client.get(sent.headers["location"])
    words = _words(shown)
    assert "We pay you £" in words and "14 December 2026" in words and "version 1" in words
    lines = re.findall('<td class="amount">(.*?)</td>', shown.text.split("</tfoot>")[0])
    *parts, total = _amounts(" ".join(lines))
    assert sum(parts) == total


def test_the_page_and_the_api_give_the_same_quote(client: TestClient) -> None:
    address = client.post("/sell", data=SELL, follow_redirects=False).headers["location"]
    given = client.get(f"/v1/buyback/quotes/{address.removeprefix('/quotes/')}").json()
    assert given["decision"] == "OFFER"
    assert f"£{given['offer']['amount']}" in client.get(address).text


def test_a_form_sent_twice_is_one_quote_and_a_changed_one_another(client: TestClient) -> None:
    first, again, other = (
        client.post("/sell", data=SELL | change, follow_redirects=False).headers["location"]
        for change in ({}, {}, {"screen": "VISIBLE"})
    )
    assert first == again != other


@pytest.mark.parametrize(
    "field", [name for name in SELL if name not in ("device_id", "key", "battery_health", "carrier_locked")]
)
def test_a_question_left_out_brings_the_form_back_with_what_was_answered(
    client: TestClient, field: str
) -> None:
    answer = client.post("/sell", data={name: value for name, value in SELL.items() if name != field})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "Choose " in answer.text.split('role="alert"')[1][:300]
    assert 'value="91"' in answer.text


@pytest.mark.parametrize("battery", ["101", "-1", "x", "9.5", "<script>alert(1)</script>"])
def test_a_battery_health_that_is_none_is_told_and_shown_as_text_only(
    client: TestClient, battery: str
) -> None:
    answer = client.post("/sell", data=SELL | {"battery_health": battery})
    assert answer.status_code == 422
    assert "Write the battery health as a whole number from 0 to 100" in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("body", ["a=%ff", "a=1&a=2", "", "\x00", "device_id=apple-iphone-13-128gb"])
@pytest.mark.parametrize("address", ["/sell", "/check"])
def test_a_form_that_cannot_be_read_is_no_server_error(client: TestClient, address: str, body: str) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post(address, content=body, headers=kind).status_code in (404, 409, 422)


def test_a_seller_reads_rating_range_and_floor(client: TestClient) -> None:
    answer = client.post("/check", data=CHECK)
    words = _words(answer)
    assert answer.status_code == 200
    assert "£399.00 is fair" in words
    assert "Fair range £372.00 to £432.00" in words
    assert "Below this the sale loses money £" in words


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "x"),
        ("price", ""),
        ("price", "1,5"),
        ("price", "9.999"),
        ("grade", "SHINY"),
        ("paid", "free"),
    ],
)
def test_a_sellers_slip_brings_the_form_back(client: TestClient, field: str, value: str) -> None:
    answer = client.post("/check", data=CHECK | {field: value})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_a_market_without_terms_is_told_on_the_form(client: TestClient) -> None:
    answer = client.post("/check", data=CHECK | {"market": "JP"})
    assert answer.status_code == 409
    assert "no terms" in answer.text and "<form" in answer.text


@pytest.mark.parametrize("address", ["/sell?device_id=thinkpad-t481", "/check?device_id=thinkpad-t481"])
def test_an_unknown_device_leads_to_the_nearest(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "Lenovo ThinkPad T480 256 GB" in answer.text


def test_an_unknown_quote_is_said_in_words(client: TestClient) -> None:
    answer = client.get(f"/quotes/{'0' * 32}")
    assert answer.status_code == 404
    assert "There is no quote with this id." in answer.text


def test_an_expired_quote_says_so(client: TestClient, house: Any) -> None:
    address = client.post("/sell", data=SELL, follow_redirects=False).headers["location"]
    house.wait(days=21)
    words = _words(client.get(address))
    assert "This quote expired on 14 December 2026" in words
    assert "We offered" in words


@pytest.mark.parametrize(
    ("step", "said"), [("accept", "You accepted this offer."), ("void", "Nothing comes of this quote")]
)
def test_a_quote_that_is_over_or_accepted_promises_nothing_and_did_not_expire(
    client: TestClient, house: Any, step: str, said: str
) -> None:
    page = client.post("/sell", data=SELL, follow_redirects=False).headers["location"]
    address = f"/v1/buyback{page}"
    told = {"accept": {"amount": client.get(address).json()["offer"]}, "void": {"reason": "WITHDRAWN"}}[step]
    assert client.post(f"{address}/{step}", json=told, headers={"Idempotency-Key": "s"}).status_code == 200
    house.wait(days=30)
    words = _words(client.get(page))
    assert said in words and "We offered" in words
    assert "expired" not in words and "kept until" not in words
    assert not client.get(address).json()["expired"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"screen": "CRACKED"}, "instead: that waits for your yes or no."),
        ({"blacklisted": True}, "We found it otherwise than described, and cannot take it as it is"),
    ],
)
def test_a_requote_is_told_with_its_amount(
    client: TestClient, house: Any, quote: Any, found: dict[str, Any], said: str
) -> None:
    given = quote().json()
    address = f"/v1/buyback/quotes/{given['quote_id']}"
    accepted = client.post(
        f"{address}/accept", json={"amount": given["offer"]}, headers={"Idempotency-Key": "a"}
    )
    assert accepted.status_code == 200
    key = {"Authorization": f"Bearer {house.keys.new(name='w', scopes=frozenset(('operator',)))}"}
    inspected = client.post(
        f"{address}/inspection",
        json={"found": ANSWERS | found},
        headers={"Idempotency-Key": "i"} | key,
    ).json()
    words = _words(client.get(f"/quotes/{given['quote_id']}"))
    assert said in words
    if (told := inspected["amount"])["amount"] != "0.00":
        assert f"£{told['amount']} instead" in words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blacklisted": "yes"}, "We cannot take it"),
        ({"powers_on": "no", "screen": "CRACKED"}, "We recycle it free of charge"),
    ],
)
def test_other_decisions_are_said_in_words(
    client: TestClient, house: Any, change: dict[str, str], said: str
) -> None:
    house.appraiser.p50 = 12.0
    assert said in _words(client.post("/sell", data=SELL | change))


def test_an_impossible_estimate_is_for_a_person(client: TestClient, house: Any) -> None:
    house.appraiser.p50 = float("nan")
    assert "A person has to look at it" in _words(client.post("/sell", data=SELL))


def test_simulated_numbers_are_marked_on_every_page_and_real_ones_on_none(
    client: TestClient, house: Any
) -> None:
    pages = ("/", "/?q=thinkpad", "/sell?device_id=apple-iphone-13-128gb", "/quotes/x")
    for simulated in (True, False):
        house.appraiser.simulated = simulated
        for address in pages:
            assert ("Simulated market" in client.get(address).text) is simulated


def test_before_an_appraiser_is_in_office_the_page_says_so(client: TestClient, house: Any) -> None:
    house.employ(None)
    assert client.get("/").status_code == 200
    answer = client.get("/?q=iphone")
    assert answer.status_code == 503
    assert "No appraiser is in office yet." in answer.text


PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "</title><svg onload=alert(1)>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_is_only_ever_text(client: TestClient, house: Any, payload: str) -> None:
    house.appraiser.devices = house.appraiser.devices.with_columns(model=pl.lit(payload)).head(1)
    house.employ(house.appraiser)
    device = house.champion.incumbent.catalogue.variants[-1]
    assert payload in device.name
    for address in (
        "/",
        f"/?q={payload}",
        f"/sell?device_id={device.device_id}",
        f"/check?device_id={device.device_id}",
    ):
        text = client.get(address).text
        assert "<script" not in text and "<img" not in text and "<svg" not in text
        assert "onfocus='" not in text


def test_no_page_asks_for_anything_elsewhere(client: TestClient) -> None:
    address = client.post("/sell", data=SELL, follow_redirects=False).headers["location"]
    for page in ("/", "/?q=iphone", "/sell?device_id=apple-iphone-13-128gb", address, "/style.css"):
        text = client.get(page).text
        assert "http:" not in text and "https:" not in text and "<script" not in text and "style=" not in text


def test_every_field_has_a_label(client: TestClient) -> None:
    for address in ("/", "/sell?device_id=apple-iphone-13-128gb", "/check?device_id=apple-iphone-13-128gb"):
        text = client.get(address).text
        assert '<html lang="en">' in text
        for tag in re.findall("<(?:input|select)[^>]*>", text):
            if "hidden" in tag:
                continue
            if "radio" in tag:
                assert f'<label class="answer">{tag}' in text
            else:
                name = re.search('id="([a-z_]+)"', tag)
                assert name and f'<label for="{name[1]}">' in text
