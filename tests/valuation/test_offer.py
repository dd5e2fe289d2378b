"""Offers: the laws of the buyback price, then the worked sums of the VAT margin scheme."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from valuation import markets, money, offer
from valuation.appraisal import QUANTILE_NAMES, Appraisal, Value
from valuation.catalogue import CATEGORIES
from valuation.controls import Controls
from valuation.grades import AnswersError, Condition, Grade
from valuation.money import Money
from valuation.offer import Decision

ON = date(2024, 5, 1)
PUBLISHED = Path(__file__).parents[1] / "published" / "vat_margin_scheme.csv"
WORKED_SUMS = tuple(csv.DictReader(PUBLISHED.read_text(encoding="utf-8").splitlines()))
ONE_EURO_IN = {"EUR": 1.0, "GBP": 0.87, "USD": 1.1, "PLN": 4.3, "SEK": 11.3}
CODES = [
    *(
        "RESALE",
        "COMMISSION",
        "REFURBISHMENT",
        "PARTS",
        "ACCESSORIES",
        "SHIPPING",
        "RETURNS",
        "WARRANTY",
        "HOLDING",
    ),
    *("PRICE_LOCK", "PAYMENT", "UNCERTAINTY", "MARGIN", "VAT_ON_MARGIN", "ROUNDING"),
]


@cache
def terms_of(market="FR"):
    return markets.terms(market=market, on=ON)


def value(p50, fsd=0.12):
    quantiles = [p50 * max(0.02, 1 + z * fsd) for z in (-1.6, -1.3, -0.7, 0, 0.7, 1.3, 1.6)]
    return Value(**dict(zip(QUANTILE_NAMES, quantiles, strict=True)), mean=p50, fsd=fsd)


def appraisal(*prices, fsd=0.12, market="FR", category="smartphone"):
    return Appraisal(
        market=market,
        currency=terms_of(market).currency,
        category=category,
        on=ON,
        grade=Grade.GOOD,
        ladder={grade: value(price, fsd) for grade, price in zip(Grade, prices, strict=True)},
        basis="model",
        comparables=12,
        effects=(),
    )


def random_appraisal(rng):
    market, category = rng.choice(markets.markets()), rng.choice(CATEGORIES)
    scale = min(3000.0, rng.lognormvariate(5.0, 1.2)) * ONE_EURO_IN[terms_of(market).currency]
    prices = sorted(scale * rng.uniform(0.05, 1.5) for _ in Grade)
    return appraisal(*prices, fsd=rng.uniform(0.02, 0.6), market=market, category=category)


def decide(appraisal, condition=Condition.FUNCTIONAL_GOOD, **kwargs):
    terms = kwargs.pop("terms", terms_of(appraisal.market))
    return offer.decide(appraisal=appraisal, condition=condition, terms=terms, **kwargs)


@pytest.fixture(scope="module", params=[2_500, pytest.param(20_000, marks=pytest.mark.soak)])
def random_offers(request):
    """Random devices with their offers."""
    rng = random.Random(20240501)
    devices = [(random_appraisal(rng), rng.choice(list(Condition))) for _ in range(request.param)]
    return [(appraisal, condition, decide(appraisal, condition)) for appraisal, condition in devices]


def test_the_random_devices_meet_every_decision_that_needs_no_lock(random_offers):
    assert {made.decision for _, _, made in random_offers} == set(Decision) - {Decision.REFUSE}


def test_the_lines_sum_to_the_offer(random_offers):
    for appraised, _, made in random_offers:
        total = sum((line.amount for line in made.lines), Money(0, appraised.currency))
        assert total == made.amount


def test_an_offer_shows_every_line_and_another_decision_none(random_offers):
    for _, _, made in random_offers:
        assert [line.code for line in made.lines] == (CODES if made.decision == Decision.OFFER else [])


def test_an_offer_is_a_multiple_of_the_payable_step_and_at_least_the_minimum(random_offers):
    for appraised, _, made in random_offers:
        terms = terms_of(appraised.market)
        assert made.amount.minor % terms.payable_step.minor == 0
        if made.decision == Decision.OFFER:
            assert made.amount >= terms.minimum_offer
        else:
            assert made.amount.minor == 0


def test_an_offer_leaves_every_cost_and_the_whole_margin(random_offers):
    for _, _, made in random_offers:
        if made.decision == Decision.OFFER:
            rounding = {line.code: line.amount.minor for line in made.lines}["ROUNDING"]
            assert rounding <= 6  # half a minor unit for each rounded line at most


def test_every_offer_has_a_reason_and_names_its_terms(random_offers):
    for appraised, _, made in random_offers:
        assert made.reasons
        assert made.terms_version == terms_of(appraised.market).version
        assert made.valid_days == terms_of(appraised.market).quote_validity_days


def test_a_better_condition_never_pays_less(random_offers):
    for appraised, _, _ in random_offers[::5]:
        certain = replace(
            appraised, ladder={grade: replace(v, fsd=0.1) for grade, v in appraised.ladder.items()}
        )
        paid = [decide(certain, condition).amount for condition in Condition]
        assert paid == sorted(paid, reverse=True)


def test_a_higher_ladder_never_pays_less(random_offers):
    for appraised, condition, _ in random_offers[::5]:
        paid = [
            decide(
                replace(
                    appraised,
                    ladder={
                        grade: Value(
                            **{name: getattr(v, name) * scale for name in (*QUANTILE_NAMES, "mean")}, fsd=0.1
                        )
                        for grade, v in appraised.ladder.items()
                    },
                ),
                condition,
            ).amount
            for scale in (0.5, 0.99, 1.0, 1.01, 1.5)
        ]
        assert paid == sorted(paid)


@pytest.mark.parametrize("told", ["p05", "p10", "mean"])
def test_a_higher_quantile_or_mean_never_pays_less(random_offers, told):
    for appraised, condition, _ in random_offers[::5]:
        certain = {grade: replace(v, fsd=0.1) for grade, v in appraised.ladder.items()}
        raised = {
            grade: replace(
                v, **{told: v.mean * 1.02 if told == "mean" else min(getattr(v, told) * 1.02, v.p50)}
            )
            for grade, v in certain.items()
        }
        below, above = (
            decide(replace(appraised, ladder=ladder), condition).amount for ladder in (certain, raised)
        )
        assert below <= above


def test_a_wider_estimate_never_pays_more():
    paid = [decide(appraisal(100, 250, 280, 300, 320, 350, fsd=fsd)).amount for fsd in (0, 0.1, 0.2, 0.4)]
    assert paid == sorted(paid, reverse=True)
    assert paid[0] > paid[-1]


def plain_terms(*, vat_rate, commission_share, margin_share, costs):
    """Terms with these figures, no other cost, and offers to the cent."""
    terms, cent, nothing = terms_of("FR"), Money(1, "EUR"), Decimal(0)
    return replace(
        terms,
        vat_rate=Decimal(vat_rate),
        commission_share=Decimal(commission_share),
        margin_share=Decimal(margin_share),
        payment_fee=Money.parse(costs, "EUR"),
        returns_share=nothing,
        warranty_share=nothing,
        capital_share_per_day=nothing,
        price_swing=nothing,
        least_margin_share=nothing,
        most_margin_share=Decimal("0.5"),
        uncertainty_share=nothing,
        refurbishment={"smartphone": dict.fromkeys(Condition, Money(0, "EUR"))},
        parts={"smartphone": dict.fromkeys(Condition, Money(0, "EUR"))},
        parts_handling={"smartphone": Money(0, "EUR")},
        shipping={"smartphone": Money(0, "EUR")},
        payable_step=cent,
        minimum_offer=cent,
    )


@pytest.mark.parametrize("row", WORKED_SUMS, ids=lambda row: row["source"])
def test_the_vat_margin_scheme_matches_the_sums_worked_by_hand(row):
    shares = {name: row[name] for name in ("commission_share", "margin_share", "costs")}
    sale = float(row["sale"])
    appraised = appraisal(1, sale, sale, sale, sale, sale)
    made = decide(appraised, terms=plain_terms(vat_rate=row["vat_rate"], **shares))
    untaxed = decide(appraised, terms=plain_terms(vat_rate="0", **shares))
    (vat,) = (line.amount for line in made.lines if line.code == "VAT_ON_MARGIN")
    assert (made.amount.amount, (-vat).amount) == (row["buyback"], row["vat"])
    assert untaxed.amount.amount == row["buyback_ignoring_vat"]


def test_an_itemised_offer_adds_up_as_worked_by_hand():
    """FR, 2024. The price lock: a quarter of a put at the money, 2 N(0.10 sqrt(21 / 365.25) / 2) - 1 = 0.009566, is
    0.0023915 of the price. (0.10 + 0.025 + 0.015 + 35 x 0.00014 + 0.0023915 + 0.12) x 300 = 80.18745;
    0.15 x (300 - 253.20) = 7.02; 18 + 10 + 0.35 = 28.35; 300 - 1.20 x 115.55745 = 161.331, down to 161;
    (300 - 161) / 6 = 23.17."""
    made = decide(appraisal(100, 250, 300, 320, 340, 400))
    assert {line.code: line.amount.amount for line in made.lines} == {
        "RESALE": "300.00",
        "COMMISSION": "-30.00",
        "REFURBISHMENT": "-18.00",
        "PARTS": "0.00",
        "ACCESSORIES": "0.00",
        "SHIPPING": "-10.00",
        "RETURNS": "-7.50",
        "WARRANTY": "-4.50",
        "HOLDING": "-1.47",
        "PRICE_LOCK": "-0.72",
        "PAYMENT": "-0.35",
        "UNCERTAINTY": "-7.02",
        "MARGIN": "-36.00",
        "VAT_ON_MARGIN": "-23.17",
        "ROUNDING": "-0.27",
    }
    assert (made.decision, str(made.amount), made.grade) == (Decision.OFFER, "161.00 EUR", Grade.GOOD)


def test_a_cracked_device_pays_for_its_spare_parts_as_worked_by_hand():
    """FR, 2024: 0.2672915 x 500 = 133.64575; 0.15 x (500 - 422) = 11.70; 27 work + 78 parts + 10 + 0.35 = 115.35;
    500 - 1.20 x 260.69575 = 187.165, down to 187."""
    made = decide(appraisal(100, 500, 520, 540, 560, 600), Condition.FUNCTIONAL_CRACKED)
    lines = {line.code: line.amount.amount for line in made.lines}
    assert (lines["REFURBISHMENT"], lines["PARTS"]) == ("-27.00", "-78.00")
    assert (str(made.amount), made.grade) == ("187.00 EUR", Grade.FAIR)


def test_a_device_that_is_sold_for_parts_needs_none():
    made = decide(appraisal(200, 300, 320, 340, 360, 400), Condition.NOT_FUNCTIONAL_CRACKED)
    lines = {line.code: line.amount.amount for line in made.lines}
    assert (made.grade, lines["REFURBISHMENT"], lines["PARTS"]) == (Grade.PARTS, "-6.00", "0.00")


@pytest.mark.parametrize("market", markets.markets())
@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("condition", Condition)
def test_it_does_not_matter_whether_a_cost_is_work_or_parts(market, category, condition):
    terms = terms_of(market)
    scale = 2000 * ONE_EURO_IN[terms.currency]
    device = appraisal(*(scale * share for share in (0.1, 1, 1, 1, 1, 1)), market=market, category=category)
    work, parts = terms.refurbishment[category][condition], terms.parts[category][condition]
    as_work = replace(
        terms,
        refurbishment={category: terms.refurbishment[category] | {condition: work + parts}},
        parts={category: terms.parts[category] | {condition: Money(0, terms.currency)}},
    )
    assert decide(device, condition).amount == decide(device, condition, terms=as_work).amount


def test_a_swedish_offer_is_rounded_down_to_ten_kronor():
    made = decide(appraisal(500, 2500, 3000, 3200, 3400, 4000, market="SE"))
    assert made.amount.minor % 1000 == 0
    assert made.amount.minor > 0


@pytest.mark.parametrize(
    ("repaired", "parts", "condition", "grade", "reason"),
    [
        (400, 40, Condition.FUNCTIONAL_CRACKED, Grade.FAIR, "REFURBISHED"),
        (150, 80, Condition.FUNCTIONAL_CRACKED, Grade.PARTS, "FOR_PARTS"),
        (600, 80, Condition.NOT_FUNCTIONAL_USED, Grade.FAIR, "REFURBISHED"),
        (300, 200, Condition.NOT_FUNCTIONAL_CRACKED, Grade.PARTS, "FOR_PARTS"),
    ],
)
def test_a_broken_device_goes_the_way_that_brings_more(repaired, parts, condition, grade, reason):
    made = decide(appraisal(parts, repaired, 700, 800, 900, 1000), condition)
    assert (made.decision, made.grade, made.reasons[0].code) == (Decision.OFFER, grade, reason)


def test_a_device_that_brings_as_much_for_parts_is_refurbished():
    terms = plain_terms(vat_rate="0.20", commission_share="0.10", margin_share="0.15", costs="35.00")
    made = decide(appraisal(300, 300, 300, 300, 300, 300), terms=terms)
    assert (made.grade, made.reasons[0].code) == (Grade.GOOD, "REFURBISHED")


def test_a_device_worth_less_than_its_costs_is_recycled_for_nothing():
    made = decide(appraisal(1, 20, 25, 30, 35, 40))
    assert (made.decision, made.amount) == (Decision.RECYCLE, Money(0, "EUR"))
    assert made.reasons[-1].code == "BELOW_MINIMUM"
    assert "10.00 EUR" in made.reasons[-1].sentence


def test_a_device_just_below_the_minimum_is_recycled_and_just_above_it_is_paid():
    terms = replace(terms_of(), minimum_offer=Money.parse("161", "EUR"))
    dearer = replace(terms_of(), minimum_offer=Money.parse("162", "EUR"))
    device = appraisal(100, 250, 300, 320, 340, 400)
    assert decide(device, terms=terms).decision == Decision.OFFER
    assert decide(device, terms=dearer).decision == Decision.RECYCLE


def test_a_blocked_device_is_refused_with_its_reasons_whatever_it_is_worth():
    made = decide(appraisal(100, 250, 300, 320, 340, 400), blocked=("BLACKLISTED", "ACTIVATION_LOCKED"))
    assert (made.decision, made.amount, made.lines) == (Decision.REFUSE, Money(0, "EUR"), ())
    assert [reason.code for reason in made.reasons] == ["ACTIVATION_LOCKED", "BLACKLISTED"]


def test_a_device_blocked_for_an_unknown_code_is_an_error():
    with pytest.raises(AnswersError, match="No rule refuses a device for STOLEN"):
        decide(appraisal(100, 250, 300, 320, 340, 400), blocked=("STOLEN",))


@pytest.mark.parametrize(("fsd", "decision"), [(0.50, "OFFER"), (0.51, "REVIEW"), (float("nan"), "REVIEW")])
def test_an_estimate_above_the_markets_uncertainty_is_left_to_a_person(fsd, decision):
    device = appraisal(100, 250, 300, 320, 340, 400)
    ladder = {grade: replace(v, fsd=fsd) for grade, v in device.ladder.items()}
    made = decide(replace(device, ladder=ladder))
    assert made.decision == decision
    assert decision == "OFFER" or made.reasons[0].code == "ESTIMATE_UNCERTAIN"


@pytest.mark.parametrize("p50", [float("nan"), float("inf"), -1.0, 0.0, 1e12, 10_000.01, 200.0])
@pytest.mark.parametrize("grade", [Grade.GOOD, Grade.PARTS])
def test_an_estimate_that_can_be_no_price_is_left_to_a_person(p50, grade):
    device = appraisal(260, 280, 300, 320, 340, 400, fsd=0)
    broken = {**device.ladder, grade: replace(device.ladder[grade], p50=p50)}
    made = decide(replace(device, ladder=broken))
    assert (made.decision, made.amount) == (Decision.REVIEW, Money(0, "EUR"))
    assert made.reasons[0].code == "ESTIMATE_IMPOSSIBLE"


@pytest.mark.parametrize("brake", ["0.07", "0.10", "0.29", "0.30"])
def test_a_market_that_falls_by_just_as_much_as_the_terms_name_is_left_to_a_person(brake):
    terms = replace(terms_of(), index_brake=Decimal(brake))
    for change, reason in ((-float(brake), "MARKET_FALLS"), (-float(brake) + 1e-9, "REFURBISHED")):
        worth = appraisal(60, 200, 250, 300, 320, 400)
        made = decide(worth, terms=terms, controls=Controls(index_change=change))
        assert made.reasons[0].code == reason


def test_an_appraisal_in_another_currency_is_refused():
    with pytest.raises(money.CurrencyMismatch):
        decide(appraisal(100, 250, 300, 320, 340, 400), terms=terms_of("GB"))


def test_an_appraisal_of_another_market_is_refused():
    with pytest.raises(markets.MarketMismatch):
        decide(appraisal(100, 250, 300, 320, 340, 400), terms=terms_of("DE"))


@pytest.mark.parametrize(
    ("basis", "decision"),
    [("model", "OFFER"), ("family", "OFFER"), ("brand", "REVIEW"), ("category", "REVIEW")],
)
def test_a_price_is_promised_unseen_only_for_what_rests_on_a_model_or_its_family(basis, decision):
    made = decide(replace(appraisal(100, 250, 300, 320, 340, 400), basis=basis))
    assert made.decision == decision
    assert (made.amount.minor > 0) == (decision == "OFFER")
    if decision == "REVIEW":
        assert made.reasons[0].code == "DEVICE_UNKNOWN"
