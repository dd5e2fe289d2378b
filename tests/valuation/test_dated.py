"""Files of dated values: one broken terms file for every rule, and one sentence for every problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valuation import markets
from valuation.dated import TermsError

BROKEN = Path(__file__).parents[1] / "broken" / "terms"


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.toml")), ids=lambda path: path.stem)
def test_a_broken_terms_file_breaks_exactly_its_rule(path):
    expected = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    with pytest.raises(TermsError) as error:
        markets.load(path=path)
    (problem,) = error.value.problems
    assert problem.startswith(f"broken/terms/{path.name}")
    assert expected in problem


every_key = pytest.mark.parametrize("key", markets.SCHEMA)
GB = (markets.TERMS / "gb.toml").read_text(encoding="utf-8")


def entry(key):
    """The first dated line of a key: its day has ten letters."""
    return GB.split(f"\n[{key}]\n")[1].splitlines()[0]


def the_problem(path, key, lines):
    """The only problem of the file with these lines for those of the key; from the key on."""
    path.write_text(GB.replace(f"\n[{key}]\n{entry(key)}", f"\n[{key}]\n{lines}"), encoding="utf-8")
    with pytest.raises(TermsError) as error:
        markets.load(path=path)
    (problem,) = error.value.problems
    return problem.removeprefix(f"{'/'.join(path.parts[-3:])}, ")


@every_key
@pytest.mark.parametrize("wrong", ["1.5", "true", '""', "[1]", '"-1"', "inf", "2019-01-01", '"٣"', '"1e5"'])
def test_a_wrong_value_is_one_problem_with_file_key_and_day(tmp_path, key, wrong):
    lines = f'2019-01-01 = {{ value = {wrong}, source = "x" }}'
    assert the_problem(tmp_path / "gb.toml", key, lines).startswith(f"{key}, 2019-01-01: ")


@every_key
@pytest.mark.parametrize("day", ["2019-02-30", "2019-1-1", "20190101", "01-01-2019"])
def test_a_wrong_date_is_one_problem_with_file_and_key(tmp_path, key, day):
    found = the_problem(tmp_path / "gb.toml", key, day + entry(key)[10:])
    assert found == f"{key}, {day}: is no date; write it as 2021-01-31"


@pytest.mark.parametrize("key", sorted(markets.SCHEMA.keys() - {"currency"}))  # currency has one value only
def test_a_wrong_order_is_one_problem_with_file_and_key(tmp_path, key):
    found = the_problem(tmp_path / "gb.toml", key, f"{entry(key)}\n1980-01-01{entry(key)[10:]}")
    assert found == f"{key}: its dates are not in order; write the oldest first"


@every_key
def test_a_wrong_key_is_one_problem_with_file_and_key(tmp_path, key):
    found = the_problem(tmp_path / "gb.toml", key, f"{entry(key)}\n\n[{key}x]\n{entry(key)}")
    assert found == f"{key}x: is not a known key; is it misspelt?"


def test_every_problem_of_a_file_is_reported_at_once(tmp_path):
    text = (markets.TERMS / "gb.toml").read_text(encoding="utf-8")
    for old, new in (('"0.12"', '"1.2"'), ('"0.025"', "0.025"), ("[shipping]", "[shiping]")):
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
    line = next(line for line in text.splitlines() if '"0.35"' in line)
    path = tmp_path / "gb.toml"
    later = f'{line}\n2030-01-01 = {{ value = "0.9", source = {json.dumps("a test")} }}'
    path.write_text(text.replace(line, later), encoding="utf-8")
    with pytest.raises(TermsError, match="most_margin_share, 2030-01-01: the shares together"):
        markets.load(path=path)
