"""What a quote says beyond its price: how it was found, how firm it is, what would raise it; and who can stop it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving import quote_letters
from serving.controls import ControlsFile
from tests.serving.conftest import House
from valuation import exploration, markets
from valuation.controls import CALM, Controls

IPHONE = {"device_id": "apple-iphone-13-128gb"}


def amount(told: dict[str, str]) -> Decimal:
    return Decimal(told["amount"])


def test_an_offer_without_owners_says_that_it_is_by_cost_and_is_not_firm(quote: Any) -> None:
    given = quote().json()
    assert (given["policy"], given["firmness"]) == ("cost-plus", None)
    assert (given["randomised"], given["propensity"]) == (False, None)


def test_what_would_raise_an_offer_is_told_in_money_most_first(quote: Any) -> None:
    worn = {"screen": "CRACKED", "battery_health": 0.7, "carrier_locked": True}
    given = quote(answers=worn).json()
    deltas = [amount(each["delta"]) for each in given["what_would_raise_it"]]
    assert deltas == sorted(deltas, reverse=True)
    mended = quote("k2", answers={**worn, "screen": "FLAWLESS"}).json()
    (screen,) = [each for each in given["what_would_raise_it"] if each["change"] == "SCREEN_LIKE_NEW"]
    assert amount(mended["offer"]) - amount(given["offer"]) == amount(screen["delta"])


def test_a_locked_account_is_refused_and_its_removal_is_what_would_raise_the_price(quote: Any) -> None:
    given = quote(answers={"activation_locked": True}).json()
    assert (given["decision"], given["policy"]) == ("REFUSE", "none")
    assert given["what_would_raise_it"][0]["change"] == "ACCOUNT_REMOVED"


def test_waiting_is_told_for_thirty_sixty_and_ninety_days(quote: Any) -> None:
    given = quote().json()
    assert [each["days"] for each in given["if_you_wait"]] == [30, 60, 90]
    now = amount(given["resale"]["p50"])
    for each in given["if_you_wait"]:
        assert amount(each["p50"]) - now == amount(each["delta"])


def test_a_device_is_asked_only_what_its_category_is_asked(client: Any, bodies: dict[str, Any]) -> None:
    body = bodies["/v1/buyback/quotes"]
    body["device"] = {"category": "console", "brand": "Sony", "model": "PlayStation 5"}
    told = {"powers_on": True, "fully_functional": True, "body": "LIGHT", "blacklisted": False}
    given = client.post(
        "/v1/buyback/quotes", json={**body, "answers": told}, headers={"Idempotency-Key": "a"}
    )
    assert (given.status_code, given.json()["grade"]) == (201, "FUNCTIONAL_GOOD")


def test_an_answer_that_is_missing_is_named(client: Any, bodies: dict[str, Any]) -> None:
    body = bodies["/v1/buyback/quotes"]
    del body["answers"]["screen"], body["answers"]["powers_on"]
    refused = client.post("/v1/buyback/quotes", json=body, headers={"Idempotency-Key": "a"})
    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"answers.screen", "answers.powers_on"}


def test_a_quote_from_before_it_said_so_much_is_still_read(house: House, quote: Any, client: Any) -> None:
    given = quote().json()
    row = house.quotes.find(quote_id=given["quote_id"])
    assert row is not None
    older = {
        name: told for name, told in json.loads(row.quote.reply).items() if name not in quote_letters._BEFORE
    }
    read = quote_letters.kept(reply=json.dumps(older).encode())
    assert read.model_dump(mode="json")["offer"] == given["offer"]
    assert (read.policy, read.firmness, read.if_you_wait) == ("cost-plus", None, [])


def test_an_operator_stops_a_market_and_lets_it_go_on(house: House, quote: Any, tmp_path: Path) -> None:
    assert quote("a", market="GB").json()["decision"] == "OFFER"
    controls = tmp_path / "controls.toml"
    controls.write_text("[GB]\nstopped = true\n")
    stopped = quote("b", market="GB").json()
    assert (stopped["decision"], stopped["reasons"][0]["code"]) == ("REVIEW", "BUYING_STOPPED")
    assert quote("c", market="FR").json()["decision"] == "OFFER"
    controls.unlink()
    assert quote("d", market="GB").json()["decision"] == "OFFER"


def test_a_cohort_that_brought_less_lowers_offers_and_a_falling_market_asks_a_person(
    quote: Any, tmp_path: Path
) -> None:
    usual = quote("a", market="GB").json()
    controls = tmp_path / "controls.toml"
    controls.write_text("[GB]\nrealised_share = 0.95\n")
    lower = quote("b", market="GB").json()
    assert amount(lower["offer"]) < amount(usual["offer"])
    controls.write_text("[GB]\nindex_change = -0.12\n")
    assert quote("c", market="GB").json()["reasons"][0]["code"] == "MARKET_FALLS"


def test_controls_of_a_market_without_terms_stop_everything_and_name_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "controls.toml"
    path.write_text("[UK]\nstopped = true\n")
    with capture_logs() as logs:
        assert ControlsFile(path).of("FR") == Controls(stopped=True)
    assert "no terms for market 'UK'" in logs[0]["reason"]


@pytest.mark.parametrize(
    "text", ["[GB", "[GB]\nstopped = 1\n", "[GB]\nstop = true\n", "[gb]\nstopped = true\n", "\xff"]
)
def test_controls_that_cannot_be_read_stop_everything(tmp_path: Path, text: str) -> None:
    path = tmp_path / "controls.toml"
    path.write_bytes(text.encode("latin-1"))
    assert ControlsFile(path).of("FR") == Controls(stopped=True)


def test_controls_that_could_not_be_read_for_a_moment_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "controls.toml"
    path.write_text("[GB]\nrealised_share = 0.95\n")
    controls = ControlsFile(path)

    def full(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as hindered:
        hindered.setattr(Path, "read_bytes", full)
        assert controls.of("GB") == controls.of("FR") == Controls(stopped=True)
    assert (controls.of("GB"), controls.of("FR")) == (Controls(realised_share=0.95), CALM)


def test_without_controls_nothing_is_held_against_offers(tmp_path: Path) -> None:
    assert ControlsFile(tmp_path / "none.toml").of("FR") == CALM


def test_a_drawn_offer_says_so_and_everyone_of_its_day_meets_the_same_draw(
    house: House, quote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = amount(quote("a", market="GB").json()["offer"])
    terms = markets.terms
    monkeypatch.setattr(markets, "terms", lambda **told: replace(terms(**told), explored_share=Decimal(1)))
    house.employ(house.appraiser, "2")  # and so nothing is remembered
    first, second = (quote(key, market="GB").json() for key in "bc")
    assert first["randomised"]
    assert first["offer"] == second["offer"]
    assert 0.91 * float(usual) <= float(amount(first["offer"])) <= 1.081 * float(usual)
    assert first["propensity"] >= 1 / 0.161


def test_the_seed_of_draws_is_the_houses_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = replace(markets.terms(market="GB", on=date(2026, 11, 23)), explored_share=Decimal(1))
    told = {"brand": "Apple", "model": "iPhone 13", "on": date(2026, 11, 23), "terms": terms}
    assert exploration.drawn(seed="", **told) != exploration.drawn(seed="ours", **told)  # type: ignore[arg-type]
