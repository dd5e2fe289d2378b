"""Scenario files: small, on top of market.toml, every number with its source; every slip told by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.testing

from training.__main__ import app
from training.simulator import scenario
from training.simulator.refusal import SimulatorError

ROOT = Path(__file__).parents[3]

every_scenario = pytest.mark.parametrize("name", scenario.names())


def problems(tmp_path: Path, text: str, base: str | None = None) -> list[str]:
    """What is wrong with a scenario of this text."""
    path = tmp_path / "mine.toml"
    path.write_text(f'says = "A test."\n{text}', encoding="utf-8")
    below = scenario.BASE
    if base is not None:
        below = tmp_path / "market.toml"
        below.write_text(base, encoding="utf-8")
    with pytest.raises(SimulatorError) as error:
        scenario.load(path, base=below)
    return str(error.value).splitlines()


def test_the_scenarios_that_were_asked_for_are_there() -> None:
    asked = {
        "steady",
        "drift",
        "launch-shock",
        "noisy",
        "new-brand",
        "market-entry",
        "dirty",
        "thin",
        "stock-flood",
    }
    assert asked <= set(scenario.names())


@every_scenario
def test_a_scenario_says_in_a_sentence_what_it_is(name: str) -> None:
    says = scenario.load(scenario.find(name)).says
    assert says.endswith(".") and 30 < len(says) < 130


@every_scenario
def test_a_scenario_is_a_small_file_of_what_differs(name: str) -> None:
    assert len(scenario.find(name).read_text("utf-8").splitlines()) <= 45


def test_every_number_of_the_market_has_a_source_or_the_mark_of_an_assumed_one() -> None:
    told = scenario.sources()
    assert len(told) > 90
    for key, _, source in told:
        assert len(source.removeprefix("(m)").strip()) > 2 or source == "(m)", key


def test_every_number_of_a_scenario_stands_in_the_market_with_its_source() -> None:
    """What is read is what has a source: no number comes from nowhere."""
    facts = scenario.load(scenario.find("steady")).model_dump(exclude={"says", "events", "launches"})
    keys = {key for key, _, _ in scenario.sources()}
    for part, table in facts.items():
        for name in table:
            assert any(key == f"{part}.{name}" or key.startswith(f"{part}.{name}.") for key in keys), (
                part,
                name,
            )


def test_an_unknown_scenario_is_told_beside_the_known_ones() -> None:
    with pytest.raises(SimulatorError, match=r"no scenario 'boom'\. There are: dirty, drift, .*steady"):
        scenario.find("boom")
    with pytest.raises(SimulatorError, match="There are: dirty"):
        scenario.find("../simulator/market")


def test_a_file_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('says = "Mine."\n[noise]\ntimes = 2\n')
    found = scenario.load(scenario.find(str(path)))
    assert (found.says, found.noise.times) == ("Mine.", 2.0)
    with pytest.raises(SimulatorError, match=r"nowhere\.toml cannot be read"):
        scenario.load(scenario.find(str(tmp_path / "nowhere.toml")))


def test_what_a_scenario_tells_of_a_table_leaves_the_rest_of_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('says = "Mine."\n[age]\nkeeps = { Apple = 0.5 }\n')
    keeps, usual = scenario.load(path).age.keeps, scenario.load(scenario.find("steady")).age.keeps
    assert keeps == {**usual, "Apple": 0.5}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[noise]\ntime = 2.0", "mine.toml, noise.time: is not a known key; is it misspelt?"),
        ("[noize]\ntimes = 2.0", "mine.toml, noize: is not a known key; is it misspelt?"),
        ('[noise]\ntimes = "2"', "mine.toml, noise.times: Input should be a valid number"),
        ("[noise]\ntimes = 0", "mine.toml, noise.times: Input should be greater than or equal to 0.05"),
        ("[noise]\nwide_share = 1.5", "mine.toml, noise.wide_share: Input should be less than or equal to 1"),
        ("[noise]\ntimes = nan", "mine.toml, noise.times: Input should be a finite number"),
        (
            "[markets.share]\nXX = 0.1",
            "mine.toml, markets.share.XX: 'XX' is no market with terms that is known",
        ),
        ("[exchange.yearly_sd]\nEUX = 0.1", "mine.toml, exchange.yearly_sd.EUX: 'EUX' is no currency"),
        ("[categories]\nphone = 0.1", "mine.toml, categories.phone: 'phone' is no category that is known"),
        ("[grades.share]\nB = 0.1", "mine.toml, grades.share.B: 'B' is no grade that is known"),
        (
            "[owners.condition]\nBAD = 0.1",
            "mine.toml, owners.condition.BAD: 'BAD' is no condition that is known",
        ),
        (
            "[age.keeps]\nAppel = 0.9",
            "mine.toml, age.keeps: no device of a brand 'Appel' is in the catalogue",
        ),
        ("[age]\nknots_years = [0.0, 1.0, 0.25, 6.0]", "mine.toml, age.knots_years: is not in order"),
        ("[age]\npace = [1.0]", "mine.toml, age: pace has 1 entries and knots_years 4"),
        (
            "[returns]\nafter_days = { least = 9, most = 3 }",
            "mine.toml, returns.after_days: from 9 to 3 is no range",
        ),
        ("[period]\nends_on = 2026-06-31", "mine.toml is no TOML file"),
        ('[period]\nends_on = "2026-06-30"', "mine.toml, period.ends_on: Input should be a valid date"),
        (
            "[markets.opens_on]\nPL = 2023-01-01",
            "mine.toml, markets.opens_on.PL: 2023-01-01 is no day of this market",
        ),
        (
            '[[events]]\non = 2027-01-01\nsays = "x"',
            "mine.toml, events.1.on: 2027-01-01 is no day of this market",
        ),
        ('[[events]]\nsays = "x"', "mine.toml, events.1.on: is missing; give it a value"),
        (
            '[[events]]\non = 2026-03-01\nuntil = 2026-02-01\nsays = "x"',
            "mine.toml, events.1.until: 2026-02-01 is not after 2026-03-01",
        ),
        (
            '[[events]]\non = 2026-03-01\nsays = "x"\n[[events]]\non = 2026-02-01\nsays = "y"',
            "mine.toml, events: are not in order; write the oldest first",
        ),
        (
            '[[events]]\non = 2026-03-01\nsays = "x"\nbrands = ["Nokia"]',
            "mine.toml, events.1.brands: no device of a brand 'Nokia'",
        ),
        (
            "[owners]\nanswer_days = 0.5",
            "mine.toml, owners.answer_days: Input should be greater than or equal to 1",
        ),
        ("[listings]\nseason = 5", "mine.toml, listings.season: Input should be less than or equal to 0.9"),
        ("[launch]\nramp_days = { least = 0, most = 0 }", "mine.toml, launch.ramp_days: has no length"),
        (
            "[listings.patience_days]\nleast = 0",
            "mine.toml, listings.patience_days.least: Input should be greater",
        ),
        (
            "[policy]\nsale_days = { least = -3, most = 9 }",
            "mine.toml, policy.sale_days.least: Input should be greater",
        ),
        (
            "[noise]\nbounds = { least = 0.0, most = 0.1 }",
            "mine.toml, noise.bounds.least: Input should be greater",
        ),
        (
            "[markets.level]\nFR = -1000",
            "mine.toml, markets.level.FR: Input should be greater than or equal to -3",
        ),
        ("[period]\nends_on = 9999-12-31", "mine.toml, period.ends_on: Input should be less than"),
        ("[popularity]\nspread = 1e6", "mine.toml, popularity.spread: Input should be less than"),
        (
            '[[launches]]\non = 2026-01-01\nbrand = "Apple"\nmodel = "iphone 13"\ncategory = "smartphone"\n'
            "storage_gb = [64]\nusd = [9]",
            "mine.toml, launches.1.model: Apple iphone 13 is there already",
        ),
        (
            '[[launches]]\non = 2026-01-01\nbrand = " "\nmodel = "B"\ncategory = "tablet"\n'
            "storage_gb = [0]\nusd = [10]",
            "mine.toml, launches.1.brand: String should match",
        ),
        ("[dirt]\nslip = 0.6\nbundle = 0.6", "mine.toml, dirt: the shares sum to 1.2"),
        (
            "[channels.share]\nfair = 0.1",
            "mine.toml, channels: level should have exactly the channels of share",
        ),
        (
            '[[launches]]\non = 2026-01-01\nbrand = "A"\nmodel = "B"\ncategory = "tablet"\n'
            "storage_gb = [64]\nusd = [9, 10]",
            "mine.toml, launches.1: usd has 2 entries and storage_gb 1",
        ),
    ],
)
def test_each_slip_is_told_with_file_and_key(tmp_path: Path, text: str, problem: str) -> None:
    told = problems(tmp_path, text)
    assert told[0].startswith(problem)
    assert len(told) == 1 + text.count("[0]")


def test_a_market_before_its_terms_is_refused_with_their_first_day(tmp_path: Path) -> None:
    told = problems(tmp_path, "[period]\nends_on = 2018-12-31")
    assert told[0].startswith("mine.toml, period: begins on 2017-01-01. No ")
    assert "the first one known starts 2019-01-01" in told[0]


def test_a_scenario_says_what_it_is_itself(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(SimulatorError, match=r"says: is missing"):
        scenario.load(tmp_path / "empty.toml")


def test_a_number_may_come_with_its_source_and_a_file_with_a_mark_of_its_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '\ufeffsays = "Mine."\n[noise]\ntimes = { value = 2.0, source = "own" }\n', encoding="utf-8"
    )
    assert scenario.load(path).noise.times == 2.0


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    told = problems(tmp_path, "[noise]\ntime = 2.0\ntimes = -1\n[lock]\nmarkets = ['XX']\nlevel = 'low'")
    assert [line.split(":")[0] for line in told] == [
        "mine.toml, lock.markets.1",
        "mine.toml, lock.level",
        "mine.toml, noise.times",
        "mine.toml, noise.time",
    ]


def test_what_is_wrong_in_the_market_itself_is_told_of_its_own_file(tmp_path: Path) -> None:
    base = scenario.BASE.read_text("utf-8").replace("persistence = {", "persistense = {")
    told = problems(tmp_path, "", base)
    assert told == [
        "market.toml, index.persistence: is missing; give it a value",
        "market.toml, index.persistense: is not a known key; is it misspelt?",
    ]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SimulatorError, match=r"mine\.toml is no TOML file"):
        scenario.load(tmp_path / "mine.toml")


def test_the_table_in_the_docs_is_the_market_as_it_is() -> None:
    """`make pictures` writes it again."""
    told = typer.testing.CliRunner().invoke(app, ["scenarios", "--numbers"])
    assert told.output.strip() == (ROOT / "docs" / "market-numbers.md").read_text("utf-8").strip()


@every_scenario
def test_every_scenario_has_its_picture_in_the_docs(name: str) -> None:
    assert (ROOT / "docs" / "market" / f"{name}.png").is_file()
    assert f"(market/{name}.png)" in (ROOT / "docs" / "market.md").read_text("utf-8")
