"""The steps of a quote after it was given: accepted, inspected, paid or void, each once for each key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from serving import asks, case, quote_letters, subject
from serving.archive import Archive
from serving.caller import Caller
from serving.case import Case, CaseUnknown
from serving.life import Event, Kind, Life, Status, WrongStatus
from serving.promise import Key, Known
from serving.quotes import Step
from serving.refusal import Refusal
from serving.stored import Stored, canonical, require_own, wrong_status
from valuation import requote
from valuation.money import Money
from valuation.requote import Requote, Turn

OWNERS_REASONS = ("WITHDRAWN", "DECLINED")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Lets happen to quotes what may; `now` gives the instant in UTC."""

    stored: Stored
    archive: Archive
    now: Callable[[], datetime]

    async def accept(
        self, *, quote_id: str, ask: asks.AcceptAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down the yes of its owner to the amount that stands: the bytes of a replies.Life."""
        _, unit, request = self.stored.asked(ask, ask.unit)

        def change(known: Known, now: datetime) -> Life:
            if known.life.status(at=now) == Status.REQUOTED and known.quote.caller != caller.id:
                detail = "Only its owner says yes to a re-quote: ask as the quote was asked for."
                raise Refusal(403, "owner", detail)
            life = known.life.then(Event(kind=Kind.ACCEPTED, at=now, amount_minor=known.life.amount_minor))
            _require_amount(known, ask.amount)
            return life

        return await self._step(quote_id, "accept", request, change, key, caller, request_id, unit=unit)

    async def pay(
        self, *, quote_id: str, ask: asks.PaymentAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down that the amount that stands was paid."""

        def change(known: Known, now: datetime) -> Life:
            life = known.life.then(Event(kind=Kind.PAID, at=now, amount_minor=known.life.amount_minor))
            _require_amount(known, ask.amount)
            return life

        return await self._step(quote_id, "payment", canonical(ask), change, key, caller, request_id)

    async def void(
        self, *, quote_id: str, ask: asks.VoidAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down that nothing comes of a quote. Who is no operator withdraws from it, or declines a re-quote."""

        def change(known: Known, now: datetime) -> Life:
            status, details = known.life.status(at=now), {"turn": ask.reason}
            after = known.life.then(Event(kind=Kind.VOIDED, at=now, amount_minor=0, details=details))
            if not caller.may("operator"):
                if status not in (Status.ISSUED, Status.REQUOTED):
                    raise WrongStatus(status, "only an operator can void it now")
                if ask.reason not in OWNERS_REASONS:
                    raise Refusal(403, "reason", f"Its owner voids it as {' or '.join(OWNERS_REASONS)}.")
            return after

        return await self._step(quote_id, "void", canonical(ask), change, key, caller, request_id)

    async def inspect(
        self, *, quote_id: str, ask: asks.InspectionAsk, key: str, caller: Caller, request_id: str
    ) -> bytes:
        """Write down what was found, and the re-quote that follows: the exact difference of two itemised lists."""
        known, request = await self.stored.known(quote_id=quote_id, caller=caller), canonical(ask)
        asked = Key.of(key=key, caller=caller.id, request=request, route=f"{quote_id}/inspection")
        if (earlier := await self.stored.answered(asked)) is not None:
            return earlier
        try:
            known.life.then(Event(kind=Kind.INSPECTED, at=self.now(), amount_minor=0))
        except WrongStatus as wrong:
            raise wrong_status(wrong) from None
        found = await run_in_threadpool(self._requote, known, ask)
        details = quote_letters.requoted(found) | {"found": ask.found.model_dump(mode="json")}

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
        now = self.now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as the store keeps it

        def changed(known: Known) -> tuple[Life, bytes]:
            require_own(known, caller)
            after = Known(quote=known.quote, life=change(known, now), unit=known.unit)
            letter = quote_letters.life(known=after, at=now, request_id=request_id)
            return after.life, letter.model_dump_json().encode()

        asked = Key.of(key=key, caller=caller.id, request=request, route=f"{quote_id}/{what}")
        step = Step(quote_id=quote_id, change=changed, key=asked, at=now, unit=unit)
        return await self.stored.write(step)


def _require_amount(known: Known, told: asks.Amount) -> None:
    """Refusal 409 where another amount stands, 422 in another currency."""
    stands = Money(known.life.amount_minor, known.quote.currency)
    if subject.amount(told, currency=stands.currency, field="amount") != stands:
        raise Refusal(409, "amount_differs", f"The amount that stands is {stands}.")
