"""A promise: a quote as it was given, what is known of it, and the key under which it was asked for."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from serving.life import Event, Kind, Life


class KeyReused(ValueError):  # noqa: N818 - said as it is
    """This idempotency key already belongs to another request."""


class QuoteUnknown(LookupError):  # noqa: N818 - the same
    """There is no quote with this id."""


class UnitTaken(ValueError):  # noqa: N818 - the same
    """Another quote for the same device is still open."""


class OtherUnit(ValueError):  # noqa: N818 - the same
    """The quote was given for another device."""


class CapReached(ValueError):  # noqa: N818 - the same
    """With this quote more would be promised for a model than the cap of the terms; `exposed_minor` is now."""

    def __init__(self, exposed_minor: int) -> None:
        super().__init__(f"{exposed_minor} minor units are promised for this model.")
        self.exposed_minor = exposed_minor


@dataclass(frozen=True, kw_only=True)
class Quote:
    """One quote as it was given: `request` and `reply` are the JSON bytes, both instants in UTC.

    `expected_minor` is the part of the offer that one has to expect to pay, of the `exposure` (market and model);
    `inputs` is what a replay needs, JSON bytes, empty for a quote from before there were any.
    """

    quote_id: str
    caller: str
    request: bytes
    reply: bytes
    inputs: bytes
    quoted_at: datetime
    expires_at: datetime
    market: str
    currency: str
    decision: str
    offer_minor: int
    expected_minor: int
    exposure: str
    model_name: str
    model_version: str
    model_digest: str
    terms_version: str

    def issued(self) -> Life:
        """Its life when it was given."""
        first = Event(kind=Kind.ISSUED, at=self.quoted_at, amount_minor=self.offer_minor)
        return Life(offered=self.decision == "OFFER", expires_at=self.expires_at, events=(first,))


@dataclass(frozen=True, kw_only=True)
class Known:
    """A quote, what happened to it, and the digest of the unit it is for, where that was told."""

    quote: Quote
    life: Life
    unit: str | None


@dataclass(frozen=True, kw_only=True)
class Key:
    """An idempotency key and the request that it stands for, as digests: people put names into such things."""

    digest: str
    request_digest: str

    @classmethod
    def of(cls, *, key: str, caller: str, request: bytes, route: str = "") -> Key:
        """The key of a caller for a request; the route is told for all but the first, quotes."""
        own = f"{caller}\n{key}" if caller else key
        asked = f"{route}\n".encode() + request if route else request
        return cls(digest=digest(own.encode()), request_digest=digest(asked))

    def require(self, request_digest: str) -> None:
        """Raise KeyReused where the key was used for another request than this."""
        if request_digest != self.request_digest:
            raise KeyReused("This key already stands for another request: send a new one.")


def digest(content: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def new_id() -> str:
    """A quote id: 128 random bits, so that nobody can guess another's."""
    return secrets.token_hex(16)
