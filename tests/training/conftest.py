"""A registry on a real sqlite store of MLflow, and versions to put into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from training.registry import Registry
from training.version import RegistryError, Version
from valuation import package


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of MLflow, which take it seconds to make, without a row."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "mlflow.db").touch()
    with pytest.raises(RegistryError, match="nobody"):
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
    return Registry(f"sqlite:///{home}/mlflow.db", home / "artifacts")


@pytest.fixture
def register(registry: Registry, tmp_path: Path) -> Callable[..., Version]:
    """Registers an appraiser directory of a name, made in `tmp_path`."""

    def registered(name: str, verdict: str = "passed", simulated: bool = False) -> Version:
        return registry.log(
            directory=_directory(tmp_path / name, simulated),
            params={"sales": 1200},
            measures={"mdape": 0.125},
            tags={"verdict": verdict, "reasons": "MdAPE 12.5 %, at most 10 % allowed", "data_digest": "d1"},
            files={"study.json": '{"n": 3}', "report.html": tmp_path / name / "deep" / "trees.lgb"},
        )

    return registered


def _directory(directory: Path, simulated: bool) -> Path:
    """A directory with the manifest of an appraiser; the registry opens nothing else of it."""
    (directory / "deep").mkdir(parents=True)
    (directory / "deep" / "trees.lgb").write_text(f"tree of {directory.name}")
    manifest = {
        "format": package.FORMAT,
        "name": "reprise-appraiser",
        "as_of": "2026-07-01",
        "simulated": simulated,
        "features": ["age_years"],
        "attributes": {},
        "card": {"sales": 1200, "markets": ["DE", "GB"], "made_as": directory.name},
        "files": {},
    }
    (directory / package.MANIFEST).write_text(json.dumps(manifest))
    return directory
