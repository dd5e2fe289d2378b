"""Names: what somebody typed is taken apart, and the nearest known name comes first."""

from __future__ import annotations

import pytest

from valuation import names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PS5 1TB", ("playstation", "5", "1024", "gb")),
        ("Galaxy S10+", ("galaxy", "s", "10", "plus")),
        ("iPad (9th gen)", ("ipad", "9", "th", "gen")),
        ("_-/", ()),
    ],
)
def test_words_and_numbers_are_told_apart(text, words):
    assert names.words(text) == words


@pytest.mark.parametrize(
    ("text", "rest", "storage_gb"),
    [
        ("iphone 13 128gb", ("iphone", "13"), 128.0),
        ("iphone 13 128", ("iphone", "13"), 128.0),
        ("iphone 13", ("iphone", "13"), None),
        ("switch 2 16 g", ("switch", "2"), 16.0),
        ("mate 100", ("mate", "100"), None),
        ("128", ("128",), None),
        ("gb", ("gb",), None),
    ],
)
def test_a_storage_at_the_end_is_told_from_the_number_of_a_model(text, rest, storage_gb):
    assert names.storage_apart(names.words(text), {13.0, 16.0, 128.0}) == (rest, storage_gb)


PHONES = names.Index({name: (name,) for name in ("iphone 12", "iphone 13", "iphone 13 mini", "pixel 6")})


def test_a_number_that_differs_weighs_more_than_a_letter():
    assert PHONES.nearest(("iphnoe", "13"))[:2] == ["iphone 13", "iphone 13 mini"]


def test_a_name_is_found_by_any_of_its_spellings():
    index = names.Index({"playstation 5": ("playstation 5", "dualsense machine")})
    assert index.nearest(("dualsense", "machine")) == ["playstation 5"]


def test_words_that_are_like_no_name_find_none():
    assert PHONES.nearest(("washing", "machine")) == []
