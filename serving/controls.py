"""The controls that an operator sets in a small file, market by market; a change holds from the next quote on.

[FR]
stopped = true          # nothing is offered unseen
realised_share = 0.97   # what the last matured cohort brought, of what was predicted
index_change = -0.03    # how far the market moved in the last four weeks
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from serving.watched import Watched
from valuation import markets
from valuation.controls import CALM, Controls

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


class ControlsFile:
    """The file; absent, nothing is held against offers. One that cannot be read stops all of them, and so does
    one that names a market without terms: whoever wrote it may have meant to stop another.
    """

    def __init__(self, path: Path) -> None:
        self._file: Watched[dict[str, Controls] | None] = Watched(
            path,
            read=_read,
            absent={},
            unreadable=None,
            warning="controls cannot be read: nothing is offered",
        )

    def of(self, market: str) -> Controls:
        """What holds in a market now."""
        known = self._file.now()
        return Controls(stopped=True) if known is None else known.get(market, CALM)


def _read(content: bytes) -> dict[str, Controls]:
    told = _FILE.validate_python(tomllib.loads(content.decode()))
    log.info("controls", markets=sorted(told))
    return {market: Controls(**controls.model_dump()) for market, controls in told.items()}
