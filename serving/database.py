"""The database of the quote store: SQLite in a file, or PostgreSQL by a URL. Both keep what they have confirmed.

What is confirmed must survive a power cut, so the settings that decide it are set, and read back, on every connection.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving import tables

try:  # with a SQLite of its own, newer than the system's
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:
    import sqlite3

# SQLite 3.7.0 to 3.51.2 can lose commits in WAL mode (sqlite.org/wal.html#walresetbug). Below the mended
# version the rollback journal, whose directory entry EXTRA syncs too: every commit survives a power cut.
WAL_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
JOURNAL, SYNCHRONOUS = ("wal", 2) if WAL_IS_SAFE else ("delete", 3)  # 2 is FULL, 3 is EXTRA
BUSY_MS = 2000
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
ANSWER_SECONDS, CUT_SECONDS = 0.95, 0.9  # what those who wait are told after, and what a silent server has
LIMITS = "-c statement_timeout=800 -c lock_timeout=800 -c idle_in_transaction_session_timeout=5000"
WRITERS = 0x52657072  # of all locks of the database, that of those who write quotes
MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST = "0001"  # the last of them
NO_STORE = "REPRISE_STORE_URL, or REPRISE_HOME, says where the store is."


class StoreUnavailable(RuntimeError):  # noqa: N818 - said as it is
    """The store cannot keep or find anything at the moment; nothing was promised."""


class Database:
    """Connections of one database, at the newest form of its tables.

    Every use may wait for the disk or the network, and raises StoreUnavailable where that fails or takes too long.
    """

    def __init__(self, *, url: str, patient: bool = False, fresh: bool = True) -> None:
        """Open it, and bring its tables to their newest form; a `patient` one waits as long as it takes.

        Where it may not be a `fresh` one, StoreUnavailable if there is none yet.
        """
        parsed = _parse(url)
        with _opening(parsed):
            if (
                not fresh
                and parsed.get_backend_name() == "sqlite"
                and not Path(parsed.database or "").exists()
            ):
                raise StoreUnavailable(f"There is no such file. {NO_STORE}")
            self.engine = _engine(parsed, patient)
            self.is_sqlite = self.engine.dialect.name == "sqlite"
            self.patience_seconds = BUSY_MS / 1000 + 1 if self.is_sqlite else ANSWER_SECONDS
            self._deadlines: _Deadlines | None = None
            self._bring_up(fresh)
            if not (self.is_sqlite or patient):
                self._deadlines = _Deadlines()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
        if self._deadlines:
            self._deadlines.close()

    def _bring_up(self, fresh: bool) -> None:
        """Bring the tables to their newest form, however long it takes; what they hold comes along."""
        with self.reading() as connection:
            if _is_newest(connection):
                return
            if not fresh and not sa.inspect(connection).has_table(tables.QUOTES.name):
                raise StoreUnavailable(f"It has no quotes. {NO_STORE}")
        from alembic import command  # a twentieth of a start
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with."""
        with _trouble(), self.engine.connect() as connection, self._watched(connection):
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection that reads all as it stood at one instant, whatever is written meanwhile.

        Be quick: until its end a rollback journal of SQLite lets nobody commit, and its WAL only grows.
        """
        with self.reading() as connection:
            begin = "BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            connection.exec_driver_sql(begin)
            try:
                yield connection
            finally:
                with suppress(sa.exc.SQLAlchemyError):
                    connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, the only one of all processes that writes.

        It takes the write lock first: in SQLite one begun by a read can fail at its first write, and the chain of
        events has one end.
        """
        with _trouble(), self.engine.connect() as connection, self._watched(connection):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
            try:
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                with suppress(sa.exc.SQLAlchemyError):
                    # A full disk may have rolled back already, and then there is nothing left to roll back.
                    if not self.is_sqlite or connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                        connection.exec_driver_sql("ROLLBACK")
                raise

    @contextmanager
    def _watched(self, connection: sa.Connection) -> Iterator[None]:
        if self._deadlines is None:
            yield
            return
        with self._deadlines.of(connection.connection.dbapi_connection):
            yield


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # which may tell a part of a password
        parsed = None
    nowhere = parsed and parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
    if parsed is None or nowhere or "@" in (parsed.host or ""):  # so may a host that begins in a password
        raise StoreUnavailable(
            "REPRISE_STORE_URL is no URL of a quote store: it is sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with : / @ in a password written as %3A %2F %40."
        )
    return parsed


@contextmanager
def _opening(url: sa.URL) -> Iterator[None]:
    """Say of what fails where it was looked for, and what the database says; never the password."""
    try:
        with _trouble():
            yield
    except StoreUnavailable as error:
        said = getattr(error.__cause__, "orig", None)
        reason = " ".join(str(said or error).split())
        for secret in filter(None, (url.password, *url.normalized_query.get("password", ()))):
            reason = reason.replace(secret, "***")
        where = url.set(query={}).render_as_string()
        raise StoreUnavailable(f"The quote store at {where} cannot be used: {reason}") from error


def _engine(url: sa.URL, patient: bool) -> sa.Engine:
    # AUTOCOMMIT: the driver begins nothing by itself, so that a write can begin as it must (see writing).
    told: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_size": 8, "max_overflow": 0}
    told["hide_parameters"] = True  # or a failure would write what was sent into the log
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, module=sqlite3, pool_timeout=2, **told)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if url.get_backend_name() != "postgresql":
        raise StoreUnavailable(
            f"The quote store is sqlite:/// or postgresql://, not {url.get_backend_name()}://."
        )
    limits = "" if patient else LIMITS
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_timeout=0.5,
        connect_args={"connect_timeout": 2, "options": limits, "tcp_user_timeout": 1000},
        **told,
    )
    sa.event.listen(engine, "connect", _check_postgres)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Set what durability needs on a new connection, and make sure that it was taken."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA recursive_triggers = ON")  # so that REPLACE meets the trigger of DELETE
    journal = connection.execute(f"PRAGMA journal_mode = {JOURNAL}").fetchone()[0]
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (journal, synchronous) != (JOURNAL, SYNCHRONOUS):
        found, wanted = f"{journal}/{synchronous}", f"{JOURNAL}/{SYNCHRONOUS}"
        raise StoreUnavailable(f"The quote store runs as {found}, not as {wanted}: is it on a network disk?")


def _check_postgres(connection: Any, _: object) -> None:
    for name, wanted in DURABLE.items():
        found = connection.execute(f"SHOW {name}").fetchone()[0]
        if found != wanted:
            raise StoreUnavailable(
                f"PostgreSQL runs with {name} = {found}: quotes are kept only with {wanted}."
            )


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise StoreUnavailable(f"The quote store failed: {error.__class__.__name__}.") from error


def _is_newest(connection: sa.Connection) -> bool:
    kept = sa.table("alembic_version", sa.column("version_num"))
    return sa.inspect(connection).has_table(kept.name) and connection.scalar(sa.select(kept)) == NEWEST


class _Deadlines:
    """Cuts connections that were asked something and do not answer: no timeout of the driver covers a silent network.

    PostgreSQL's own statement_timeout ends what is slow there; this ends what never comes back.
    """

    def __init__(self) -> None:
        self._asked: dict[int, tuple[Any, float]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="store deadlines", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    @contextmanager
    def of(self, connection: Any) -> Iterator[None]:
        self._asked[id(connection)] = (connection, time.monotonic() + CUT_SECONDS)
        try:
            yield
        finally:
            self._asked.pop(id(connection), None)

    def _watch(self) -> None:
        while not self._closed.wait(0.1):
            now = time.monotonic()
            for key, (connection, end) in list(self._asked.items()):
                if now > end:
                    self._asked.pop(key, None)
                    _cut(connection)


def _cut(connection: Any) -> None:
    """End the traffic of a connection that another thread waits on, which then fails."""
    with (
        suppress(Exception),
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):  # it may be closed by now
        wire.shutdown(socket.SHUT_RDWR)
