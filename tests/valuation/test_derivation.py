"""Launch prices that no source tells: derived by one rule, told as derived, and possible."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from statistics import median

import pytest

from valuation import derivation
from valuation.catalogue import Catalogue
from valuation.catalogue_file import CatalogueError, Entry
from valuation.money import Money

ALL = Catalogue.embedded()


def entry(price, **told):
    amount, currency = price.split()
    model, storage_gb = told.get("model", "One"), told.get("storage_gb", 64)
    facts = {
        "device_id": f"{model}-{storage_gb}",
        "brand": "Maker",
        "family": "Phones",
        "model": model,
        "category": "smartphone",
        "storage_gb": float(storage_gb),
        "launched_on": date(2021, 1, 1),
        "price": Money.parse(amount, currency),
        "source": "a test",
        "confidence": "A",
    }
    return Entry(**facts | told)


def pair(euros, dollars, **told):
    return entry(f"{euros} EUR", **told), entry(f"{dollars} USD", **told)


OTHER_RATIOS = (
    *(entry(price, model="Old", brand="Old") for price in ("100 EUR", "90 GBP", "450 PLN")),
    *(entry(price, model="Older", brand="Old") for price in ("100 USD", "90 GBP")),
)


def prices(*entries, currency, model="One"):
    """What is derived for a model in a currency, beside a few facts in the other currencies."""
    every = derivation.derived(entries=(*entries, *OTHER_RATIOS))
    found = [one for one in every if one.model == model and one.price.currency == currency]
    return [one.price.amount for one in sorted(found, key=lambda one: one.storage_gb)]


RATIOS = {"A": (110, 100), "B": (120, 100), "C": (150, 100)}
OF_THE_BRAND = [one for name, both in RATIOS.items() for one in pair(*both, model=name)]
ANY_BRAND = [replace(one, brand="Other") for one in OF_THE_BRAND]


def test_a_price_is_derived_by_the_median_ratio_and_ends_as_prices_do():
    asked = entry("500 USD")
    assert prices(asked, *OF_THE_BRAND, currency="EUR") == ["599.00"]  # 500 x 1.20 = 600
    assert prices(asked, *ANY_BRAND, currency="EUR") == ["599.00"]


def test_three_devices_of_the_brand_go_before_any_others():
    others = [one for n in range(20) for one in pair(200, 100, model=f"Other {n}", brand="Other")]
    assert prices(entry("500 USD"), *OF_THE_BRAND, *others, currency="EUR") == ["599.00"]
    assert prices(entry("500 USD"), *OF_THE_BRAND[:4], *others, currency="EUR") == ["999.00"]


def test_the_nearest_launch_years_count_as_long_as_they_hold_enough_devices():
    earlier = [
        replace(one, launched_on=date(2015, 1, 1), device_id=f"{one.device_id}!") for one in OF_THE_BRAND
    ]
    later = [
        one for n in range(3) for one in pair(140, 100, model=f"Later {n}", launched_on=date(2022, 1, 1))
    ]
    assert prices(entry("500 USD"), *earlier, *later, currency="EUR") == ["699.00"]


def test_kronor_are_twelve_to_the_euro_and_end_in_95():
    assert prices(*pair(1000, 900), currency="SEK") == ["11995.00"]
    assert prices(entry("1000 SEK"), *pair(100, 100, model="Two"), currency="EUR") == ["79.00"]


def test_a_derived_price_never_falls_with_storage_and_stays_between_the_facts():
    facts = [
        *pair(500, 500, storage_gb=64),
        entry("999 USD", storage_gb=128),
        entry("600 EUR", storage_gb=256),
        entry("400 USD", storage_gb=512),
    ]
    assert prices(*facts, currency="EUR") == ["600.00", "600.00"]


def test_a_derived_price_says_from_what_and_by_which_ratio():
    found = {launch.price.currency: launch for launch in ALL.get("apple-iphone-13-256gb").launches}
    assert (found["USD"].derived, found["EUR"].derived) == (False, True)
    assert found["EUR"].source == "derived: 899.00 USD x 1.136 (median of 7 devices of Apple)"
    assert found["PLN"].source == "derived: 1019.00 EUR x 4.952 (median of 3 devices of Apple)"
    assert found["SEK"].source == "derived: 1019.00 EUR x 12.000 (assumed)"


def test_nothing_is_derived_where_everything_is_told():
    told = [entry(f"100 {currency}") for currency in ("EUR", "USD", "GBP", "PLN", "SEK")]
    assert derivation.derived(entries=told) == ()


def test_a_currency_that_no_device_has_beside_another_is_told():
    with pytest.raises(CatalogueError, match=r"No launch price in EUR can be derived from USD: .* Add one"):
        derivation.derived(entries=[entry("100 USD")])


def ratios(currency, origin, *, derived):
    """What a unit of one currency was in another for every variant with a fact in `origin`."""
    found = []
    for variant in ALL.variants:
        by = {launch.price.currency: launch for launch in variant.launches}
        if not by[origin].derived and by[currency].derived == derived:
            found.append(by[currency].price.minor / by[origin].price.minor)
    return found


@pytest.mark.parametrize(
    ("currency", "origin"), [("EUR", "USD"), ("GBP", "USD"), ("GBP", "EUR"), ("USD", "EUR"), ("PLN", "EUR")]
)
def test_a_derived_price_lies_within_what_the_facts_of_its_currency_show(currency, origin):
    told, derived = ratios(currency, origin, derived=False), ratios(currency, origin, derived=True)
    assert derived
    assert min(told) <= min(derived)
    assert max(derived) <= max(told)


def test_derived_kronor_lie_between_eleven_and_thirteen_to_the_euro():
    derived = ratios("SEK", "EUR", derived=True)
    assert min(derived) > 11
    assert max(derived) < 13


@pytest.mark.parametrize(("currency", "origin", "error"), [("EUR", "USD", 0.013), ("GBP", "EUR", 0.018)])
def test_a_fact_that_was_not_told_would_have_been_derived_about_right(currency, origin, error):
    entries = [
        Entry(
            **{name: getattr(v, name) for name in ("device_id", "brand", "family", "model", "category")},
            storage_gb=v.storage_gb,
            launched_on=v.launched_on,
            price=launch.price,
            source=launch.source,
            confidence=launch.confidence,
        )
        for v in ALL.variants
        for launch in v.launches
        if not launch.derived
    ]
    errors = []
    for model in sorted({(e.brand, e.model) for e in entries}):
        left_out = {
            e.device_id: e for e in entries if (e.brand, e.model) == model and e.price.currency == currency
        }
        others = [e for e in entries if left_out.get(e.device_id) is not e]
        for found in derivation.derived(entries=others) if left_out else ():
            fact = left_out.get(found.device_id)
            if fact and found.price.currency == currency and f" {origin} x" in found.source:
                errors.append(abs(found.price.minor / fact.price.minor - 1))
    assert len(errors) > 100
    assert median(errors) <= error
    assert sorted(errors)[len(errors) * 9 // 10] < 0.07
