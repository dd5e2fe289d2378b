"""A quote and a valuation over HTTP beside servers of the same trees and a FastAPI no-op; one device in process.

A quote values a device at six grades, explains the value, decides on an offer and keeps it on the disk; `mlflow models
serve`, MLServer and BentoML predict one row of bare trees, MLflow's sent as a table with the names of its columns or as
numbers. The servers share one core, the clients have another; rounds are interleaved, so that noise falls on all alike.
MLServer and BentoML have an environment of their own, .venv-peers, which `make bench` makes.
"""

from __future__ import annotations

import copy
import json
import os
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from serving import database, examples
from tests.benchmarks import load, peers
from tests.benchmarks.load import Load
from tests.benchmarks.peers import Peer
from tests.serving import postgres
from training.registry import EXPERIMENT, Registry
from valuation import package
from valuation.appraiser import Appraiser
from valuation.catalogue import Catalogue
from valuation.grades import Grade

CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
ROUNDS, SECONDS, WARM_UP_SECONDS = 5, 1.5, 0.7
CLIENTS = (1, 16)
TIMES = 300  # one device in process
HERE = {"market": "DE", "currency": "EUR"}
COURIER = "serving.courier"
AS_TABLE, NOOP = "mlflow models serve, a table", "FastAPI no-op, as ours"
MLSERVER, BENTOML = "MLServer", "BentoML"
PORT = ("--port", "{port}")
MEASURES = (AS_TABLE, NOOP, MLSERVER, BENTOML)  # what the others are measured by
OURS = Path(sys.executable)
PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
Bodies = Callable[[random.Random], list[str]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked of a server, and what came of it, by number of clients and in order of the rounds."""

    name: str
    peer: Peer
    worker: str
    path: str
    bodies: Bodies
    loads: dict[int, list[Load]] = field(default_factory=lambda: {clients: [] for clients in CLIENTS})


@pytest.fixture(scope="module")
def home(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose registry has a champion, delivered, so that a server starts from its own copy."""
    home = tmp_path_factory.mktemp("home")
    registry = Registry(store(home), home / "artifacts")
    version = registry.log(directory=packed, params={}, measures={}, tags={"verdict": "passed"}, files={})
    registry.promote(version.version)
    env = {**os.environ, "REPRISE_HOME": str(home)}
    command = [sys.executable, "-m", COURIER]
    subprocess.run(command, stdin=subprocess.DEVNULL, env=env, check=True, timeout=90)
    return home


@pytest.fixture(scope="module")
def flavoured(home: Path, appraiser: Appraiser) -> Path:
    """The champion's trees as a model of MLflow's own making."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, about itself
        import mlflow

        mlflow.set_tracking_uri(store(home))
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run():
            trees, _ = bare_trees(appraiser)
            logged = mlflow.lightgbm.log_model(trees, name="trees", pip_requirements=["lightgbm"])
        return Path(mlflow.artifacts.download_artifacts(logged.model_uri))


def store(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def device_in_words(appraiser: Appraiser) -> dict[str, object]:
    """The device sold most here, as the appraiser is told of it."""
    sold = appraiser.devices.filter(pl.col("currency") == HERE["currency"])
    return {**sold.drop("currency", "sales").row(0, named=True), "battery_health": 0.87}


def bare_trees(appraiser: Appraiser) -> tuple[lgb.Booster, NDArray[np.float64]]:
    """Trees of the appraiser, and what they are given of one sale: (1, features)."""
    anchor = appraiser.model.location.anchor
    read = appraiser.model.location.encode(table=appraiser.features(devices=appraiser.past.head(1)))
    return anchor.trees[0], anchor.matrix(devices=read)


def one_device(directory: Path) -> tuple[float, float]:
    """Median milliseconds of one appraisal, and of the bare trees on the same row."""
    appraiser = package.load(directory=directory)
    device, (trees, row) = device_in_words(appraiser), bare_trees(appraiser)

    def appraise() -> object:
        return appraiser.appraise_one(device=device, grade=Grade.GOOD, on=appraiser.as_of, **HERE)

    return median_ms(appraise), median_ms(lambda: trees.predict(row, num_threads=1))


def median_ms(step: Callable[[], object]) -> float:
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        step()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


@contextmanager
def beside(core: int) -> Iterator[ProcessPoolExecutor]:
    """A process on a core, with one thread in polars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLARS_MAX_THREADS", "1")
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=peers.pin, initargs=({core},)) as pool:
            yield pool


def one_quote(_: random.Random) -> list[str]:
    """The same device again and again."""
    return [json.dumps(examples.QUOTES["known device"]["value"])]


def many_quotes(appraiser: Appraiser) -> Bodies:
    """Every device of the catalogue, each with a battery that was not asked about before."""
    known = Catalogue.embedded().with_devices(appraiser.devices).variants

    def write(draw: random.Random) -> list[str]:
        asks = []
        for variant in draw.sample(known, len(known)):
            ask = copy.deepcopy(examples.QUOTES["known device"]["value"])
            ask["device"]["device_id"] = variant.device_id
            ask["answers"]["battery_health"] = round(draw.uniform(0.5, 1), 6)
            asks.append(json.dumps(ask))
        return asks

    return write


def many_valuations(appraiser: Appraiser) -> Bodies:
    """The devices of many_quotes, each valued alone and at every grade."""
    write_quotes = many_quotes(appraiser)

    def write(draw: random.Random) -> list[str]:
        bodies = []
        for ask in map(json.loads, write_quotes(draw)):
            unit = {"device": ask["device"], "battery_health": ask["answers"]["battery_health"]}
            bodies.append(json.dumps({"market": ask["market"], "devices": [unit]}))
        return bodies

    return write


def targets(open_peers: ExitStack, home: Path, flavoured: Path, appraiser: Appraiser) -> list[Target]:
    """Start the servers, each when the one before is at rest (ours has a busy courier), and say what they are asked."""

    def start(command: Sequence[str], ready: str, env: Mapping[str, str], python: Path = OURS) -> Peer:
        port, log = peers.free_port(), home / f"{command[0]}.log"
        whole = [str(python), "-m", *(word.format(port=port) for word in command)]
        return open_peers.enter_context(
            peers.serve(whole, ready=ready, port=port, core=SERVER_CORE, log=log, env=env)
        )

    mlflow = start(
        [
            "mlflow",
            "models",
            "serve",
            "-m",
            str(flavoured),
            "--env-manager",
            "local",
            *("--workers", "1"),
            *PORT,
        ],
        "/ping",
        {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    noop = ["tests.benchmarks.noop:app", "--loop", "asyncio", "--http", "httptools", "--no-access-log"]
    nothing = start(["uvicorn", *noop, *PORT], "/", {})
    ours = start(["serving", "--home", str(home), *PORT], "/readyz", {})
    ours.settle()
    quotes, valuations = "/v1/buyback/quotes", "/v1/valuations"
    with_postgres = []
    if postgres.programs():
        store_server = open_peers.enter_context(postgres.running())
        store_url = store_server.url(store_server.database())
        theirs = start(["serving", "--home", str(home), *PORT], "/readyz", {"REPRISE_STORE_URL": store_url})
        theirs.settle()
        with_postgres = [target("the same on PostgreSQL", theirs, "serving", quotes, one_quote)]
    trees, row = bare_trees(appraiser)
    numbers = np.nan_to_num(row).tolist()
    trees.save_model(home / "trees.txt")
    table = {"columns": trees.feature_name(), "data": numbers}
    table_body, numbers_body = json.dumps({"dataframe_split": table}), json.dumps({"inputs": numbers})
    return [
        target("quote, the same device", ours, "serving", quotes, one_quote),
        *with_postgres,
        target("quote, many devices", ours, "serving", quotes, many_quotes(appraiser)),
        target("valuation, many devices", ours, "serving", valuations, many_valuations(appraiser)),
        target(AS_TABLE, mlflow, "scoring_server", "/invocations", lambda _: [table_body]),
        target(
            "mlflow models serve, numbers", mlflow, "scoring_server", "/invocations", lambda _: [numbers_body]
        ),
        *(others(home / "trees.txt", numbers, start) if PEERS.exists() else ()),
        target(NOOP, nothing, "uvicorn", "/", one_quote),
    ]


def others(trees: Path, row: Sequence[Sequence[float]], start: Callable[..., Peer]) -> list[Target]:
    """MLServer and BentoML, each with one process that predicts."""
    folder = trees.parent / "mlserver"
    folder.mkdir()
    parts = {"uri": str(trees)}
    told = {"name": "trees", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": parts}
    (folder / "model-settings.json").write_text(json.dumps(told))
    settings = {
        "MLSERVER_PARALLEL_WORKERS": "0",
        **{f"MLSERVER_{name}_PORT": str(peers.free_port()) for name in ("GRPC", "METRICS")},
    }
    mlserver = start(
        ["tests.benchmarks.peer_mlserver", str(folder), *PORT], "/v2/health/ready", settings, PEERS
    )
    given = {"name": "row", "shape": [1, len(row[0])], "datatype": "FP64", "data": row[0]}
    quiet = {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(trees.parent / "bentoml"), "TREES": str(trees)}
    service = ["bentoml", "serve", "tests.benchmarks.peer_bentoml:Trees", "--api-workers", "1", *PORT]
    bentoml = start(service, "/readyz", quiet, PEERS)
    row_body, inputs_body = json.dumps({"row": row}), json.dumps({"inputs": [given]})
    return [
        target(MLSERVER, mlserver, "mlserver", "/v2/models/trees/infer", lambda _: [inputs_body]),
        target(BENTOML, bentoml, "", "/predict", lambda _: [row_body]),
    ]


def target(name: str, peer: Peer, worker: str, path: str, bodies: Bodies) -> Target:
    return Target(name=name, peer=peer, worker=worker, path=path, bodies=bodies)


def measure(asked: Sequence[Target], pool: ProcessPoolExecutor) -> None:
    """Ask all in turn, round after round; the first round only warms up."""
    for turn in range(ROUNDS + 1):
        for clients in CLIENTS:
            for one in asked:
                load_of_turn = pool.submit(
                    load.drive,
                    port=one.peer.port,
                    path=one.path,
                    bodies=one.bodies(random.Random(f"{turn} {clients}")),
                    clients=clients,
                    seconds=SECONDS if turn else WARM_UP_SECONDS,
                ).result(timeout=60)
                if turn:
                    one.loads[clients].append(load_of_turn)


def report(asked: Sequence[Target]) -> str:
    by_name = {one.name: one for one in asked}
    journal = (
        f"SQLite {database.sqlite3.sqlite_version}, {database.JOURNAL}, synchronous {database.SYNCHRONOUS}"
    )
    lines = [
        f"servers on core {SERVER_CORE}, own raw-socket clients on core {LOAD_CORE} of {len(CORES)}; {journal}",
        f"{ROUNDS} rounds of {SECONDS} s, interleaved: median requests/s [least, most], p50 / p99 in ms of all rounds,",
        f"and the medians of the ratios within a round to: {' | '.join(name for name in MEASURES if name in by_name)}",
    ]
    for clients in CLIENTS:
        lines.append(f"\n{clients} client{'s'[: clients - 1]}")
        for one in asked:
            lines.append(f"  {one.name:<30}{figures(one, clients, by_name)}")
    return "\n".join(lines)


def figures(one: Target, clients: int, by_name: Mapping[str, Target]) -> str:
    rates = [found.per_second for found in one.loads[clients]]
    took = [ms for found in one.loads[clients] for ms in found.took_ms]
    ratios = [
        statistics.median(
            mine.per_second / theirs.per_second
            for mine, theirs in zip(one.loads[clients], by_name[peer].loads[clients], strict=True)
        )
        for peer in MEASURES
        if peer in by_name
    ]
    told = f"{statistics.median(rates):7,.0f} [{min(rates):5,.0f}, {max(rates):5,.0f}]"
    waits = f"{np.percentile(took, 50):8.2f} /{np.percentile(took, 99):7.2f}"
    return f"{told}{waits}  x {' | '.join(f'{ratio:5.2f}' for ratio in ratios)}"


def processes(asked: Sequence[Target]) -> str:
    """Start to ready and memory, once for each server."""
    lines = ["start to ready, and memory after the load"]
    for one in {one.peer.port: one for one in reversed(asked)}.values():
        held = one.peer.resident_mb()
        worker = max(mb for command, mb in held.items() if one.worker in command and COURIER not in command)
        rest = [
            f"{'courier' if COURIER in command else 'its parent'} {mb:.0f} MB"
            for command, mb in held.items()
            if mb != worker
        ]
        told = ", ".join([f"worker {worker:.0f} MB", *rest])
        lines.append(f"  {one.name:<30}{one.peer.ready_seconds:6.1f} s   {told}")
    return "\n".join(lines)


@pytest.mark.bench
@pytest.mark.skipif(sys.platform != "linux", reason="pins to cores and reads /proc")
def test_a_quote_is_measured_beside_mlflow_and_a_no_op(
    home: Path, flavoured: Path, packed: Path, appraiser: Appraiser
) -> None:
    with beside(SERVER_CORE) as pool:
        whole, bare = pool.submit(one_device, packed).result(timeout=120)
    with ExitStack() as open_peers, beside(LOAD_CORE) as pool:
        asked = targets(open_peers, home, flavoured, appraiser)
        measure(asked, pool)
        memory = processes(asked)
    print(f"\n{report(asked)}\n\n{memory}")
    print(
        f"\none device in process, one thread, p50 of {TIMES}: appraise_one {whole:.2f} ms, "
        f"the bare trees on the same row {bare:.2f} ms (x {whole / bare:.1f})"
    )
