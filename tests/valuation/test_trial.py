"""Doctored trees, with a manifest that agrees, end or hang only the throw-away process that opens them first."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from valuation import package, trial
from valuation.appraiser import AppraiserError


def doctored(packed: Path, directory: Path, change: Callable[[str], str]) -> Path:
    """A copy with other trees, and a manifest made to agree with them."""
    copy = Path(shutil.copytree(packed, directory))
    trees = change((copy / package.TREES).read_text("utf-8")).encode()
    (copy / package.TREES).write_bytes(trees)
    manifest = json.loads((copy / package.MANIFEST).read_text("utf-8"))
    manifest["files"][package.TREES] = {"sha256": hashlib.sha256(trees).hexdigest(), "bytes": len(trees)}
    (copy / package.MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return copy


DOCTORED: dict[str, Callable[[str], str]] = {
    "cut in half": lambda text: text[: len(text) // 2],
    "cut at nine tenths": lambda text: text[: len(text) * 9 // 10],
    "wrong sizes": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=7", text),
    "a loop": lambda text: re.sub(r"left_child=-?\d+", "left_child=0", text),
    "a feature out of range": lambda text: re.sub(r"split_feature=\d+", "split_feature=99999", text),
    "other leaves": lambda text: re.sub(r"leaf_value=\S+", "leaf_value=-500", text, count=1),
    "no trees": lambda _: "",
}


def test_an_honest_directory_passes(packed: Path) -> None:
    trial.try_out(directory=packed, timeout_seconds=60)


@pytest.mark.parametrize("change", DOCTORED)
def test_doctored_trees_are_refused_and_this_process_lives(packed: Path, tmp_path: Path, change: str) -> None:
    copy = doctored(packed, tmp_path / "copy", DOCTORED[change])
    with pytest.raises(AppraiserError):
        trial.try_out(directory=copy, timeout_seconds=8)


def test_golden_rows_that_are_valued_otherwise_are_told(packed: Path) -> None:
    found = package.load(directory=packed)
    golden = pl.read_parquet(packed / package.GOLDEN)
    assert trial.differences(appraiser=found, golden=golden).height == 0
    dearer = golden.with_columns(p50=pl.col("p50") * 1.001)
    assert trial.differences(appraiser=found, golden=dearer).height == golden.height
