"""Laws of /v1: it grows, and never changes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.serving.compatible import FILE, breaks, described

QUOTE = "/v1/buyback/quotes"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return document


def test_the_description_that_is_kept_is_that_of_the_server(written: dict[str, Any]) -> None:
    now = described()
    assert breaks(written, now) == []
    assert written == now, "the API has grown: `make openapi` writes its description again"


def _shape(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


BROKEN = {
    "a route that is gone": lambda d: d["paths"].pop(QUOTE),
    "a method that is gone": lambda d: d["paths"][QUOTE].pop("post"),
    "a field of a reply that is gone": lambda d: _shape(d, "Quote")["properties"].pop("offer"),
    "a field of a reply that may be missing": lambda d: _shape(d, "Quote")["required"].remove("offer"),
    "a word that is gone": lambda d: _shape(d, "Quote")["properties"]["decision"]["enum"].remove("REVIEW"),
    "another type": lambda d: _shape(d, "Money")["properties"]["amount"].update(type="number"),
    "one more thing that has to be told": lambda d: _shape(d, "QuoteAsk")["required"].append("unit"),
    "a field that is no longer taken": lambda d: _shape(d, "Answers")["properties"].pop("screen"),
    "a status that is no longer answered": lambda d: d["paths"][QUOTE]["post"]["responses"].pop("409"),
    "a parameter that has to be told": lambda d: d["paths"]["/v1/devices"]["get"]["parameters"][0].update(
        required=True
    ),
}


@pytest.mark.parametrize("change", BROKEN)
def test_what_breaks_a_promise_is_found(written: dict[str, Any], change: str) -> None:
    later = copy.deepcopy(written)
    BROKEN[change](later)
    assert breaks(written, later)


def test_what_is_added_breaks_nothing(written: dict[str, Any]) -> None:
    later = copy.deepcopy(written)
    later["paths"]["/v1/more"] = later["paths"][QUOTE]
    _shape(later, "Quote")["properties"]["more"] = {"type": "string"}
    _shape(later, "QuoteAsk")["properties"]["more"] = {"type": "string"}
    assert breaks(written, later) == []
