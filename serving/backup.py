"""Backup and restore of the quote store: one file, from and to either database.

What was written is never changed, so a backup needs no lock: it reads up to the event that is the last when it begins.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from serving import chain
from serving.checking import Checked, StoreDamaged, exposures, linked, live, rows
from serving.database import Database
from serving.life import Life
from serving.promise import Quote
from serving.tables import EVENTS, EXPOSURES, QUOTES, Instant

AT_ONCE = 500
# What gzip, JSON and the values in it raise where bytes were changed.
_BROKEN_FILE = (EOFError, gzip.BadGzipFile, zlib.error)
_BROKEN_LINE = (LookupError, OverflowError, RecursionError, TypeError, ValueError)


class NotEmpty(ValueError):  # noqa: N818 - said as it is
    """A store that holds quotes is not restored into: nothing is to be lost or doubled."""


def backup(database: Database, *, out: Path) -> Checked:
    """Write the whole store to a file, checked on the way; the file is there once it is whole."""
    fresh = out.with_name(f"{out.name}.{os.getpid()}")
    try:
        with database.reading() as connection, gzip.open(fresh, "wt", encoding="utf-8") as file:
            found = _write(connection, file)
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)  # of one that broke off
    return found


def _write(connection: sa.Connection, file: IO[str]) -> Checked:
    last, events, quotes = chain.START, 0, 0
    until = connection.scalar(sa.select(sa.func.max(EVENTS.c.seq))) or 0
    for events, (event, quote) in enumerate(rows(connection, until=until), 1):
        last = linked(last, events, event, quote)
        quotes += quote is not None
        file.write(json.dumps({"event": event, "quote": quote}, default=_written) + "\n")
    file.write(json.dumps({"head": last, "events": events, "quotes": quotes}) + "\n")
    return Checked(quotes=quotes, events=events, head=last)


def restore(database: Database, *, file: Path) -> Checked:
    """Fill an empty store from a backup, in one transaction; the chain is checked link by link.

    Raises NotEmpty, and StoreDamaged where the file was cut short or changed.
    """
    with database.writing() as connection:
        if connection.scalar(sa.select(sa.func.count()).select_from(EVENTS)):
            raise NotEmpty("This store holds quotes already: restore into an empty one.")
        read = _Read(file)
        quotes: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for event, quote in read.rows():
            events.append(event)
            if quote:
                quotes.append(quote)
            if len(events) == AT_ONCE:
                _insert(connection, quotes, events)
        _insert(connection, quotes, events)
        noted = [{"exposure": name, "exposed_minor": minor} for name, minor in exposures(read.lives).items()]
        if noted:
            connection.execute(EXPOSURES.insert(), noted)
    return read.checked


class _Read:
    """What was read of a backup so far, checked on the way."""

    def __init__(self, file: Path) -> None:
        self.lives: dict[str, tuple[Quote, Life]] = {}
        self._file = file
        self._last, self._events = chain.START, 0
        self._told: Any = None

    @property
    def checked(self) -> Checked:
        return Checked(quotes=len(self.lives), events=self._events, head=self._last)

    def rows(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """The events with their quotes; StoreDamaged, whatever was done to the file."""
        try:
            yield from self._rows()
        except StoreDamaged as error:
            raise self._damaged(str(error).removesuffix(" Restore a backup.")) from error
        except _BROKEN_FILE as error:
            raise self._damaged(f"it cannot be unpacked ({error})") from error
        except _BROKEN_LINE as error:
            found = f"the line does not read ({error.__class__.__name__}: {error})"
            raise self._damaged(found) from error
        if self._told != {"head": self._last, "events": self._events, "quotes": len(self.lives)}:
            raise self._damaged("it was cut short, or its last line is of another backup")

    def _rows(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        with gzip.open(self._file, "rt", encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if "head" in line:
                    self._told = line  # the last one; what follows is no backup
                    continue
                event, quote = _row(line["event"], EVENTS), line["quote"] and _row(line["quote"], QUOTES)
                self._last = linked(self._last, self._events + 1, event, quote)
                live(self.lives, event, quote)
                self._events += 1
                yield event, quote

    def _damaged(self, found: str) -> StoreDamaged:
        return StoreDamaged(
            f"{self._file} is no whole backup, and nothing was restored. After event {self._events}: "
            f"{found.rstrip('.'):.300}. Restore another backup."
        )


def _insert(connection: sa.Connection, quotes: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    for table, waiting in ((QUOTES, quotes), (EVENTS, events)):
        if waiting:
            connection.execute(table.insert(), waiting)
            waiting.clear()


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b85encode(value).decode()
    return value.isoformat()


def _row(row: dict[str, Any], table: sa.Table) -> dict[str, Any]:
    """A row as the table wants it."""
    return {column.name: _value(row[column.name], column.type) for column in table.columns}


def _value(told: Any, kind: Any) -> Any:
    if isinstance(kind, sa.LargeBinary):
        return base64.b85decode(told)
    return datetime.fromisoformat(told) if isinstance(kind, Instant) else told
