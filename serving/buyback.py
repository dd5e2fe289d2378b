"""The buyback counter: quotes are given, on the disk before anybody reads them, and found again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from serving import asks, case, letters, metrics, quote_letters, replies, subject
from serving.caller import Caller
from serving.case import Case
from serving.controls import ControlsFile
from serving.desk import Desk
from serving.incumbent import Incumbent
from serving.life import Status
from serving.memory import Memory
from serving.promise import CapReached, Key, Quote, new_id
from serving.quote_letters import Letter
from serving.quotes import Issue
from serving.refusal import Refusal
from serving.stored import Stored
from serving.subject import Subject
from valuation import exploration
from valuation.controls import Controls
from valuation.offer import Offer

TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An answer that only lacks who asked and when: the letter, the offer in it, and the case behind it."""

    letter: Letter
    offer: Offer
    case: Case
    inputs: bytes


@dataclass(frozen=True, kw_only=True)
class Buyback:
    """Gives quotes, and finds them again.

    Where `stale_stops`, an appraiser older than controls.STALE_DAYS offers nothing.
    """

    desk: Desk
    stored: Stored
    controls: ControlsFile
    memory: Memory[Finished]
    exploration_seed: str
    stale_stops: bool = False

    async def quote(self, *, ask: asks.QuoteAsk, key: str, caller: Caller, request_id: str) -> bytes:
        """Give a firm quote and keep it, or return the one that this key stands for: the bytes of a replies.Quote."""
        request, unit, whole = self.stored.asked(ask, ask.unit)
        asked = Key.of(key=key, caller=caller.id, request=whole)
        exposed = 0
        for _ in range(TRIES):
            try:
                quote, cap_minor = self._fresh(ask, request, caller, request_id, exposed)
                work = Issue(quote=quote, key=asked, cap_minor=cap_minor, unit=unit)
                given = await self.stored.write(work)
            except CapReached as reached:
                exposed = reached.exposed_minor
            except Refusal as refusal:
                if (
                    refusal.code == "store_unavailable"
                    or (earlier := await self.stored.answered(asked)) is None
                ):
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
        known, now = await self.stored.known(quote_id=quote_id, caller=caller), self.desk.now()
        status = known.life.status(at=now)
        told = {"status": status.value, "expired": status == Status.EXPIRED}
        return quote_letters.kept(reply=known.quote.reply).model_copy(update=told)

    async def life(self, *, quote_id: str, caller: Caller, request_id: str) -> replies.Life:
        """Where a quote stands and what happened to it; Refusal 404 where there is none of the caller's."""
        return quote_letters.life(
            known=await self.stored.known(quote_id=quote_id, caller=caller),
            at=self.desk.now(),
            request_id=request_id,
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
        quote_id, valid_until = new_id(), quote_letters.valid_until(known.offer, quoted_at)
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
            controls=replace(controls, hearsay=asked.hearsay),
            drawn=drawn,
        )
        outlook, advised = case.advised(case=found, appraiser=incumbent.appraiser)
        letter = quote_letters.quote(
            device=asked.name,
            outlook=outlook,
            advised=advised,
            heading=letters.heading(incumbent=incumbent, appraisal=outlook.appraisal, request_id=""),
        )
        return Finished(letter=letter, offer=advised.offer, case=found, inputs=found.content())


def _expected(offer: Offer) -> int:
    """The part of an offer that one has to expect to pay; all of it where nobody knows who takes it."""
    chance = offer.accept_probability
    return (
        offer.amount.minor if chance is None else min(round(offer.amount.minor * chance), offer.amount.minor)
    )
