"""An hour of work: champions change, some of what comes is malformed, and the server holds no more at the end."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.journeys import crowds
from tests.journeys.conftest import Server, Start
from tests.journeys.customers import ANSWERS
from tests.journeys.test_faults import DEVICES
from tests.journeys.test_under_attack import PRICE_CHECK, QUOTES, memory_mb, needs_proc, port
from tests.serving.copies import employ

SAMPLE_SECONDS, SWAP_SECONDS, PAUSE_SECONDS = 2.0, 20.0, 0.1
A_MINUTE = int(60 / SAMPLE_SECONDS)  # samples
PRICES = range(80, 500)


def quotes(draw: random.Random) -> list[str]:
    """Quotes of devices that differ in their batteries; one in twenty is no JSON, of no device or of no market."""
    bodies = []
    for number in range(2000):
        ask = {
            "market": "GB",
            "device": {"device_id": draw.choice(DEVICES)},
            "answers": ANSWERS | {"battery_health": draw.randrange(500, 1000) / 1000},
        }
        ask |= {19: {"market": "XX"}, 39: {"device": {"device_id": "none"}}}.get(number % 40, {})
        bodies.append(json.dumps(ask)[: -1 if number % 60 == 59 else None])
    return bodies


def checks(draw: random.Random) -> list[str]:
    """Price checks; one in twenty asks for nothing."""
    return [
        json.dumps(
            {
                "market": "GB",
                "device": {"device_id": draw.choice(DEVICES)},
                "grade": "GOOD",
                "price": {"amount": f"{draw.choice(PRICES) if number % 20 else 0}.00", "currency": "GBP"},
            }
        )
        for number in range(2000)
    ]


def swap(folder: Path, directories: Sequence[Path], over: threading.Event) -> None:
    """Bring one appraiser after the other into office."""
    for version in itertools.count():
        employ(folder, directories[version % len(directories)], str(version))
        if over.wait(SWAP_SECONDS):
            return


def held(server: Server) -> tuple[float, int, int, float]:
    """Megabytes, open descriptors, threads, and the megabytes that are no file's, of the process."""
    process = Path(f"/proc/{server.process.pid}")
    descriptors, threads = (len(list((process / name).iterdir())) for name in ("fd", "task"))
    own = (process / "status").read_text().partition("RssAnon:")[2].split()[0]
    return memory_mb(server), descriptors, threads, int(own) / 1024


@needs_proc
@pytest.mark.soak
@pytest.mark.parametrize("minutes", [60])
def test_a_server_at_work_holds_no_more_at_the_end(
    start: Start, pack: Callable[..., Path], tmp_path: Path, minutes: int
) -> None:
    directories, draw, over = (pack(), pack(level=1.2)), random.Random(1), threading.Event()
    employ(tmp_path / "champion", directories[0], "first")
    with start(tmp_path) as server, crowds.apart(2) as asking:
        server.read_until("ready")
        swapping = threading.Thread(target=swap, args=(tmp_path / "champion", directories, over))
        swapping.start()
        pace = {"port": port(server), "clients": 12, "seconds": 60.0 * minutes, "pause": PAUSE_SECONDS}
        told = [
            asking.submit(crowds.ask, path=path, bodies=bodies, **pace)
            for path, bodies in ((QUOTES, quotes(draw)), (PRICE_CHECK, checks(draw)))
        ]
        samples = []
        while not all(each.done() for each in told):
            over.wait(SAMPLE_SECONDS)
            samples.append(held(server))
        over.set()
        swapping.join()
        answers = [
            {status: len(took) for status, took in sorted(each.result().took.items())} for each in told
        ]
        assert server.stop() == 0
    whole = np.array(samples[: len(samples) // A_MINUTE * A_MINUTE]).reshape(-1, A_MINUTE, 4)
    least = whole.min(axis=1)  # of each minute: what is held between two champions
    later = least[len(least) // 2 :]  # the first half warms up
    hours = np.arange(len(later)) / 60
    slope, own = (float(np.polyfit(hours, later[:, place], 1)[0]) for place in (0, 3))
    descriptors, threads = (whole[len(least) // 2 :, :, place] for place in (1, 2))
    print(
        f"{minutes} minutes, {answers}: {slope:+.2f} MB/h, {own:+.2f} without files; {later[0][0]:.1f} to "
        f"{later[-1][0]:.1f} MB, descriptors {descriptors.min():.0f} to {descriptors.max():.0f}, "
        f"threads {threads.min():.0f} to {threads.max():.0f}"
    )
    print(np.round(least[:, [0, 3]], 1).tolist())
    assert not [status for each in answers for status in each if status >= 500]
    assert slope < 1
    assert np.ptp(descriptors) <= 30  # of clients that come and go, and of copies while they are read
    assert np.ptp(threads) <= 2
