"""The courier: brings the champion of the MLflow registry to the server's folder.

It is a process of its own, and the only module of serving that imports mlflow: that import takes seconds and
some 200 MB, which the server need not carry. It runs no code of a model: it downloads the files of an appraiser and
nothing else, tries them in a throw-away process, and turns the pointer. It looks every few seconds, and at once when a
line comes on standard input, which it answers; when that ends it ends, so it never outlives the server.
`python -m serving.courier < /dev/null` delivers once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import resource
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import structlog

from serving import champion, logs
from serving.champion import Pointer
from serving.settings import Settings
from valuation import package, signature, trial
from valuation.appraiser import AppraiserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL, ALIAS, ARTIFACT, DIGEST = "reprise-appraiser", "champion", "appraiser", "appraiser_digest"
KEPT_SECONDS = 90 * 24 * 3600.0  # a quote is kept for weeks, and then a device is on its way
TRIAL_SECONDS = 60.0
INCOMING = ".incoming-"
MOST_BYTES = {package.MANIFEST: package.LARGEST_MANIFEST_BYTES} | dict.fromkeys(
    package.FILES, package.LARGEST_FILE_BYTES
)
log = structlog.get_logger("courier")


class RegistryAway(RuntimeError):  # noqa: N818 - said as it is
    """There is no registry yet, or nobody is champion in it."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of the champion of the registry, by its `version`; `reason` where it was not delivered."""

    outcome: Literal["delivered", "unchanged", "refused", "registry_away"]
    version: str | None = None
    reason: str = ""


class Courier:
    """Delivers the champion of a registry to a folder, and remembers what it has settled.

    With a `signing_key` only one that bears its signature.
    """

    def __init__(self, *, client: MlflowClient, folder: Path, signing_key: str = "") -> None:
        self._client, self._folder, self._signing_key = client, folder, signing_key
        self._settled: tuple[str, ...] | None = None
        self._delivery = Delivery(outcome="unchanged")
        folder.mkdir(parents=True, exist_ok=True)

    def deliver(self) -> Delivery:
        """Bring the champion unless it was delivered or refused before; a refusal is logged.

        Raises whatever the registry's client raises when it cannot be asked.
        """
        found = self._client.get_model_version_by_alias(MODEL, ALIAS)
        version, digest, signed = (
            str(told)
            for told in (found.version, found.tags.get(DIGEST, ""), found.tags.get(signature.TAG, ""))
        )
        told = (version, digest, str(found.run_id))
        if (*told, signed) == self._settled:
            return self._delivery
        try:
            self._check_signature(version, digest, signed)
            with self._alone():
                turned = self._bring(Pointer(*told))
        except AppraiserError as error:
            log.error("version refused", version=told[0], reason=str(error))
            self._delivery = found_so = Delivery(outcome="refused", version=told[0], reason=str(error))
        else:
            self._delivery = Delivery(outcome="unchanged", version=told[0])
            found_so = Delivery(outcome="delivered", version=told[0]) if turned else self._delivery
        self._settled = (*told, signed)
        return found_so

    def reconsider(self) -> None:
        """Look at the copy, or try what was refused, once more at the next delivery."""
        self._settled = None

    def _check_signature(self, version: str, digest: str, signed: str) -> None:
        if self._signing_key and not signature.holds(signed, digest=digest, key=self._signing_key):
            raise AppraiserError(
                f"Version {version} does not bear our signature: it was logged without REPRISE_SIGNING_KEY, with "
                "another one, or by somebody else. Retrain with it; or look at it, and "
                f"`reprise promote {version} --no-gate` signs it."
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep couriers of other servers out of the folder, and leave nothing half done in it."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            for path in (*self._folder.glob(f"{INCOMING}*"), *self._folder.glob("*.json.*")):
                _remove(path)  # of a courier that was killed
            os.close(handle)

    def _bring(self, wanted: Pointer) -> bool:
        """Turn the pointer to a version, fetched unless a whole copy of it is in the folder; tell whether it turned."""
        whole = self._is_whole(wanted)
        if not whole:
            self._fetch(wanted)
        turned = not whole or not self._names(wanted)
        if turned:
            self._note_time()
            wanted.write(self._folder)
            log.info("version delivered", version=wanted.version, digest=wanted.digest)
        self._prune()
        return turned

    def _is_whole(self, wanted: Pointer) -> bool:
        directory = self._folder / wanted.digest
        try:
            _try_out(directory, wanted)
        except (AppraiserError, OSError):
            return False
        return True

    def _names(self, wanted: Pointer) -> bool:
        try:
            return Pointer.read(self._folder) == wanted
        except (AppraiserError, OSError):
            return False

    def _fetch(self, wanted: Pointer) -> None:
        """Download and try a version, then put it on the disk and under its name, which is its digest."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=INCOMING) as incoming:
            directory = self._download(wanted, incoming)
            _try_out(directory, wanted)
            for path in (*directory.iterdir(), directory):
                champion.sync(path)
            kept = self._folder / wanted.digest
            if os.path.lexists(kept):  # damaged, or it would not have been fetched again
                kept.rename(Path(incoming) / "damaged")
            directory.rename(kept)
            champion.sync(self._folder)

    def _download(self, wanted: Pointer, incoming: str) -> Path:
        """Download the files of an appraiser, once the registry says that it has these, in bounds, and no others."""
        listed = {file.path: file for file in self._client.list_artifacts(wanted.run_id, ARTIFACT)}
        names = {f"{ARTIFACT}/{name}": most for name, most in MOST_BYTES.items()}
        wrong = {*listed} ^ {*names} | {
            path for path, file in listed.items() if file.is_dir or (file.file_size or 0) > names.get(path, 0)
        }
        if wrong:
            raise AppraiserError(
                f"The files of version {wanted.version} are not those of an appraiser: absent, too many or too large "
                f"are {', '.join(sorted(map(ascii, wrong))):.300}. Retrain, or roll back."
            )
        with _files_of_at_most(max(MOST_BYTES.values())):
            return Path(self._client.download_artifacts(wanted.run_id, ARTIFACT, incoming))

    def _note_time(self) -> None:
        """Set the times of the copies in office, and before it, to now: their last quotes may be of today."""
        for pointer in Pointer.kept(self._folder):
            with suppress(FileNotFoundError):
                os.utime(self._folder / pointer.digest)

    def _prune(self) -> None:
        """Remove copies that no pointer knows any more, and whose quotes are over: these are priced again by them."""
        known = {pointer.digest for pointer in Pointer.kept(self._folder)}
        over = time.time() - KEPT_SECONDS
        for path in self._folder.iterdir():
            copy = re.fullmatch("[0-9a-f]{64}", path.name) and path.name not in known
            if copy and path.lstat().st_mtime < over:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _files_of_at_most(most_bytes: int) -> Iterator[None]:
    """Write no larger file meanwhile, whatever was said of its size: AppraiserError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            raise AppraiserError(
                f"A file has more than {most_bytes} bytes. Retrain, or roll back."
            ) from error
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _try_out(directory: Path, wanted: Pointer) -> None:
    """Hold a directory against what was registered, and only then let a child process open it."""
    digest = package.read(directory=directory).digest
    if digest != wanted.digest:
        raise AppraiserError(
            f"The files have the digest {digest[:12]}, registered was {wanted.digest[:12]}: they were changed since. "
            "Retrain, or roll back."
        )
    trial.try_out(directory=directory, timeout_seconds=TRIAL_SECONDS)


def connect(registry: str) -> MlflowClient:
    """A client of the registry; RegistryAway where its sqlite file holds no champion.

    To ask MLflow would make the tables of a store, perhaps while a retrain makes them, which would then fail.
    """
    address = urlsplit(registry)
    if address.scheme == "sqlite" and not _has_champion(Path(address.path.removeprefix("/"))):
        raise RegistryAway("There is no champion yet: `reprise retrain --promote` makes one.")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a registry that is away is told soon
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")  # seconds
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=registry, registry_uri=registry)


def _has_champion(store: Path) -> bool:
    asked = "SELECT 1 FROM registered_model_aliases WHERE name = ? AND alias = ?"
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as tables:
            return tables.execute(asked, (MODEL, ALIAS)).fetchone() is not None
    except sqlite3.Error:
        return False


class Rounds:
    """The courier's rounds: whatever keeps the registry away, the next round may find it back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._courier: Courier | None = None
        self._trouble = ""

    def go(self, *, afresh: bool = False) -> Delivery:
        """Deliver; `afresh` looks again at what was settled. Trouble is logged when it begins."""
        try:
            if self._courier is None:
                self._courier = Courier(
                    client=connect(self._settings.registry),
                    folder=self._settings.champion,
                    signing_key=self._settings.signing_key,
                )
            if afresh:
                self._courier.reconsider()
            delivery = self._courier.deliver()
        except Exception as error:
            told = re.sub(r"//[^/@\s]*@", "//", str(error))  # without user and password
            if self._trouble != (trouble := f"{error.__class__.__name__}: {told:.500}"):
                self._trouble = trouble
                log.warning("registry away", reason=trouble)
            return Delivery(outcome="registry_away", reason=trouble)
        self._trouble = ""
        return delivery


def main() -> None:
    """Deliver every few seconds, and when asked by a line, which is answered by one, until standard input ends."""
    for ours in (signal.SIGINT, signal.SIGHUP):  # they are for the server, which tells us
        signal.signal(ours, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logs.configure()
    settings = Settings()
    rounds = Rounds(settings)
    rounds.go()
    while True:
        if not select.select([sys.stdin], [], [], settings.registry_every_seconds)[0]:
            rounds.go()
            continue
        asked = os.read(sys.stdin.fileno(), 4096)
        if not asked:
            return
        delivery = rounds.go(afresh=True)
        print(json.dumps({"asked": asked.decode().split()[-1:], **asdict(delivery)}), flush=True)


if __name__ == "__main__":
    main()
