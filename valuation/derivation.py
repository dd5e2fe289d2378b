"""Launch prices that no source tells, derived from those that one does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from valuation import money
from valuation.catalogue_file import CatalogueError, Entry
from valuation.money import Money

CONFIDENCE = "D"
# What each currency is derived from, the nearest first: in taxes, and in how well the facts agree.
_NEAREST = {
    "EUR": ("USD", "GBP", "PLN", "SEK"),
    "GBP": ("EUR", "USD"),
    "USD": ("EUR", "GBP"),
    "PLN": ("EUR",),
    "SEK": ("EUR",),
}
# (m) There is no Swedish fact. Kronor bear 25 % VAT where euros bear some 20 %, and a euro was worth 10 to 11.5 of them
# in 2018-25; Apple's Swedish prices were some 11 to 13 kronor to the euro.
_KRONOR_PER_EURO = 12.0
_OF_THE_BRAND, _OF_ANY = 3, 10
_ENDINGS = {"SEK": (100_00, 95_00)}  # 11495 kronor, but 799 in the other currencies
_USUAL_ENDING = (10_00, 9_00)

Prices = dict[str, Entry]  # of one device, by currency
Facts = Sequence[Prices]


def derived(*, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Derive the launch price of every device in each currency in which no entry tells it.

    It is the price in the nearest currency, a fact where there is one, times the ratio of the two currencies, then
    the nearest that ends as prices of that currency do (799 EUR, 11495 SEK), never below the price of less storage
    nor above that of more. The ratio is the median over the devices with facts in both: at least three of the
    brand, from the nearest launch years, else at least ten of any brand, else all. Zloty and kronor come
    from euros, derived or not; kronor at an assumed 12.

    Doubt it by 6 %: with each model left out in turn, half of the facts in EUR were met from USD within 1.3 % and
    nine in ten within 6.4 % (by the year alone 3.3 and 13.8 %), those in GBP from EUR within 1.7 and 4.4 %.

    Raises CatalogueError where no device has facts in the two currencies.
    """
    known: dict[str, Prices] = defaultdict(dict)
    models: dict[tuple[str, str], dict[str, Prices]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda one: one.storage_gb):
        known[entry.device_id][entry.price.currency] = entry
        models[entry.brand, entry.model][entry.device_id] = known[entry.device_id]
    facts = [dict(prices) for prices in known.values()]
    for currency in _NEAREST:
        ratios = _Ratios(facts=facts, currency=currency)
        for model in models.values():
            _fill(list(model.values()), currency, ratios)
    return tuple(
        entry for prices in known.values() for entry in prices.values() if is_derived(entry.confidence)
    )


def is_derived(confidence: str) -> bool:
    """Whether this is the confidence of a price that nobody told."""
    return confidence == CONFIDENCE


class _Ratios:
    """What one unit of another currency is in this one, for a brand and a launch year."""

    def __init__(self, *, facts: Facts, currency: str) -> None:
        self.currency = currency
        self._facts = facts
        self._found: dict[tuple[str, str, int], tuple[float, str]] = {}

    def of(self, origin: Entry) -> tuple[float, str]:
        """The ratio from the currency of a price, and in words what it rests on."""
        asked = (origin.price.currency, origin.brand, origin.launched_on.year)
        if asked not in self._found:
            self._found[asked] = self._median(*asked)
        return self._found[asked]

    def _median(self, origin: str, brand: str, year: int) -> tuple[float, str]:
        if "SEK" in (self.currency, origin):
            return (1 / _KRONOR_PER_EURO if origin == "SEK" else _KRONOR_PER_EURO), "assumed"
        both = [p for p in self._facts if self.currency in p and origin in p]
        if not both:
            raise CatalogueError(
                f"No launch price in {self.currency} can be derived from {origin}: no device has a fact in both. "
                "Add one to the catalogue."
            )
        own = [prices for prices in both if prices[origin].brand == brand]
        enough = len(own) >= _OF_THE_BRAND
        near = _nearest(own, origin, year, _OF_THE_BRAND) if enough else _nearest(both, origin, year, _OF_ANY)
        ratio = median(p[self.currency].price.minor / p[origin].price.minor for p in near)
        return ratio, f"median of {len(near)} devices of {brand if enough else 'any brand'}"


def _nearest(facts: Facts, currency: str, year: int, fewest: int) -> Facts:
    """The facts of the years round this one, as few years as hold the fewest facts wanted."""
    wanted = min(fewest, len(facts))
    away = sorted(abs(p[currency].launched_on.year - year) for p in facts)[wanted - 1]
    return [p for p in facts if abs(p[currency].launched_on.year - year) <= away]


def _fill(model: list[Prices], currency: str, ratios: _Ratios) -> None:
    """Derive what lacks of a model in a currency; its devices come with the least storage first."""
    least = 0
    for at, prices in enumerate(model):
        if currency not in prices:
            most = min((more[currency].price.minor for more in model[at:] if currency in more), default=None)
            prices[currency] = _derive(prices, currency, ratios, (least, most))
        least = max(least, prices[currency].price.minor)


def _derive(prices: Prices, currency: str, ratios: _Ratios, bounds: tuple[int, int | None]) -> Entry:
    nearest = (prices[name] for name in _NEAREST[currency] if name in prices)
    origin = min(nearest, key=lambda entry: is_derived(entry.confidence))
    ratio, basis = ratios.of(origin)
    exact = money.nearest_minor(float(origin.price.amount) * ratio, currency)
    least, most = bounds
    minor = max(money.nearest_ending(exact, *_ENDINGS.get(currency, _USUAL_ENDING)), least)
    return replace(
        origin,
        price=Money(minor if most is None else min(minor, most), currency),
        source=f"derived: {origin.price} x {ratio:.3f} ({basis})",
        confidence=CONFIDENCE,
    )
