"""Finding a device by what somebody typed: half of its name, with slips, in another order, or a nickname."""

from __future__ import annotations

import random
import re
from collections import defaultdict

import pytest

from valuation.catalogue import Catalogue, UnknownDevice

ALL = Catalogue.embedded()


def ids(variants):
    return [variant.device_id for variant in variants]


@pytest.mark.parametrize(
    ("typed", "device_id"),
    [
        ("iphone13 128", "apple-iphone-13-128gb"),
        ("Apple iPhone 13 128GB", "apple-iphone-13-128gb"),
        ("ihpone 13 pro max 256", "apple-iphone-13-pro-max-256gb"),
        ("13 pro max 256", "apple-iphone-13-pro-max-256gb"),
        ("128gb iphone 13", "apple-iphone-13-128gb"),
        ("pro iphone 13", "apple-iphone-13-pro-128gb"),
        ("iphone13promax256gb", "apple-iphone-13-pro-max-256gb"),
        ("ifone 13", "apple-iphone-13-128gb"),
        ("iphone 13 used", "apple-iphone-13-128gb"),
        ("S22 Ultra", "samsung-galaxy-s22-ultra-128gb"),
        ("galaxy note 10+", "samsung-galaxy-note10-plus-256gb"),
        ("note 20 ultra", "samsung-galaxy-note20-ultra-5g-128gb"),
        ("z flip 5", "samsung-galaxy-z-flip5-256gb"),
        ("fold 5", "samsung-galaxy-z-fold5-256gb"),
        ("tab s9", "samsung-galaxy-tab-s9-128gb"),
        ("pixel 4a", "google-pixel-4a-128gb"),
        ("pixel 4a 5g", "google-pixel-4a-5g-128gb"),
        ("iphone se 2020", "apple-iphone-se-2020-64gb"),
        ("se 2nd gen", "apple-iphone-se-2020-64gb"),
        ("ipad 9", "apple-ipad-9th-gen-64gb"),
        ("ipad 9th generation", "apple-ipad-9th-gen-64gb"),
        ("watch 10 42", "apple-watch-series-10-42mm-gps-64gb"),
        ("aw10", "apple-watch-series-10-42mm-gps-64gb"),
        ("ps5", "sony-playstation-5-disc-825gb"),
        ("ps5 digital", "sony-playstation-5-digital-edition-825gb"),
        ("xsx", "microsoft-xbox-series-x-1024gb"),
        ("XBOX SERIES X", "microsoft-xbox-series-x-1024gb"),
        ("switch oled", "nintendo-switch-oled-64gb"),
        ("steam deck oled 1tb", "valve-steam-deck-oled-1024gb"),
        ("deck oled 1 To", "valve-steam-deck-oled-1024gb"),
        ("macbook air m1", "apple-macbook-air-13-m1-256gb"),
        ("mba m1 512", "apple-macbook-air-13-m1-512gb"),
    ],
)
def test_a_device_is_found_by_what_people_call_it(typed, device_id):
    assert ALL.search(typed)[0].device_id == device_id


def test_the_storage_that_was_typed_comes_first_and_the_others_follow():
    assert ids(ALL.search("iphone 13 256 gb", 3)) == [
        "apple-iphone-13-256gb",
        "apple-iphone-13-128gb",
        "apple-iphone-13-512gb",
    ]


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "?!",
        "zzzzzzz",
        "🙂",
        "\x00",
        "128 gb",
        "washing machine",
        "banana",
        "thinkpad x1",
        "nokia 3310",
    ],
)
def test_what_is_near_to_no_device_finds_none(typed):
    assert ALL.search(typed) == ()


def test_letters_at_random_hardly_ever_find_a_device():
    rng = random.Random(1)
    typed = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 12))) for _ in range(500)]
    assert sum(bool(ALL.search(text)) for text in typed) < 10


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_no_more_is_found_than_was_asked_for(limit):
    assert len(ALL.search("iphone", limit)) == limit


FAMILY = re.compile(
    r"(iPhone|iPad|MacBook|Apple Watch Series|Apple Watch|Galaxy|Pixel|PlayStation|Xbox|Steam) "
)
FRILLS = re.compile(r" (5G|GPS|Edition)\b|(?<=\dth) gen|(?<=\drd) gen|[()]")
SAID = {  # how much of a name people say; the storage may follow
    "all": lambda variant: f"{variant.brand} {variant.model}",
    "no brand": lambda variant: variant.model,
    "no family": lambda variant: FAMILY.sub("", variant.model),
    "no frills": lambda variant: FRILLS.sub("", variant.model),
}
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SOUNDS = (
    ("ph", "f"),
    ("sung", "song"),
    ("ax", "ex"),
    ("el", "le"),
    ("tch", "ch"),
    ("old", "ould"),
    ("ch", "tch"),
)


def near(rng, letter):
    row = next((row for row in KEYBOARD if letter.lower() in row), letter)
    at = row.find(letter.lower())
    return rng.choice(row[max(at - 1, 0) : at + 2])


def in_a_word(slip):
    """A slip at a letter of a word: a lone letter such as the e of 16e tells devices apart, and stays."""

    def typed(rng, text):
        letters = [m.start() + i for m in re.finditer("[a-zA-Z]{3,}", text) for i in range(1, len(m[0]))]
        if not letters:
            return text
        at = rng.choice(letters)
        return text[: at - 1] + slip(rng, text[at - 1], text[at]) + text[at + 1 :]

    return typed


def with_a_sound(rng, text):
    wrong, right = rng.choice([pair for pair in SOUNDS if pair[0] in text.lower()] or [("", "")])
    return re.sub(wrong, right, text, flags=re.IGNORECASE) if wrong else text


SLIPS = {
    "none": lambda rng, text: text,
    "missing": in_a_word(lambda rng, before, here: before),
    "swapped": in_a_word(lambda rng, before, here: here + before),
    "doubled": in_a_word(lambda rng, before, here: before + here + here),
    "neighbour": in_a_word(lambda rng, before, here: before + near(rng, here)),
    "accent": in_a_word(lambda rng, before, here: before + here + "\u0301"),
    "sound": with_a_sound,
    "case": lambda rng, text: rng.choice((str.upper, str.lower, str.swapcase))(text),
    "order": lambda rng, text: " ".join(rng.sample(text.split(), len(text.split()))),
    "joined": lambda rng, text: text.replace(" ", ""),
    "marks": lambda rng, text: text.replace(" ", rng.choice("-_./")),
    "spaced": lambda rng, text: re.sub(r"([a-z])(\d)", r"\1 \2", text, count=1),
    "condition": lambda rng, text: f"{text} {rng.choice(('used', 'good condition', 'gebraucht', 'black'))}",
    "generation": lambda rng, text: re.sub(r"\(?(\d+)(?:th|rd) gen\)?", rng.choice((r"gen \1", r"\1")), text),
}


def storage_as_typed(rng, variant):
    in_tb, rest = divmod(variant.storage_gb, 1024)
    units = ("GB", " gb", "gb") if rest else ("GB", "gb")
    small = [f"{variant.storage_gb:.0f}{unit}" for unit in units]
    return rng.choice([*small, f"{in_tb:.0f}TB", f"{in_tb:.0f} tb"] if in_tb and not rest else small)


SAME = {said: defaultdict(set) for said in SAID}
for variant in ALL.variants:
    for said, say in SAID.items():
        SAME[said][say(variant)].add((variant.brand, variant.model))


def typed_names(seed, count=1000):
    """(rules, what was typed, the devices that it may mean): half a name means all of which it is the same half."""
    rng = random.Random(seed)
    for _ in range(count):
        variant, said, slips = rng.choice(ALL.variants), rng.choice(list(SAID)), rng.sample(list(SLIPS), 2)
        text = SAID[said](variant)
        meant = {v.device_id for v in ALL.variants if (v.brand, v.model) in SAME[said][text]}
        for slip in slips:
            text = SLIPS[slip](rng, text)
        where = rng.choice(("none", "before", "after"))
        if where != "none":
            storage = storage_as_typed(rng, variant)
            text = f"{storage} {text}" if where == "before" else f"{text} {storage}"
            meant = {name for name in meant if ALL.get(name).storage_gb == variant.storage_gb}
        yield (said, *slips), text, meant


@pytest.mark.parametrize("seed", range(4))
def test_of_1000_misspelt_or_partial_names_97_percent_have_their_device_among_the_first_three(seed):
    missed = [
        (rules, text, sorted(meant)[0])
        for rules, text, meant in typed_names(seed)
        if not meant & set(ids(ALL.search(text, 3)))
    ]
    assert len(missed) <= 30, missed


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("slip", SLIPS)
def test_no_rule_of_misspelling_hides_more_than_one_device_in_ten(said, slip):
    rng = random.Random(7)
    found = 0
    for variant in rng.sample(ALL.variants, 60):
        models = {(v.brand, v.model) for v in ALL.search(SLIPS[slip](rng, SAID[said](variant)), 3)}
        found += bool(models & SAME[said][SAID[said](variant)])
    assert found >= 54


def test_an_unknown_id_comes_with_the_nearest_ones():
    with pytest.raises(UnknownDevice, match="Search for it by name") as error:
        ALL.get("aple-ihpone-13-128gb")
    assert error.value.suggestions[0].device_id == "apple-iphone-13-128gb"


def test_a_misspelt_id_has_its_device_among_the_first_three_suggestions():
    rng, missed = random.Random(3), []
    for variant in ALL.variants:
        with pytest.raises(UnknownDevice) as error:
            ALL.get(SLIPS["missing"](rng, variant.device_id) + "x")
        if variant not in error.value.suggestions[:3]:
            missed.append(variant.device_id)
    assert len(missed) <= 0.03 * len(ALL.variants), missed
