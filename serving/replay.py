"""Replay: quotes of the store priced again from what was kept with them, by the models that gave them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from serving.case import Case, CaseUnknown, advised
from serving.promise import Quote
from valuation import markets
from valuation.appraiser import Appraiser, AppraiserError


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A quote, what it comes to now in minor units, None where it cannot be priced, and what is to be said of that."""

    quote: Quote
    offer_minor: int | None
    said: str

    @property
    def same(self) -> bool:
        """Whether it comes to what was promised, to the cent."""
        return self.offer_minor == self.quote.offer_minor


def replay(quotes: Iterable[Quote], *, open_appraiser: Callable[[str], Appraiser]) -> Iterator[Replayed]:
    """Price quotes again; `open_appraiser` opens the one with a digest, or raises AppraiserError."""
    opened: dict[str, Appraiser] = {}
    for quote in quotes:
        try:
            case = Case.read(quote.inputs)
            if quote.model_digest not in opened:
                opened[quote.model_digest] = open_appraiser(quote.model_digest)
            _, found = advised(case=case, appraiser=opened[quote.model_digest])
        except (
            CaseUnknown,
            AppraiserError,
            OSError,
            markets.MarketUnknown,
            markets.TermsNotYetKnown,
        ) as error:
            yield Replayed(quote=quote, offer_minor=None, said=str(error))
            continue
        told = "" if found.offer.terms_version == quote.terms_version else "the terms were changed since"
        yield Replayed(quote=quote, offer_minor=found.offer.amount.minor, said=told)
