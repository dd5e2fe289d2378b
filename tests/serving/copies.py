"""Small real appraisers for tests of the office, a registry of folders, and the server as people start it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from serving.champion import Pointer
from tests.journeys.conftest import AS_OF, Server, invented_sales
from training import fitting
from valuation import package

ROOT = Path(__file__).parents[2]


def pack(directory: Path, *, level: float) -> Path:
    """Fit an appraiser to invented sales at a price level, and pack it."""
    sales = invented_sales(level=level)
    appraiser = fitting.fit(sales=sales, attributes={}, as_of=AS_OF, simulated=True, threads=1)
    package.save(appraiser=appraiser, directory=directory)
    return directory


def digest_of(directory: Path) -> str:
    """The digest of a directory, whatever its manifest says."""
    return hashlib.sha256((directory / package.MANIFEST).read_bytes()).hexdigest()


def seal(directory: Path) -> None:
    """Make the manifest of a directory agree with its files."""
    manifest = json.loads((directory / package.MANIFEST).read_text("utf-8"))
    contents = {name: (directory / name).read_bytes() for name in package.FILES}
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    (directory / package.MANIFEST).write_text(json.dumps(manifest), "utf-8")


def employ(folder: Path, directory: Path, version: str) -> None:
    """Put a copy into the folder of a server, and turn the pointer, as the courier does."""
    digest = digest_of(directory)
    if not (folder / digest).exists():
        shutil.copytree(directory, folder / digest, symlinks=True)
    Pointer(version=version, digest=digest, run_id="none").write(folder)


@dataclass
class Registry:
    """Stands for MLflow's client: one alias, runs with a directory each, and a count of downloads."""

    runs: dict[str, Path] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    version: str = ""
    downloads: int = 0
    away: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    on_download: Callable[[Path], None] = lambda _: None

    def register(self, version: str, directory: Path, **tags: str) -> None:
        """Register a directory, and put it into office."""
        self.runs[version], self.version = directory, version
        self.tags[version] = {"appraiser_digest": digest_of(directory), **tags}

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        if self.away:
            raise ConnectionError("no registry")
        self.asked.append((name, alias))
        run = f"run-{self.version}"
        return SimpleNamespace(version=self.version, run_id=run, tags=self.tags[self.version])

    def list_artifacts(self, run_id: str, path: str) -> list[Any]:
        return [
            SimpleNamespace(path=f"{path}/{each.name}", is_dir=each.is_dir(), file_size=each.stat().st_size)
            for each in self.runs[run_id.removeprefix("run-")].iterdir()
        ]

    def download_artifacts(self, run_id: str, path: str, to: str) -> str:
        self.downloads += 1
        self.on_download(Path(to))
        return str(shutil.copytree(self.runs[run_id.removeprefix("run-")], Path(to) / path))


@contextlib.contextmanager
def running(home: Path, *, code: Path | None = None) -> Iterator[Server]:
    """Run `reprise-serve` on a home folder; `code` is put in front of what Python imports."""
    paths = [str(path) for path in (code, ROOT) if path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "REPRISE_REGISTRY_EVERY_SECONDS": "0.2",
        "REPRISE_CHAMPION_EVERY_SECONDS": "0.02",
    }
    command = [sys.executable, "-m", "serving", "--port", "0", "--home", str(home)]
    with (home / "server.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        try:
            yield Server(process)
        finally:
            process.kill()
            process.communicate()
