"""Laws of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.settings import Settings


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
    ("name", "value"), [("PORT", "x"), ("PORT", "70000"), ("REGISTRY_EVERY_SECONDS", "0")]
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
