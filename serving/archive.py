"""The archive: the appraisers of quotes given before, which are priced again by the very model that gave them."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from serving.champion import Champion
from serving.refusal import Refusal
from valuation import package
from valuation.appraiser import Appraiser, AppraiserError

MOST = 2  # opened at a time


class Archive:
    """Opens the copies that the courier brought, a few at a time."""

    def __init__(self, *, champion: Champion) -> None:
        self._champion = champion
        self._opened: OrderedDict[str, Appraiser] = OrderedDict()
        self._lock = threading.Lock()

    def appraiser(self, *, digest: str) -> Appraiser:
        """The appraiser with this digest; Refusal 503 where no good copy of it is here. It may wait for the disk."""
        incumbent = self._champion.incumbent
        if incumbent is not None and incumbent.appraiser.digest == digest:
            return incumbent.appraiser
        with self._lock:
            if digest not in self._opened:
                self._opened[digest] = self._open(digest)
                if len(self._opened) > MOST:
                    self._opened.popitem(last=False)
            self._opened.move_to_end(digest)
            return self._opened[digest]

    def _open(self, digest: str) -> Appraiser:
        try:
            return opened(folder=self._champion.folder, digest=digest)
        except (AppraiserError, OSError) as error:
            detail = f"The model of this quote is not here: put champion/{digest} back from a backup."
            raise Refusal(503, "model_away", detail, headers={"Retry-After": "60"}) from error


def opened(*, folder: Path, digest: str, load: Callable[..., Appraiser] = package.load) -> Appraiser:
    """Open a copy; AppraiserError where it is not the one with this digest."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise AppraiserError(f"{digest!r:.80} is no digest.")
    found = load(directory=folder / digest)
    if found.digest != digest:
        raise AppraiserError(f"{folder / digest} holds {found.digest}: bring it again.")
    return found
