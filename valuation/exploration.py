"""Exploration: which offers are drawn by chance, so that one learns what owners take.

Of all cells of a model, a market and a day a share is chosen, as the terms say, and whoever asks in such a cell meets
the same draw: never a person, always a day. The cells follow from a seed that is nobody's business but the house's.
"""

from __future__ import annotations

import hashlib
from datetime import date

from valuation import catalogue
from valuation.markets import Terms

_STEPS = 2**64


def drawn(*, brand: str, model: str, on: date, terms: Terms, seed: str) -> float | None:
    """Tell where in the range of the terms the offers of a cell are drawn, 0 to 1; None where they are not."""
    names = (seed, terms.market, catalogue.key(brand), catalogue.model_key(brand=brand, model=model), str(on))
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    chosen, place = (int.from_bytes(digest[at : at + 8]) / _STEPS for at in (0, 8))
    return place if chosen < terms.explored_share else None
