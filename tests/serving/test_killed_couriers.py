"""A courier that is killed at any step leaves exactly one valid champion, and the next one finishes its errand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving import champion
from serving.champion import Champion, Pointer
from tests.serving.copies import ROOT, digest_of, employ
from valuation import package

Directories = tuple[Path, ...]
AT_ONCE = 2


def errand(folder: Path, version: str, directory: Path, step: int = 0) -> subprocess.CompletedProcess[str]:
    """A courier's errand in a process of its own, killed at a step."""
    command = [sys.executable, "-m", "tests.serving.errand", str(folder), f"{version}={directory}", str(step)]
    code = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=code, capture_output=True, text=True, timeout=120, check=False)


def in_office(folder: Path) -> str | None:
    held = Champion(folder=folder)
    held.look()
    return held.incumbent and held.incumbent.version


def first(folder: Path, directories: Directories) -> None:
    """Nobody is in office yet."""


def promotion(folder: Path, directories: Directories) -> None:
    """Others are in office, so that the oldest copy goes."""
    for place in (2, 0):
        employ(folder, directories[place], f"0{place}")


def repair(folder: Path, directories: Directories) -> None:
    """The copy of the version that is brought is damaged."""
    employ(folder, directories[0], "00")
    employ(folder, directories[1], "1")
    (folder / digest_of(directories[1]) / package.TREES).write_text("rotten")


def way_back(folder: Path, directories: Directories) -> None:
    """The version that is brought was in office before."""
    employ(folder, directories[1], "1")
    employ(folder, directories[0], "00")


# What there is before, and who may be in office wherever the courier was killed.
BEFORE: dict[Callable[[Path, Directories], None], set[str | None]] = {
    first: {None, "1"},
    promotion: {"00", "1"},
    repair: {"00", "1"},
    way_back: {"00", "1"},
}


def killed(
    before: Callable[[Path, Directories], None], step: int, folder: Path, directories: Directories
) -> None:
    """Kill a courier at a step; then one champion is valid, and another courier brings the next one."""
    before(folder, directories)
    assert errand(folder, "1", directories[1], step).returncode == -signal.SIGKILL, (before, step)
    assert in_office(folder) in BEFORE[before], (before, step)
    done = errand(folder, "1", directories[1])
    assert done.returncode == 0, done.stderr
    assert in_office(folder) == "1"
    copies = {pointer.digest for pointer in Pointer.kept(folder)}
    left = {path.name for path in folder.iterdir()} - {champion.POINTER, champion.EARLIER}
    assert copies <= left and all(len(name) == 64 for name in left)  # a copy stays as long as its quotes
    shutil.rmtree(folder)


def kill(many: int, tmp_path: Path, directories: Directories) -> None:
    """Kill so many couriers, in each situation at steps spread evenly from the first to the last."""
    each = -(-many // len(BEFORE))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = []
        for before in BEFORE:
            before(tmp_path / before.__name__, directories)
            steps = int(errand(tmp_path / before.__name__, "1", directories[1]).stdout.split()[-1])
            chosen = [1 + place * (steps - 1) // max(1, each - 1) for place in range(each)]
            folders = (tmp_path / f"{before.__name__}-{place}" for place in range(each))
            jobs += [
                pool.submit(killed, before, step, folder, directories)
                for step, folder in zip(chosen, folders, strict=True)
            ]
        for job in jobs:
            job.result()


def test_a_courier_killed_at_any_step_leaves_one_valid_champion(
    tmp_path: Path, directories: Directories
) -> None:
    kill(8, tmp_path, directories)


@pytest.mark.soak
def test_two_hundred_couriers_killed_leave_one_valid_champion(
    tmp_path: Path, directories: Directories
) -> None:
    kill(200, tmp_path, directories)
