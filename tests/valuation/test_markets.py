"""Markets: one contract for every terms file, and one broken file for every rule."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from babel.numbers import get_territory_currencies

from valuation import markets, money
from valuation.catalogue import CATEGORIES
from valuation.dated import TermsError
from valuation.grades import Condition, Grade

BROKEN = Path(__file__).parents[1] / "broken" / "terms"
DAYS = (date(2019, 1, 1), date(2020, 5, 19), date(2026, 11, 1))

every_market = pytest.mark.parametrize("market", markets.markets())
on_every_day = pytest.mark.parametrize("on", DAYS)


def history(market):
    return markets.load(path=markets.TERMS / f"{market.lower()}.toml").history


def test_the_six_markets_are_open():
    assert {"FR", "DE", "GB", "US", "PL", "SE"} <= set(markets.markets())


@every_market
@on_every_day
def test_a_market_has_terms_in_its_own_currency(market, on):
    terms = markets.terms(market=market, on=on)
    assert terms.market == market
    assert terms.currency in get_territory_currencies(market, on, on)


@every_market
@on_every_day
def test_every_category_condition_and_grade_has_its_terms(market, on):
    terms = markets.terms(market=market, on=on)
    by_category = (terms.refurbishment, terms.parts_handling, terms.shipping, terms.days_to_sell)
    assert all(set(table) == set(CATEGORIES) for table in by_category)
    assert all(set(costs) == set(Condition) for costs in terms.refurbishment.values())
    assert set(terms.grade_words) == set(Grade)
    assert len(set(terms.grade_words.values())) == len(Grade)
    assert set(terms.battery_floor) == {Grade.FAIR, Grade.GOOD, Grade.EXCELLENT, Grade.PREMIUM}


@every_market
@on_every_day
def test_the_shares_with_vat_on_them_leave_something_to_pay(market, on):
    terms = markets.terms(market=market, on=on)
    for category in CATEGORIES:
        shares = (
            terms.commission_share
            + terms.returns_share
            + terms.holding_share(category)
            + terms.price_lock_share
            + terms.uncertainty_share
            + terms.margin_share
        )
        assert 0 < (1 + terms.vat_rate) * shares < 1


@every_market
def test_a_worse_condition_never_costs_less_to_refurbish(market):
    for costs in markets.terms(market=market, on=DAYS[-1]).refurbishment.values():
        in_order = [costs[condition] for condition in Condition]
        assert in_order == sorted(in_order)


@every_market
def test_every_value_names_its_source(market):
    for key, entries in history(market).items():
        for entry in entries:
            assert len(entry.source.removeprefix("(m)").strip()) > 3, key


@every_market
def test_the_version_is_that_of_the_values_in_force(market):
    starts = {entry.since for entries in history(market).values() for entry in entries}
    later = sorted(start for start in starts if start > DAYS[0])
    for start in later:
        before, after = (
            markets.terms(market=market, on=day).version for day in (start - timedelta(days=1), start)
        )
        assert before != after
    last = max(later, default=DAYS[0])
    assert (
        markets.terms(market=market, on=last).version
        == markets.terms(market=market, on=last + timedelta(days=400)).version
    )


def test_two_markets_never_share_a_version():
    versions = [markets.terms(market=market, on=DAYS[-1]).version for market in markets.markets()]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize(
    ("market", "on", "rate"),
    [
        ("FR", date(2020, 5, 19), "0.20"),
        ("GB", date(2020, 5, 19), "0.20"),
        ("PL", date(2020, 5, 19), "0.23"),
        ("SE", date(2020, 5, 19), "0.25"),
        ("US", date(2020, 5, 19), "0"),
        ("DE", date(2020, 6, 30), "0.19"),
        ("DE", date(2020, 7, 1), "0.16"),
        ("DE", date(2020, 12, 31), "0.16"),
        ("DE", date(2021, 1, 1), "0.19"),
    ],
)
def test_the_vat_rate_is_that_of_the_day(market, on, rate):
    assert markets.terms(market=market, on=on).vat_rate == Decimal(rate)


@every_market
def test_terms_are_kept_for_the_next_time(market):
    assert markets.terms(market=market, on=DAYS[0]) is markets.terms(market=market, on=DAYS[0])


@every_market
def test_before_its_first_date_a_market_says_when_it_starts(market):
    with pytest.raises(markets.TermsNotYetKnown) as error:
        markets.terms(market=market, on=date(1980, 1, 1))
    first = history(market)["currency"][0].since
    assert str(error.value) == (
        f"No currency for market {market} on 1980-01-01: the first one known starts {first} "
        f"(valuation/terms/{market.lower()}.toml, currency). "
        "Add the earlier value with its source, or value the device on a later date."
    )


@pytest.mark.parametrize("market", ["XX", "gb", "", "../gb", "GB ", "FRANCE"])
def test_a_market_without_terms_is_named_beside_those_that_have_them(market):
    with pytest.raises(markets.MarketUnknown, match=f"known are {', '.join(markets.markets())}"):
        markets.terms(market=market, on=DAYS[0])


def test_terms_refuse_an_estimate_in_another_currency():
    with pytest.raises(money.CurrencyMismatch, match="EUR met the terms of GB, which are in GBP"):
        markets.terms(market="GB", on=DAYS[0]).require(market="GB", currency="EUR")


def test_terms_refuse_an_estimate_for_another_market_of_the_same_currency():
    with pytest.raises(markets.MarketMismatch, match="for FR met the terms of DE: ask for the terms of FR"):
        markets.terms(market="DE", on=DAYS[0]).require(market="FR", currency="EUR")


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_a_broken_terms_file_breaks_exactly_its_rule(path):
    expected = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    with pytest.raises(TermsError) as error:
        markets.load(path=path)
    (problem,) = error.value.problems
    assert problem.startswith(f"broken/terms/{path.name}")
    assert expected in problem


def test_every_problem_of_a_file_is_reported_at_once(tmp_path):
    text = (markets.TERMS / "gb.toml").read_text(encoding="utf-8")
    for old, new in (('"0.12"', '"1.2"'), ('"0.04"', "0.04"), ("[shipping]", "[shiping]")):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "gb.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TermsError) as error:
        markets.load(path=path)
    keys = [problem.split(", ")[1].split(":")[0] for problem in error.value.problems]
    assert sorted(keys) == ["margin_share", "returns_share", "shiping", "shipping"]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "gb.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TermsError, match="is no TOML file"):
        markets.load(path=path)


def test_the_later_contradiction_is_found_on_the_day_it_begins(tmp_path):
    text = (markets.TERMS / "gb.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if '"0.12"' in line)
    path = tmp_path / "gb.toml"
    later = f'{line}\n2030-01-01 = {{ value = "0.9", source = {json.dumps("a test")} }}'
    path.write_text(text.replace(line, later), encoding="utf-8")
    with pytest.raises(TermsError, match="margin_share, 2030-01-01: the shares together"):
        markets.load(path=path)
