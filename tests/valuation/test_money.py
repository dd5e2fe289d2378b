"""Money: exact, in one currency, and rounded by name."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuation import money
from valuation.money import Money

MINORS = st.integers(-money.MAX_MINOR, money.MAX_MINOR)
CURRENCIES = st.sampled_from(["EUR", "GBP", "USD", "PLN", "SEK", "JPY", "KWD", "CLF"])
SEPARATORS = {  # between thousands and before the minor units, and the minus
    "fr_FR": ("\u202f", ",", "-"),
    "de_DE": (".", ",", "-"),
    "en_GB": (",", ".", "-"),
    "en_US": (",", ".", "-"),
    "pl_PL": ("\u00a0", ",", "-"),
    "sv_SE": ("\u00a0", ",", "\u2212"),
}
repeatable = settings(derandomize=True, max_examples=500, deadline=None)


@pytest.mark.parametrize(("currency", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("IQD", 3), ("UYW", 4)])
def test_the_decimals_of_a_currency_are_those_of_iso_4217(currency, digits):
    assert money.digits(currency) == digits


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("129.00", "EUR", 12900),
        ("129", "EUR", 12900),
        ("129.5", "EUR", 12950),
        ("0.01", "EUR", 1),
        ("-0.05", "EUR", -5),
        ("19.99", "EUR", 1999),
        ("129", "JPY", 129),
        ("1.234", "KWD", 1234),
        ("10000000000000.00", "EUR", money.MAX_MINOR),
        ("1000000000000000", "JPY", money.MAX_MINOR),
    ],
)
def test_a_plain_decimal_string_is_read_to_the_minor_unit(text, currency, minor):
    assert Money.parse(text, currency) == Money(minor, currency)


@pytest.mark.parametrize("text", ["10000000000000.01", "-10000000000000.01", "9" * 16])
def test_an_amount_beyond_the_bound_is_refused(text):
    with pytest.raises(money.MoneyError, match="no whole number of minor units up to"):
        Money.parse(text, "EUR")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1 ",
            " 1",
            "+1",
            "--1",
            "1e2",
            "1E2",
            "1_0",
            "1,00",
            "1.",
            ".5",
            "01",
            "1.005",
            "0x1",
            "1\n",
        ),
        *("NaN", "inf", "-", "١٢", "１２", "1٫5", "1\u00a0000", "9" * 17, "1" * 10_000, "−5"),
    ],
)
def test_anything_but_a_plain_decimal_string_is_refused(text):
    with pytest.raises(money.MoneyError, match=r"no amount in EUR: write it as '129\.00'"):
        Money.parse(text, "EUR")


@pytest.mark.parametrize("text", [12, 12.5, True, None, b"12", Decimal(12)])
def test_an_amount_that_is_no_text_is_refused(text):
    with pytest.raises(money.MoneyError, match="no amount"):
        Money.parse(text, "EUR")


def test_a_decimal_in_a_currency_without_decimals_is_refused():
    with pytest.raises(money.MoneyError, match="no amount in JPY: write it as '129'"):
        Money.parse("129.0", "JPY")


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "ABC", "€", "EU\u0052\u200b"])
def test_a_code_that_is_no_currency_is_refused(currency):
    with pytest.raises(money.MoneyError, match="no ISO 4217 currency"):
        Money.parse("1", currency)


@pytest.mark.parametrize("minor", [1.0, True, "1", None, money.MAX_MINOR + 1, -money.MAX_MINOR - 1, 10**40])
def test_money_holds_nothing_but_a_bounded_whole_number(minor):
    with pytest.raises(money.MoneyError, match="no whole number of minor units"):
        Money(minor, "EUR")


@repeatable
@given(MINORS, CURRENCIES)
def test_an_amount_written_and_read_again_is_the_same(minor, currency):
    amount = Money(minor, currency)
    assert Money.parse(amount.amount, currency) == amount


@repeatable
@given(st.integers(-(10**14), 10**14), st.integers(-(10**14), 10**14), CURRENCIES)
def test_sums_and_order_are_those_of_the_minor_units(one, other, currency):
    a, b = Money(one, currency), Money(other, currency)
    assert (a + b).minor == one + other
    assert (a - b).minor == one - other
    assert (-a).minor == -one
    assert (a < b, a <= b, a > b, a >= b, a == b) == (
        one < other,
        one <= other,
        one > other,
        one >= other,
        one == other,
    )


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_two_currencies_never_mix(operation):
    with pytest.raises(money.CurrencyMismatch, match=r"1\.00 EUR and 1\.00 USD"):
        getattr(Money(100, "EUR"), operation)(Money(100, "USD"))


def test_one_amount_in_two_currencies_is_not_equal():
    assert Money(100, "EUR") != Money(100, "USD")


@pytest.mark.parametrize(
    ("estimate", "currency", "minor"),
    [
        (19.99, "EUR", 1999),
        (0.285, "EUR", 29),
        (1.005, "EUR", 101),
        (-1.005, "EUR", -101),
        (2.5, "JPY", 3),
        (1.0005, "KWD", 1001),
        (1e-9, "EUR", 0),
        (1e12, "EUR", 10**14),
    ],
)
def test_an_estimate_becomes_the_nearest_minor_unit_with_halves_away_from_zero(estimate, currency, minor):
    assert money.nearest_minor(estimate, currency) == minor


@repeatable
@given(st.floats(-1e10, 1e10), st.floats(-1e10, 1e10), CURRENCIES)
def test_a_higher_estimate_never_becomes_less_money(one, other, currency):
    low, high = sorted((one, other))
    assert money.nearest_minor(low, currency) <= money.nearest_minor(high, currency)


@pytest.mark.parametrize("estimate", [float("nan"), float("inf"), float("-inf"), 1e14, -1e300])
def test_an_estimate_that_cannot_be_an_amount_is_refused(estimate):
    with pytest.raises(money.MoneyError, match="cannot be an amount in EUR"):
        money.nearest_minor(estimate, "EUR")


@repeatable
@given(st.decimals(-(10**9), 10**9, places=4), st.sampled_from([1, 5, 100, 1000]))
def test_rounding_down_to_a_step_stays_below_by_less_than_the_step(minor, step):
    down = money.down_to_step(minor, step)
    assert down % step == 0
    assert 0 <= minor - down < step


@repeatable
@given(st.decimals(-(10**9), 10**9, places=4))
def test_rounding_up_stays_above_by_less_than_one(minor):
    assert 0 <= money.up_to_whole(minor) - minor < 1


@pytest.mark.parametrize(
    ("minor", "step", "ending", "rounded"),
    [
        (17234, 100, 99, 17199),
        (17260, 100, 99, 17299),
        (17249, 100, 99, 17199),  # a tie goes to the lower price
        (17199, 100, 99, 17199),
        (145312, 1000, 900, 144900),
        (384212, 100, 0, 384200),
        (3, 100, 99, 99),
        (3, 100, 0, 100),
        (0, 1000, 900, 900),
    ],
)
def test_a_resale_price_ends_as_the_market_likes_it_and_is_never_zero(minor, step, ending, rounded):
    assert money.nearest_ending(minor, step, ending) == rounded


@pytest.mark.parametrize(
    ("amount", "currency", "language", "text"),
    [
        ("1129.00", "EUR", "fr_FR", "1\u202f129,00\u00a0€"),
        ("-1129.00", "EUR", "fr_FR", "-1\u202f129,00\u00a0€"),
        ("1234567.89", "EUR", "fr_FR", "1\u202f234\u202f567,89\u00a0€"),
        ("1129.00", "EUR", "de_DE", "1.129,00\u00a0€"),
        ("-0.05", "EUR", "de_DE", "-0,05\u00a0€"),
        ("1129.00", "GBP", "en_GB", "£1,129.00"),
        ("-1129.00", "GBP", "en_GB", "-£1,129.00"),
        ("1129.00", "EUR", "en_GB", "€1,129.00"),
        ("1129.00", "USD", "en_US", "$1,129.00"),
        ("-7.50", "USD", "en_US", "-$7.50"),
        ("1129.00", "PLN", "pl_PL", "1129,00\u00a0zł"),
        ("-9999.99", "PLN", "pl_PL", "-9999,99\u00a0zł"),
        ("10000.00", "PLN", "pl_PL", "10\u00a0000,00\u00a0zł"),
        ("1129.00", "SEK", "sv_SE", "1\u00a0129,00\u00a0kr"),
        ("-1129.00", "SEK", "sv_SE", "\u22121\u00a0129,00\u00a0kr"),
    ],
)
def test_an_amount_is_written_as_people_of_the_language_write_it(amount, currency, language, text):
    assert money.spelled(Money.parse(amount, currency), language=language) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1129", "JPY", "1\u202f129\u00a0JPY"),
        ("1129.005", "KWD", "1\u202f129,005\u00a0KWD"),
        ("0.001", "IQD", "0,001\u00a0IQD"),  # in everyday use, and in CLDR, IQD has no decimals
        ("0.0001", "CLF", "0,0001\u00a0CLF"),
    ],
)
def test_the_minor_units_of_iso_4217_are_all_written(amount, currency, text):
    assert money.spelled(Money.parse(amount, currency), language="fr_FR") == text


@pytest.mark.parametrize("language", SEPARATORS)
def test_no_digit_is_lost_or_rounded_in_any_language(language):
    rng = random.Random(20261101)
    group, decimal, minus = SEPARATORS[language]
    for _ in range(10_000):
        minor = int(10 ** rng.uniform(0, 15)) * rng.choice((1, -1))
        amount = Money(minor, rng.choice(("EUR", "GBP", "USD", "PLN", "SEK", "JPY", "KWD", "CLF")))
        text = money.spelled(amount, language=language)
        assert "".join(c for c in text if c.isdigit()) == "".join(c for c in amount.amount if c.isdigit())
        assert amount.amount.removeprefix("-") in text.replace(group, "").replace(decimal, ".")
        assert text.startswith(minus) == (minor < 0)


@pytest.mark.parametrize(
    "language", ["", "fr", "fr-FR", "FR_fr", "xx_YY", "en_XY", "root", "../fr_FR", "fr_FR "]
)
def test_a_language_that_is_no_locale_is_refused(language):
    with pytest.raises(money.MoneyError, match="no locale of CLDR: write language and country such as fr_FR"):
        money.spelled(Money(100, "EUR"), language=language)
