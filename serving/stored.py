"""What the counter asks of the store: each wait is bounded, and what stands against it becomes a Refusal."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from serving import asks
from serving.batch import ClockWentBack
from serving.caller import Caller
from serving.database import StoreUnavailable
from serving.life import WrongStatus
from serving.promise import Key, KeyReused, Known, OtherUnit, QuoteUnknown, UnitTaken
from serving.quotes import Issue, Quotes, Step
from serving.refusal import Refusal

Found = TypeVar("Found")
log = structlog.get_logger("serving")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The quotes of the store, as callers may see them; `pepper` keeps the digests of units from being guessed."""

    quotes: Quotes
    pepper: bytes

    async def known(self, *, quote_id: str, caller: Caller) -> Known:
        """A quote and what happened to it; Refusal 404 where there is none of the caller's."""
        found = await self._in_time(run_in_threadpool(self.quotes.find, quote_id=quote_id))
        if found is None:
            raise unknown()
        require_own(found, caller)
        return found

    async def answered(self, key: Key) -> bytes | None:
        """What was answered to a key before; Refusal 422 where it stood for another request."""
        return await self._in_time(run_in_threadpool(self.quotes.answered, key=key))

    async def write(self, work: Issue | Step) -> bytes:
        """Have a work done, and wait until it is on the disk; a Refusal, or CapReached, says why it was not."""
        written: bytes = await self._in_time(self.quotes.written(work))
        return written

    def asked(self, ask: BaseModel, told: asks.OneUnit | None) -> tuple[bytes, str | None, bytes]:
        """A request without its unit, what stands for the unit, and both as one: what a key stands for.

        Nobody who reads the store can find an IMEI by trying them all.
        """
        request = canonical(ask.model_copy(update={"unit": None}))
        unit = None if told is None else hmac.new(self.pepper, canonical(told), "sha256").hexdigest()
        return request, unit, request + (unit or "").encode()

    async def _in_time(self, found: Awaitable[Found]) -> Found:
        """Wait for the store as long as it is given."""
        try:
            async with asyncio.timeout(self.quotes.database.patience_seconds):
                return await found
        except KeyReused:
            detail = "This Idempotency-Key already stands for another request: send a fresh one."
            raise Refusal(422, "idempotency_key_reused", detail) from None
        except QuoteUnknown:
            raise unknown() from None
        except UnitTaken:
            detail = "There is an open quote for this very device: whoever has it accepts or voids it, or it expires."
            raise Refusal(409, "unit_taken", detail) from None
        except OtherUnit:
            raise Refusal(409, "other_unit", "The quote was given for another device.") from None
        except WrongStatus as wrong:
            raise wrong_status(wrong) from None
        except ClockWentBack:
            log.error("the clock went back")
            detail = "The clock of this server went back: nothing can be promised at the moment."
            raise Refusal(503, "clock", detail, headers={"Retry-After": "5"}) from None
        except (StoreUnavailable, TimeoutError) as error:
            log.error("store unavailable", reason=_first_line(error.__cause__ or error))
            detail = "Quotes cannot be kept or found at the moment; ask again with the same key."
            raise Refusal(503, "store_unavailable", detail, headers={"Retry-After": "1"}) from None


def _first_line(error: BaseException) -> str:
    """What a database says before it shows the row."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def require_own(known: Known, caller: Caller) -> None:
    """Refusal 404, as for a quote that is not there, where it was given to another caller."""
    if known.quote.caller != caller.id and not caller.may("operator"):
        raise unknown()


def wrong_status(wrong: WrongStatus) -> Refusal:
    """What cannot happen to a quote that stands as it does."""
    return Refusal(409, "wrong_status", str(wrong), quote_status=wrong.status.value)


def unknown() -> Refusal:
    """A quote that is not there, or not for this caller."""
    return Refusal(404, "quote_unknown", "There is no quote with this id.")


def canonical(ask: BaseModel) -> bytes:
    """One spelling for equal requests, whatever the order of their names and whether a default was told."""
    content = ask.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
