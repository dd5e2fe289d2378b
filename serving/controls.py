"""The controls that an operator sets in a small file, market by market; a change holds from the next quote on.

[FR]
stopped = true          # nothing is offered unseen
realised_share = 0.97   # what the last matured cohort brought, of what was predicted
index_change = -0.03    # how far the market moved in the last four weeks
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from valuation import markets
from valuation.controls import CALM, Controls

NEVER = (0, 0)  # the state of a file that was not looked at
log = structlog.get_logger("serving")


class _Market(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    stopped: bool = False
    realised_share: Annotated[float, Field(gt=0, le=2)] = 1.0
    index_change: Annotated[float, Field(gt=-1, lt=1)] = 0.0


def _with_terms(market: str) -> str:
    if market not in markets.markets():
        raise ValueError(
            f"there are no terms for market {market!r}: known are {', '.join(markets.markets())}"
        )
    return market


_FILE = TypeAdapter(dict[Annotated[str, AfterValidator(_with_terms)], _Market])


@dataclass
class ControlsFile:
    """The file; absent, nothing is held against offers. One that cannot be read stops all of them, and so does
    one that names a market without terms: whoever wrote it may have meant to stop another.
    """

    path: Path
    _stamp: tuple[int, int] | None = field(default=None, init=False)
    _known: dict[str, Controls] | None = field(default_factory=dict, init=False)
    _wrong: str = field(default="", init=False)

    def of(self, market: str) -> Controls:
        """What holds in a market now."""
        stamp = self._now()
        if stamp != self._stamp:
            self._stamp = stamp
            self._known = self._read() if stamp else {}
        return Controls(stopped=True) if self._known is None else self._known.get(market, CALM)

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return NEVER
        return found.st_mtime_ns, found.st_size

    def _read(self) -> dict[str, Controls] | None:
        try:
            told = _FILE.validate_python(tomllib.loads(self.path.read_text("utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            if isinstance(error, OSError):
                self._stamp = NEVER  # it may do at the next look
            if self._wrong != (reason := str(error)):
                self._wrong = reason
                log.error("controls cannot be read: nothing is offered", path=str(self.path), reason=reason)
            return None
        self._wrong = ""
        log.info("controls", path=str(self.path), markets=sorted(told))
        return {market: Controls(**controls.model_dump()) for market, controls in told.items()}
