"""Laws of the courier: what it delivers, what it refuses, and that it never leaves half a copy. Its trials are real."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving import champion, courier
from serving.champion import Champion, Pointer
from serving.courier import Courier, RegistryAway
from tests.serving.copies import Registry, digest_of, seal
from valuation import package, signature

Directories = tuple[Path, ...]


@pytest.fixture
def registry(directories: Directories) -> Registry:
    made = Registry()
    made.register("1", directories[0])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "champion"


@pytest.fixture
def delivering(registry: Registry, folder: Path) -> Courier:
    return Courier(client=registry, folder=folder)  # type: ignore[arg-type]


@pytest.fixture
def poison(directories: Directories, tmp_path: Path) -> Path:
    """An appraiser that is whole and values otherwise than its golden rows say."""
    directory = Path(shutil.copytree(directories[1], tmp_path / "poison"))
    shutil.copy(directories[2] / package.EQUATION, directory)
    seal(directory)
    return directory


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_champion_is_delivered_under_its_digest(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories
) -> None:
    assert delivering.deliver().outcome == "delivered"
    digest = digest_of(directories[0])
    assert Pointer.read(folder) == Pointer(version="1", digest=digest, run_id="run-1")
    assert package.read(directory=folder / digest).digest == digest
    assert registry.asked == [("reprise-appraiser", "champion")]


def test_nothing_else_is_left_in_the_folder(
    folder: Path, delivering: Courier, directories: Directories
) -> None:
    delivering.deliver()
    assert names(folder) == {champion.POINTER, champion.EARLIER, digest_of(directories[0])}


def test_a_champion_is_fetched_once_also_by_the_next_courier(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    delivering.deliver()
    assert delivering.deliver().outcome == "unchanged"
    assert Courier(client=registry, folder=folder).deliver().outcome == "unchanged"  # type: ignore[arg-type]
    assert registry.downloads == 1


def test_a_damaged_copy_is_replaced_by_the_next_courier(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories
) -> None:
    delivering.deliver()
    kept, before = folder / digest_of(directories[0]), (folder / champion.POINTER).stat().st_ino
    (kept / package.TREES).write_text("rotten")
    assert Courier(client=registry, folder=folder).deliver().outcome == "delivered"  # type: ignore[arg-type]
    assert package.load(directory=kept)
    assert (folder / champion.POINTER).stat().st_ino != before, "the server sees that the pointer turned"


def test_a_roll_back_needs_no_download_and_a_copy_stays_as_long_as_its_quotes(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories
) -> None:
    for version, directory in zip("12", directories[:2], strict=True):
        registry.register(version, directory)
        delivering.deliver()
    assert {digest_of(each) for each in directories[:2]} < names(folder)
    registry.version = "1"
    delivering.deliver()
    assert (Pointer.read(folder).version, registry.downloads) == ("1", 2)
    assert digest_of(directories[1]) in names(folder)
    old = time.time() - 91 * 24 * 3600
    os.utime(folder / digest_of(directories[1]), (old, old))
    registry.version = "3"
    registry.register("3", directories[2])
    delivering.deliver()
    assert digest_of(directories[1]) not in names(folder)


@pytest.mark.parametrize("next_one", ["1", "3"])
def test_a_copy_that_was_long_in_office_stays_for_its_last_quotes(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories, next_one: str
) -> None:
    for version, directory in zip("12", directories[:2], strict=True):
        registry.register(version, directory)
        delivering.deliver()
    long_ago = time.time() - 91 * 24 * 3600
    os.utime(folder / digest_of(directories[1]), (long_ago, long_ago))
    registry.register(next_one, directories[int(next_one) - 1])
    assert delivering.deliver().outcome == "delivered"
    assert digest_of(directories[1]) in names(folder)


@pytest.mark.parametrize("digest", ["", "e" * 64, "../../etc", "."])
def test_files_changed_after_they_were_registered_are_refused(
    registry: Registry, folder: Path, delivering: Courier, digest: str
) -> None:
    registry.tags["1"]["appraiser_digest"] = digest
    assert delivering.deliver().outcome == "refused"
    assert names(folder) == set()


def test_with_a_key_only_what_is_signed_with_it_is_delivered(
    registry: Registry, folder: Path, directories: Directories
) -> None:
    guarded = Courier(client=registry, folder=folder, signing_key="a" * 32)  # type: ignore[arg-type]
    for foreign in ("", "0" * 64, signature.sign(digest=digest_of(directories[0]), key="b" * 32)):
        registry.tags["1"][signature.TAG] = foreign
        refused = guarded.deliver()
        assert (refused.outcome, registry.downloads) == ("refused", 0)
        assert "does not bear our signature" in refused.reason
    ours = signature.sign(digest=digest_of(directories[0]), key="a" * 32)
    registry.register("1", directories[0], signature=ours)
    assert guarded.deliver().outcome == "delivered"
    registry.register("2", directories[1], signature=ours)  # another model under a signature of ours
    assert guarded.deliver().outcome == "refused"
    assert Pointer.read(folder).version == "1"


def test_a_version_that_fails_its_trial_is_refused_once_and_nothing_turns(
    registry: Registry, folder: Path, delivering: Courier, poison: Path
) -> None:
    delivering.deliver()
    before = (folder / champion.POINTER).read_text()
    registry.register("2", poison)
    for _ in range(3):
        refused = delivering.deliver()
        assert (refused.outcome, refused.version) == ("refused", "2")
        assert "golden rows" in refused.reason
    assert registry.downloads == 2
    assert (folder / champion.POINTER).read_text() == before
    assert len(names(folder)) == 3
    delivering.reconsider()
    assert delivering.deliver().outcome == "refused"
    assert registry.downloads == 3


def test_an_absent_registry_changes_nothing_and_is_asked_again(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories
) -> None:
    delivering.deliver()
    registry.away = True
    with pytest.raises(ConnectionError):
        delivering.deliver()
    assert Pointer.read(folder).version == "1"
    registry.away = False
    registry.register("2", directories[1])
    delivering.deliver()
    assert Pointer.read(folder).version == "2"


def test_a_download_that_breaks_off_leaves_nothing(
    registry: Registry, folder: Path, delivering: Courier
) -> None:
    def broken(to: Path) -> None:
        (to / "half").write_text("half")
        raise OSError("the line broke")

    registry.on_download = broken
    with pytest.raises(OSError, match="line broke"):
        delivering.deliver()
    assert names(folder) == set()


def test_what_a_courier_that_was_killed_left_behind_is_removed(
    folder: Path, delivering: Courier, directories: Directories
) -> None:
    (folder / ".incoming-x" / "appraiser").mkdir(parents=True)
    (folder / "current.json.77").write_text("half")
    (folder / ("f" * 64)).mkdir()
    os.utime(folder / ("f" * 64), (0, 0))
    delivering.deliver()
    assert names(folder) == {champion.POINTER, champion.EARLIER, digest_of(directories[0])}


def link(directory: Path) -> None:
    (directory / package.TREES).unlink()
    (directory / package.TREES).symlink_to("/etc/passwd")


STRANGE: dict[str, Callable[[Path], object]] = {
    "an MLmodel": lambda d: (d / "MLmodel").write_text("flavors: {python_function: {loader_module: evil}}"),
    "code": lambda d: (d / "code").mkdir(),
    "one less": lambda d: (d / package.OWNERS).unlink(),
    "a folder in place of a file": lambda d: ((d / package.OWNERS).unlink(), (d / package.OWNERS).mkdir()),
    "a link out of it": link,
    "a file too large": lambda d: os.truncate(d / package.TREES, package.LARGEST_FILE_BYTES + 1),
}


@pytest.mark.parametrize("change", STRANGE)
def test_what_is_not_the_files_of_an_appraiser_is_refused(
    registry: Registry,
    folder: Path,
    delivering: Courier,
    directories: Directories,
    tmp_path: Path,
    change: str,
) -> None:
    STRANGE[change](Path(shutil.copytree(directories[0], tmp_path / "strange")))
    registry.register("2", tmp_path / "strange")
    assert delivering.deliver().outcome == "refused"
    assert names(folder) == set()


def test_a_registry_that_lies_about_sizes_fills_no_disk(
    registry: Registry, delivering: Courier, folder: Path
) -> None:
    def endless(to: Path) -> None:
        with (to / "endless").open("wb") as file:
            file.truncate(package.LARGEST_FILE_BYTES)
            file.seek(0, 2)
            for _ in range(100):
                file.write(bytes(4096))

    registry.on_download = endless
    refused = delivering.deliver()
    assert refused.outcome == "refused"
    assert "bytes" in refused.reason
    assert names(folder) == set()


def test_two_couriers_of_one_folder_deliver_one_after_the_other(
    registry: Registry, folder: Path, delivering: Courier, directories: Directories
) -> None:
    other = Courier(client=registry, folder=folder)  # type: ignore[arg-type]
    with ThreadPoolExecutor() as both:
        outcomes = sorted(
            each.result().outcome for each in [both.submit(c.deliver) for c in (delivering, other)]
        )
    assert outcomes == ["delivered", "unchanged"]
    held = Champion(folder=folder)
    held.look()
    assert held.incumbent is not None


def test_a_registry_that_does_not_exist_is_not_made_by_asking(tmp_path: Path) -> None:
    with pytest.raises(RegistryAway, match="retrain"):
        courier.connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []
