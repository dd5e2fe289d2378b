"""A small file that an operator changes while the server runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

Held = TypeVar("Held")
NEVER = (0, 0, 0)  # the state of a file that was not looked at
log = structlog.get_logger("serving")


class Watched(Generic[Held]):
    """What a file holds: `absent` where there is none, `unreadable` where it cannot be taken, which is logged once.

    It is read again when it has changed. `read` makes something of its bytes, and raises ValueError, without a word of
    what they are that nobody may see. Where the file could not be opened, it may do at the next look.
    """

    def __init__(
        self, path: Path, *, read: Callable[[bytes], Held], absent: Held, unreadable: Held, warning: str
    ) -> None:
        self._path, self._read, self._warning = path, read, warning
        self._absent, self._unreadable = absent, unreadable
        self._held, self._wrong = absent, ""
        self._seen: tuple[int, int, int] | None = NEVER

    def now(self) -> Held:
        """What it holds now."""
        state = self._state()
        if state != self._seen or state == NEVER:
            self._seen = state
            self._held = self._read_again()
        return self._held

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - at every quote: a third of the time of Path.stat
        except FileNotFoundError:
            return None
        except OSError:
            return NEVER
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read_again(self) -> Held:
        try:
            held = self._read(self._path.read_bytes())
        except FileNotFoundError:
            return self._absent
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                self._seen = NEVER
            if self._wrong != (reason := str(error)):
                self._wrong = reason
                log.error(self._warning, path=str(self._path), reason=reason)
            return self._unreadable
        self._wrong = ""
        return held
