"""The life of a quote: what may happen to it, in which order, and what it comes to.

What happened is a list of events that only grows. Its status and the amount that stands follow from that list and the
instant at which one asks; neither is kept anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

CLOCK_TOLERANCE = timedelta(seconds=5)


class Kind(StrEnum):
    """What can happen to a quote."""

    ISSUED = "ISSUED"
    ACCEPTED = "ACCEPTED"
    INSPECTED = "INSPECTED"
    REQUOTED = "REQUOTED"
    PAID = "PAID"
    EXPIRED = "EXPIRED"
    VOIDED = "VOIDED"


class Status(StrEnum):
    """Where a quote stands. REQUOTED waits for its owner's yes to another amount, PAYABLE only for the payment."""

    ISSUED = "ISSUED"
    EXPIRED = "EXPIRED"
    ACCEPTED = "ACCEPTED"
    REQUOTED = "REQUOTED"
    PAYABLE = "PAYABLE"
    PAID = "PAID"
    VOIDED = "VOIDED"

    @property
    def over(self) -> bool:
        """Whether nothing can happen any more."""
        return self in (Status.EXPIRED, Status.PAID, Status.VOIDED)


# In which status something may happen. What is accepted a second time is a re-quote.
_ALLOWED: Mapping[Kind, frozenset[Status]] = {
    Kind.ISSUED: frozenset(),
    Kind.ACCEPTED: frozenset((Status.ISSUED, Status.REQUOTED)),
    Kind.INSPECTED: frozenset((Status.ACCEPTED,)),
    Kind.REQUOTED: frozenset((Status.PAYABLE,)),
    Kind.PAID: frozenset((Status.PAYABLE,)),
    Kind.EXPIRED: frozenset((Status.EXPIRED,)),
    Kind.VOIDED: frozenset((Status.ISSUED, Status.ACCEPTED, Status.REQUOTED, Status.PAYABLE)),
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a quote at an instant; the amount is what stands from then on, in minor units."""

    kind: Kind
    at: datetime
    amount_minor: int
    details: Mapping[str, Any] = field(default_factory=dict)


class WrongStatus(ValueError):  # noqa: N818 - said as it is
    """What was wanted cannot happen to a quote that stands as it does."""

    def __init__(self, status: Status, wanted: str) -> None:
        super().__init__(f"The quote is {status}: {wanted}.")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Life:
    """All that happened to a quote that may be accepted before `expires_at`; `offered` says whether there is anything
    to accept. The first event is ISSUED.
    """

    offered: bool
    expires_at: datetime
    events: tuple[Event, ...]

    def status(self, *, at: datetime) -> Status:
        """Where it stands at an instant: the offer holds up to, and not at, `expires_at`."""
        last, kinds = self.events[-1].kind, [event.kind for event in self.events]
        match last:
            case Kind.ISSUED:
                return Status.EXPIRED if at >= self.expires_at else Status.ISSUED
            case Kind.INSPECTED:
                return Status.PAYABLE
            case Kind.ACCEPTED:
                return Status.PAYABLE if Kind.INSPECTED in kinds else Status.ACCEPTED
        return Status[last]

    @property
    def amount_minor(self) -> int:
        """What stands: the offer, or what it became."""
        return self.events[-1].amount_minor

    def then(self, event: Event) -> Life:
        """The life with one more event; WrongStatus where that cannot happen."""
        status = self.status(at=event.at)
        if status not in _ALLOWED[event.kind]:
            raise WrongStatus(status, f"it cannot be {event.kind} now")
        if event.kind == Kind.EXPIRED and self.events[-1].kind == Kind.EXPIRED:
            raise WrongStatus(status, "it expired before")
        if event.kind == Kind.ACCEPTED and not self.may_be_accepted:
            raise WrongStatus(status, "nothing is offered for this device that could be accepted")
        return Life(offered=self.offered, expires_at=self.expires_at, events=(*self.events, event))

    @property
    def may_be_accepted(self) -> bool:
        """Whether there is an amount to say yes to: a device that goes back to its owner has none."""
        return self.offered and self.amount_minor > 0

    @property
    def exposed_share(self) -> str:
        """How much of the offer the house may have to pay: the EXPECTED part, WHOLE once accepted, NOTHING after."""
        kinds = {event.kind for event in self.events}
        if kinds & {Kind.PAID, Kind.EXPIRED, Kind.VOIDED}:
            return "NOTHING"
        return "WHOLE" if Kind.ACCEPTED in kinds else "EXPECTED"
