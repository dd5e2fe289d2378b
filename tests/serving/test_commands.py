"""Laws of what an operator does with the quote store: nothing altered goes unseen, and nothing restored is lost."""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import backup, chain, checking, commands, export
from serving.checking import StoreDamaged, check
from serving.database import Database
from serving.life import Kind
from serving.quotes import Quotes
from serving.replay import replay
from serving.settings import Settings
from serving.tables import EVENTS, EXPOSURES, QUOTES
from tests.serving.conftest import ANSWERS, House
from tests.serving.stores import a_quote, given, happen, issue
from valuation import ledger

Damage = Callable[[bytes, random.Random], bytes]


def fill(store: Quotes, count: int = 12) -> None:
    """Quotes at every point of their lives."""
    for number in range(count):
        quote = given(store, key=f"{number}", unit=f"{number:064d}" if number % 2 else None)
        for step, kind in enumerate((Kind.ACCEPTED, Kind.INSPECTED, Kind.PAID)[: number % 4]):
            happen(store, quote, kind, f"{number}-{step}").result(10)


def dump(database: Database) -> list[Any]:
    with database.reading() as connection:
        return [connection.execute(table.select()).all() for table in (QUOTES, EVENTS, EXPOSURES)]


def test_a_store_that_was_only_written_to_holds(store: Quotes) -> None:
    assert check(store.database).head == chain.START
    fill(store)
    found = check(store.database)
    assert (found.quotes, found.events) == (12, 12 + 3 * (1 + 2 + 3))
    fill_more = given(store, key="more")
    assert check(store.database, head=found.head).events == found.events + 1
    assert fill_more


def test_a_check_beside_those_who_write_finds_no_damage(store: Quotes, store_url: str) -> None:
    patient, over = Database(url=store_url, patient=True), threading.Event()

    def go_on() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            quote = given(store, key=f"{number}")
            happen(store, quote, Kind.ACCEPTED, f"{number}-0").result(10)

    with ThreadPoolExecutor() as beside:
        writing = beside.submit(go_on)
        try:
            found = [check(patient).events for _ in range(40)]
        finally:
            over.set()
        writing.result(20)
    assert found == sorted(found) and found[-1] > found[0]
    patient.close()


def test_the_chain_holds_across_servers_that_write_by_turns(store: Quotes, store_url: str) -> None:
    other = Quotes(database=Database(url=store_url))
    for number in range(20):
        given((store, other)[number % 2], key=f"{number}")
    other.close()
    assert check(store.database).events == 20


def test_any_byte_that_is_changed_is_found(tmp_path: Path) -> None:
    file = tmp_path / "quotes.db"
    store = Quotes(database=Database(url=f"sqlite:///{file}"))
    fill(store)
    store.close()
    draw, whole = random.Random(5), file.read_bytes()
    unseen = 0
    for _ in range(100):
        _alter(file, draw)
        database = Database(url=f"sqlite:///{file}")
        try:
            check(database)
            unseen += 1
        except StoreDamaged as damage:
            assert "event" in str(damage).lower() or "exposed" in str(damage) or "damaged" in str(damage)
        finally:
            database.close()
        file.write_bytes(whole)
    assert unseen == 0


def _alter(file: Path, draw: random.Random) -> None:
    """Change one letter of one value, as somebody would who can write to the file."""
    with sqlite3.connect(file) as other:
        for table in ("quotes", "events"):
            for verb in ("update", "delete"):
                other.execute(f"DROP TRIGGER {table}_no_{verb}")
        table = draw.choice((QUOTES, EVENTS, EXPOSURES))
        columns = [column for column in table.columns if not column.primary_key and column.name != "quote_id"]
        column = draw.choice(columns)
        key = next(iter(table.primary_key)).name
        rows = other.execute(
            f"SELECT {key}, {column.name} FROM {table.name} WHERE {column.name} IS NOT NULL"
        ).fetchall()
        place, value = draw.choice([row for row in rows if row[1] not in ("", b"")] or rows)
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute(
            f"UPDATE {table.name} SET {column.name} = ? WHERE {key} = ?", (_otherwise(value, draw), place)
        )
    other.close()


def _otherwise(value: Any, draw: random.Random) -> Any:
    if isinstance(value, int):
        return value + draw.choice((-1, 1, 1000))
    if isinstance(value, bytes):
        if not value:
            return b"x"
        at = draw.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    if not value:
        return "x"
    at = draw.randrange(len(value))
    return value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :]


@pytest.mark.parametrize("column", ["events.at", "quotes.expires_at"])
def test_an_instant_beyond_all_calendars_is_found(tmp_path: Path, column: str) -> None:
    file, (table, name) = tmp_path / "quotes.db", column.split(".")
    store = Quotes(database=Database(url=f"sqlite:///{file}"))
    fill(store, 4)
    with sqlite3.connect(file) as other:
        other.execute(f"DROP TRIGGER {table}_no_update")
        other.execute(f"UPDATE {table} SET {name} = 1000000000000000000")
    other.close()
    with pytest.raises(StoreDamaged, match="beyond all calendars"):
        check(store.database)
    store.close()


def test_events_that_are_cut_off_at_the_end_are_missed_where_the_head_was_noted(tmp_path: Path) -> None:
    file = tmp_path / "quotes.db"
    store = Quotes(database=Database(url=f"sqlite:///{file}"))
    fill(store, 4)
    head = check(store.database).head
    store.close()
    with sqlite3.connect(file) as other:
        other.execute("DROP TRIGGER events_no_delete")
        other.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
        other.execute("UPDATE exposures SET exposed_minor = exposed_minor + 12900")
    other.close()
    database = Database(url=f"sqlite:///{file}")
    with pytest.raises(StoreDamaged, match="events are missing"):
        check(database, head=head)
    database.close()


def test_a_store_is_restored_as_it_was(store: Quotes, tmp_path: Path) -> None:
    fill(store)
    saved = backup.backup(store.database, out=tmp_path / "saved.gz")
    empty = Database(url=f"sqlite:///{tmp_path / 'fresh.db'}")
    assert backup.restore(empty, file=tmp_path / "saved.gz") == saved == check(empty)
    assert dump(empty) == dump(store.database)
    with pytest.raises(backup.NotEmpty):
        backup.restore(empty, file=tmp_path / "saved.gz")
    again = Quotes(database=empty)
    assert given(again, key="after the restore")
    again.close()


def test_a_backup_beside_those_who_write_is_whole(store: Quotes, tmp_path: Path) -> None:
    fill(store)
    waiting = []
    for number in range(300):
        waiting.append(store.write(issue(a_quote(), f"beside {number}")))
    saved = backup.backup(store.database, out=tmp_path / "saved.gz")
    assert all(future.result(20) for future in waiting)
    empty = Database(url=f"sqlite:///{tmp_path / 'fresh.db'}")
    assert backup.restore(empty, file=tmp_path / "saved.gz") == saved
    empty.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_backup_that_was_cut_short_restores_nothing(store: Quotes, tmp_path: Path, share: float) -> None:
    fill(store)
    backup.backup(store.database, out=tmp_path / "saved.gz")
    content = (tmp_path / "saved.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(content[: int(share * len(content))])
    lines = gzip.decompress(content).splitlines(keepends=True)
    (tmp_path / "short.gz").write_bytes(gzip.compress(b"".join(lines[:-1])))
    empty = Database(url=f"sqlite:///{tmp_path / 'fresh.db'}")
    for file in ("cut.gz", "short.gz"):
        with pytest.raises(StoreDamaged):
            backup.restore(empty, file=tmp_path / file)
    assert dump(empty) == [[], [], []]
    empty.close()


def told_to(home: Path, *words: str) -> int:
    """The exit code of `reprise-serve quotes` with some words."""
    parser = argparse.ArgumentParser()
    commands.add(parser.add_subparsers())
    return int(commands.run(Settings(home=home), parser.parse_args(["quotes", *words])))


def _flipped(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.randrange(len(content)) for _ in range(2))
    return content[:first] + content[last + 1 :]


def _inside(change: Damage) -> Damage:
    """A change of what is packed, so that it unpacks without complaint."""
    return lambda content, draw: gzip.compress(change(gzip.decompress(content), draw))


@pytest.mark.parametrize(
    "damage", [_flipped, _cut, _inside(_flipped), _inside(_cut)], ids=["flip", "cut", "flip in", "cut in"]
)
def test_a_damaged_backup_restores_nothing_and_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    store = Quotes(database=Database(url=f"sqlite:///{tmp_path / 'quotes.db'}"))
    fill(store)
    backup.backup(store.database, out=tmp_path / "saved.gz")
    content, draw = (tmp_path / "saved.gz").read_bytes(), random.Random(60)
    for number in range(60):
        (tmp_path / "hurt.gz").write_bytes(damage(content, draw))
        code, said = (
            told_to(tmp_path / f"{number}", "restore", f"{tmp_path / 'hurt.gz'}"),
            capsys.readouterr(),
        )
        fresh = Database(url=f"sqlite:///{tmp_path / f'{number}' / 'quotes.db'}")
        if code:  # else it says the same in other bytes, as a T in an instant may be any letter
            assert (code, said.err.count("\n"), dump(fresh)) == (1, 1, [[], [], []])
            assert "hurt.gz is no whole backup" in said.err and "Restore another backup." in said.err
        else:
            assert dump(fresh) == dump(store.database)
        fresh.close()
    store.close()


@pytest.mark.parametrize(
    "line",
    [
        '1', '"head"', '{"event": 1, "quote": 0}', '{"event": {}, "quote": null}', '{"head": "", "events": 1}',
        "[" * 100_000, '{"event": {"seq": 1e999}, "quote": {}}', "",
    ],
)  # fmt: skip
def test_a_backup_of_something_else_restores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "other.gz").write_bytes(gzip.compress(f"{line}\n".encode()))
    assert told_to(tmp_path, "restore", f"{tmp_path / 'other.gz'}") == 1
    assert "other.gz is no whole backup" in capsys.readouterr().err


def test_a_backup_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told_to(tmp_path / "home", "restore", f"{tmp_path / 'none.gz'}") == 1
    assert not (tmp_path / "home").exists()
    assert "No such file" in capsys.readouterr().err


def test_a_quote_that_is_not_there_does_not_come_to_the_same_cent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Database(url=Settings(home=tmp_path).quotes).close()
    assert told_to(tmp_path, "replay", "--quote", "deadbeef", "--quote", "beef") == 1
    said = capsys.readouterr().out
    assert "deadbeef: there is no quote with this id" in said and "beef: there is no" in said
    assert "0 of 2 quotes" in said


@pytest.mark.parametrize("words", [["check"], ["backup", "--out", "good.gz"], ["replay"]])
def test_where_there_is_no_store_none_is_made_and_called_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.gz").write_bytes(b"of yesterday")
    assert told_to(tmp_path / "elsewhere", *words) == 1
    assert "There is no such file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["good.gz"]
    assert Path("good.gz").read_bytes() == b"of yesterday"


def test_a_backup_that_breaks_off_leaves_nothing_behind(
    store: Quotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)

    def full(_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space"):
        disk.setattr(os, "fsync", full)
        backup.backup(store.database, out=tmp_path / "quotes.gz")
    assert list(tmp_path.glob("quotes.gz*")) == []


@pytest.mark.parametrize("last", ["-5", "0", "many", "1.5", "9" * 20])
def test_so_many_quotes_cannot_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        told_to(tmp_path, "replay", "--last", last)
    assert ended.value.code == 2
    assert "whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--head", ""], "'' is no hash"),
        (["check", "--head", "f" * 63], "is no hash"),
        (["export", "--out", "q.xlsx"], "neither in .csv nor"),
    ],
)
def test_what_cannot_be_meant_is_no_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        told_to(tmp_path, *words)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def _lives(house: House) -> Any:
    lives: dict[str, Any] = {}
    with house.quotes.database.reading() as connection:
        for event, row in checking.rows(connection):
            checking.live(lives, event, row, whole=True)
    return lives.values()


def test_every_quote_comes_to_the_same_cent_again(house: House, quote: Any) -> None:
    for number, market in enumerate(("GB", "FR", "DE", "US", "PL", "SE") * 3):
        quote(f"{number}", market=market, answers={"battery_health": 0.6 + number / 60})
    quotes = [each for each, _ in _lives(house)]
    found = list(replay(quotes, open_appraiser=lambda _: house.appraiser))  # type: ignore[arg-type,return-value]
    assert len(found) == 18 and all(each.same for each in found)
    house.appraiser.p50 = 300.0
    assert not all(each.same for each in replay(quotes, open_appraiser=lambda _: house.appraiser))  # type: ignore[arg-type,return-value]


def test_what_is_exported_is_the_table_that_a_retrain_reads(house: House, quote: Any, client: Any) -> None:
    given_quotes = [quote(f"{number}").json() for number in range(3)]
    for number, each in enumerate(given_quotes[:2]):
        client.post(
            f"/v1/buyback/quotes/{each['quote_id']}/{('accept', 'void')[number]}",
            json=({"amount": each["offer"]}, {"reason": "WITHDRAWN"})[number],
            headers={"Idempotency-Key": f"step{number}"},
        )
    mistaken = quote("mistaken").json()
    house.show_key("operator")
    client.post(
        f"/v1/buyback/quotes/{mistaken['quote_id']}/void",
        json={"reason": "MISTAKE"},
        headers={"Idempotency-Key": "m"},
    )
    client.headers.pop("Authorization")
    given_quotes.append(mistaken)
    quote("refused", answers={"blacklisted": True})
    table = export.table(_lives(house))
    audited = ledger.audit(frame=table, contract=ledger.QUOTES, as_of=None)
    assert audited.faults.is_empty()
    assert audited.good["accepted"].to_list() == [True, False, None, None]
    assert audited.good["offer"].to_list() == [float(each["offer"]["amount"]) for each in given_quotes]
    assert set(audited.good["condition"]) == {"FUNCTIONAL_GOOD"}
    assert table["battery_health"].to_list() == [ANSWERS["battery_health"]] * 4


def test_events_lie_in_the_order_of_their_writing(store: Quotes) -> None:
    fill(store)
    with store.database.reading() as connection:
        assert list(connection.scalars(sa.select(EVENTS.c.seq).order_by(EVENTS.c.seq))) == list(range(1, 31))
