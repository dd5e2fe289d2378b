"""Doctored trees, with a manifest that agrees, end or hang only the throw-away process that opens them first."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
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
    "a feature below zero": lambda text: re.sub(r"split_feature=\d+", "split_feature=-1", text),
    "a thousand classes": lambda text: text.replace("num_class=1", "num_class=1000"),
    "a leaf that is no number": lambda text: re.sub(r"leaf_value=\S+", "leaf_value=nan", text),
    "a leaf out of the world": lambda text: re.sub(r"leaf_value=\S+", "leaf_value=1e308", text, count=1),
    "no trees": lambda _: "",
    "no text": lambda _: "[3]",
    "lists in lists": lambda _: "[" * 100_000,
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


CONFINED = "import sys; from valuation import trial; trial._confine(float(sys.argv[2])); "
DEEDS = {
    "much memory": ("x = bytearray(5 * 2**30)", "MemoryError"),
    "an endless word": ("[sys.stderr.write('x' * 9999) for _ in iter(int, 1)]", "exit"),
    "a large file": ("open('{}', 'wb').write(bytes(2**20)).flush()", "File too large"),
    "a command": ("import os; os.system('true')", "call os.system"),
    "a process": ("import subprocess; subprocess.run(['true'])", "call subprocess.Popen"),
    "a connection": ("import socket; socket.create_connection(('127.0.0.1', 9))", "call socket"),
    "a pickle": ("import pickle; pickle.loads(b'cos\\nsystem\\n.')", "call pickle.find_class"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_the_child_can_take_little_and_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    code, complaint = DEEDS[deed]
    monkeypatch.setattr(trial, "CHILD", CONFINED + code.replace("{}", str(tmp_path / "file")))
    with pytest.raises(AppraiserError, match=complaint) as refused:
        trial.try_out(directory=tmp_path, timeout_seconds=20)
    assert len(str(refused.value)) < 2 * trial.LONGEST_COMPLAINT
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= trial.MOST_WRITTEN_BYTES


def test_a_child_that_spins_is_ended_by_the_kernel_when_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trial, "CHILD", CONFINED.replace("float(sys.argv[2])", "1") + "[0 for _ in iter(int, 1)]"
    )
    with pytest.raises(AppraiserError, match=f"exit -{int(signal.SIGXCPU)}|exit -9"):
        trial.try_out(directory=tmp_path, timeout_seconds=30)


def test_the_child_inherits_no_secret_and_imports_nothing_from_where_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: Path
) -> None:
    (tmp_path / "lightgbm.py").write_text("raise SystemExit('code of this folder ran')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.chdir(tmp_path)
    trial.try_out(directory=packed, timeout_seconds=60)
    monkeypatch.setattr(trial, "CHILD", "import os, sys; sys.exit(str(sorted(os.environ)))")
    with pytest.raises(AppraiserError) as told:
        trial.try_out(directory=packed, timeout_seconds=60)
    assert "OMP_NUM_THREADS" in str(told.value)
    assert "MLFLOW" not in str(told.value)
