"""Laws of the appraiser in office and its hot swap, with real copies."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from structlog.testing import capture_logs

from serving import champion
from serving.champion import Champion, Pointer
from tests.journeys.conftest import AS_OF
from tests.serving.copies import digest_of, employ
from valuation import package, trial
from valuation.controls import OLD_DAYS

Directories = tuple[Path, ...]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "champion"


def in_office(folder: Path) -> str | None:
    """Who takes office in a server that starts now."""
    held = Champion(folder=folder)
    held.look()
    return held.incumbent and held.incumbent.version


def damage(folder: Path, directory: Path) -> None:
    """Flip a bit of the copy of a directory."""
    trees = folder / digest_of(directory) / package.TREES
    content = bytearray(trees.read_bytes())
    content[len(content) // 2] ^= 1
    trees.write_bytes(content)


def test_without_a_pointer_nobody_is_in_office(folder: Path) -> None:
    assert in_office(folder) is None


def test_the_local_copy_takes_office_at_the_start(folder: Path, directories: Directories) -> None:
    employ(folder, directories[0], "1")
    assert in_office(folder) == "1"


def test_the_pointer_turns_and_the_next_takes_office(folder: Path, directories: Directories) -> None:
    held = Champion(folder=folder)
    for version, directory in zip("123", (*directories[:2], directories[0]), strict=True):
        employ(folder, directory, version)
        held.look()
        assert held.incumbent is not None
        assert (held.incumbent.version, held.incumbent.appraiser.digest) == (version, digest_of(directory))


def test_a_copy_is_read_once_and_not_at_every_look(folder: Path, directories: Directories) -> None:
    employ(folder, directories[0], "1")
    held = Champion(folder=folder)
    held.look()
    before = held.incumbent
    shutil.rmtree(folder / digest_of(directories[0]))
    held.look()
    assert held.incumbent is before


POINTERS = {
    "empty": "",
    "cut": "{",
    "list": "[]",
    "no names": "{}",
    "path": '{"version": "2", "digest": "../../etc", "run_id": "r"}',
    "number": '{"version": "2", "digest": 2, "run_id": "r"}',
    "no version": f'{{"version": null, "digest": "{"e" * 64}", "run_id": "r"}}',
    "nothing there": f'{{"version": "2", "digest": "{"e" * 64}", "run_id": "r"}}',
    "deep": "[" * 10_000,
    "no text": "\udcff",
}


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_damaged_pointer_is_refused_and_the_old_one_stays_also_at_the_next_start(
    folder: Path, directories: Directories, pointer: str
) -> None:
    employ(folder, directories[0], "1")
    employ(folder, directories[1], "2")
    held = Champion(folder=folder)
    held.look()
    (folder / champion.POINTER).unlink()
    (folder / champion.POINTER).write_text(POINTERS[pointer], errors="surrogateescape")
    held.look()
    assert held.incumbent is not None
    assert held.incumbent.version == "2"
    assert in_office(folder) == "1"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_pointer_that_is_no_file_is_not_waited_for(
    folder: Path, directories: Directories, make: Any
) -> None:
    employ(folder, directories[0], "1")
    (folder / champion.POINTER).unlink()
    make(folder / champion.POINTER)
    assert in_office(folder) is None


def test_a_copy_that_is_not_the_one_named_is_refused(folder: Path, directories: Directories) -> None:
    employ(folder, directories[0], "1")
    employ(folder, directories[1], "2")
    shutil.rmtree(folder / digest_of(directories[1]))
    shutil.copytree(directories[2], folder / digest_of(directories[1]))
    assert in_office(folder) == "1"


def test_a_refused_copy_takes_office_when_it_is_delivered_again(
    folder: Path, directories: Directories
) -> None:
    employ(folder, directories[0], "1")
    damage(folder, directories[0])
    held = Champion(folder=folder)
    held.look()
    assert held.incumbent is None
    shutil.rmtree(folder / digest_of(directories[0]))
    employ(folder, directories[0], "1")
    held.look()
    assert held.incumbent is not None


def test_a_newest_copy_that_is_damaged_gives_way_at_the_start_to_the_last_good_one_and_it_is_said(
    folder: Path, directories: Directories
) -> None:
    for version, directory in zip("123", directories, strict=True):
        employ(folder, directory, version)
    damage(folder, directories[2])
    with capture_logs() as said:
        assert in_office(folder) == "2"
    assert [line["event"] for line in said] == [
        "champion refused",
        "champion in office",
        "an earlier champion is in office: promote again",
    ]
    damage(folder, directories[1])
    assert in_office(folder) == "1"
    damage(folder, directories[0])
    assert in_office(folder) is None


def test_what_was_rolled_back_does_not_return_by_itself(folder: Path, directories: Directories) -> None:
    for version, directory in zip("121", (*directories[:2], directories[0]), strict=True):
        employ(folder, directory, version)
    damage(folder, directories[0])
    assert in_office(folder) is None


def test_the_last_copies_are_remembered_and_no_more(folder: Path) -> None:
    for number in range(9):
        Pointer(version=str(number), digest=str(number) * 64, run_id="r").write(make(folder))
        Pointer(version=str(number), digest=str(number) * 64, run_id="r").write(folder)
    assert [pointer.version for pointer in Pointer.kept(folder)] == ["8", "7", "6"]


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_the_pointer_is_the_old_or_the_new_one_and_never_half(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    one, two = (Pointer(version=v, digest=v * 64, run_id="r") for v in "12")
    one.write(make(folder))
    steps = iter(range(1, 9))

    def crash(_: Path) -> None:
        if next(steps) == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(champion, "sync", crash)
    with pytest.raises(KeyboardInterrupt):
        two.write(folder)
    assert Pointer.read(folder) == (two if step == 4 else one)
    assert Pointer.kept(folder)[-1] == one


@pytest.mark.parametrize("hindrance", [(package, "read"), (champion, "_state")], ids=["copy", "pointer"])
def test_a_look_that_fails_for_a_moment_is_repeated(
    folder: Path, directories: Directories, monkeypatch: pytest.MonkeyPatch, hindrance: tuple[Any, str]
) -> None:
    employ(folder, directories[0], "1")
    held = Champion(folder=folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as hindered, capture_logs() as said:
        hindered.setattr(*hindrance, full)
        held.look()
        held.look()
    assert (held.incumbent, [line["event"] for line in said]) == (None, ["champion refused"])
    held.look()
    assert held.incumbent is not None


def test_the_watch_sees_a_turn_by_itself(folder: Path, directories: Directories) -> None:
    async def watch() -> bool:
        held = Champion(folder=folder)
        watching = asyncio.create_task(held.watch(every_seconds=0.01, today=lambda: AS_OF))
        await asyncio.sleep(0.05)
        employ(folder, directories[0], "1")
        for _ in range(500):
            await asyncio.sleep(0.01)
            if held.incumbent:
                break
        watching.cancel()
        return held.incumbent is not None

    assert asyncio.run(watch())


def test_a_copy_in_use_outlives_its_folder(folder: Path, directories: Directories) -> None:
    employ(folder, directories[0], "1")
    held = Champion(folder=folder)
    held.look()
    assert held.incumbent is not None
    shutil.rmtree(folder)
    held.look()
    golden = pl.read_parquet(directories[0] / package.GOLDEN)
    assert trial.differences(appraiser=held.incumbent.appraiser, golden=golden).is_empty()


def test_an_old_appraiser_is_warned_of_once_a_day(folder: Path, directories: Directories) -> None:
    employ(folder, directories[0], "1")
    held = Champion(folder=folder)
    held.look()
    with capture_logs() as said:
        for days in (0, OLD_DAYS, OLD_DAYS + 1, OLD_DAYS + 1, OLD_DAYS + 2):
            held.note_age(on=AS_OF + timedelta(days=days))
    assert [line["age_days"] for line in said] == [46, 47]


def test_the_device_sold_most_is_known_with_its_currency(house: Any) -> None:
    device, currency = house.champion.incumbent.most_sold()
    assert (device.device_id, currency) == ("apple-iphone-13-128gb", "EUR")
