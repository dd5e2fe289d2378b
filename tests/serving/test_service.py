"""Laws of the service."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving import service
from serving.settings import Settings


def test_answers_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name TCP; without it each answer is some 40 ms late."""
    with service.listen(Settings(port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_named() -> None:
    with service.listen(Settings(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(service.AddressTaken, match=f"127.0.0.1:{port}"):
            service.listen(Settings(port=port))


@pytest.mark.parametrize(
    ("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("127.0.0.1", "127.0.0.1")]
)
def test_where_one_asks_is_a_name_that_is_taken(host: str, asked: str) -> None:
    with service.listen(Settings(host=host, port=0)) as listening:
        assert service.address_of(listening) == f"http://{asked}:{listening.getsockname()[1]}"
    assert asked in Settings().allowed_hosts


def _started(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving", "--port", "0", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://reprise:hush@127.0.0.1:9/sales",
            "at postgresql://reprise:***@127.0.0.1:9/sales cannot",
        ),
        ("postgresql://127.0.0.1:9/sales?password=hush", "at postgresql://127.0.0.1:9/sales cannot"),
        ("postgresql://reprise@127.0.0.1:hush/sales", "REPRISE_STORE_URL is no URL"),
        ("postgresql://reprise:a@b:hush@127.0.0.1/sales", "REPRISE_STORE_URL is no URL"),
        ("postgresql://reprise:a@hush@127.0.0.1/sales", "REPRISE_STORE_URL is no URL"),
        ("hush", "REPRISE_STORE_URL is no URL"),
        ("sqlite+hush:///sales.db", "cannot be used"),
    ],
)
@pytest.mark.parametrize("words", [(), ("--workers", "2")])
def test_a_store_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REPRISE_STORE_URL", url)
    monkeypatch.setenv("REPRISE_METRICS_PORT", "0")
    ended = _started(tmp_path, *words)
    assert ended.returncode == 1 and told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stderr.replace("sqlite+hush", "")


def test_a_name_that_is_no_setting_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_WORKER", "3")
    ended = _started(tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "reprise-serve: REPRISE_WORKER is no setting: the nearest is REPRISE_WORKERS."
    )


def test_several_workers_do_not_start_without_a_whole_pepper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRISE_METRICS_PORT", "0")
    (tmp_path / "unit-pepper").touch()
    ended = _started(tmp_path, "--workers", "2")
    assert ended.returncode == 1 and str(tmp_path / "unit-pepper") in ended.stderr


def test_who_ends_before_its_parent_ends_in_peace() -> None:
    work = "import time; from serving import service; service.end_with_parent(); time.sleep(0.2)"
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", work], **pipes) as child:  # type: ignore[call-overload]
        assert child.wait(60) == 0
        assert child.stderr.read() == b""
