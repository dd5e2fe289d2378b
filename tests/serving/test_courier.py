"""Laws of the courier: what it delivers, what it refuses, and that it never leaves half a copy."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving import champion, courier
from serving.champion import Pointer
from serving.courier import Courier, RegistryAway
from valuation import package, trial
from valuation.appraiser import AppraiserError


@dataclass
class Registry:
    """Stands for MLflow's client: one alias, runs with a directory each, and a count of downloads."""

    runs: Path
    version: str = "1"
    run_id: str = "one"
    downloads: int = 0
    away: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        if self.away:
            raise ConnectionError("no registry")
        self.asked.append((name, alias))
        return SimpleNamespace(version=self.version, run_id=self.run_id, tags=self.tags[self.run_id])

    def download_artifacts(self, run_id: str, path: str, to: str) -> str:
        self.downloads += 1
        return str(shutil.copytree(self.runs / run_id, Path(to) / path))

    def register(self, version: str, run_id: str, text: str = "") -> None:
        (self.runs / run_id / "deep").mkdir(parents=True)
        manifest = json.dumps({"format": package.FORMAT, "run": run_id, "text": text, "files": {}})
        (self.runs / run_id / "manifest.json").write_text(manifest)
        self.tags[run_id] = {"appraiser_digest": hashlib.sha256(manifest.encode()).hexdigest()}
        (self.runs / run_id / "deep" / "trees.txt").write_text("tree")
        self.version, self.run_id = version, run_id


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = Registry(tmp_path / "runs")
    made.register("1", "one")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "champion"


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Texts that a directory's trial stumbles over."""
    texts: set[str] = set()

    def try_out(*, directory: Path, timeout_seconds: float) -> None:
        content = "".join(path.read_text() for path in directory.rglob("*") if path.is_file())
        if any(text in content for text in texts) or not (directory / "manifest.json").exists():
            raise AppraiserError("does not do")

    monkeypatch.setattr(trial, "try_out", try_out)
    return texts


@pytest.fixture
def delivering(registry: Registry, folder: Path) -> Courier:
    return Courier(client=registry, folder=folder)  # type: ignore[arg-type]


def test_the_champion_is_delivered_under_its_digest(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    delivering.deliver()
    pointer = Pointer.read(folder)
    manifest = (folder / pointer.digest / "manifest.json").read_bytes()
    assert pointer.digest == hashlib.sha256(manifest).hexdigest()
    assert (pointer.version, pointer.run_id) == ("1", "one")
    assert (folder / pointer.digest / "deep" / "trees.txt").read_text() == "tree"
    assert registry.asked == [("reprise-appraiser", "champion")]


def test_nothing_else_is_left_in_the_folder(folder: Path, delivering: Courier) -> None:
    delivering.deliver()
    assert {path.name for path in folder.iterdir()} == {champion.POINTER, Pointer.read(folder).digest}


def test_a_champion_is_fetched_once(registry: Registry, delivering: Courier) -> None:
    delivering.deliver()
    delivering.deliver()
    assert registry.downloads == 1


def test_a_champion_in_place_is_not_fetched_by_the_next_courier(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    delivering.deliver()
    Courier(client=registry, folder=folder).deliver()  # type: ignore[arg-type]
    assert registry.downloads == 1


def test_a_damaged_copy_is_replaced_by_the_next_courier(
    registry: Registry, folder: Path, delivering: Courier, refused: set[str]
) -> None:
    delivering.deliver()
    pointer, before = Pointer.read(folder), (folder / champion.POINTER).stat().st_ino
    (folder / pointer.digest / "deep" / "trees.txt").write_text("rotten")
    refused.add("rotten")
    Courier(client=registry, folder=folder).deliver()  # type: ignore[arg-type]
    assert (folder / pointer.digest / "deep" / "trees.txt").read_text() == "tree"
    assert (folder / champion.POINTER).stat().st_ino != before, "the server sees that the pointer turned"


def test_a_promotion_is_delivered_and_the_earlier_copy_kept(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    delivering.deliver()
    first = Pointer.read(folder)
    registry.register("2", "two")
    delivering.deliver()
    second = Pointer.read(folder)
    assert (second.version, second.digest != first.digest) == ("2", True)
    assert (folder / first.digest).exists()


def test_a_roll_back_needs_no_download(registry: Registry, folder: Path, delivering: Courier) -> None:
    delivering.deliver()
    registry.register("2", "two")
    delivering.deliver()
    registry.version, registry.run_id = "1", "one"
    delivering.deliver()
    assert Pointer.read(folder).version == "1"
    assert registry.downloads == 2


@pytest.mark.parametrize("tags", [{}, {"appraiser_digest": "e" * 64}], ids=["no digest", "another digest"])
def test_files_changed_after_they_were_registered_are_refused(
    registry: Registry, folder: Path, delivering: Courier, tags: dict[str, str]
) -> None:
    registry.tags["one"] = tags
    delivering.deliver()
    assert list(folder.iterdir()) == []


def test_a_version_that_fails_its_trial_is_refused_once_and_nothing_turns(
    registry: Registry, folder: Path, delivering: Courier, refused: set[str]
) -> None:
    delivering.deliver()
    before = (folder / champion.POINTER).read_text()
    refused.add("poison")
    registry.register("2", "two", "poison")
    for _ in range(3):
        delivering.deliver()
    assert (folder / champion.POINTER).read_text() == before
    assert registry.downloads == 2
    assert len(list(folder.iterdir())) == 2


def test_an_absent_registry_changes_nothing_and_is_asked_again(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    delivering.deliver()
    registry.away = True
    with pytest.raises(ConnectionError):
        delivering.deliver()
    assert Pointer.read(folder).version == "1"
    registry.away = False
    registry.register("2", "two")
    delivering.deliver()
    assert Pointer.read(folder).version == "2"


def test_a_download_that_breaks_off_leaves_nothing(
    registry: Registry, folder: Path, delivering: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run_id: str, path: str, to: str) -> str:
        (Path(to) / "half").write_text("half")
        raise OSError("the line broke")

    monkeypatch.setattr(registry, "download_artifacts", broken)
    with pytest.raises(OSError, match="line broke"):
        delivering.deliver()
    assert list(folder.iterdir()) == []


def test_a_registry_that_does_not_exist_is_not_made_by_asking(tmp_path: Path) -> None:
    with pytest.raises(RegistryAway, match="retrain"):
        courier.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []
