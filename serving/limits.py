"""How much one caller may ask: so many reads and writes a second, so many devices a day, so many wrong keys a minute.

A caller is a key, or without one the address that asks. What is counted is counted in this process.
"""

from __future__ import annotations

import ipaddress
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from serving.refusal import Refusal

BAD_KEYS_A_MINUTE = 20
MOST_BUCKETS = 65_536  # some 12 MB; beyond, those who asked longest ago are forgotten
MOST_CALLERS = 2048  # whose devices are counted
BITS_A_DEVICE = 8
LEAST_BITS = 65_536  # for a small budget hardly any device is taken for another


class Limits:
    """The limits of every caller; 0 is no limit.

    `free` are addresses from which one may ask without a key as much as one likes. `now` gives the instant in UTC.
    """

    def __init__(
        self, *, reads: int, writes: int, devices: int, free: Collection[str], now: Callable[[], datetime]
    ) -> None:
        self._reads, self._writes = Buckets(most=reads, seconds=1), Buckets(most=writes, seconds=1)
        self._bad = Buckets(most=BAD_KEYS_A_MINUTE, seconds=60)
        self._devices = Devices(most=devices, now=now) if devices else None
        self._free = frozenset(free)

    def bad_key(self, address: str) -> Refusal | None:
        """Count a wrong key; the refusal for an address that tried too many of them in a minute."""
        wait = self._bad.take(_network(address))
        return _too_many("bad_keys", "Too many unknown keys came from this address.", wait) if wait else None

    def ask(self, *, caller: str, address: str, writes: bool) -> None:
        """Count a request of a caller: the id of a key, or "" and then it is the address. Refusal 429."""
        buckets = self._writes if writes else self._reads
        if buckets.most and not self._is_free(caller, address) and buckets.take(caller or _network(address)):
            raise _too_many("rate", f"More than {buckets.most} requests a second.", 1)

    def value(self, *, caller: str, address: str, devices: Iterator[str]) -> None:
        """Count the devices whose price a caller asks. Refusal 429 where new ones are beyond the day's budget."""
        if self._devices is None or self._is_free(caller, address):
            return
        if not self._devices.ask(caller or _network(address), devices):
            detail = "More different devices than one may ask for in a day; those asked for before are still answered."
            raise _too_many("devices", detail, self._devices.seconds_left())

    def _is_free(self, caller: str, address: str) -> bool:
        return not caller and address in self._free


class Buckets:
    """A bucket of tokens for each caller: `most` of them, and as many again in so many seconds.

    The generic cell rate algorithm: of a bucket one keeps when it will be full again. A library was here before; it
    forgot nobody, and looked through all whom it knew at every request.
    """

    def __init__(self, *, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._seconds, self._clock = most, seconds, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, who: str) -> float:
        """Take a token, and return 0; where none is left, the seconds until there is one."""
        now, each = self._clock(), self._seconds / self.most
        full_at = max(self._full_at.pop(who, now), now)
        wait = full_at + each - now - self._seconds
        taken = wait < each / 1000  # a thousandth of a token is rounding
        self._full_at[who] = full_at + each if taken else full_at
        if len(self._full_at) > MOST_BUCKETS:
            self._full_at.popitem(last=False)
        return 0.0 if taken else wait


class Devices:
    """Counts the different devices that each caller asks for in a day (UTC), in a fixed space for each.

    A caller has BITS_A_DEVICE bits for each of the `most` devices. A device sets the bit that it is hashed to; one
    whose bit is set was asked for before, or is taken for one that was, at the most once in eight times.
    """

    def __init__(self, *, most: int, now: Callable[[], datetime]) -> None:
        self._most, self._now = most, now
        self._day = date.min
        self._books: OrderedDict[str, _Book] = OrderedDict()

    def ask(self, who: str, devices: Iterator[str]) -> bool:
        """Whether a caller may ask for these devices; those that he may not are not counted."""
        book = self._book(who)
        return all(book.count(hash(device), self._most) for device in devices)

    def seconds_left(self) -> float:
        """Until the next day."""
        now = self._now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return (midnight - now).total_seconds()

    def _book(self, who: str) -> _Book:
        if self._day != (today := self._now().date()):
            self._day = today
            self._books.clear()
        book = self._books.pop(who, None) or _Book(max(self._most * BITS_A_DEVICE, LEAST_BITS))
        self._books[who] = book
        if len(self._books) > MOST_CALLERS:
            self._books.popitem(last=False)
        return book


class _Book:
    __slots__ = ("bits", "counted")

    def __init__(self, bits: int) -> None:
        self.bits, self.counted = bytearray(math.ceil(bits / 8)), 0

    def count(self, number: int, most: int) -> bool:
        place, bit = divmod(number % (8 * len(self.bits)), 8)
        if self.bits[place] >> bit & 1:
            return True
        if self.counted >= most:
            return False
        self.bits[place] |= 1 << bit
        self.counted += 1
        return True


def devices_of(asked: Any) -> Iterator[str]:
    """The devices of a request, one text each: of its body as read from JSON, or of a form's or a query's fields."""
    if not isinstance(asked, dict):
        return
    units = asked.get("devices")
    for unit in [asked, *(units if isinstance(units, list) else ())]:
        device = unit.get("device", unit.get("device_id")) if isinstance(unit, dict) else None
        if isinstance(device, dict):
            device = device.get("device_id") or json.dumps(device, sort_keys=True)
        if isinstance(device, str):
            yield device


def _network(address: str) -> str:
    """What stands for an address: of IPv6 the /64, for whoever has one address of it has them all."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _too_many(code: str, detail: str, seconds: float) -> Refusal:
    after = str(max(1, math.ceil(seconds)))
    return Refusal(429, f"too_many_{code}", detail, headers={"Retry-After": after})
