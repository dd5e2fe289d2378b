"""Laws of the settings."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.settings import PepperUnusable, Settings


def test_everything_lies_in_the_home_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.quotes == f"sqlite:///{tmp_path}/quotes.db"
    assert settings.champion == tmp_path / "champion"
    assert settings.registry == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_environment_is_read_and_the_command_line_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPRISE_PORT", "9001")
    monkeypatch.setenv("REPRISE_ALLOWED_HOSTS", "reprise.example, localhost")
    monkeypatch.setenv("REPRISE_TRACKING_URI", "http://127.0.0.1:5000")
    settings = Settings(home=tmp_path, host="0.0.0.0")
    assert (settings.port, settings.host) == (9001, "0.0.0.0")
    assert settings.allowed_hosts == ("reprise.example", "localhost")
    assert settings.registry == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "x"), ("PORT", "70000"), ("REGISTRY_EVERY_SECONDS", "0"), ("SIGNING_KEY", "k" * 31)],
)
def test_a_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"REPRISE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_another_process_gets_the_same_home_wherever_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Settings(home=Path("state")).environment()
    assert environment["REPRISE_HOME"] == str(tmp_path / "state")
    assert environment["REPRISE_TRACKING_URI"] == f"sqlite:///{tmp_path}/state/mlflow.db"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("REPRISE_STORE_URI", "REPRISE_STORE_URL"),
        ("REPRISE_WORKER", "REPRISE_WORKERS"),
        ("reprise_prot", "REPRISE_PORT"),
    ],
)
def test_a_name_that_is_no_setting_stops_the_start_and_the_nearest_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "hush")
    with pytest.raises(ValidationError) as refused:
        Settings()
    told = refused.value.errors()[0]["msg"]
    assert f"{name} is no setting: the nearest is {nearest}." in told and "hush" not in told


def test_names_that_others_read_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_DATABASE_PASSWORD", "x")
    monkeypatch.setenv("reprise_port", "9001")
    assert Settings().port == 9001


def test_hosts_are_kept_as_a_header_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_ALLOWED_HOSTS", "Shop.Example.com, ::1, [FE80::1]")
    assert Settings().allowed_hosts == ("shop.example.com", "[::1]", "[fe80::1]")


def test_the_pepper_is_made_once_for_all_who_start_at_once(tmp_path: Path) -> None:
    homes = [Settings(home=tmp_path / "home")] * 16
    with ThreadPoolExecutor(16) as together:
        peppers = set(together.map(Settings.pepper, homes))
    file = tmp_path / "home" / "unit-pepper"
    assert peppers == {file.read_bytes()} and len(file.read_bytes()) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_pepper_has_its_name_only_when_it_is_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that another made in the meantime is taken."""
    file, link = tmp_path / "unit-pepper", os.link

    def late(fresh: str, name: Path) -> None:
        assert not file.exists() and len(Path(fresh).read_bytes()) == 32
        file.write_bytes(b"other" * 8)
        link(fresh, name)

    monkeypatch.setattr("serving.settings.os.link", late)
    assert Settings(home=tmp_path).pepper() == b"other" * 8


@pytest.mark.parametrize("held", [b"", b"short"])
def test_a_pepper_that_is_none_is_refused_with_its_file(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "unit-pepper").write_bytes(held)
    with pytest.raises(PepperUnusable, match=f"{tmp_path}/unit-pepper holds {len(held)} bytes"):
        Settings(home=tmp_path).pepper()


def test_the_seed_of_draws_is_secret_and_the_same_for_all_servers_of_a_store(tmp_path: Path) -> None:
    first, second = (Settings(home=tmp_path / name) for name in "ab")
    assert first.seed() == Settings(home=tmp_path / "a").seed() != second.seed()
    shared = {"unit_pepper": "p" * 32}
    assert Settings(home=tmp_path / "a", **shared).seed() == Settings(home=tmp_path / "b", **shared).seed()
    assert Settings(home=tmp_path, exploration_seed="ours").seed() == "ours"
    with pytest.raises(PepperUnusable, match="REPRISE_UNIT_PEPPER holds 31 bytes"):
        Settings(home=tmp_path, unit_pepper="p" * 31).pepper()
