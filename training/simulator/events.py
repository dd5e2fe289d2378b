"""What happens in an invented market on a day: an event, or the launch of a device that no catalogue has."""

from __future__ import annotations

from datetime import date

from pydantic import Field, model_validator

from training.simulator import kinds


class Event(kinds.Part):
    """Something that happens on a day, to all or to some, for good or until another day.

    `level` is added to the log value; `noise`, `arrivals` (how many are traded), `competitors` and `selling` (the
    chance to sell) are multiplied.
    """

    on: date
    says: kinds.Name
    until: date | None = None
    level: kinds.Level = 0.0
    noise: kinds.Times = 1.0
    arrivals: kinds.Times = 1.0
    competitors: kinds.Times = 1.0
    selling: kinds.Times = 1.0
    markets: list[kinds.Market] = Field(default_factory=list)
    categories: list[kinds.Category] = Field(default_factory=list)
    brands: list[str] = Field(default_factory=list)


class NewDevice(kinds.Part):
    """A device that is in no catalogue, with its launch prices in dollars by storage."""

    on: date
    brand: kinds.Name
    model: kinds.Name
    category: kinds.Category
    storage_gb: kinds.Ascending[kinds.Amount]
    usd: kinds.Ascending[kinds.Amount]

    @model_validator(mode="after")
    def _paired(self) -> NewDevice:
        return kinds.of_one_length(self, "storage_gb", "usd")
