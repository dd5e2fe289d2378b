"""`reprise-serve keys`: make, rotate, revoke and list the keys of a home."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from datetime import timedelta

from pydantic import ValidationError

from serving.keys import FOREVER, Keys, KeysUnreadable, KeyUnknown
from serving.settings import Settings

MOST = 36_500  # days or hours


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `reprise-serve`."""
    keys = commands.add_parser("keys", help="make, rotate, revoke and list API keys")
    steps = keys.add_subparsers(required=True, metavar="new | rotate | revoke | list")
    new = steps.add_parser("new", help="make a key and print it, once")
    new.add_argument("name", help="whose it is, or what it is for")
    new.add_argument("--scopes", required=True, help="storefront, seller, operator; comma-separated")
    new.add_argument("--days", type=_above_zero, help="how long it holds (for good)")
    new.set_defaults(does=_new)
    rotate = steps.add_parser("rotate", help="print a new secret for a key; the old one goes on for a while")
    rotate.add_argument("id")
    rotate.add_argument(
        "--overlap-hours",
        type=_not_below_zero,
        default=24.0,
        help="how long the old one holds (24); 0: not at all",
    )
    rotate.set_defaults(does=_rotate)
    revoke = steps.add_parser("revoke", help="end a key at once")
    revoke.add_argument("id")
    revoke.set_defaults(does=_revoke)
    steps.add_parser("list", help="list the keys, without their secrets").set_defaults(does=_list)
    keys.set_defaults(run=run)


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Do what was asked with the keys of a home; returns the exit code."""
    try:
        given.does(given, Keys(settings.keys))
    except ValidationError as error:
        wrong = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        print(f"reprise-serve keys: {wrong}", file=sys.stderr)
        return 2
    except (KeysUnreadable, KeyUnknown, OSError) as error:
        print(f"reprise-serve keys: {error}", file=sys.stderr)
        return 1
    return 0


def _not_below_zero(told: str) -> float:
    with suppress(ValueError):
        if 0 <= float(told) <= MOST:
            return float(told)
    raise argparse.ArgumentTypeError(f"{told} is no number from 0 to {MOST}")


def _above_zero(told: str) -> float:
    if (number := _not_below_zero(told)) == 0:
        raise argparse.ArgumentTypeError("0 is too little")
    return number


def _new(given: argparse.Namespace, keys: Keys) -> None:
    lasts = timedelta(days=given.days) if given.days is not None else None
    scopes = frozenset(scope.strip() for scope in given.scopes.split(","))
    print(keys.new(name=given.name, scopes=scopes, lasts=lasts))


def _rotate(given: argparse.Namespace, keys: Keys) -> None:
    print(keys.rotate(given.id, overlap=timedelta(hours=given.overlap_hours)))


def _revoke(given: argparse.Namespace, keys: Keys) -> None:
    keys.revoke(given.id)


def _list(_: argparse.Namespace, keys: Keys) -> None:
    if not keys.all():
        print(f"There are no keys in {keys.path}.")
    for key in keys.all():
        ends = "for good" if key.expires_at == FOREVER else f"until {key.expires_at:%Y-%m-%d %H:%M} UTC"
        print(f"{key.id}  {','.join(sorted(key.scopes)):26}  made {key.made_on}  {ends:25}  {key.name}")
