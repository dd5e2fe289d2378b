"""The appraiser in office, and its hot swap.

The courier (courier.py) brings a tried copy into a folder named by its digest and then turns the pointer, a small file;
the server looks at that file, so it starts and goes on without a registry. The copies in office before are kept with
their pointers: where the newest is damaged at the start, the one before it serves.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import re
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import structlog

from serving import metrics
from serving.incumbent import Incumbent
from valuation import package
from valuation.appraiser import AppraiserError
from valuation.controls import OLD_DAYS

POINTER, EARLIER = "current.json", "earlier.json"
KEPT = 3  # copies: the one in office, and those before it
MOST_POINTER_BYTES = 16 * 2**10
NEVER = (0, 0)  # the state of a pointer that was not looked at
log = structlog.get_logger("serving")


@dataclass(frozen=True)
class Pointer:
    """Which copy is in office: the registered version and the digest that names its folder."""

    version: str
    digest: str
    run_id: str

    def __post_init__(self) -> None:
        """Raise AppraiserError for what names no copy: a digest from elsewhere must not become a path."""
        told = (self.version, self.digest, self.run_id)
        if not all(isinstance(each, str) and len(each) <= 100 for each in told):
            raise AppraiserError(f"A pointer has a version, a digest and a run, not {told!r:.200}.")
        if not re.fullmatch("[0-9a-f]{64}", self.digest):
            raise AppraiserError(
                f"Version {self.version} has no digest, but {self.digest!r}: promote another."
            )

    @classmethod
    def read(cls, folder: Path) -> Pointer:
        """Read the pointer of a folder. Raises AppraiserError where it is no pointer."""
        path = folder / POINTER
        try:
            return cls(**_told(path))
        except (ValueError, TypeError, RecursionError) as error:
            raise AppraiserError(f"{path} is damaged: promote a version again. {error}") from error

    @classmethod
    def earlier(cls, folder: Path) -> tuple[Pointer, ...]:
        """Those in office before, the last one first; none where they cannot be read."""
        try:
            return tuple(cls(**each) for each in _told(folder / EARLIER))
        except (OSError, ValueError, TypeError, RecursionError):
            return ()

    @classmethod
    def kept(cls, folder: Path) -> tuple[Pointer, ...]:
        """The one in office and those before it, each digest once."""
        found: dict[str, Pointer] = {}
        with suppress(OSError, AppraiserError):
            found = {(current := cls.read(folder)).digest: current}
        for pointer in cls.earlier(folder):
            found.setdefault(pointer.digest, pointer)
        return tuple(found.values())

    def write(self, folder: Path) -> None:
        """Turn the pointer of a folder in one step: after a crash it is the old one or the new one.

        The one before is remembered, unless this is a way back: what was taken out of office does not return by itself.
        """
        before = self.kept(folder)
        same = next((place for place, each in enumerate(before) if each.digest == self.digest), -1)
        _replace(folder / EARLIER, [asdict(each) for each in before[same + 1 :][: KEPT - 1]])
        _replace(folder / POINTER, asdict(self))


def _told(path: Path) -> Any:
    """What a small file of JSON tells; OSError where there is none, ValueError where it is something else."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("It is not a file.")
    with path.open("rb") as file:
        return json.loads(file.read(MOST_POINTER_BYTES))


def _replace(path: Path, told: object) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(told), encoding="utf-8")
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk, so that a power cut leaves them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Champion:
    """Holds the incumbent; `incumbent` is None until there is one.

    A request takes `incumbent` once and keeps it to its end, so a swap falls between requests. A copy that is
    refused changes nothing but the log, unless nobody is in office: then the one before it takes office.
    """

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.incumbent: Incumbent | None = None
        self._seen: tuple[int, int] | None = NEVER
        self._refused = ""
        self._warned: date | None = None
        self._looking = threading.Lock()

    def look(self) -> None:
        """Take the copy that the pointer names into office, if the pointer has turned since the last look."""
        with self._looking:
            try:
                state = _state(self.folder / POINTER)
                if state == self._seen:
                    return
                self._seen = state
                if state is None:
                    self._fall_back()
                    return
                self._employ(Pointer.read(self.folder))
            except Exception as error:  # whatever a copy brings about, who is in office stays
                if not isinstance(error, AppraiserError):
                    self._seen = NEVER  # a full table of files, say: it may do at the next look
                self._refuse(error)
                self._fall_back()

    def note_age(self, *, on: date) -> None:
        """Warn, once a day, that the appraiser in office is older than OLD_DAYS."""
        incumbent = self.incumbent
        if incumbent and on != self._warned and (age := incumbent.age_days(on=on)) > OLD_DAYS:
            self._warned = on
            log.warning("champion is old: retrain", version=incumbent.version, age_days=age, most=OLD_DAYS)

    async def watch(self, *, every_seconds: float, today: Callable[[], date]) -> None:
        """Look again and again; reading a copy happens in a thread, beside the requests."""
        while True:
            await asyncio.to_thread(self.look)
            self.note_age(on=today())
            if self.incumbent is not None:
                metrics.in_office(self.incumbent.version, self.incumbent.appraiser.as_of)
            await asyncio.sleep(every_seconds)

    def _employ(self, pointer: Pointer) -> None:
        self.incumbent = incumbent = self._open(pointer)
        self._refused = ""
        _settle()
        log.info("champion in office", version=pointer.version, simulated=incumbent.appraiser.simulated)

    def _refuse(self, error: Exception) -> None:
        """Say once why a copy is refused."""
        if self._refused != (reason := str(error)):
            self._refused = reason
            serving = self.incumbent.version if self.incumbent else None
            log.error("champion refused", reason=reason, still_serving=serving)

    def _fall_back(self) -> None:
        """With nobody in office, take the last one before that can be opened."""
        for pointer in Pointer.earlier(self.folder) if self.incumbent is None else ():
            try:
                self._employ(pointer)
            except Exception as error:
                log.error("earlier champion refused", version=pointer.version, reason=str(error))
            else:
                log.warning("an earlier champion is in office: promote again", version=pointer.version)
                return

    def _open(self, pointer: Pointer) -> Incumbent:
        """Open a copy: the very bytes that were tried, for their digest is the pointer's."""
        directory = self.folder / pointer.digest
        packed = package.read(directory=directory)
        if packed.digest != pointer.digest:
            raise AppraiserError(f"{directory} holds {packed.digest}: promote again.")
        incumbent = Incumbent(package.opened(packed=packed), pointer.version)
        _ = incumbent.catalogue, incumbent._sold  # built here, in the thread, and not in the first request
        return incumbent


def _settle() -> None:
    """Free what went with the one before, and leave what stays as long as an appraiser out of later collections: each
    stops all answers while it goes through everything. glibc gives memory back when it is asked to.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _state(path: Path) -> tuple[int, int] | None:
    """What tells one file of a name from the next; None where there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
