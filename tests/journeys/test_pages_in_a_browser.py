"""The pages as people see them: in Chromium, without a script, at the width of a phone and of a desk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
WIDTHS = (390, 1200)
ANSWERS = {
    "powers_on": "yes",
    "fully_functional": "yes",
    "screen": "LIGHT",
    "body": "VISIBLE",
    "carrier_locked": "no",
    "activation_locked": "no",
    "blacklisted": "no",
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: the pages were not looked at"),
]


@pytest.fixture(scope="module")
def address(
    tmp_path_factory: pytest.TempPathFactory, directory: Path, employ: Any, start: Any
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    employ(home, directory)
    with start(home) as server:
        server.read_until("is ready")
        yield server.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(params=WIDTHS)
def page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page without scripts that fails the test where it asks elsewhere, complains or scrolls sideways."""
    context = browser.new_context(
        base_url=address, viewport={"width": request.param, "height": 800}, java_script_enabled=False
    )
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("request", lambda asked: asked.url.startswith(address) or trouble.append(asked.url))
    opened.on("console", lambda said: "status of 422" in said.text or trouble.append(said.text))
    opened.on("dialog", lambda shown: trouble.append(shown.message))
    opened.on("response", lambda got: got.status < 500 or trouble.append(f"{got.status} {got.url}"))
    yield opened
    context.close()
    assert trouble == []


def _fits(page: Any) -> bool:
    """Whether everything visible lies within the width of the window."""
    boxes = [found.bounding_box() for found in page.locator("body *:visible").all()]
    return all(box is None or box["x"] + box["width"] <= page.viewport_size["width"] + 1 for box in boxes)


def test_a_customer_finds_a_device_answers_and_reads_an_itemised_quote(page: Any) -> None:
    page.goto("/")
    assert "Simulated market" in page.get_by_role("note").inner_text()
    page.get_by_label("Find your device").fill("iphone 13 128gb")
    page.get_by_role("button", name="Search").click()
    assert _fits(page)
    page.get_by_role("link", name="Get a quote for Apple iPhone 13 128 GB").click()

    page.get_by_label("Where are you?").select_option("GB")
    for name, answer in ANSWERS.items():
        page.locator(f"input[name={name}][value={answer}]").check()
    page.get_by_label("Battery health").fill("191")
    assert _fits(page)
    page.get_by_role("button", name="Get my quote").click()
    assert "whole number from 0 to 100" in page.get_by_role("alert").inner_text()
    assert page.locator("input[name=body][value=VISIBLE]").is_checked()
    page.get_by_label("Battery health").fill("91")
    page.get_by_role("button", name="Get my quote").click()

    assert re.search("/quotes/[0-9a-f]{32}$", page.url)
    assert page.locator(".offer strong").inner_text().startswith("£")
    page.get_by_text("What makes this price").click()
    assert page.get_by_role("rowheader", name="age", exact=True).is_visible()
    assert "version 1" in page.locator("footer").inner_text()
    assert _fits(page)

    before = page.locator("table").first.inner_text()
    page.reload()
    assert page.locator("table").first.inner_text() == before


def test_a_seller_reads_a_rating(page: Any) -> None:
    page.goto("/?q=pixel")
    page.get_by_role("link", name="Check a price of Google Pixel 7 128 GB").click()
    page.get_by_label("Where do you sell?").select_option("GB")
    page.get_by_label("Good:").check()
    page.get_by_label("Your price").fill("215")
    assert _fits(page)
    page.get_by_role("button", name="Check my price").click()
    assert page.locator(".offer").inner_text().split()[0] == "£215.00"
    assert page.get_by_role("row", name="Fair range").is_visible()
    assert _fits(page)


def test_the_keyboard_alone_reaches_a_quote(page: Any) -> None:
    page.goto("/sell?device_id=apple-iphone-13-128gb")
    page.get_by_label("Where are you?").focus()
    page.keyboard.press("u")  # the United Kingdom or the United States
    for answer in ANSWERS.values():
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        if answer == "no":
            page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("88")
    page.keyboard.press("Enter")
    page.wait_for_url("**/quotes/*")
    assert page.locator(".offer").is_visible()
