"""Money: whole minor units inside, decimal strings outside, the rounding rules by name, and how people write it.

Estimates are floats in major units of a currency; `nearest_minor` is the one border between them and money.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, total_ordering

from babel import Locale, localedata
from babel.numbers import format_currency, get_minus_sign_symbol, list_currencies

# ISO 4217:2015 List One: the currencies whose minor unit is not a hundredth. Not Babel's CLDR digits: those
# follow everyday use and differ from the standard (IQD: 0 instead of 3).
_DIGITS = {
    code: count
    for count, codes in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for code in codes.split()
}
_CURRENCIES = frozenset(list_currencies())
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z][a-z]{3})?_[A-Z]{2}", re.ASCII)
# CLDR's minimumGroupingDigits, which Babel leaves out: 1129,00 zł but 11 290,00 zł. Of the languages of our
# markets only Polish has it.
_UNGROUPED_BELOW = {"pl": 10_000}
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,4}))?", re.ASCII)

MAX_MINOR = 10**15  # exact as a float64 and in a 64-bit database integer


class MoneyError(ValueError):
    """What was given is no amount of money."""


class CurrencyMismatch(ValueError):  # noqa: N818 - said as it is: nobody calls it an error
    """Amounts of two currencies met: nothing converts by itself."""


def digits(currency: str) -> int:
    """The number of decimals of a currency: EUR 2, JPY 0, KWD 3. Raises MoneyError for an unknown code."""
    if currency not in _CURRENCIES:
        raise MoneyError(f"{currency!r:.20} is no ISO 4217 currency: write three capitals such as EUR.")
    return _DIGITS.get(currency, 2)


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `minor` whole minor units (cents, yen, fils) of an ISO 4217 currency; may be negative.

    Arithmetic and order need one currency, otherwise CurrencyMismatch. Raises MoneyError for anything but an
    int within +-MAX_MINOR, and for an unknown currency.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        digits(self.currency)
        if type(self.minor) is not int or abs(self.minor) > MAX_MINOR:
            raise MoneyError(f"{self.minor!r:.40} is no whole number of minor units up to {MAX_MINOR}.")

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """Read a plain ASCII decimal string such as "129.00", "129" or "-0.5".

        No sign but a minus, no exponent, separators, spaces, leading zeros or bare point, at most the
        currency's decimals and MAX_MINOR; anything else raises MoneyError.
        """
        places = digits(currency)
        match = _AMOUNT.fullmatch(text) if isinstance(text, str) and len(text) <= 20 else None
        if match is None or len(match[2] or "") > places:
            shape = "129" + (f".{'0' * places}" if places else "")
            raise MoneyError(f"{text!r:.40} is no amount in {currency}: write it as {shape!r}.")
        return cls(int(Decimal(text).scaleb(places)), currency)

    @property
    def amount(self) -> str:
        """The decimal string with all of the currency's decimals: 129.00, -0.05, 7."""
        places = digits(self.currency)
        whole, part = divmod(abs(self.minor), 10**places)
        sign = "-" if self.minor < 0 else ""
        return f"{sign}{whole}" + (f".{part:0{places}d}" if places else "")

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._minor_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._minor_of(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._minor_of(other)

    def _minor_of(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self} and {other} are of two currencies: convert one of them first.")
        return other.minor


def nearest_whole(minor: Decimal) -> int:
    """Round an exact amount in minor units to the nearest whole one; a half goes away from zero."""
    return int(minor.to_integral_value(ROUND_HALF_UP))


def nearest_minor(estimate: float, currency: str) -> int:
    """Turn an estimate in major units into whole minor units, reading the float as it prints: 0.285 is 29.

    Raises MoneyError where the estimate is not finite or beyond MAX_MINOR.
    """
    places = digits(currency)
    if not math.isfinite(estimate) or abs(estimate) > MAX_MINOR / 10**places:
        raise MoneyError(f"The estimate {estimate!r:.40} cannot be an amount in {currency}.")
    return nearest_whole(Decimal(str(float(estimate))).scaleb(places))


def down_to_step(minor: Decimal | int, step_minor: int) -> int:
    """Round down to a multiple of the step, never above `minor`; below zero too."""
    return math.floor(minor) // step_minor * step_minor


def up_to_whole(minor: Decimal) -> int:
    """Round up to a whole minor unit, never below `minor`."""
    return math.ceil(minor)


def nearest_ending(minor: int, step_minor: int, ending_minor: int) -> int:
    """The nearest positive price that is a multiple of the step plus the ending (.99: step 100, ending 99).

    A tie goes to the lower price.
    """
    below = (minor - ending_minor) // step_minor * step_minor + ending_minor
    if below <= 0:
        return ending_minor or step_minor
    above = below + step_minor
    return below if minor - below <= above - minor else above


@cache
def locale(language: str) -> Locale:
    """How a language is written in a country: fr_FR. Raises MoneyError for one that Babel does not know."""
    if not _LANGUAGE.fullmatch(language) or not localedata.exists(language):
        raise MoneyError(f"{language!r:.20} is no locale of CLDR: write language and country such as fr_FR.")
    return Locale.parse(language)


def spelled(amount: Money, *, language: str) -> str:
    """Write an amount as people do who read this language: 1.129,00 € for de_DE, £1,129.00 for en_GB.

    With all minor units of ISO 4217, none rounded. Spaces (U+00A0, U+202F) and minus (U+2212 for sv_SE) are
    CLDR's: for eyes only, `amount` is what is read again. Raises MoneyError for an unknown language.
    """
    known, places = locale(language), digits(amount.currency)
    standard = known.currency_formats["standard"].pattern
    whole_units = abs(amount.minor) // 10**places
    text = format_currency(
        Decimal(amount.amount),
        amount.currency,
        standard.replace("0.00", f"0.{'0' * places}" if places else "0"),
        locale=known,
        currency_digits=False,
        group_separator=whole_units >= _UNGROUPED_BELOW.get(known.language, 0),
    )
    return str(text).replace("-", get_minus_sign_symbol(known))
