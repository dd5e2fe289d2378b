"""Every rule of the ledger has a wrong table, `broken/<kind>.<rule>.csv`, that breaks only it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from training import intake
from valuation import ledger, rules

BROKEN = Path(__file__).parent / "broken"
FIXTURES = sorted(BROKEN.glob("*.csv"))
AS_OF = date(2026, 1, 1)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_broken_table_breaks_exactly_its_rule_in_one_row(path: Path):
    kind, rule = path.stem.split(".")
    found = intake.read(path=path, contract=ledger.CONTRACTS[kind], mapping=None, as_of=AS_OF)
    assert found.faults["rule"].to_list() == [rule]
    assert found.good.height == found.read - 1
    assert found.faults["row"][0] not in found.good["row"]


def test_every_rule_of_the_ledger_has_a_broken_table():
    assert {path.stem.split(".")[1] for path in FIXTURES} == {rule.name for rule in rules.RULES}


def test_no_two_rules_share_a_name():
    assert len({rule.name for rule in rules.RULES}) == len(rules.RULES)
