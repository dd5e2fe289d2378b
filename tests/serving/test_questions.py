"""Laws of the questions that a storefront is given: in the right language, and enough for a quote."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from valuation import markets, questions

ROUTE = "/v1/buyback/questions"
IPHONE = "apple-iphone-13-128gb"
TOLD: list[dict[str, Any]] = [{}, {"accessories": None}, {"accessories": False}]
CONSOLE = "sony-playstation-5-disc-825gb"


@pytest.fixture
def ask(client: Any) -> Any:
    def get(**query: str) -> Any:
        return client.get(ROUTE, params={"market": "GB", "device_id": IPHONE} | query)

    return get


def test_a_device_is_asked_the_questions_of_its_category_in_order(ask: Any) -> None:
    told = ask().json()
    assert (told["market"], told["device"], told["lang"]) == ("GB", "Apple iPhone 13 128 GB", "en")
    assert (told["as_of"], len(told["request_id"]) > 0) == ("2026-11-23", True)
    fields = [question["field"] for question in told["questions"]]
    assert fields == [question.field for question in questions.of(category="smartphone")]
    assert "battery_health" in fields


def test_a_console_is_not_asked_about_a_battery_a_screen_or_a_sim_card(ask: Any) -> None:
    fields = {question["field"] for question in ask(device_id=CONSOLE).json()["questions"]}
    assert fields == {"powers_on", "fully_functional", "body", "blacklisted", "accessories"}


def test_a_question_tells_its_kind_its_answers_and_whether_the_customer_can_see_them(ask: Any) -> None:
    told = {question["field"]: question for question in ask().json()["questions"]}
    assert told["powers_on"] == {
        "field": "powers_on",
        "kind": "yes_no",
        "question": "Does it switch on?",
        "answers": [{"value": True, "text": "Yes"}, {"value": False, "text": "No"}],
        "visible": True,
    }
    assert [answer["value"] for answer in told["screen"]["answers"]] == [
        "FLAWLESS",
        "LIGHT",
        "VISIBLE",
        "CRACKED",
    ]
    assert told["battery_health"]["kind"] == "share"
    assert told["battery_health"]["answers"] == [{"value": None, "text": "I do not know"}]
    assert told["fully_functional"]["visible"] is False


@pytest.mark.parametrize("market", markets.markets())
def test_a_market_asks_in_its_own_language_unless_another_is_wanted(ask: Any, market: str) -> None:
    told = ask(market=market).json()
    lang = markets.terms(market=market, on=date(2026, 11, 23)).language[:2]
    assert told["lang"] == lang
    assert ask(market=market, lang=lang).json()["questions"] == told["questions"]
    for other in questions.LANGUAGES:
        wanted = ask(market=market, lang=other).json()
        assert wanted["lang"] == other
        assert (wanted["questions"] == told["questions"]) == (other == lang)


def test_every_answer_that_can_be_chosen_is_one_that_a_quote_takes(ask: Any, quote: Any) -> None:
    for question in ask().json()["questions"]:
        for number, answer in enumerate(question["answers"]):
            given = quote(f"{question['field']}{number}", answers={question["field"]: answer["value"]})
            assert given.status_code == 201, given.text


def test_missing_accessories_are_a_reason_of_the_grade_and_do_not_lower_it(quote: Any) -> None:
    told = [quote(f"{there}", answers={"accessories": there}).json() for there in (True, False, None)]
    assert {given["grade"] for given in told} == {"FUNCTIONAL_GOOD"}
    codes = [[reason["code"] for reason in given["grade_reasons"]] for given in told]
    assert codes == [["SCREEN_LIGHT"], ["SCREEN_LIGHT", "ACCESSORIES_MISSING"], ["SCREEN_LIGHT"]]


def test_accessories_that_are_not_told_are_the_same_request_as_null(quote: Any) -> None:
    assert quote("k").json() == quote("k", answers={"accessories": None}).json()


def test_a_key_from_before_accessories_could_be_told_still_stands_for_its_quote(
    house: Any, quote: Any
) -> None:
    given = [quote(f"{key}", answers=told).json()["quote_id"] for key, told in enumerate(TOLD)]
    kept = [house.quotes.find(quote_id=quote_id) for quote_id in given]
    assert [b"accessories" in one.quote.request for one in kept] == [False, False, True]


def test_a_language_that_is_not_written_is_answered_with_those_that_are(ask: Any) -> None:
    answer = ask(lang="it")
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    (error,) = answer.json()["errors"]
    assert error["field"] == "lang"
    assert all(f"'{lang}'" in error["title"] for lang in questions.LANGUAGES)


def test_an_unknown_device_is_answered_with_the_nearest(ask: Any) -> None:
    answer = ask(device_id="apple-iphone-13-129gb")
    assert (answer.status_code, answer.json()["code"]) == (404, "device_unknown")
    assert IPHONE in [near["device_id"] for near in answer.json()["suggestions"]]


def test_a_market_without_terms_asks_nothing(ask: Any) -> None:
    answer = ask(market="JP")
    assert (answer.status_code, answer.json()["code"]) == (409, "market_closed")
    assert "GB" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "field"), [({"market": "gb"}, "market"), ({"device_id": "A B"}, "device_id")]
)
def test_a_query_that_cannot_be_read_is_told_its_field(ask: Any, query: dict[str, str], field: str) -> None:
    answer = ask(**query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert ask(odd="1").status_code == 422


def test_no_device_is_known_before_an_appraiser_is_in_office(house: Any, ask: Any) -> None:
    house.employ(None)
    assert (ask().status_code, ask().headers["retry-after"]) == (503, "5")


def test_a_currency_in_which_nothing_was_sold_may_still_be_asked_about(house: Any, ask: Any) -> None:
    house.appraiser.currencies = ("GBP",)
    assert ask(market="SE").status_code == 200
