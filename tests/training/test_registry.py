"""Laws of the registry, on a real sqlite store of MLflow."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from serving import champion, courier
from training.registry import Registry
from training.version import RegistryError, Version
from valuation import package, trial
from valuation.appraiser import AppraiserError


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of MLflow, which take it seconds to make, without a row."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.raises(RegistryError, match="nobody"):
        (folder / "mlflow.db").touch()
        Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts").rollback()
    return folder / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_store, home)
    return home


@pytest.fixture
def registry(home: Path) -> Registry:
    return _registry(home)


def _registry(home: Path) -> Registry:
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


def _directory(folder: Path, name: str, simulated: bool = False) -> Path:
    """A directory with the manifest of an appraiser; the registry opens nothing else of it."""
    directory = folder / name
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "trees.lgb").write_text(f"tree of {name}")
    manifest = {
        "format": package.FORMAT,
        "name": "reprise-appraiser",
        "as_of": "2026-07-01",
        "simulated": simulated,
        "features": ["age_years"],
        "attributes": {},
        "card": {"sales": 1200, "markets": ["DE", "GB"], "made_as": name},
        "files": {},
    }
    (directory / package.MANIFEST).write_text(json.dumps(manifest))
    return directory


def _log(
    registry: Registry, folder: Path, name: str, verdict: str = "passed", simulated: bool = False
) -> Version:
    return registry.log(
        directory=_directory(folder, name, simulated),
        params={"sales": 1200},
        measures={"mdape": 0.125},
        tags={"verdict": verdict, "reasons": "MdAPE 12.5 %, at most 10 % allowed", "data_digest": "d1"},
        files={"study.json": '{"n": 3}', "report.html": folder / name / "deep" / "trees.lgb"},
    )


def _champion(registry: Registry) -> str:
    found = registry.champion()
    assert found is not None
    return found.version


def test_a_version_tells_what_was_logged(registry: Registry, tmp_path: Path) -> None:
    logged = _log(registry, tmp_path, "a")
    assert registry.versions() == (logged,)
    assert (logged.version, logged.passed, logged.simulated, logged.aliases) == ("1", True, False, ())
    assert logged.as_of == date(2026, 7, 1)
    assert logged.digest == package.read_manifest(directory=tmp_path / "a")[1]
    assert (logged.params, logged.measures) == ({"sales": "1200"}, {"mdape": 0.125})
    assert logged.tags["data_digest"] == "d1"


def test_versions_are_listed_newest_first(registry: Registry, tmp_path: Path) -> None:
    for name in "abc":
        _log(registry, tmp_path, name)
    assert [found.version for found in registry.versions()] == ["3", "2", "1"]


def test_the_appraiser_comes_back_as_it_was_packed(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    path = registry.fetch("1", tmp_path / "there")
    assert (path / "deep" / "trees.lgb").read_text() == "tree of a"
    assert (path / "manifest.json").read_bytes() == (tmp_path / "a" / "manifest.json").read_bytes()


def test_all_files_of_a_version_are_under_the_artifacts_folder(
    registry: Registry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _log(registry, tmp_path, "a")
    kept = {path.name: path for path in (home / "artifacts").rglob("*") if path.is_file()}
    assert set(kept) == {"manifest.json", "trees.lgb", "study.json", "report.html"}
    assert kept["study.json"].read_text() == '{"n": 3}'
    assert list(Path.cwd().iterdir()) == []


def test_the_line_of_a_version_tells_its_office_verdict_and_measures(
    registry: Registry, tmp_path: Path
) -> None:
    registry.promote(_log(registry, tmp_path, "a", simulated=True).version)
    (line,) = (found.row() for found in registry.versions())
    assert line == ("1", "champion", "passed", "2026-07-01", "1200", "", "0.125", "", "d1 simulated")


def test_nobody_is_in_office_by_being_logged(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    assert registry.champion() is None


def test_a_promoted_version_is_the_champion_and_the_one_fetched(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    _log(registry, tmp_path, "b")
    assert registry.promote("2").aliases == ("champion",)
    assert _champion(registry) == "2"
    assert (registry.fetch(None, tmp_path / "there") / "deep" / "trees.lgb").read_text() == "tree of b"


def test_rolling_back_walks_through_the_champions_in_reverse(registry: Registry, tmp_path: Path) -> None:
    for name in "abc":
        registry.promote(_log(registry, tmp_path, name).version)
    registry.promote("3")  # again: changes nothing
    assert registry.rollback().version == "2"
    assert registry.rollback().version == _champion(registry) == "1"
    with pytest.raises(RegistryError, match=r"In office is version 1, and no version.*There are: 3, 2, 1\."):
        registry.rollback()


def test_a_promotion_that_broke_off_leaves_the_way_back(
    registry: Registry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        registry.promote(_log(registry, tmp_path, name).version)
    _log(registry, tmp_path, "c")

    def broken(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as power:
        power.setattr(registry._client, "set_registered_model_alias", broken)
        with pytest.raises(RegistryError, match="the power went"):
            registry.promote("3")
    assert _champion(registry) == "2"
    assert _registry(home).rollback().version == "1"


def test_every_promotion_leaves_a_tag_that_says_whom_it_replaced(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    _log(registry, tmp_path, "b", verdict="failed")
    registry.promote("1")
    second = registry.promote("2", despite_verdict=True)
    first = registry.rollback()
    assert {k.split(".")[0]: v for k, v in second.tags.items() if "promoted" in k} == {
        "promoted_despite_verdict": "replaced version 1"
    }
    assert {k.split(".")[0]: v for k, v in first.tags.items() if v.startswith("replaced")} == {
        "promoted": "replaced nobody",
        "rolled_back_to": "replaced version 2",
    }


def test_a_version_that_failed_its_verdict_stays_out_of_office(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a", verdict="failed")
    with pytest.raises(RegistryError, match=r"MdAPE 12\.5 %, at most 10 % allowed"):
        registry.promote("1")
    assert registry.champion() is None
    assert registry.promote("1", despite_verdict=True).passed is False


@pytest.mark.parametrize("expected", [None, "2", "9"])
def test_a_promotion_meant_for_another_champion_changes_nothing(
    registry: Registry, tmp_path: Path, expected: str | None
) -> None:
    _log(registry, tmp_path, "a")
    _log(registry, tmp_path, "b")
    registry.promote("1", expected=None)
    with pytest.raises(RegistryError, match="in office is version 1"):
        registry.promote("2", expected=expected)
    assert _champion(registry) == "1"
    registry.promote("2", expected="1")
    assert _champion(registry) == "2"


def test_an_unknown_version_is_told_beside_the_known_ones(registry: Registry, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    for unknown in ("7", "one", "", "'"):
        with pytest.raises(RegistryError, match=r"no version .* of reprise-appraiser\. There are: 1\."):
            registry.promote(unknown)
    with pytest.raises(RegistryError, match="no version '7'"):
        registry.fetch("7", tmp_path / "there")


def test_a_store_that_does_not_exist_holds_nothing_and_is_not_made_by_asking(tmp_path: Path) -> None:
    registry = _registry(tmp_path / "nowhere")
    assert (registry.versions(), registry.champion()) == ((), None)
    with pytest.raises(RegistryError, match="reprise retrain"):
        registry.fetch(None, tmp_path / "there")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(RegistryError, match="None is registered yet"):
        registry.promote("1")


def test_a_store_that_is_no_database_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 1000)
    for asked in (_registry(tmp_path).champion, lambda: _log(_registry(tmp_path), tmp_path, "a")):
        with pytest.raises(RegistryError, match=r"mlflow\.db could not .*not a database"):
            asked()
    assert (tmp_path / "mlflow.db").read_bytes() == b"garbage" * 1000


def test_a_store_damaged_within_is_told(empty_store: Path, tmp_path: Path) -> None:
    whole = empty_store.read_bytes()
    (tmp_path / "mlflow.db").write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(RegistryError, match="restored from its backup"):
        _registry(tmp_path).versions()


def test_a_password_in_the_address_of_the_store_is_never_told(tmp_path: Path) -> None:
    registry = Registry("nowhere://me:secret@host/store", tmp_path)
    with pytest.raises(RegistryError, match="nowhere://host/store") as refusal:
        registry.versions()
    assert "secret" not in str(refusal.value).split("could not")[0]


def test_files_changed_since_they_were_registered_are_refused(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    _log(registry, tmp_path, "a")
    (manifest,) = (home / "artifacts").rglob("manifest.json")
    manifest.write_text(manifest.read_text().replace("1200", "9999"))
    with pytest.raises(RegistryError, match="changed since"):
        registry.fetch("1", tmp_path / "there")


def test_files_that_are_gone_are_told(registry: Registry, home: Path, tmp_path: Path) -> None:
    _log(registry, tmp_path, "a")
    shutil.rmtree(home / "artifacts")
    with pytest.raises(RegistryError, match="could not fetch version 1"):
        registry.fetch("1", tmp_path / "there")


def test_a_log_that_breaks_off_registers_nothing(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="could not register a version"):
        registry.log(
            directory=_directory(tmp_path, "a"),
            params={},
            measures={},
            tags={"verdict": "passed"},
            files={"study.json": tmp_path / "absent"},
        )
    assert registry.versions() == ()


def test_what_is_no_appraiser_or_has_no_verdict_is_not_logged(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="verdict is 'fine'"):
        _log(registry, tmp_path, "a", verdict="fine")
    (tmp_path / "b").mkdir()
    with pytest.raises(AppraiserError, match=r"manifest\.json"):
        registry.log(directory=tmp_path / "b", params={}, measures={}, tags={"verdict": "passed"}, files={})
    assert registry.versions() == ()


def test_a_version_registered_by_somebody_else_is_listed_and_never_passes(
    registry: Registry, tmp_path: Path
) -> None:
    logged = _log(registry, tmp_path, "a")
    registry._client.create_model_version("reprise-appraiser", source="file:///x", run_id=logged.run_id)
    stranger = registry.versions()[0]
    assert (stranger.version, stranger.passed) == ("2", False)
    with pytest.raises(RegistryError, match="no tag 'as_of'"):
        _ = stranger.as_of
    with pytest.raises(RegistryError, match="verdict on version 2 is missing"):
        registry.promote("2")


def test_a_version_carries_its_card(registry: Registry, tmp_path: Path) -> None:
    assert _log(registry, tmp_path, "a", simulated=True).simulated is True
    card = registry._client.get_model_version("reprise-appraiser", "1").description
    assert card.startswith("# reprise-appraiser, as of 2026-07-01") and "- mdape: 0.125" in card


def test_the_courier_of_the_server_delivers_what_was_promoted(
    registry: Registry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "try_out", lambda **_: None)
    promoted = registry.promote(_log(registry, tmp_path, "a").version)
    client = courier.connect(f"sqlite:///{home}/mlflow.db")
    courier.Courier(client=client, folder=tmp_path / "office").deliver()
    pointer = champion.Pointer.read(tmp_path / "office")
    assert (pointer.version, pointer.digest, pointer.run_id) == ("1", promoted.digest, promoted.run_id)
