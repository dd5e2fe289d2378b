"""The appraiser in office, and its hot swap.

The courier (courier.py) brings a verified copy into a folder named by its digest and then turns the pointer,
a small file; the server looks at that file, so it starts and goes on without a registry.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog

from valuation import catalogue, package
from valuation.appraiser import Appraiser, AppraiserError
from valuation.catalogue import Catalogue, Variant

POINTER = "current.json"
Identity = tuple[str, str, float | None]
log = structlog.get_logger("serving")


@dataclass(frozen=True)
class Pointer:
    """Which copy is in office: the registered version and the digest that names its folder."""

    version: str
    digest: str
    run_id: str

    @classmethod
    def read(cls, folder: Path) -> Pointer:
        """Read the pointer of a folder. Raises AppraiserError where it is no pointer."""
        try:
            pointer = cls(**json.loads((folder / POINTER).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise AppraiserError(f"{folder / POINTER} is damaged: promote a version again.") from error
        if not re.fullmatch("[0-9a-f]{64}", str(pointer.digest)):
            raise AppraiserError(f"{folder / POINTER} names no digest: promote a version again.")
        return pointer

    def write(self, folder: Path) -> None:
        """Turn the pointer of a folder in one step: after a crash it is the old one or the new one."""
        fresh = folder / f"{POINTER}.{os.getpid()}"
        fresh.write_text(json.dumps(vars(self)), encoding="utf-8")
        sync(fresh)
        fresh.replace(folder / POINTER)
        sync(folder)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk, so that a power cut leaves them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Incumbent:
    """An appraiser with the version under which it was registered."""

    appraiser: Appraiser
    version: str

    @cached_property
    def catalogue(self) -> Catalogue:
        """The devices that can be asked for: those with launch facts and those that were sold."""
        return Catalogue.embedded().with_devices(self.appraiser.devices)

    def usual(self, *, variant: Variant, currency: str) -> dict[str, Any]:
        """What the sales say of a device: its launch day and its usual attributes; {} if never sold."""
        rows = self._sold.get(_identity(vars(variant)), [])
        row = next((row for row in rows if row["currency"] == currency), rows[0] if rows else {})
        names = ["launched_on", *self.appraiser.attributes]
        return {name: row[name] for name in names if name in row}

    def namesake(self, *, brand: str, model: str) -> Variant | None:
        """The known device of this brand and model with the least storage."""
        return self._named.get((catalogue.key(brand), catalogue.model_key(brand=brand, model=model)))

    @cached_property
    def _named(self) -> dict[tuple[str, str], Variant]:
        falling = sorted(self.catalogue.variants, key=lambda v: -(v.storage_gb or 0))
        return {
            (catalogue.key(v.brand), catalogue.model_key(brand=v.brand, model=v.model)): v for v in falling
        }

    def most_sold(self) -> tuple[Variant, str]:
        """The device with the most sales, and the currency of these."""
        rows = [(row["sales"], sold, row["currency"]) for sold in self._sold for row in self._sold[sold]]
        _, most, currency = max(rows, key=lambda row: row[0])
        return next(v for v in self.catalogue.variants if _identity(vars(v)) == most), currency

    @cached_property
    def _sold(self) -> dict[Identity, list[dict[str, Any]]]:
        rows = defaultdict(list)
        for row in self.appraiser.devices.iter_rows(named=True):
            rows[_identity(row)].append(row)
        return dict(rows)


def _identity(row: Mapping[str, Any]) -> Identity:
    brand, model = row["brand"], row["model"]
    return catalogue.key(brand), catalogue.model_key(brand=brand, model=model), row["storage_gb"]


class Champion:
    """Holds the incumbent; `incumbent` is None until there is one.

    A request takes `incumbent` once and keeps it to its end, so a swap falls between requests. A copy that is
    refused changes nothing but the log.
    """

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.incumbent: Incumbent | None = None
        self._seen: tuple[int, int] | None = None

    def look(self) -> None:
        """Take the copy that the pointer names into office, if the pointer has turned since the last look."""
        try:
            state = (self.folder / POINTER).stat()
        except FileNotFoundError:
            return
        if self._seen == (seen := (state.st_ino, state.st_mtime_ns)):
            return
        self._seen = seen
        try:
            self.incumbent = self._open(Pointer.read(self.folder))
        except (AppraiserError, OSError) as error:
            serving = self.incumbent.version if self.incumbent else None
            log.error("champion refused", reason=str(error), still_serving=serving)
        else:
            log.info(
                "champion in office",
                version=self.incumbent.version,
                simulated=self.incumbent.appraiser.simulated,
            )

    async def watch(self, *, every_seconds: float) -> None:
        """Look again and again; reading a copy happens in a thread, beside the requests."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(every_seconds)

    def _open(self, pointer: Pointer) -> Incumbent:
        directory = self.folder / pointer.digest
        found = package.load(directory=directory)
        if found.digest != pointer.digest:
            raise AppraiserError(f"{directory} holds {found.digest}: promote again.")
        incumbent = Incumbent(found, pointer.version)
        _ = incumbent.catalogue, incumbent._sold  # built here, in the thread, and not in the first request
        return incumbent
