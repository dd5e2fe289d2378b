"""Laws of the card: what must be said is said, under the headings that its template explains."""

from __future__ import annotations

from pathlib import Path

from training import model_card

TEMPLATE = Path(__file__).parents[2] / "mlflow" / "model-card.md"


def _card(simulated: bool = False) -> str:
    manifest = {
        "name": "reprise-appraiser",
        "as_of": "2026-07-01",
        "simulated": simulated,
        "features": ["age_years", "ram_gb"],
        "attributes": {},
        "card": {
            "sales": 1200,
            "markets": ["DE", "GB"],
            "accuracy": [{"mdape": 0.1}],
            "spread": {"width": 0.1},
        },
    }
    tags = {"verdict": "failed", "reasons": "too wide\ntoo few", "appraiser_digest": "abc"}
    return model_card.markdown(manifest=manifest, tags=tags, measures={"mdape": 0.123456})


def _headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_a_simulated_market_is_said_before_anything_else() -> None:
    title = "# reprise-appraiser, as of 2026-07-01"
    assert _card(simulated=True).splitlines()[:2] == [title, model_card.SIMULATED]
    assert model_card.SIMULATED not in _card()


def test_a_card_has_the_headings_of_its_template() -> None:
    assert _headings(_card()) == _headings(TEMPLATE.read_text(encoding="utf-8"))


def test_a_failed_verdict_is_told_with_every_reason() -> None:
    assert "\n**failed**\n\ntoo wide\ntoo few\n" in _card()


def test_facts_and_measures_are_one_line_each() -> None:
    lines = _card().splitlines()
    for line in (
        "- sales: 1200",
        "- markets: DE, GB",
        "- features: age_years, ram_gb",
        "- attributes: none",
        "- mdape: 0.1235",
        "- digest of the manifest: abc",
    ):
        assert lines.count(line) == 1


def test_a_table_on_the_card_is_left_to_the_study() -> None:
    assert "accuracy" not in _card() and "spread" not in _card()
