"""What an operator does with the quote store: `reprise-serve quotes check | backup | restore | replay | export`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from serving import archive, backup, checking, export
from serving.checking import StoreDamaged
from serving.database import Database, StoreUnavailable
from serving.life import Life
from serving.promise import Quote
from serving.replay import replay
from serving.settings import Settings

MOST = 1_000_000_000  # quotes replayed at once


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser."""
    quotes = parsers.add_parser("quotes", help="check, back up, restore, replay or export the quotes")
    commands = quotes.add_subparsers(dest="step", required=True)
    check = commands.add_parser(
        "check", help="go through the chain of all that happened; exit 1 where it breaks"
    )
    check.add_argument(
        "--head", type=_hash, help="a hash that was printed before: it must still be in the chain"
    )
    commands.add_parser("backup", help="write the store to one file").add_argument(
        "--out", type=Path, required=True
    )
    restore = commands.add_parser("restore", help="fill an empty store from such a file")
    restore.add_argument("file", type=Path)
    again = commands.add_parser("replay", help="price quotes again; exit 1 where one comes out otherwise")
    again.add_argument("--last", type=_above_zero, default=1000, help="how many, the newest first (1000)")
    again.add_argument("--quote", action="append", default=[], help="one quote, by its id")
    table = commands.add_parser(
        "export", help="write the table of QUOTES that `reprise retrain --quotes` reads"
    )
    table.add_argument("--out", type=_table, required=True, help="a file .csv or .parquet")
    quotes.set_defaults(run=run)


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    try:
        if given.step == "restore":
            given.file.open("rb").close()
        database = Database(url=settings.quotes, patient=True, fresh=given.step == "restore")
        return int(_STEPS[given.step](settings, database, given))
    except (StoreDamaged, StoreUnavailable, backup.NotEmpty, OSError) as error:
        print(f"reprise-serve quotes {given.step}: {error}", file=sys.stderr)
        return 1


def _check(_: Settings, database: Database, given: argparse.Namespace) -> int:
    found = checking.check(database, head=given.head or "")
    print(f"The chain holds: {found.events} events of {found.quotes} quotes. Head {found.head}")
    return 0


def _backup(_: Settings, database: Database, given: argparse.Namespace) -> int:
    found = backup.backup(database, out=given.out)
    print(f"{given.out}: {found.events} events of {found.quotes} quotes. Head {found.head}")
    return 0


def _restore(_: Settings, database: Database, given: argparse.Namespace) -> int:
    found = backup.restore(database, file=given.file)
    print(f"Restored {found.events} events of {found.quotes} quotes. Head {found.head}")
    return 0


def _replay(settings: Settings, database: Database, given: argparse.Namespace) -> int:
    with database.reading() as connection:
        asked = list(checking.newest(connection, most=given.last, quote_ids=given.quote))
    missing = sorted(set(given.quote) - {quote.quote_id for quote in asked})
    for quote_id in missing:
        print(
            f"{quote_id}: there is no quote with this id in the store. An id is the quote_id of a reply, whole."
        )
    same = 0
    opening = lambda digest: archive.opened(folder=settings.champion, digest=digest)  # noqa: E731
    for found in replay(asked, open_appraiser=opening):
        same += found.same
        if not found.same:
            now = "cannot be priced" if found.offer_minor is None else f"comes to {found.offer_minor}"
            print(
                f"{found.quote.quote_id}: {found.quote.offer_minor} minor units were promised, it {now}. {found.said}"
            )
    wanted = len(asked) + len(missing)
    print(f"{same} of {wanted} quotes come to the same cent.")
    return 0 if same == wanted else 1


def _export(_: Settings, database: Database, given: argparse.Namespace) -> int:
    with database.reading() as connection:
        lives: dict[str, tuple[Quote, Life]] = {}
        for event, quote in checking.rows(connection):
            checking.live(lives, event, quote, whole=True)
    found = export.table(lives.values())
    found.write_csv(given.out) if given.out.suffix == ".csv" else found.write_parquet(given.out)
    print(f"{given.out}: {found.height} offers of {len(lives)} quotes.")
    return 0


def _hash(told: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", told):
        raise argparse.ArgumentTypeError(f"{told!r} is no hash: it has 64 digits from 0 to f")
    return told


def _table(told: str) -> Path:
    if not told.endswith((".csv", ".parquet")):
        raise argparse.ArgumentTypeError(f"{told} ends neither in .csv nor in .parquet")
    return Path(told)


def _above_zero(told: str) -> int:
    if not told.isdecimal() or not 0 < int(told) <= MOST:
        raise argparse.ArgumentTypeError(f"{told} is no whole number from 1 to {MOST}")
    return int(told)


_STEPS = {
    "check": _check,
    "backup": _backup,
    "restore": _restore,
    "replay": _replay,
    "export": _export,
}
