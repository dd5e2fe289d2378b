"""Controls: what an operator, or the last cohort of resales, holds against offers in a market."""

from __future__ import annotations

from dataclasses import dataclass

# Of an appraiser, since it was learned: from then on it is warned of, and then nothing is offered unseen.
OLD_DAYS, STALE_DAYS = 45, 180


@dataclass(frozen=True, kw_only=True)
class Controls:
    """`stopped`: nothing is offered unseen. `realised_share` is what the last matured cohort of devices brought, of
    what was predicted; `index_change` how far the market moved in the last four weeks, as a share; `exposed` what was
    offered for this model and may still be taken, in minor units; `model_age_days` how long ago the appraiser was
    learned. `hearsay`: what would raise the price of the device is known from its owner alone.

    Learned from Zillow Offers' loss of 2021: what sold for less than predicted, and a market that falls, are taken off
    the next offers; what they rise is not added.
    """

    stopped: bool = False
    realised_share: float = 1.0
    index_change: float = 0.0
    exposed: int = 0
    model_age_days: int = 0
    hearsay: bool = False

    @property
    def stale(self) -> bool:
        """Whether what the appraiser learned is too old to promise a price by."""
        return self.model_age_days > STALE_DAYS

    @property
    def reserve_share(self) -> float:
        """What is kept back of the resale price."""
        return max(0.0, 1 - self.realised_share) + max(0.0, -self.index_change)


CALM = Controls()
