"""Whatever lies in a registry or in the folder of a server, the server lives, runs nothing of it, and goes on quoting.

A real server runs on a folder. Each damaged model comes to it twice: by a registry and the courier, and straight, as by
a courier that lies. What whole models say that value otherwise than their golden rows is the courier's to refuse.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from serving.champion import Pointer
from serving.courier import Courier
from tests.journeys.conftest import Server
from tests.serving import mutants
from tests.serving.conftest import ANSWERS
from tests.serving.copies import Registry, digest_of, employ, running
from tests.serving.mutants import Mutant
from tests.serving.test_office import promote
from valuation import package, trial
from valuation.appraiser import AppraiserError

Directories = tuple[Path, ...]
MARK = Path("/tmp/reprise-evil")  # what a doctored model would touch
REFUSED, TAKEN = "champion refused", "champion in office"  # what the log says of a copy
OURS = (
    "serving.courier",
    "pickle.find_class ('babel.",
)  # it starts the courier, and Babel's own tables are pickles
# Writes down what a server does that no model may make it do.
WITNESS = """
import os, sys
if "serving" in sys.orig_argv:
    book = os.open(os.path.join(os.path.dirname(__file__), "deeds"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def witness(event, args):
        if event.startswith(("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "pickle.")):
            os.write(book, f"{event} {args[1] if event == 'subprocess.Popen' else args!r}\\n".encode())
    sys.addaudithook(witness)
"""


@dataclass
class Watched:
    """A running server, with what it logs and does."""

    server: Server
    client: httpx2.Client
    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "champion"

    def log(self) -> str:
        return (self.home / "server.log").read_text()

    def said(self, *events: str) -> int:
        """How often it said something of champions and versions."""
        log = self.log()
        return sum(log.count(f'"event": "{event}"') for event in events)

    def until(self, *events: str, before: int) -> None:
        """Wait until it has said one of these once more."""
        end = time.monotonic() + 60
        while self.said(*events) == before:
            assert self.server.process.poll() is None, "the server died"
            assert time.monotonic() < end, self.log()[-2_000:]
            time.sleep(0.02)

    def answers(self, version: str) -> None:
        """It quotes, and names the version."""
        assert self.client.get("/readyz").status_code == 200
        device = {"device_id": "apple-iphone-13-128gb"}
        ask = {"market": "GB", "device": device, "answers": ANSWERS}
        quote = self.client.post(
            "/v1/buyback/quotes", json=ask, headers={"Idempotency-Key": str(time.time_ns())}
        )
        assert (quote.status_code, quote.json()["model"]["version"]) == (201, version)


@pytest.fixture
def watched(tmp_path: Path, directories: Directories) -> Iterator[Watched]:
    home, witness = tmp_path / "home", tmp_path / "code"
    witness.mkdir()
    (witness / "sitecustomize.py").write_text(WITNESS)
    employ(home / "champion", directories[0], "1")
    MARK.unlink(missing_ok=True)
    with running(home, code=witness) as server, server.client() as client:
        server.read_until("is ready")
        yield Watched(server, client, home)
        assert server.stop() == 0
    deeds = (witness / "deeds").read_text().splitlines()
    assert [deed for deed in deeds if not any(ours in deed for ours in OURS)] == []
    assert not MARK.exists(), "a doctored model ran"


def brought(mutant: Mutant, directory: Path, folder: Path, version: str) -> None:
    """By a registry and the courier: refused, unless it may be as good as it was.

    The trees of four phones weigh nothing, so whole mutants of these are tried below.
    """
    registry = Registry()
    registry.register(version, directory)
    delivery = Courier(client=registry, folder=folder).deliver()  # type: ignore[arg-type]
    assert "made its reader call" not in delivery.reason
    if not (mutant.spared or mutant.whole):
        assert delivery.outcome == "refused", mutant.name


def put(watched: Watched, mutant: Mutant, directory: Path, version: str) -> None:
    """Straight into the folder: refused, unless only a trial could tell."""
    either, office = watched.said(REFUSED, TAKEN), watched.said(TAKEN)
    digest = digest_of(directory)
    kept = watched.folder / digest
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(directory, kept)
    Pointer(version=version, digest=digest, run_id="lie").write(watched.folder)
    watched.until(REFUSED, TAKEN, before=either)
    if not (mutant.whole or mutant.spared):
        assert watched.said(TAKEN) == office, mutant.name
        watched.answers("1")


def stands(watched: Watched, honest: Path, every: list[Mutant], scratch: Path) -> None:
    """Let every mutant come both ways, with the honest champion again in between."""
    for place, mutant in enumerate(every, 2):
        directory = Path(shutil.copytree(honest, scratch / "mutant"))
        mutant.make(directory)
        brought(mutant, directory, scratch / "aside", str(place))
        put(watched, mutant, directory, str(place))
        for copy in (scratch / "mutant", *watched.folder.glob("?" * 64)):
            shutil.rmtree(copy, ignore_errors=True)
        before = watched.said(TAKEN)
        employ(watched.folder, honest, "1")
        watched.until(TAKEN, before=before)
    watched.answers("1")


def test_damaged_models_are_refused_and_the_server_goes_on(
    watched: Watched, directories: Directories, tmp_path: Path
) -> None:
    stands(watched, directories[0], mutants.drawn(many=60, seed=11), tmp_path)


@pytest.mark.soak
def test_a_thousand_damaged_models_are_refused_and_the_server_goes_on(
    watched: Watched, directories: Directories, tmp_path: Path
) -> None:
    stands(watched, directories[0], mutants.drawn(many=1_000, seed=12), tmp_path)


@pytest.mark.parametrize("mutant", [m for m in mutants.DELIBERATE if m.whole], ids=lambda m: m.name)
def test_a_whole_model_that_values_otherwise_is_refused_by_its_golden_rows(
    packed: Path, tmp_path: Path, mutant: Mutant
) -> None:
    directory = Path(shutil.copytree(packed, tmp_path / "mutant"))
    mutant.make(directory)
    with pytest.raises(AppraiserError, match="trial"):
        trial.try_out(directory=directory, timeout_seconds=60)


def test_a_doctored_model_in_mlflow_runs_nothing_and_the_old_champion_serves(
    watched: Watched, directories: Directories, tmp_path: Path
) -> None:
    evil = Path(shutil.copytree(directories[1], tmp_path / "evil"))
    mutants.code(evil)
    assert promote(watched.home, directories[0]) == "1"
    promote(watched.home, evil)
    watched.until("version refused", before=0)
    watched.answers("1")


def test_after_a_restart_without_a_registry_the_last_good_copy_serves_where_the_newest_is_damaged(
    directories: Directories, tmp_path: Path
) -> None:
    for version, directory in zip("12", directories[:2], strict=True):
        employ(tmp_path / "champion", directory, version)
    (tmp_path / "champion" / digest_of(directories[1]) / package.TREES).write_text("rotten")
    with running(tmp_path) as server, server.client() as client:
        server.read_until("is ready")
        watched = Watched(server, client, tmp_path)
        watched.answers("1")
        assert watched.said("an earlier champion is in office: promote again") == 1
        assert server.stop() == 0
