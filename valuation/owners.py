"""The owners: what is known of those who ask for a quote, so far as quotes were drawn, and devices came in."""

from __future__ import annotations

from dataclasses import dataclass

from valuation.acceptance import Acceptance
from valuation.inspection import Inspection


@dataclass(frozen=True, kw_only=True)
class Owners:
    """Which offers they take, and what is found behind what they declare."""

    acceptance: Acceptance
    inspection: Inspection
