"""The buyback counter: quotes are given, accepted, inspected, paid or void, on the disk before anybody reads it."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from serving import asks, case, letters, metrics, replies, subject
from serving.archive import Archive
from serving.batch import ClockWentBack
from serving.caller import Caller
from serving.case import Case, CaseUnknown
from serving.champion import Incumbent
from serving.controls import ControlsFile
from serving.database import StoreUnavailable
from serving.desk import Desk
from serving.letters import Letter
from serving.life import Event, Kind, Life, Status, WrongStatus
from serving.memory import Memory
from serving.promise import (
    CapReached,
    Key,
    KeyReused,
    Known,
    OtherUnit,
    Quote,
    QuoteUnknown,
    UnitTaken,
    new_id,
)
from serving.quotes import Issue, Quotes, Step
from serving.refusal import Refusal
from serving.subject import Subject
from valuation import exploration, requote
from valuation.controls import Controls
from valuation.money import Money
from valuation.offer import Offer
from valuation.requote import Requote, Turn

TRIES = 3
Found = TypeVar("Found")
log = structlog.get_logger("serving")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An answer that only lacks who asked and when: the letter, the offer in it, and the case behind it."""

    letter: Letter
    offer: Offer
    case: Case
    inputs: bytes


@dataclass(frozen=True, kw_only=True)
class Buyback:
    """Gives quotes, and lets happen to them what may; `pepper` keeps the digests of units from being guessed.

    Where `stale_stops`, an appraiser older than controls.STALE_DAYS offers nothing.
    """

    desk: Desk
    quotes: Quotes
    archive: Archive
    controls: ControlsFile
    memory: Memory[Finished]
    exploration_seed: str
    pepper: bytes
    stale_stops: bool = False

    async def quote(self, *, ask: asks.QuoteAsk, key: str, caller: Caller, request_id: str) -> bytes:
        """Give a firm quote and keep it, or return the one that this key stands for: the bytes of a replies.Quote."""
        unit = self._unit(ask.unit)
        request = _canonical(ask.model_copy(update={"unit": None}))
        asked = Key.of(key=key, caller=caller.id, request=request + (unit or "").encode())
        exposed = 0
        for _ in range(TRIES):
            try:
                quote, cap_minor = self._fresh(ask, request, caller, request_id, exposed)
                work = Issue(quote=quote, key=asked, cap_minor=cap_minor, unit=unit)
                given: bytes = await self._write(work)
            except CapReached as reached:
                exposed = reached.exposed_minor
            except Refusal as refusal:
                if refusal.code == "store_unavailable" or (earlier := await self._answered(asked)) is None:
                    raise
                return earlier
            else:
                if given is quote.reply:
                    metrics.decided(quote.market, quote.decision)
                return given
        raise Refusal(
            503, "exposed", "Too much is asked for this model at once.", headers={"Retry-After": "1"}
        )

    async def find(self, *, quote_id: str, caller: Caller) -> replies.Quote:
        """A quote as it was given, except for where it stands now; Refusal 404 where there is none of the caller's."""
        known, now = await self._known(quote_id, caller), self.desk.now()
        told = {
            "status": known.life.status(at=now).value,
            "expired": now >= known.quote.expires_at,
        }
        return letters.kept(reply=known.quote.reply).model_copy(update=told)

    async def life(self, *, quote_id: str, caller: Caller, request_id: str) -> replies.Life:
        """Where a quote stands and what happened to it; Refusal 404 where there is none of the caller's."""
        return letters.life(
            known=await self._known(quote_id, caller), at=self.desk.now(), request_id=request_id
        )

    async def accept(
        self, *, quote_id: str, ask: asks.AcceptAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down the yes of its owner to the amount that stands: the bytes of a replies.Life."""
        unit = self._unit(ask.unit)
        request = _canonical(ask.model_copy(update={"unit": None})) + (unit or "").encode()

        def change(known: Known, now: datetime) -> Life:
            _require_amount(known, ask.amount)
            event = Event(kind=Kind.ACCEPTED, at=now, amount_minor=known.life.amount_minor)
            return known.life.then(event)

        return await self._step(quote_id, "accept", request, change, key, caller, request_id, unit=unit)

    async def pay(
        self, *, quote_id: str, ask: asks.PaymentAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down that the amount that stands was paid."""

        def change(known: Known, now: datetime) -> Life:
            _require_amount(known, ask.amount)
            return known.life.then(Event(kind=Kind.PAID, at=now, amount_minor=known.life.amount_minor))

        return await self._step(quote_id, "payment", _canonical(ask), change, key, caller, request_id)

    async def void(
        self, *, quote_id: str, ask: asks.VoidAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down that nothing comes of a quote. Who is no operator withdraws from it, or declines a re-quote."""

        def change(known: Known, now: datetime) -> Life:
            status = known.life.status(at=now)
            if not caller.may("operator") and status not in (Status.ISSUED, Status.REQUOTED):
                raise WrongStatus(status, "only an operator can void it now")
            details = {"turn": ask.reason}
            return known.life.then(Event(kind=Kind.VOIDED, at=now, amount_minor=0, details=details))

        return await self._step(quote_id, "void", _canonical(ask), change, key, caller, request_id)

    async def inspect(
        self, *, quote_id: str, ask: asks.InspectionAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down what was found, and the re-quote that follows: the exact difference of two itemised lists."""
        known, request = await self._known(quote_id, caller), _canonical(ask)
        asked = Key.of(key=key, caller=caller.id, request=request, route=f"{quote_id}/inspection")
        if (earlier := await self._answered(asked)) is not None:
            return earlier
        try:
            known.life.then(Event(kind=Kind.INSPECTED, at=self.desk.now(), amount_minor=0))
        except WrongStatus as wrong:
            raise _wrong(wrong) from None
        found = await run_in_threadpool(self._requote, known, ask)
        details = letters.requoted(found) | {"found": ask.found.model_dump(mode="json")}

        def change(now_known: Known, now: datetime) -> Life:
            event = Event(kind=Kind.INSPECTED, at=now, amount_minor=found.after.amount.minor, details=details)
            life = now_known.life.then(event)
            if found.turn in (Turn.SAME, Turn.HIGHER):
                return life
            told = {"turn": found.turn.value}
            return life.then(
                Event(kind=Kind.REQUOTED, at=now, amount_minor=found.after.amount.minor, details=told)
            )

        return await self._step(quote_id, "inspection", request, change, key, caller, request_id)

    def _requote(self, known: Known, ask: asks.InspectionAsk) -> Requote:
        """Price the case of a quote again, as it was declared and as it was found; in a thread."""
        try:
            kept = Case.read(known.quote.inputs)
        except CaseUnknown as unknown:
            raise Refusal(409, "case_unknown", f"{unknown} Void it, and give a new quote.") from None
        category, terms = kept.device["category"], kept.terms
        appraiser = self.archive.appraiser(digest=known.quote.model_digest)
        found = subject.answers(ask.found, category=category)
        counting = requote.counted(declared=kept.answers, found=found, category=category, terms=terms)
        before, after = (
            case.advised(case=each, appraiser=appraiser)[1].offer for each in (kept, kept.answered(counting))
        )
        if before.amount.minor != known.quote.offer_minor:
            detail = "The offer cannot be priced again to the cent: have a person look at it."
            raise Refusal(409, "not_reproduced", detail)
        return requote.requote(
            before=before, after=after, declared=kept.answers, counting=counting, terms=terms
        )

    def _fresh(
        self, ask: asks.QuoteAsk, request: bytes, caller: Caller, request_id: str, exposed: int
    ) -> tuple[Quote, int]:
        """A quote under a new id, and how much may be promised for its model."""
        terms, incumbent, now = self.desk.priced(ask.market), self.desk.incumbent, self.desk.now()
        on = now.date()
        age = max(0, (on - incumbent.appraiser.as_of).days) if self.stale_stops else 0
        held = replace(self.controls.of(ask.market), exposed=exposed, model_age_days=age)
        known = self.memory.recall(
            epoch=(on, incumbent.version, incumbent.appraiser.digest, id(incumbent)),
            about=(request, held),
            find=lambda: self._finish(ask, incumbent, held),
        )
        quoted_at = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as the store keeps it
        quote_id, valid_until = new_id(), letters.valid_until(known.offer, quoted_at)
        return (
            Quote(
                quote_id=quote_id,
                caller=caller.id,
                request=request,
                reply=known.letter.to(
                    quote_id=quote_id, request_id=request_id, quoted_at=quoted_at, valid_until=valid_until
                ),
                inputs=known.inputs,
                quoted_at=quoted_at,
                expires_at=valid_until,
                market=ask.market,
                currency=terms.currency,
                decision=known.offer.decision.value,
                offer_minor=known.offer.amount.minor,
                expected_minor=_expected(known.offer),
                exposure=known.case.exposure,
                model_name=incumbent.appraiser.name,
                model_version=incumbent.version,
                model_digest=incumbent.appraiser.digest,
                terms_version=known.offer.terms_version,
            ),
            terms.exposure_cap.minor,
        )

    def _finish(self, ask: asks.QuoteAsk, incumbent: Incumbent, controls: Controls) -> Finished:
        """Value a device and write the answer."""
        terms, on = self.desk.priced(ask.market), self.desk.today
        unit = asks.Unit(
            device=ask.device,
            battery_health=ask.answers.battery_health,
            carrier_locked=ask.answers.carrier_locked,
        )
        asked = Subject.of(unit=unit, incumbent=incumbent, currency=terms.currency, on=on)
        fields = asked.fields
        drawn = exploration.drawn(
            brand=fields["brand"], model=fields["model"], on=on, terms=terms, seed=self.exploration_seed
        )
        found = Case(
            market=terms.market,
            on=on,
            device=fields,
            answers=subject.answers(ask.answers, category=fields["category"]),
            controls=controls,
            drawn=drawn,
        )
        outlook, advised = case.advised(case=found, appraiser=incumbent.appraiser)
        letter = letters.quote(
            device=asked.name,
            outlook=outlook,
            advised=advised,
            heading=letters.heading(incumbent=incumbent, appraisal=outlook.appraisal, request_id=""),
        )
        return Finished(letter=letter, offer=advised.offer, case=found, inputs=found.content())

    async def _step(
        self,
        quote_id: str,
        what: str,
        request: bytes,
        change: Callable[[Known, datetime], Life],
        key: str,
        caller: Caller,
        request_id: str,
        unit: str | None = None,
    ) -> bytes:
        """Let something happen to a quote of the caller's, once for each key."""
        now = self.desk.now()

        def changed(known: Known) -> tuple[Life, bytes]:
            _require_own(known, caller)
            after = Known(quote=known.quote, life=change(known, now), unit=known.unit)
            letter = letters.life(known=after, at=now, request_id=request_id)
            return after.life, letter.model_dump_json().encode()

        asked = Key.of(key=key, caller=caller.id, request=request, route=f"{quote_id}/{what}")
        step = Step(quote_id=quote_id, change=changed, key=asked, at=now, unit=unit)
        written: bytes = await self._write(step)
        return written

    async def _known(self, quote_id: str, caller: Caller) -> Known:
        found = await self._in_time(run_in_threadpool(self.quotes.find, quote_id=quote_id))
        if found is None:
            raise _unknown()
        _require_own(found, caller)
        return found

    async def _answered(self, key: Key) -> bytes | None:
        return await self._in_time(run_in_threadpool(self.quotes.answered, key=key))

    async def _write(self, work: Issue | Step) -> Any:
        return await self._in_time(asyncio.wrap_future(self.quotes.write(work)))

    async def _in_time(self, found: Awaitable[Found]) -> Found:
        return await _in_time(found, seconds=self.quotes.database.patience_seconds)

    def _unit(self, told: asks.OneUnit | None) -> str | None:
        """What stands for a device in the store: nobody who reads the store can find its IMEI by trying them all."""
        if told is None:
            return None
        return hmac.new(self.pepper, _canonical(told), "sha256").hexdigest()


def _require_own(known: Known, caller: Caller) -> None:
    """Refusal 404, as for a quote that is not there, where it was given to another caller."""
    if known.quote.caller != caller.id and not caller.may("operator"):
        raise _unknown()


def _require_amount(known: Known, told: asks.Amount) -> None:
    """Refusal 409 where another amount stands, 422 in another currency."""
    stands = Money(known.life.amount_minor, known.quote.currency)
    if subject.amount(told, currency=stands.currency, field="amount") != stands:
        raise Refusal(409, "amount_differs", f"The amount that stands is {stands}.")


def _expected(offer: Offer) -> int:
    """The part of an offer that one has to expect to pay; all of it where nobody knows who takes it."""
    chance = offer.accept_probability
    return (
        offer.amount.minor if chance is None else min(round(offer.amount.minor * chance), offer.amount.minor)
    )


def _wrong(wrong: WrongStatus) -> Refusal:
    return Refusal(409, "wrong_status", str(wrong), quote_status=wrong.status.value)


def _unknown() -> Refusal:
    return Refusal(404, "quote_unknown", "There is no quote with this id.")


async def _in_time(found: Awaitable[Found], *, seconds: float) -> Found:
    """Wait for the store; a Refusal says what stands against it."""
    try:
        async with asyncio.timeout(seconds):
            return await found
    except KeyReused:
        detail = "This Idempotency-Key already stands for another request: send a fresh one."
        raise Refusal(422, "idempotency_key_reused", detail) from None
    except QuoteUnknown:
        raise _unknown() from None
    except UnitTaken:
        detail = "There is an open quote for this very device: accept it, or void it first."
        raise Refusal(409, "unit_taken", detail) from None
    except OtherUnit:
        raise Refusal(409, "other_unit", "The quote was given for another device.") from None
    except WrongStatus as wrong:
        raise _wrong(wrong) from None
    except ClockWentBack:
        log.error("the clock went back")
        detail = "The clock of this server went back: nothing can be promised at the moment."
        raise Refusal(503, "clock", detail, headers={"Retry-After": "5"}) from None
    except (StoreUnavailable, TimeoutError) as error:
        log.error("store unavailable", reason=str(error.__cause__ or error))
        detail = "Quotes cannot be kept or found at the moment; ask again with the same key."
        raise Refusal(503, "store_unavailable", detail, headers={"Retry-After": "1"}) from None


def _canonical(ask: BaseModel) -> bytes:
    """One spelling for equal requests, whatever the order of their names and whether a default was told."""
    content = ask.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
