"""The notebooks run from top to bottom, and nothing imports them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MORE = {
    "01-look-at-the-market": ("--scenario", "launch-shock", "--sales", "6000", "--out", "deep/drawn.png"),
    "02-try-a-feature": ("--sales", "2000", "--origins", "1"),
}


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(path), "--", *MORE.get(path.stem, ())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for drawn in tmp_path.rglob("*.png"):
        assert drawn.read_bytes().startswith(b"\x89PNG")
