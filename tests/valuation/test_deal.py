"""Deals: the lines of a learned offer sum to it; firmness is what inspections of those who take it find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.valuation.test_price_list import OWNERS, device, listed
from valuation.deal import LABELS, MOST_REASONS, Deal
from valuation.inspection import CONDITIONS
from valuation.money import Money
from valuation.price_list import PriceList


def deal(found: PriceList, column: int = 1, paid: str | None = None) -> Deal:
    amount = paid or f"{int(found.sought[0, column])}"
    return Deal(listed=found, at=0, column=column, paid=Money.parse(amount, "EUR"))


@pytest.mark.parametrize("column", range(len(CONDITIONS)))
def test_the_lines_sum_to_what_is_paid_in_the_published_order(column: int) -> None:
    lines = deal(listed(device()), column).lines()
    assert sum(line.amount.minor for line in lines) == int(listed(device()).sought[0, column]) * 100
    assert [line.code for line in lines] == list(LABELS)


def test_the_margin_of_an_offer_is_what_those_who_take_it_leave() -> None:
    found = listed(device())
    one = deal(found)
    sought = float(found.sought[0, 1])
    lines = {line.code: line.amount.minor / 100 for line in one.lines()}
    assert -lines["MARGIN"] == pytest.approx(one.margin(sought) / one.accepted(sought), abs=0.01)
    declared = float(found.proceeds.earned(np.full((1, 6, 1), sought))[0, 1, 0])
    assert -lines["MARGIN"] - lines["INSPECTION"] == pytest.approx(declared, abs=0.02)


def test_without_owners_nothing_is_held_against_inspections() -> None:
    lines = deal(listed(device(), owners=None)).lines()
    assert [line.code for line in lines] == [code for code in LABELS if code != "INSPECTION"]
    assert sum(line.amount.minor for line in lines) % 100 == 0


def test_a_lower_offer_is_taken_by_more_who_have_something_worse() -> None:
    found = listed(device())
    shares = [deal(found, 0, paid).firmness().paid_in_full_share for paid in ("100", "140", "180", "300")]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_what_is_paid_in_the_end_is_the_offer_less_the_cuts_of_those_who_take_it() -> None:
    firm = deal(listed(device()), 0, "180").firmness()
    assert Money.parse("100", "EUR") < firm.expected_final < Money.parse("180", "EUR")
    assert 0 < len(firm.usual_reasons) <= MOST_REASONS
    told = [float(reason.sentence.split("In ")[1].split("%")[0]) for reason in firm.usual_reasons]
    assert told == sorted(told, reverse=True)


def test_who_always_finds_what_was_declared_pays_in_full() -> None:
    honest = replace(OWNERS, inspection=replace(OWNERS.inspection, chances={"": np.eye(6)}))
    firm = deal(listed(device(), owners=honest), 0, "180").firmness()
    assert (firm.paid_in_full_share, firm.expected_final) == (1.0, Money.parse("180", "EUR"))
    assert firm.usual_reasons == ()


def test_where_nothing_is_known_of_owners_there_is_no_firmness() -> None:
    with pytest.raises(ValueError, match="Nothing is known of owners"):
        deal(listed(device(), owners=None)).firmness()
