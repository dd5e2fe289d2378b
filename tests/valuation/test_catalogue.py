"""The catalogue: facts that hold together, and ids that stay."""

from __future__ import annotations

import re
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valuation import catalogue, catalogue_file, markets
from valuation.catalogue import CATEGORIES, Catalogue, UnknownDevice, Variant
from valuation.catalogue_file import CatalogueError

ALL = Catalogue.embedded()
LATIN_AND_SPACES = st.text(
    st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs", "Cn", "Co")), max_size=30
)


def ids(variants):
    return [variant.device_id for variant in variants]


def test_every_id_follows_from_the_names_and_is_unique():
    assert len(set(ids(ALL.variants))) == len(ALL.variants)
    for variant in ALL.variants:
        expected = catalogue.slug(brand=variant.brand, model=variant.model, storage_gb=variant.storage_gb)
        assert variant.device_id == expected
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", variant.device_id)


def test_every_variant_has_a_family_a_category_and_a_possible_day():
    for variant in ALL.variants:
        assert variant.family
        assert variant.category in CATEGORIES
        assert date(2010, 1, 1) < variant.launched_on < date(2026, 12, 31), variant.device_id


def test_every_launch_has_a_price_a_source_and_a_confidence_and_says_whether_it_is_derived():
    for variant in ALL.variants:
        for launch in variant.launches:
            assert launch.price.minor > 0
            assert launch.confidence in "ABCD"
            assert launch.derived == launch.source.startswith("derived: ") == (launch.confidence == "D")
            assert launch.source.strip()


def test_every_variant_has_one_launch_price_in_the_currency_of_each_market():
    currencies = {markets.terms(market=m, on=date(2026, 10, 31)).currency for m in markets.markets()}
    assert currencies == set(catalogue_file.CURRENCIES)
    for variant in ALL.variants:
        assert sorted(launch.price.currency for launch in variant.launches) == sorted(currencies)


def test_what_the_file_tells_is_never_replaced_by_a_derived_price():
    facts = catalogue.load(path=catalogue.FACTS)
    assert ids(facts.variants) == ids(ALL.variants)
    for told, known in zip(facts.variants, ALL.variants, strict=True):
        assert told.launches == tuple(launch for launch in known.launches if not launch.derived)


def test_more_storage_never_cost_less_at_launch():
    prices = {}
    for variant in ALL.variants:
        for launch in variant.launches:
            key = (variant.brand, variant.model, launch.price.currency)
            prices.setdefault(key, []).append((variant.storage_gb, launch.price.minor))
    for key, pairs in prices.items():
        in_order = [price for _, price in sorted(pairs)]
        assert in_order == sorted(in_order), key


@pytest.mark.parametrize(
    ("brand", "model", "storage_gb", "device_id"),
    [
        ("Apple", "iPhone 13", 128.0, "apple-iphone-13-128gb"),
        ("Samsung", "Galaxy S10+", 128.0, "samsung-galaxy-s10-plus-128gb"),
        ("Samsung", "Galaxy S10", 128.0, "samsung-galaxy-s10-128gb"),
        ("Huawei", "Huawei P30 Pro", 256.0, "huawei-p30-pro-256gb"),
        ("Apple", "MacBook Air 13 (M1)", 2048.0, "apple-macbook-air-13-m1-2048gb"),
        ("Sony", "α 7 Ⅲ", None, "sony-7-iii"),
        ("Dell", "Latitude  E7470", 0.5, "dell-latitude-e7470-0-5gb"),
        ("Citroën", "É", 1048576.0, "citroen-e-1048576gb"),
        ("小米", "米", None, "device"),
    ],
)
def test_an_id_is_made_of_ascii_words_and_numbers(brand, model, storage_gb, device_id):
    assert catalogue.slug(brand=brand, model=model, storage_gb=storage_gb) == device_id


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(LATIN_AND_SPACES, min_size=1, max_size=20))
def test_a_key_is_the_same_for_a_text_and_for_a_column(texts):
    column = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    assert column.select(catalogue.key_expr(pl.col("text"))).to_series().to_list() == [
        catalogue.key(text) for text in texts
    ]


@pytest.mark.parametrize("text", ["iPhone 13", " IPHONE  13 ", "iPhone\u00a013", "ｉＰｈｏｎｅ\t13"])
def test_names_that_differ_in_case_width_and_spaces_have_one_key(text):
    assert catalogue.key(text) == "iphone 13"


def test_the_launches_are_one_row_for_each_variant_and_currency():
    facts = catalogue.launch_facts()
    assert facts.schema == {
        "brand_key": pl.String,
        "model_key": pl.String,
        "storage_gb": pl.Float64,
        "currency": pl.String,
        "launched_on": pl.Date,
        "launch_price": pl.Float64,
        "derived": pl.Boolean,
    }
    assert len(facts) == sum(len(variant.launches) for variant in ALL.variants)
    assert not facts.select("brand_key", "model_key", "storage_gb", "currency").is_duplicated().any()
    row = facts.row(
        by_predicate=(pl.col("model_key") == "iphone 11")
        & (pl.col("storage_gb") == 64)
        & (pl.col("currency") == "USD"),
        named=True,
    )
    assert (row["launched_on"], row["launch_price"], row["derived"]) == (date(2019, 9, 20), 699.0, False)


def test_a_device_is_found_by_its_id():
    found = ALL.get("apple-iphone-13-128gb")
    assert (found.brand, found.model, found.storage_gb, found.name) == (
        "Apple",
        "iPhone 13",
        128.0,
        "Apple iPhone 13 128 GB",
    )


def test_an_unknown_id_comes_with_the_nearest_ones():
    with pytest.raises(UnknownDevice, match="Search for it by name") as error:
        ALL.get("aple-ihpone-13-128gb")
    assert error.value.suggestions[0].device_id == "apple-iphone-13-128gb"


@pytest.mark.parametrize("device_id", ["", "zzzz", "🙂", "x" * 100_000, "../../etc/passwd"])
def test_an_id_that_is_near_to_nothing_is_unknown_without_suggestions(device_id):
    with pytest.raises(UnknownDevice, match="Nearest: none") as error:
        ALL.get(device_id)
    assert error.value.suggestions == ()
    assert len(str(error.value)) < 250


def devices(*rows):
    schema = {"brand": pl.String, "model": pl.String, "category": pl.String, "storage_gb": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_devices_that_only_sales_know_join_the_catalogue_and_are_found():
    joined = ALL.with_devices(devices(("Dell", "Latitude E7470", "laptop", 256.0)))
    variant = joined.get("dell-latitude-e7470-256gb")
    assert variant == Variant(
        device_id="dell-latitude-e7470-256gb",
        brand="Dell",
        model="Latitude E7470",
        category="laptop",
        storage_gb=256.0,
    )
    assert joined.search("dell lattitude e7470")[0] == variant
    assert joined.search("dell lattitude e7470") != ALL.search("dell lattitude e7470")


def test_a_device_that_the_catalogue_has_is_not_added_again():
    again = devices(("apple", "IPHONE  13", "smartphone", 128.0), ("Apple", "iPhone 13", "smartphone", 128.0))
    assert ALL.with_devices(again) == ALL


def test_a_device_without_storage_is_a_device_of_its_own():
    joined = ALL.with_devices(devices(("Apple", "iPhone 13", "smartphone", None)))
    assert joined.get("apple-iphone-13").name == "Apple iPhone 13"
    assert "apple-iphone-13" in ids(joined.search("iphone 13"))


def test_two_devices_with_one_slug_get_ids_of_their_own_in_any_order():
    rows = [
        ("Dell", "E-7470", "laptop", 256.0),
        ("Dell", "E 7470", "laptop", 256.0),
        ("Apple", "iPhone-13", "smartphone", 128.0),
    ]
    one, other = (ALL.with_devices(devices(*some)) for some in (rows, rows[::-1]))
    assert one == other
    assert one.get("apple-iphone-13-128gb") == ALL.get("apple-iphone-13-128gb")
    added = ids(one.variants[len(ALL.variants) :])
    assert len(set(added)) == 3
    assert all(re.fullmatch(r"(dell-e-7470-256gb|apple-iphone-13-128gb)-[0-9a-f]{8}", name) for name in added)


def test_a_frame_of_no_devices_adds_nothing():
    assert ALL.with_devices(devices()) == ALL


def test_variants_that_share_an_id_are_refused():
    with pytest.raises(CatalogueError, match="Two variants share a device id"):
        Catalogue((*ALL.variants, ALL.variants[0]))
