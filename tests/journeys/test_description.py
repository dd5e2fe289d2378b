"""The description of the API holds: schemathesis asks the real server whatever the description allows, and more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.test_faults import House

SERVE = (sys.executable, "-m", "serving")
CONFIG = Path(__file__).parent / "schemathesis.toml"


@pytest.mark.parametrize(
    ("examples", "cases"), [(2, 500), pytest.param(1000, 20_000, marks=pytest.mark.soak)]
)
def test_whatever_the_description_allows_is_answered_as_it_says(
    home: Path, port: int, examples: int, cases: int
) -> None:
    house = House(home, port, f"sqlite:///{home / 'quotes.db'}", reads="0", writes="0", devices="0")
    told = subprocess.run(
        [*SERVE, "--home", str(home), "keys", "new", "tester", "--scopes", "storefront,seller,operator"],
        capture_output=True,
        text=True,
        check=True,
    )
    house.start()
    try:
        asked = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "st"), "--config-file", str(CONFIG), "run"),
                *(
                    f"http://127.0.0.1:{port}/openapi.json",
                    "--checks",
                    "all",
                    "--max-examples",
                    str(examples),
                ),
                *(
                    "--seed",
                    "1",
                    "--no-color",
                    "--request-timeout",
                    "90",
                    "-H",
                    f"Authorization: Bearer {told.stdout.split()[-1]}",
                ),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
    finally:
        house.stop()
    log = (home / "server.log").read_text()
    assert '"unforeseen"' not in log, log[log.find('"unforeseen"') - 3000 :][:6000]
    assert asked.returncode == 0, asked.stdout[asked.stdout.find("= FAILURES") :]
    print(asked.stdout[-800:])
    generated = re.search(r"(\d[\d,]*) generated", asked.stdout)
    assert generated and int(generated[1].replace(",", "")) >= cases, asked.stdout[-1500:]
