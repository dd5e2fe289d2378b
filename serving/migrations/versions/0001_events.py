"""Quotes and what happens to them; the quotes of a store from before come along, each with its first event.

When a table changes, this gets a copy of what it was here, and the change a revision of its own.
"""

import sqlalchemy as sa
from alembic import op

from serving import chain, tables
from serving.life import Kind

revision = "0001"
down_revision = None

_NEVER = "what was promised is never changed"


def upgrade() -> None:
    connection = op.get_bind()
    earlier = _put_aside(connection) if sa.inspect(connection).has_table("quotes") else None
    tables.METADATA.create_all(connection)
    for table in (tables.QUOTES, tables.EVENTS):
        _protect(connection, table.name)
    if earlier is not None:
        _bring(connection, earlier)


def _put_aside(connection: sa.Connection) -> sa.TableClause:
    for verb in ("update", "delete"):
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS quotes_no_{verb}")
    connection.exec_driver_sql("ALTER TABLE quotes RENAME TO quotes_before")
    columns = {column.name: column.type for column in tables.QUOTES.columns}
    kept = ("key_digest", "request_digest")
    named = [row["name"] for row in sa.inspect(connection).get_columns("quotes_before")]
    return sa.table("quotes_before", *(sa.column(n, sa.Text() if n in kept else columns[n]) for n in named))


def _protect(connection: sa.Connection, table: str) -> None:
    """Let the database itself refuse to change and to delete rows of a table."""
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
            )
        return
    connection.exec_driver_sql(
        "CREATE OR REPLACE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_NEVER}'; END $$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION never_changed()"
    )


def _bring(connection: sa.Connection, earlier: sa.TableClause) -> None:
    previous = chain.START
    rows = connection.execute(sa.select(earlier).order_by("quoted_at", "quote_id")).mappings()
    for seq, row in enumerate(rows.all(), 1):
        came = {"caller": "", "exposure": "", "expected_minor": 0, "inputs": b""}
        quote = {column.name: row.get(column.name, came.get(column.name)) for column in tables.QUOTES.columns}
        event = {
            "seq": seq,
            "quote_id": row["quote_id"],
            "number": 0,
            "kind": Kind.ISSUED.value,
            "at": row["quoted_at"],
            "amount_minor": row["offer_minor"],
            "details": b"{}",
            "unit_digest": None,
            "key_digest": row["key_digest"],
            "request_digest": row["request_digest"],
            "reply": b"",
        }
        previous = chain.link(previous=previous, event=event, quote=quote)
        connection.execute(tables.QUOTES.insert().values(quote))
        connection.execute(tables.EVENTS.insert().values(event | {"hash": previous}))
    connection.exec_driver_sql("DROP TABLE quotes_before")
