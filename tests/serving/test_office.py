"""Laws of the office: the courier at work beside the champion, and a look at once. The courier is a real process."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from serving import metrics
from serving.champion import Champion
from serving.office import Look, Office
from serving.settings import Settings
from tests.serving.copies import employ, seal
from training.registry import Registry
from valuation import package

Directories = tuple[Path, ...]
SLOW = 3600.0  # seconds between rounds: whatever happens, happens because it was asked for


def promote(home: Path, directory: Path) -> str:
    """Register a directory in MLflow, and put it into office."""
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
    tags = {"verdict": "passed"}
    version = registry.log(directory=directory, params={}, measures={}, tags=tags, files={}).version
    return registry.promote(version).version


def at_work(home: Path, do: Callable[[Office, Champion], Awaitable[None]]) -> None:
    """Do something while an office is employed."""

    async def work() -> None:
        settings = Settings(home=home, registry_every_seconds=SLOW)
        champion = Champion(folder=settings.champion)
        office = Office(champion=champion, settings=settings)
        employed = asyncio.create_task(office.employ())
        try:
            await asyncio.sleep(1)
            await do(office, champion)
        finally:
            employed.cancel()
            await asyncio.gather(employed, return_exceptions=True)

    asyncio.run(work())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPRISE_REGISTRY_EVERY_SECONDS", str(SLOW))
    return tmp_path


def test_a_look_brings_what_was_promoted_and_says_why_what_is_damaged_is_not(
    home: Path, directories: Directories
) -> None:
    poison = Path(shutil.copytree(directories[1], home / "poison"))
    shutil.copy(directories[2] / package.EQUATION, poison)
    seal(poison)

    async def do(office: Office, champion: Champion) -> None:
        nothing = await office.look_now()
        assert (nothing.outcome, nothing.in_office) == ("registry_away", None)
        assert "retrain" in nothing.reason
        promote(home, directories[0])
        assert await office.look_now() == Look(outcome="delivered", registered="1", in_office="1")
        assert await office.look_now() == Look(outcome="unchanged", registered="1", in_office="1")
        promote(home, poison)
        refused = await office.look_now()
        assert (refused.outcome, refused.registered, refused.in_office) == ("refused", "2", "1")
        assert "golden rows" in refused.reason
        both = await asyncio.gather(office.look_now(), office.look_now())
        assert [look.outcome for look in both] == ["refused", "refused"]

    at_work(home, do)


def test_without_a_courier_a_look_still_sees_the_pointer_and_says_so(
    home: Path, directories: Directories
) -> None:
    async def look() -> Look:
        settings = Settings(home=home)
        office = Office(champion=Champion(folder=settings.champion), settings=settings)
        employ(settings.champion, directories[0], "7")
        return await office.look_now()

    look_ = asyncio.run(look())
    assert (look_.outcome, look_.registered, look_.in_office) == ("courier_away", None, "7")


def test_the_courier_tells_no_measures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gauges would be zero, and the smallest of all processes is told."""
    monkeypatch.setenv(metrics.TOGETHER, str(home))

    async def do(office: Office, champion: Champion) -> None:
        assert office._courier is not None
        environment = Path(f"/proc/{office._courier.pid}/environ").read_bytes().decode()
        assert "REPRISE_HOME" in environment and metrics.TOGETHER not in environment

    at_work(home, do)


def test_an_office_that_can_start_no_courier_for_a_moment_employs_one_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.office.RESTART_SECONDS", 0.01)
    start, failures = asyncio.create_subprocess_exec, iter(range(3))

    async def full(*told: Any, **more: Any) -> Any:
        if next(failures, None) is not None:
            raise OSError(24, "Too many open files")
        return await start(*told, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", full)

    async def do(office: Office, champion: Champion) -> None:
        assert (await office.look_now()).outcome != "courier_away"

    at_work(home, do)


def test_the_courier_ends_with_the_office(home: Path) -> None:
    processes: list[int] = []

    async def do(office: Office, champion: Champion) -> None:
        assert office._courier is not None
        processes.append(office._courier.pid)

    at_work(home, do)
    end = time.monotonic() + 10
    while Path(f"/proc/{processes[0]}").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
