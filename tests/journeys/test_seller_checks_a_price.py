"""A seller's price check, through the front door."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, directory: Path, employ: Any, start: Any
) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("home")
    employ(home, directory)
    with start(home) as server, server.client() as asking:
        yield asking


def _amount(money: dict[str, str]) -> Decimal:
    return Decimal(money["amount"])


def test_a_seller_finds_a_device_and_learns_how_a_price_compares(client: Any) -> None:
    found = client.get("/v1/devices", params={"q": "iphone 13 128"}).json()["devices"][0]
    assert found["name"] == "Apple iPhone 13 128 GB"

    ask = {"market": "GB", "device": {"device_id": found["device_id"]}, "grade": "GOOD"}
    checks = {
        pounds: client.post(
            "/v1/sellers/price-checks",
            json=ask | {"price": {"amount": f"{pounds}.00", "currency": "GBP"}},
        ).json()
        for pounds in (100, 360, 900)
    }
    assert [check["rating"] for check in checks.values()] == ["GREAT", "FAIR", "OVERPRICED"]

    # Phones of this kind were sold around 360 pounds.
    check = checks[360]
    assert 320 < _amount(check["fair_range"]["low"]) < 360 < _amount(check["fair_range"]["high"]) < 400
    assert check["suggested"]["amount"].endswith(".99")
    assert _amount(check["floor"]) < _amount(check["suggested"])
    assert "PRICE_BELOW_FLOOR" in [reason["code"] for reason in checks[100]["reasons"]]
    assert check["confidence"]["basis"] == "model"
    assert check["simulated"] is True


def test_a_better_grade_or_a_fuller_battery_is_never_worth_less(client: Any) -> None:
    device = {"device_id": "apple-iphone-13-128gb"}
    shares = (None, 0.7, 0.8, 0.9, 1.0)
    units = [{"device": device, "battery_health": share} for share in shares]
    found = client.post("/v1/valuations", json={"market": "GB", "devices": units}).json()["valuations"]
    for valuation in found:
        middles = [_amount(step["p50"]) for step in valuation["ladder"]]
        assert middles == sorted(middles, reverse=True)
    fuller = [_amount(valuation["ladder"][0]["p50"]) for valuation in found[1:]]
    assert fuller == sorted(fuller)


def test_the_ladder_and_the_check_say_the_same(client: Any) -> None:
    device = {"device_id": "google-pixel-7-128gb"}
    ladder = client.post("/v1/valuations", json={"market": "GB", "devices": [{"device": device}]}).json()
    ask = {"market": "GB", "device": device, "price": {"amount": "200.00", "currency": "GBP"}}
    for step in ladder["valuations"][0]["ladder"]:
        check = client.post("/v1/sellers/price-checks", json=ask | {"grade": step["grade"]}).json()
        assert check["resale"] == step


def test_an_unseen_device_is_valued_with_a_basis_that_says_so(client: Any) -> None:
    device = {"category": "smartphone", "brand": "Fairphone", "model": "4", "storage_gb": 128}
    seen, unseen = (
        client.post("/v1/valuations", json={"market": "GB", "devices": [{"device": one}]}).json()
        for one in ({"device_id": "apple-iphone-13-128gb"}, device)
    )
    assert seen["valuations"][0]["confidence"]["basis"] == "model"
    assert unseen["valuations"][0]["confidence"]["basis"] == "category"


def test_the_sellers_page_says_the_same_in_words(client: Any) -> None:
    form = {"device_id": "apple-iphone-13-128gb", "market": "GB", "grade": "GOOD", "price": "900"}
    page = client.post("/check", data=form)
    assert page.status_code == 200
    assert "overpriced" in page.text and "Simulated market" in page.text


def test_a_seller_sees_the_nearest_past_sales_and_what_the_device_will_be_worth(client: Any) -> None:
    query = {"market": "GB", "device_id": "apple-iphone-13-128gb", "grade": "GOOD", "battery_health": 0.9}
    found = client.get("/v1/comparables", params=query).json()
    assert len(found["comparables"]) == 5
    for sale in found["comparables"]:
        moved = sum(_amount(step["effect"]) for step in sale["adjustments"])
        assert _amount(sale["price"]) + moved == _amount(sale["adjusted"])
        assert sale["sold_on"] <= found["as_of"]
    assert [ahead["days"] for ahead in found["forecast"]] == [30, 60, 90]
    widths = [_amount(a["resale"]["p90"]) / _amount(a["resale"]["p10"]) for a in found["forecast"]]
    assert widths == sorted(widths)
    assert found["simulated"] is True


def test_a_query_for_comparables_that_cannot_be_read_is_told_its_field(client: Any) -> None:
    query = {"market": "GB", "device_id": "apple-iphone-13-128gb", "grade": "SHINY"}
    answer = client.get("/v1/comparables", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "grade"
    assert client.get("/v1/comparables", params={**query, "grade": "GOOD", "odd": "1"}).status_code == 422
