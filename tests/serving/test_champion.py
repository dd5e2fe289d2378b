"""Laws of the appraiser in office and its hot swap."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from serving import champion
from serving.champion import Champion, Pointer
from valuation import package
from valuation.appraiser import AppraiserError

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch, house: Any) -> dict[str, Any]:
    """What can be loaded: an appraiser by the name of its directory, or an error."""
    kept: dict[str, Any] = {digest: type(house.appraiser)(digest=digest) for digest in (ONE, TWO)}

    def load(*, directory: Path) -> Any:
        found = kept.get(directory.name, AppraiserError(f"{directory} is damaged"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(package, "load", load)
    return kept


def _point(folder: Path, version: str, digest: str) -> None:
    Pointer(version=version, digest=digest, run_id="r").write(folder)


def _version(held: Champion) -> str | None:
    return held.incumbent and held.incumbent.version


def test_without_a_pointer_nobody_is_in_office(tmp_path: Path) -> None:
    held = Champion(folder=tmp_path)
    held.look()
    assert held.incumbent is None


def test_the_local_copy_takes_office_at_the_start(tmp_path: Path) -> None:
    _point(tmp_path, "1", ONE)
    held = Champion(folder=tmp_path)
    held.look()
    assert _version(held) == "1"


def test_the_pointer_turns_and_the_next_takes_office(tmp_path: Path) -> None:
    held = Champion(folder=tmp_path)
    for version, digest in (("1", ONE), ("2", TWO), ("3", ONE)):
        _point(tmp_path, version, digest)
        held.look()
        assert _version(held) == version


def test_a_copy_is_read_once_and_not_at_every_look(tmp_path: Path, shelf: dict[str, Any]) -> None:
    _point(tmp_path, "1", ONE)
    held = Champion(folder=tmp_path)
    held.look()
    before = held.incumbent
    shelf.clear()
    held.look()
    assert held.incumbent is before


@pytest.mark.parametrize(
    "pointer",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": "2", "digest": "../../etc", "run_id": "r"}',
        '{"version": "2", "digest": 2, "run_id": "r"}',
        f'{{"version": "2", "digest": "{"e" * 64}", "run_id": "r"}}',
    ],
    ids=["empty", "cut", "list", "no names", "path", "number", "nothing there"],
)
def test_a_damaged_pointer_or_copy_is_refused_and_the_old_one_stays(tmp_path: Path, pointer: str) -> None:
    _point(tmp_path, "1", ONE)
    held = Champion(folder=tmp_path)
    held.look()
    (tmp_path / champion.POINTER).unlink()
    (tmp_path / champion.POINTER).write_text(pointer)
    held.look()
    assert _version(held) == "1"


def test_a_copy_that_is_not_the_one_named_is_refused(tmp_path: Path, shelf: dict[str, Any]) -> None:
    shelf[TWO] = shelf[ONE]
    _point(tmp_path, "2", TWO)
    held = Champion(folder=tmp_path)
    held.look()
    assert held.incumbent is None


def test_a_refused_copy_takes_office_when_it_is_delivered_again(
    tmp_path: Path, shelf: dict[str, Any]
) -> None:
    whole = shelf.pop(ONE)
    _point(tmp_path, "1", ONE)
    held = Champion(folder=tmp_path)
    held.look()
    assert held.incumbent is None
    shelf[ONE] = whole
    _point(tmp_path, "1", ONE)
    held.look()
    assert _version(held) == "1"


def test_the_pointer_is_the_old_or_the_new_one_and_never_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _point(tmp_path, "1", ONE)

    def crash(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(champion, "sync", crash)
    with pytest.raises(KeyboardInterrupt):
        _point(tmp_path, "2", TWO)
    assert Pointer.read(tmp_path).version == "1"


def test_the_watch_sees_a_turn_by_itself(tmp_path: Path) -> None:
    async def watch() -> str | None:
        held = Champion(folder=tmp_path)
        watching = asyncio.create_task(held.watch(every_seconds=0.01))
        await asyncio.sleep(0.05)
        _point(tmp_path, "1", ONE)
        for _ in range(200):
            await asyncio.sleep(0.01)
            if held.incumbent:
                break
        watching.cancel()
        return _version(held)

    assert asyncio.run(watch()) == "1"


def test_the_device_sold_most_is_known_with_its_currency(house: Any) -> None:
    device, currency = house.champion.incumbent.most_sold()
    assert (device.device_id, currency) == ("apple-iphone-13-128gb", "EUR")
