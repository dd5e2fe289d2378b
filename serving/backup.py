"""Backup and restore of the quote store: one file, from and to either database.

What was written is never changed, so a backup needs no lock: it reads up to the event that is the last when it begins.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving import chain
from serving.checking import Checked, StoreDamaged, exposures, linked, live, rows
from serving.database import Database
from serving.life import Life
from serving.promise import Quote
from serving.tables import EVENTS, EXPOSURES, QUOTES, Instant

AT_ONCE = 500


class NotEmpty(ValueError):  # noqa: N818 - said as it is
    """A store that holds quotes is not restored into: nothing is to be lost or doubled."""


def backup(database: Database, *, out: Path) -> Checked:
    """Write the whole store to a file, checked on the way; the file is there once it is whole."""
    fresh = out.with_name(f"{out.name}.{os.getpid()}")
    last, events, quotes = chain.START, 0, 0
    with database.reading() as connection, gzip.open(fresh, "wt", encoding="utf-8") as file:
        until = connection.scalar(sa.select(sa.func.max(EVENTS.c.seq))) or 0
        for events, (event, quote) in enumerate(rows(connection, until=until), 1):
            last = linked(last, events, event, quote)
            quotes += quote is not None
            file.write(json.dumps({"event": event, "quote": quote}, default=_written) + "\n")
        file.write(json.dumps({"head": last, "events": events, "quotes": quotes}) + "\n")
    with fresh.open("rb") as written:
        os.fsync(written.fileno())
    fresh.replace(out)
    return Checked(quotes=quotes, events=events, head=last)


def restore(database: Database, *, file: Path) -> Checked:
    """Fill an empty store from a backup, in one transaction; the chain is checked link by link.

    Raises NotEmpty, and StoreDamaged where the file was cut short or changed.
    """
    with database.writing() as connection:
        if connection.scalar(sa.select(sa.func.count()).select_from(EVENTS)):
            raise NotEmpty("This store holds quotes already: restore into an empty one.")
        last, count, told = chain.START, 0, None
        lives: dict[str, tuple[Quote, Life]] = {}
        quotes: list[dict[str, Any]] = []
        events: list[dict[str, Any]] = []
        for line in _lines(file):
            if "head" in line:
                told = line  # the last one; what follows is no backup
                continue
            count += 1
            event, quote = _read(line["event"], EVENTS), line["quote"] and _read(line["quote"], QUOTES)
            last = linked(last, count, event, quote)
            live(lives, event, quote)
            events.append(event)
            if quote:
                quotes.append(quote)
            if len(events) == AT_ONCE:
                _insert(connection, quotes, events)
        _insert(connection, quotes, events)
        if told is None or (told["head"], told["events"]) != (last, count):
            raise StoreDamaged(f"{file} is cut short after {count} events: take another backup.")
        noted = [{"exposure": name, "exposed_minor": minor} for name, minor in exposures(lives).items()]
        if noted:
            connection.execute(EXPOSURES.insert(), noted)
    return Checked(quotes=told["quotes"], events=count, head=last)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as read:
            for line in read:
                yield json.loads(line)
    except (EOFError, gzip.BadGzipFile, ValueError, OSError) as error:
        raise StoreDamaged(f"{file} is no whole backup: {error}") from error


def _insert(connection: sa.Connection, quotes: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    for table, waiting in ((QUOTES, quotes), (EVENTS, events)):
        if waiting:
            connection.execute(table.insert(), waiting)
            waiting.clear()


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b85encode(value).decode()
    return value.isoformat()


def _read(row: dict[str, Any], table: sa.Table) -> dict[str, Any]:
    """A row as the table wants it."""
    return {column.name: _value(row[column.name], column.type) for column in table.columns}


def _value(told: Any, kind: Any) -> Any:
    if isinstance(kind, sa.LargeBinary):
        return base64.b85decode(told)
    return datetime.fromisoformat(told) if isinstance(kind, Instant) else told
