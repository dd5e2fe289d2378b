"""Names: what somebody typed is taken apart, and the nearest known name comes first."""

from __future__ import annotations

import pytest

from valuation import names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PS5 Pro", ("playstation", "5", "pro")),
        ("Galaxy S10+", ("galaxy", "s", "10", "plus")),
        ("iPad (9th gen)", ("ipad", "9")),
        ("Galaxy S20 5G, like new", ("galaxy", "s", "20", "5g")),
        ("ÍPHONE x́", ("iphone", "x")),
        ("mba M1", ("macbook", "air", "m", "1")),
        ("new", ("new",)),
        ("_-/", ()),
    ],
)
def test_words_and_numbers_are_told_apart(text, words):
    assert names.words(text) == words


@pytest.mark.parametrize(
    ("text", "rest", "storage_gb"),
    [
        ("iphone 13 128gb", ("iphone", "13"), 128.0),
        ("128 GB iPhone 13", ("iphone", "13"), 128.0),
        ("iphone 13 128", ("iphone", "13"), 128.0),
        ("iphone13128gb", ("iphone", "13"), 128.0),
        ("iphone 13 1TB", ("iphone", "13"), 1024.0),
        ("iphone 13 1 to", ("iphone", "13"), 1024.0),
        ("iphone 13 999gb", ("iphone", "13"), 999.0),
        ("macbook 16gb 128gb", ("macbook",), 128.0),
        ("iphone 13", ("iphone", "13"), None),
        ("iphone 13 to sell", ("iphone", "13", "to"), None),
        ("switch 2 16 g", ("switch", "2"), 16.0),
        ("pixel 4a 5g", ("pixel", "4", "a", "5g"), None),
        ("mate 100", ("mate", "100"), None),
        ("galaxy a128", ("galaxy", "a", "128"), None),
        ("128", ("128",), None),
        ("128gb", ("128", "gb"), None),
        ("gb", ("gb",), None),
    ],
)
def test_a_storage_is_told_from_the_number_of_a_model(text, rest, storage_gb):
    left, found = names.storage_apart(text, {13.0, 16.0, 128.0, 1024.0, None})
    assert (names.words(left), found) == (rest, storage_gb)


PHONES = names.Index({name: (name,) for name in ("iphone 12", "iphone 13", "iphone 13 mini", "pixel 6")})


def test_a_number_that_differs_weighs_more_than_a_letter():
    assert PHONES.nearest(("iphnoe", "13"))[:2] == ["iphone 13", "iphone 13 mini"]


def test_a_name_is_found_by_any_of_its_spellings():
    index = names.Index({"playstation 5": ("playstation 5", "dualsense machine")})
    assert index.nearest(("dualsense", "machine")) == ["playstation 5"]


def test_words_that_are_like_no_name_find_none():
    assert PHONES.nearest(("washing", "machine")) == []


def test_words_in_another_order_find_the_name_after_the_one_in_this_order():
    index = names.Index({"pro 11": ("pro 11",), "phone 11 pro": ("11 pro",)})
    assert index.nearest(("pro", "11")) == ["pro 11", "phone 11 pro"]
    assert index.nearest(("11", "pro")) == ["phone 11 pro", "pro 11"]


def test_what_people_leave_out_of_a_name_is_not_missed():
    index = names.Index({"a": ("Samsung Galaxy Z Fold2 5G",), "b": ("Samsung Galaxy S22",)})
    assert index.nearest(("fold", "2")) == ["a"]
    assert index.nearest(("s", "22")) == ["b"]


def test_no_words_and_no_names_find_none():
    assert PHONES.nearest(()) == []
    assert names.Index({}).nearest(("iphone",)) == []


def test_a_name_of_nothing_but_what_people_leave_out_is_found_and_takes_no_time():
    assert names.Index({"a": ("apple iphone " * 100,)}).nearest(("apple", "iphone") * 100) == ["a"]
