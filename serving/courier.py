"""The courier: brings the champion of the MLflow registry to the server's folder.

It is a process of its own, and the only module of serving that imports mlflow: that import takes seconds and
some 200 MB, which the server need not carry. It runs no code of a model: it downloads files, tries them in a
throw-away process, and turns the pointer. It ends when its standard input does, so it never outlives the
server; `python -m serving.courier < /dev/null` delivers once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from serving import champion, logs
from serving.champion import Pointer
from serving.settings import Settings
from valuation import package, trial
from valuation.appraiser import AppraiserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL, ALIAS, ARTIFACT, DIGEST = "reprise-appraiser", "champion", "appraiser", "appraiser_digest"
TRIAL_SECONDS = 60.0
log = structlog.get_logger("courier")


class RegistryAway(RuntimeError):  # noqa: N818 - said as it is
    """There is no registry yet."""


class Courier:
    """Delivers the champion of a registry to a folder, and remembers what it has settled."""

    def __init__(self, *, client: MlflowClient, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._settled: Pointer | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def deliver(self) -> None:
        """Bring the champion unless it was delivered or refused before; a refusal is logged.

        Raises whatever the registry's client raises when it cannot be asked.
        """
        found = self._client.get_model_version_by_alias(MODEL, ALIAS)
        digest = found.tags.get(DIGEST, "")
        wanted = Pointer(version=str(found.version), digest=digest, run_id=str(found.run_id))
        if wanted != self._settled:
            try:
                self._bring(wanted)
            except AppraiserError as error:
                log.error("version refused", version=wanted.version, reason=str(error))
            self._settled = wanted

    def _bring(self, wanted: Pointer) -> None:
        """Turn the pointer to a version, fetched unless a whole copy of it is in the folder already."""
        whole = self._is_whole(wanted)
        if not whole:
            self._fetch(wanted)
        if not whole or not self._names(wanted):
            wanted.write(self._folder)
            log.info("version delivered", version=wanted.version, digest=wanted.digest)

    def _is_whole(self, wanted: Pointer) -> bool:
        directory = self._folder / wanted.digest
        if not wanted.digest or not directory.exists():
            return False
        try:
            _try_out(directory)
        except AppraiserError:
            return False
        return True

    def _names(self, wanted: Pointer) -> bool:
        try:
            return Pointer.read(self._folder) == wanted
        except (AppraiserError, OSError):
            return False

    def _fetch(self, wanted: Pointer) -> None:
        """Download and try a version, then put it on the disk and under its name, which is its digest."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".incoming-") as incoming:
            directory = Path(self._client.download_artifacts(wanted.run_id, ARTIFACT, incoming))
            _, digest = package.read_manifest(directory=directory)
            if digest != wanted.digest:
                raise AppraiserError(
                    f"The files have the digest {digest[:12]}, registered was {wanted.digest[:12] or 'none'}: "
                    "they were changed since. Retrain, or roll back."
                )
            _try_out(directory)
            for path in (*directory.rglob("*"), directory):
                champion.sync(path)
            kept = self._folder / digest
            if kept.exists():  # damaged, or it would not have been fetched again
                kept.rename(directory.parent / "damaged")
            directory.rename(kept)
            champion.sync(self._folder)


def _try_out(directory: Path) -> None:
    trial.try_out(directory=directory, timeout_seconds=TRIAL_SECONDS)


def connect(registry: str) -> MlflowClient:
    """A client of the registry; RegistryAway where its sqlite file is not there: asking would create it."""
    address = urlsplit(registry)
    if address.scheme == "sqlite" and not Path(address.path.removeprefix("/")).exists():
        raise RegistryAway("There is no registry yet: `reprise retrain --promote` makes one.")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=registry, registry_uri=registry)


def main() -> None:
    """Deliver every few seconds until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the server, which ends us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logs.configure()
    settings, courier, trouble = Settings(), None, ""
    while True:
        try:
            courier = courier or Courier(client=connect(settings.registry), folder=settings.champion)
            courier.deliver()
            trouble = ""
        except Exception as error:  # whatever keeps the registry away, the next round may find it back
            if trouble != (trouble := f"{error.__class__.__name__}: {error}"):
                log.warning("registry away", reason=trouble)
        if select.select([sys.stdin], [], [], settings.registry_every_seconds)[0]:
            return


if __name__ == "__main__":
    main()
