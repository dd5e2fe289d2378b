"""Laws of the registry, on a real sqlite store of MLflow: what is put in, what comes out, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from training.registry import Registry
from training.version import RegistryError, Version
from valuation import package
from valuation.appraiser import AppraiserError

Register = Callable[..., Version]  # the fixture of conftest.py


def _of(home: Path) -> Registry:
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


def test_a_version_tells_what_was_logged(registry: Registry, tmp_path: Path, register: Register) -> None:
    logged = register("a")
    assert registry.versions() == (logged,)
    assert (logged.version, logged.passed, logged.simulated, logged.aliases) == ("1", True, False, ())
    assert logged.as_of == date(2026, 7, 1)
    assert logged.digest == package.read_manifest(directory=tmp_path / "a")[1]
    assert (logged.params, logged.measures) == ({"sales": "1200"}, {"mdape": 0.125})
    assert logged.tags["data_digest"] == "d1"


def test_versions_are_listed_newest_first(registry: Registry, register: Register) -> None:
    for name in "abc":
        register(name)
    assert [found.version for found in registry.versions()] == ["3", "2", "1"]


def test_the_appraiser_comes_back_as_it_was_packed(
    registry: Registry, tmp_path: Path, register: Register
) -> None:
    register("a")
    path = registry.fetch("1", tmp_path / "there")
    assert (path / "deep" / "trees.lgb").read_text() == "tree of a"
    assert (path / "manifest.json").read_bytes() == (tmp_path / "a" / "manifest.json").read_bytes()


def test_all_files_of_a_version_are_under_the_artifacts_folder(
    registry: Registry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, register: Register
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    register("a")
    kept = {path.name: path for path in (home / "artifacts").rglob("*") if path.is_file()}
    assert set(kept) == {"manifest.json", "trees.lgb", "study.json", "report.html"}
    assert kept["study.json"].read_text() == '{"n": 3}'
    assert list(Path.cwd().iterdir()) == []


def test_the_line_of_a_version_tells_its_office_verdict_and_measures(
    registry: Registry, register: Register
) -> None:
    registry.promote(register("a", simulated=True).version)
    (line,) = (found.row() for found in registry.versions())
    assert line == ("1", "champion", "passed", "2026-07-01", "1200", "", "0.125", "", "d1 simulated")


def test_a_store_that_does_not_exist_holds_nothing_and_is_not_made_by_asking(tmp_path: Path) -> None:
    registry = _of(tmp_path / "nowhere")
    assert (registry.versions(), registry.champion()) == ((), None)
    with pytest.raises(RegistryError, match="reprise retrain"):
        registry.fetch(None, tmp_path / "there")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(RegistryError, match="None is registered yet"):
        registry.promote("1")


def test_a_store_that_is_no_database_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(RegistryError, match=r"mlflow\.db could not list .*not a database"):
        _of(tmp_path).champion()
    assert (tmp_path / "mlflow.db").read_bytes() == b"garbage" * 1000


def test_a_store_damaged_within_is_told(empty_store: Path, tmp_path: Path) -> None:
    whole = empty_store.read_bytes()
    (tmp_path / "mlflow.db").write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(RegistryError, match="restored from its backup"):
        _of(tmp_path).versions()


def test_a_password_in_the_address_of_the_store_is_never_told(tmp_path: Path) -> None:
    registry = Registry("nowhere://me:secret@host/store", tmp_path)
    with pytest.raises(RegistryError, match="nowhere://host/store") as refusal:
        registry.versions()
    assert "secret" not in str(refusal.value)


def test_files_changed_since_they_were_registered_are_refused(
    registry: Registry, home: Path, tmp_path: Path, register: Register
) -> None:
    register("a")
    (manifest,) = (home / "artifacts").rglob("manifest.json")
    manifest.write_text(manifest.read_text().replace("1200", "9999"))
    with pytest.raises(RegistryError, match="changed since"):
        registry.fetch("1", tmp_path / "there")


def test_files_that_are_gone_are_told(
    registry: Registry, home: Path, tmp_path: Path, register: Register
) -> None:
    register("a")
    shutil.rmtree(home / "artifacts")
    with pytest.raises(RegistryError, match="could not fetch version 1"):
        registry.fetch("1", tmp_path / "there")


def test_a_log_that_breaks_off_registers_nothing(
    registry: Registry, register: Register, tmp_path: Path
) -> None:
    packed = registry.fetch(register("a").version, tmp_path / "there")
    with pytest.raises(RegistryError, match="could not register a version"):
        registry.log(
            directory=packed,
            params={},
            measures={},
            tags={"verdict": "passed"},
            files={"study.json": tmp_path / "absent"},
        )
    assert [found.version for found in registry.versions()] == ["1"]


def test_what_is_no_appraiser_or_has_no_verdict_is_not_logged(
    registry: Registry, tmp_path: Path, register: Register
) -> None:
    with pytest.raises(RegistryError, match="verdict is 'fine'"):
        register("a", verdict="fine")
    (tmp_path / "b").mkdir()
    with pytest.raises(AppraiserError, match=r"manifest\.json"):
        registry.log(directory=tmp_path / "b", params={}, measures={}, tags={"verdict": "passed"}, files={})
    assert registry.versions() == ()


def test_a_version_registered_by_somebody_else_is_listed_and_never_passes(
    registry: Registry, register: Register
) -> None:
    logged = register("a")
    registry._client.create_model_version("reprise-appraiser", source="file:///x", run_id=logged.run_id)
    stranger = registry.versions()[0]
    assert (stranger.version, stranger.passed) == ("2", False)
    with pytest.raises(RegistryError, match="no tag 'as_of'"):
        _ = stranger.as_of
    with pytest.raises(RegistryError, match="verdict on version 2 is missing"):
        registry.promote("2")


def test_a_version_carries_its_card(registry: Registry, register: Register) -> None:
    assert register("a", simulated=True).simulated is True
    card = registry._client.get_model_version("reprise-appraiser", "1").description
    assert card.startswith("# reprise-appraiser, as of 2026-07-01") and "- mdape: 0.125" in card
