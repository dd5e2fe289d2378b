"""Markets: one contract for every terms file."""

from __future__ import annotations

import unicodedata
from datetime import date, timedelta
from decimal import Decimal
from functools import cache

import pytest
from babel import Locale
from babel.numbers import get_territory_currencies

from valuation import markets, money, questions
from valuation.catalogue import CATEGORIES
from valuation.grades import Condition, Grade
from valuation.money import Money

DAYS = (date(2019, 1, 1), date(2020, 5, 19), date(2026, 11, 1))

every_market = pytest.mark.parametrize("market", markets.markets())
on_every_day = pytest.mark.parametrize("on", DAYS)


@cache
def loaded(market):
    return markets.load(path=markets.TERMS / f"{market.lower()}.toml")


def history(market):
    return loaded(market).history


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
def test_a_market_speaks_a_language_of_its_country(market, on):
    assert Locale.parse(markets.terms(market=market, on=on).language).territory == market


def test_the_six_markets_speak_five_languages():
    languages = {markets.terms(market=market, on=DAYS[-1]).language for market in markets.markets()}
    assert {language.split("_")[0] for language in languages} >= {"fr", "de", "en", "pl", "sv"}


@every_market
@on_every_day
def test_every_category_condition_and_grade_has_its_terms(market, on):
    terms = markets.terms(market=market, on=on)
    by_condition = (terms.refurbishment, terms.parts)
    by_category = (*by_condition, terms.parts_handling, terms.accessories, terms.shipping, terms.days_to_sell)
    assert all(set(table) == set(CATEGORIES) for table in by_category)
    assert all(set(costs) == set(Condition) for table in by_condition for costs in table.values())
    assert set(terms.grade_words) == set(Grade)
    assert len(set(terms.grade_words.values())) == len(Grade)
    assert set(terms.battery_floor) == {Grade.FAIR, Grade.GOOD, Grade.EXCELLENT, Grade.PREMIUM}


@every_market
def test_what_is_missing_costs_something_and_less_than_to_repair_what_is_broken(market):
    terms = markets.terms(market=market, on=DAYS[-1])
    for category in CATEGORIES:
        repair = terms.parts[category][Condition.FUNCTIONAL_CRACKED]
        assert Money(0, terms.currency) < terms.accessories[category] < repair


@every_market
def test_a_market_says_which_findings_lower_a_re_quote(market):
    for entry in history(market)["requote_for"]:
        assert entry.value in questions.REQUOTE_FOR


def test_in_france_only_what_the_customer_could_have_seen_lowers_a_re_quote():
    assert markets.terms(market="FR", on=DAYS[-1]).requote_for == "seen"


@every_market
@on_every_day
def test_the_shares_with_vat_on_them_leave_something_to_pay(market, on):
    terms = markets.terms(market=market, on=on)
    for category in CATEGORIES:
        shares = (
            terms.commission_share
            + terms.returns_share
            + terms.warranty_share
            + terms.holding_share(category)
            + terms.price_lock_share
            + terms.uncertainty_share
            + terms.margin_share
        )
        assert 0 < (1 + terms.vat_rate) * shares < 1


@every_market
@pytest.mark.parametrize("table", ["refurbishment", "parts"])
def test_a_worse_condition_never_costs_less(market, table):
    for costs in getattr(markets.terms(market=market, on=DAYS[-1]), table).values():
        in_order = [costs[condition] for condition in Condition]
        assert in_order == sorted(in_order)


@every_market
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_broken_device_costs_more_in_parts_than_in_work_and_a_whole_one_less(market, category):
    terms = markets.terms(market=market, on=DAYS[-1])
    work, parts = terms.refurbishment[category], terms.parts[category]
    broken = [condition for condition in Condition if parts[condition] > work[condition]]
    assert broken == list(Condition)[3:]


def test_the_parts_of_a_cracked_smartphone_cost_what_screens_are_listed_for():
    """In USD, from an aftermarket screen of an iPhone 11 to a maker-grade one of a Galaxy S22."""
    parts = markets.terms(market="US", on=DAYS[-1]).parts["smartphone"]
    assert Money(35_00, "USD") <= parts[Condition.FUNCTIONAL_CRACKED] <= Money(170_00, "USD")


@every_market
@on_every_day
def test_a_buyer_has_30_days_to_return_and_a_year_of_warranty(market, on):
    terms = markets.terms(market=market, on=on)
    assert terms.return_days >= 30
    assert terms.warranty_months >= 12
    assert terms.after_sale_share == terms.returns_share + terms.warranty_share


@every_market
def test_a_dearer_price_never_has_a_lower_buyer_fee(market):
    terms = markets.terms(market=market, on=DAYS[-1])
    fees = [terms.buyer_fee_on(Money(minor, terms.currency)) for minor in range(0, 1_000_00, 49)]
    assert fees == sorted(fees)


@pytest.mark.parametrize(
    ("price", "fee"),
    [
        ("0", "0.49"),
        ("49.99", "0.49"),
        ("50", "0.99"),
        ("200", "3.99"),
        ("299.99", "3.99"),
        ("300", "4.99"),
        ("650", "6.99"),
        ("650.01", "7.99"),
        ("9000", "7.99"),
    ],
)
def test_a_british_buyer_pays_the_published_fee_on_top(price, fee):
    terms = markets.terms(market="GB", on=DAYS[-1])
    assert terms.buyer_fee_on(Money.parse(price, "GBP")).amount == fee


def test_where_no_buyer_fee_is_known_of_none_is_added():
    assert markets.terms(market="FR", on=DAYS[-1]).buyer_fee_on(Money(300_00, "EUR")) == Money(0, "EUR")


@every_market
def test_a_buyer_fee_is_told_for_a_price_in_the_markets_currency_only(market):
    terms = markets.terms(market=market, on=DAYS[-1])
    with pytest.raises(money.CurrencyMismatch):
        terms.buyer_fee_on(Money(300_00, "JPY"))
    with pytest.raises(money.MoneyError, match="is no price: give one of zero or more"):
        terms.buyer_fee_on(Money(-1, terms.currency))


@every_market
@on_every_day
def test_a_word_of_another_marketplace_is_understood_however_it_is_written(market, on):
    terms = markets.terms(market=market, on=on)
    for marketplace, words in terms.grade_words_elsewhere.items():
        for word, grade in words.items():
            wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)
            apart = unicodedata.normalize("NFD", f"  {word.upper()} ".replace(" ", " \u00a0"))
            for written in (word, wide, apart):
                assert terms.grade_of(word=written, marketplace=marketplace) == grade


@every_market
def test_every_marketplace_has_its_place_and_back_market_every_grade_of_a_working_device(market):
    elsewhere = markets.terms(market=market, on=DAYS[-1]).grade_words_elsewhere
    assert tuple(elsewhere) == markets.MARKETPLACES
    assert set(elsewhere["back_market"].values()) == {Grade.FAIR, Grade.GOOD, Grade.EXCELLENT, Grade.PREMIUM}


@pytest.mark.parametrize(
    ("market", "word", "grades"),
    [
        ("DE", "Gut", {"back_market": Grade.GOOD, "refurbed": Grade.FAIR}),
        ("DE", "Sehr gut", {"refurbed": Grade.GOOD, "swappie": Grade.FAIR}),
        ("PL", "Dobry", {"back_market": Grade.GOOD, "refurbed": Grade.FAIR}),
    ],
)
def test_one_word_means_another_grade_on_another_marketplace(market, word, grades):
    terms = markets.terms(market=market, on=DAYS[-1])
    assert {place: terms.grade_of(word=word, marketplace=place) for place in grades} == grades


@pytest.mark.parametrize(
    ("word", "marketplace", "message"),
    [
        (
            "Mint",
            "swappie",
            "by 'Mint' on swappie in GB: known are Acceptable, Very Good, Excellent, Premium.",
        ),
        ("Good", "refurbed", "by 'Good' on refurbed in GB: known are none. Add the word with its source"),
        ("Good", "vinted", "of 'vinted' are known: known are those of back_market, refurbed, ebay"),
    ],
)
def test_a_word_that_is_not_known_is_answered_with_those_that_are(word, marketplace, message):
    with pytest.raises(markets.WordUnknown) as error:
        markets.terms(market="GB", on=DAYS[-1]).grade_of(word=word, marketplace=marketplace)
    assert message in str(error.value)


@every_market
def test_every_value_names_its_source(market):
    for key, entries in history(market).items():
        for entry in entries:
            assert len(entry.source.removeprefix("(m)").strip()) > 3, key


@every_market
@pytest.mark.parametrize("key", markets.SCHEMA)
def test_every_value_is_known_since_2019_and_before_its_first_date_says_when_it_starts(market, key):
    first = history(market)[key][0].since
    assert first <= date(2019, 1, 1)
    asked = first - timedelta(days=1)
    assert loaded(market).in_force(key=key, on=first).since == first
    with pytest.raises(markets.TermsNotYetKnown) as error:
        loaded(market).in_force(key=key, on=asked)
    assert f"No {key} for market {market} on {asked}: the first one known starts {first}" in str(error.value)


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
