"""The owners: what is known of those who ask for a quote, so far as quotes were drawn, and devices came in."""

from __future__ import annotations

from dataclasses import dataclass

from valuation.acceptance import Acceptance
from valuation.inspection import Inspection


@dataclass(frozen=True, kw_only=True)
class Owners:
    """Which offers they take, and what is found behind what they declare; and the channel in which most of what was
    bought from them was sold, None where that is not known.
    """

    acceptance: Acceptance
    inspection: Inspection
    resold_in: str | None = None
