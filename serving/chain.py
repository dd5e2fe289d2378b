"""The chain of events: the hash of each holds all that was written before it, so that no past row can be altered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serving import tables

START = "0" * 64


def link(*, previous: str, event: Mapping[str, Any], quote: Mapping[str, Any] | None) -> str:
    """The hash of an event, from that of the one before it, its columns, and for ISSUED those of its quote."""
    found = hashlib.sha256(previous.encode())
    _add(found, event, _EVENT)
    if quote is not None:
        _add(found, quote, _QUOTE)
    return found.hexdigest()


_EVENT = tuple(column.name for column in tables.EVENTS.columns if column.name != "hash")
_QUOTE = tuple(column.name for column in tables.QUOTES.columns)


def _add(found: Any, row: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Add the columns in their order, each behind its length, so that no two rows spell alike."""
    parts = [_bytes(row[name]) for name in names]
    found.update(b"".join(b"%d:%b" % (len(part), part) for part in parts))


def _bytes(value: Any) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, bytes):
        return b"b" + value
    if isinstance(value, datetime):
        value = tables.milliseconds(value)
    return f"i{value}".encode() if isinstance(value, int) else f"s{value}".encode()
