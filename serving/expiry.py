"""Expiry: offers that nobody accepted in time are written down as expired, so that they expose the house no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from serving.quotes import EXPIRED_AT_ONCE, Expiry, Quotes

EVERY_SECONDS = 60.0
BACK = timedelta(days=60)  # how far back a server looks that was away
log = structlog.get_logger("serving")


async def watch(*, quotes: Quotes, now: Callable[[], datetime]) -> None:
    """Write down what has expired, again and again. Several servers may do so: each offer expires once."""
    after = now() - BACK
    while True:
        at = now()
        try:
            whole = await asyncio.to_thread(_sweep, quotes, after, at)
        except Exception as error:  # whatever it is, the next minute is another
            log.warning("expiry put off", reason=str(error), kind=type(error).__name__)
        else:
            if not whole:
                continue
            after = at - timedelta(minutes=5)
        await asyncio.sleep(EVERY_SECONDS)


def _sweep(quotes: Quotes, after: datetime, at: datetime) -> bool:
    """Write down some of what expired; tells whether that was all."""
    found = quotes.expired(after=after, at=at)
    if found:
        written = quotes.write(Expiry(quote_ids=found, at=at)).result(30)
        log.info("offers expired", count=written)
    return len(found) < EXPIRED_AT_ONCE
