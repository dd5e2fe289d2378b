"""Laws of keys: who may come in where, how a key is changed and ended, and that nothing tells how near a guess was."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from serving import entries, keys_command
from serving.entries import ENTRIES, Entries, Entry
from serving.keys import Keys, KeysUnreadable, KeyUnknown
from serving.refusal import Refusal
from serving.settings import Settings
from tests.serving.conftest import House
from tests.serving.routes import NO_QUOTE

SCOPES = ("storefront", "seller", "operator")
OPERATOR_ONLY = [name for name, entry in ENTRIES.items() if entry.scopes == ("operator",)]
GUARDED = [name for name, entry in ENTRIES.items() if entry.scopes]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "home" / "keys.json")


def ask(client: TestClient, name: str, key: str | None = None) -> Any:
    """Ask a route by its name in the table of entries, with an empty body."""
    method, _, path = name.partition(" ")
    address = path.replace("{quote_id}", NO_QUOTE).replace("{device_id}", "none")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return client.request(method, address, headers=headers)


def routes(router: Any) -> Iterator[str]:
    """Every method and path of an application; HEAD, which the framework adds by itself, is closed."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from routes(route.original_router)
        else:
            yield from (f"{method} {route.path}" for method in route.methods - {"HEAD"})


def test_every_route_has_an_entry_and_every_entry_a_route(house: House) -> None:
    assert set(routes(house.client.app)) == set(ENTRIES)


def test_a_route_without_an_entry_is_closed(house: House) -> None:
    @house.client.app.get("/v1/forgotten")  # type: ignore[attr-defined]
    async def forgotten() -> str:
        return "open"

    assert house.client.get("/v1/forgotten").status_code == 404


def test_every_route_of_the_api_is_for_somebody() -> None:
    assert all(entry.scopes for name, entry in ENTRIES.items() if " /v1/" in name)


@pytest.mark.parametrize(
    "path", ["/v1/quotes/a/b", "/v1/quotes/", "/v1/quotes/a/accept/", "/v1/quotes//accept"]
)
def test_a_template_stands_for_one_part_of_a_path(path: str) -> None:
    known = Entries({"POST /v1/quotes/{id}/accept": Entry(), "GET /v1/quotes/{id}": Entry()})
    with pytest.raises(Refusal) as refused:
        known.find("GET", path)
    assert refused.value.status == 404
    assert known.find("POST", "/v1/quotes/a/accept")[0] == "/v1/quotes/{id}/accept"


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_the_routes_of_its_scopes_and_no_other(house: House, name: str, scope: str) -> None:
    key = house.keys.new(name="one", scopes=frozenset((scope,)))  # type: ignore[arg-type]
    answer = ask(house.client, name, key)
    assert (answer.status_code != 403) == (scope in ENTRIES[name].scopes)
    assert answer.status_code != 401


@pytest.mark.parametrize("name", OPERATOR_ONLY)
def test_without_a_key_nobody_is_an_operator(client: TestClient, name: str) -> None:
    answer = ask(client, name)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="reprise"')
    assert answer.headers["content-type"] == "application/problem+json"


def test_there_is_no_way_to_open_the_operators_routes_by_a_setting(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, anonymous="storefront,operator")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GUARDED)
def test_a_house_closed_to_strangers_asks_for_a_key(closed: House, name: str) -> None:
    assert ask(closed.client, name).status_code == 401
    key = closed.keys.new(name="all", scopes=frozenset(SCOPES))  # type: ignore[arg-type]
    assert ask(closed.client, name, key).status_code not in (401, 403)


def test_health_is_told_to_everybody_whatever_key_he_sends(closed: House) -> None:
    for name in ("GET /livez", "GET /readyz", "GET /openapi.json", "GET /style.css"):
        assert ask(closed.client, name).status_code == ask(closed.client, name, "none").status_code == 200


WRONG = {
    "another scheme": "Basic {key}",
    "no scheme": "{key}",
    "no secret": "Bearer {id}",
    "an empty secret": "Bearer {id}.",
    "an unknown id": "Bearer 0123456789ab.{secret}",
    "another id's secret": "Bearer {other}.{secret}",
    "a secret cut short": "Bearer {short}",
    "a secret with more": "Bearer {key}A",
    "nothing": "Bearer ",
    "letters beyond ASCII": "Bearer {id}.é",
    "nobody": "Bearer 000000000000.",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_key_that_does_not_hold_is_refused_even_where_none_is_needed(house: House, name: str) -> None:
    key = house.keys.new(name="one", scopes=frozenset(("operator",)))
    other = house.keys.new(name="two", scopes=frozenset(("operator",)))
    key_id, _, secret = key.partition(".")
    parts = {"key": key, "id": key_id, "secret": secret, "short": key[:-1], "other": other.partition(".")[0]}
    sent = WRONG[name].format(**parts).encode()
    answer = house.client.get("/v1/markets", headers={b"Authorization": sent})  # type: ignore[dict-item]
    unknown = ask(house.client, "GET /v1/markets", "0123456789ab.x")
    assert answer.status_code == 401
    assert {**answer.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert secret not in answer.text


def test_two_keys_at_once_are_refused(house: House) -> None:
    headers = [("Authorization", "Bearer a.b"), ("Authorization", "Bearer a.b")]
    assert house.client.get("/v1/markets", headers=headers).status_code == 400


def test_a_key_that_is_revoked_is_refused_from_the_next_request_on(house: House) -> None:
    key = house.show_key("seller")
    assert house.client.get("/v1/markets").status_code == 200
    Keys(house.keys.path).revoke(key.partition(".")[0])
    assert house.client.get("/v1/markets").status_code == 401


def test_after_a_rotation_both_secrets_hold_until_the_overlap_is_over(house: House) -> None:
    old = house.show_key("seller")
    new = house.keys.rotate(old.partition(".")[0], overlap=timedelta(hours=2))
    assert new != old
    assert [ask(house.client, "GET /v1/markets", key).status_code for key in (old, new)] == [200, 200]
    house.wait(hours=2)
    assert [ask(house.client, "GET /v1/markets", key).status_code for key in (old, new)] == [401, 200]


def test_a_rotation_without_an_overlap_ends_a_secret_at_once(keys: Keys) -> None:
    leaked = keys.new(name="one", scopes=frozenset(("seller",)))
    assert run(keys, "rotate", leaked.partition(".")[0], "--overlap-hours", "0") == 0
    assert keys.holder(leaked) is None


def test_a_rotation_ends_the_secret_before_the_last(house: House) -> None:
    first = house.show_key("seller")
    second = house.keys.rotate(first.partition(".")[0])
    third = house.keys.rotate(first.partition(".")[0])
    answers = [ask(house.client, "GET /v1/markets", key).status_code for key in (first, second, third)]
    assert answers == [401, 200, 200]


def test_a_key_holds_until_it_expires(house: House) -> None:
    key = house.keys.new(name="short", scopes=frozenset(("seller",)), lasts=timedelta(days=1))
    house.wait(days=1, seconds=-1)
    assert ask(house.client, "GET /v1/markets", key).status_code == 200
    house.wait(seconds=1)
    assert ask(house.client, "GET /v1/markets", key).status_code == 401


@pytest.mark.parametrize("damage", [b"", b"[", b'[{"id": "x"}]', b"\xff", b'{"keys": []}', b"null"])
def test_a_damaged_file_lets_nobody_in_with_a_key_and_says_so(
    house: House, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    house.show_key("seller")
    whole = house.keys.path.read_bytes()
    house.keys.path.write_bytes(damage)
    assert house.client.get("/v1/markets").status_code == 401
    assert "nobody is let in" in capsys.readouterr().err
    with pytest.raises(KeysUnreadable):
        house.keys.new(name="more", scopes=frozenset(("seller",)))
    assert house.keys.path.read_bytes() == damage
    house.keys.path.write_bytes(whole)
    assert house.client.get("/v1/markets").status_code == 200


def test_a_file_that_could_not_be_read_for_a_moment_opens_again(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.new(name="one", scopes=frozenset(("seller",)))

    def full(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as hindered:
        hindered.setattr(Path, "read_bytes", full)
        assert keys.holder(key) is None
    assert keys.holder(key) is not None


def test_what_is_kept_opens_nothing(keys: Keys) -> None:
    key = keys.new(name="one", scopes=frozenset(("seller",)))
    kept = keys.path.read_text()
    assert key.partition(".")[2] not in kept
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert list(keys.path.parent.iterdir()) == [keys.path]
    assert keys.holder(f"{key.partition('.')[0]}.{json.loads(kept)[0]['sha256']}") is None
    assert len(key.partition(".")[2]) * 6 >= 256


def test_a_file_that_root_writes_belongs_to_the_owner_of_the_home(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.path.parent.mkdir()
    home, given = keys.path.parent.stat(), []
    monkeypatch.setattr("serving.keys.os.geteuid", lambda: 0)
    monkeypatch.setattr("serving.keys.os.chown", lambda *told: given.append(told[1:]))
    keys.new(name="one", scopes=frozenset(("seller",)))
    assert given == [(home.st_uid, home.st_gid)]


def test_who_is_not_root_gives_no_file_away(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.keys.os.geteuid", lambda: 1000)
    monkeypatch.setattr("serving.keys.os.chown", None)
    keys.new(name="one", scopes=frozenset(("seller",)))


def test_a_change_by_one_is_not_lost_by_another(keys: Keys) -> None:
    made = [Keys(keys.path).new(name=f"{n}", scopes=frozenset(("seller",))) for n in range(5)]
    Keys(keys.path).revoke(made[0].partition(".")[0])
    assert [keys.holder(key) is not None for key in made] == [False, True, True, True, True]


def test_an_unknown_key_can_be_neither_rotated_nor_revoked(keys: Keys) -> None:
    for change in (keys.rotate, keys.revoke):
        with pytest.raises(KeyUnknown):
            change("0123456789ab")


def run(keys: Keys, *words: str) -> int:
    parser = argparse.ArgumentParser()
    keys_command.add(parser.add_subparsers())
    given = parser.parse_args(["keys", *words])
    status: int = given.run(Settings(home=keys.path.parent), given)
    return status


def test_an_operator_makes_rotates_lists_and_revokes_keys(
    keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(keys, "new", "web shop", "--scopes", "storefront, seller", "--days", "30") == 0
    key = capsys.readouterr().out.strip()
    holder = keys.holder(key)
    assert holder and holder.scopes == {"storefront", "seller"}
    assert run(keys, "rotate", holder.id) == 0
    fresh = capsys.readouterr().out.strip()
    assert keys.holder(fresh) == keys.holder(key) == holder
    assert run(keys, "list") == 0
    listed = capsys.readouterr().out
    assert "web shop" in listed and holder.id in listed
    assert key.partition(".")[2] not in listed
    assert run(keys, "revoke", holder.id) == 0
    assert keys.holder(fresh) is None
    assert run(keys, "revoke", holder.id) == 1
    assert run(keys, "new", "x", "--scopes", "everything") == 2
    with pytest.raises(SystemExit):
        run(keys, "new", "x", "--scopes", "seller", "--days", "-1")


def test_an_unknown_id_and_a_wrong_secret_are_compared_alike(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.new(name="one", scopes=frozenset(("seller",)))
    lengths: list[list[int]] = []
    monkeypatch.setattr(
        "serving.keys.hmac.compare_digest", lambda one, other: lengths[-1].extend((len(one), len(other)))
    )
    for key_id in (key.partition(".")[0], "a" * 12):
        lengths.append([])
        assert keys.holder(f"{key_id}.{'A' * 43}") is None
    assert lengths[0] == lengths[1] and len(lengths[0]) == 4


@pytest.mark.soak
@pytest.mark.parametrize("tries", [100_000])
def test_nothing_in_the_time_tells_an_unknown_id_from_a_wrong_secret(keys: Keys, tries: int) -> None:
    key = keys.new(name="one", scopes=frozenset(("seller",)))
    wrong = f"{key.partition('.')[0]}.{'A' * 43}"
    unknown = f"{'a' * 12}.{'A' * 43}"
    took: dict[str, list[int]] = {wrong: [], unknown: []}
    rng = random.Random(1)
    for _ in range(tries):
        for told in rng.sample((wrong, unknown), 2):
            began = time.perf_counter_ns()
            keys.holder(told)
            took[told].append(time.perf_counter_ns() - began)
    assert abs(_t(*(sorted(times)[: int(0.9 * tries)] for times in took.values()))) < 4.5


def _t(one: list[int], other: list[int]) -> float:
    """Welch's t of two samples; without the slowest tenth, which the machine and not the code took."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / error**0.5


def test_the_scopes_of_entries_are_those_of_keys() -> None:
    assert {scope for entry in entries.ENTRIES.values() for scope in entry.scopes} == set(SCOPES)
