"""A quote and a valuation over HTTP beside servers of boosters and a FastAPI no-op; one device in process.

A quote values a device at six grades, explains the value, decides on an offer and keeps it on the disk. `mlflow models
serve`, MLServer and BentoML predict one row, with three boosters for a value and its range, 500 trees of 63 leaves
each, as a house without Reprise would have them, and with the bare trees of the champion, a small part of what it
values with. The servers share one core, the clients have another; rounds are interleaved, so that noise falls on all.
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
NOOP = "FastAPI no-op, as ours"
MLFLOW, MLSERVER, BENTOML = "mlflow models serve", "MLServer", "BentoML"
TREES, BOOSTERS = "its trees", "three boosters"
MEASURES = (
    f"{MLFLOW}, {BOOSTERS}",
    f"{MLSERVER}, {BOOSTERS}",
    f"{BENTOML}, {BOOSTERS}",
    f"{MLFLOW}, {TREES}",
    NOOP,
)  # what the others are measured by
PORT = ("--port", "{port}")
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


@dataclass(frozen=True, kw_only=True)
class Served:
    """Boosters that a peer serves: their files, the row it is asked, as a table with its columns and as numbers."""

    name: str
    files: list[Path]
    columns: list[str]
    row: list[float]

    def logged(self) -> Path:
        """The boosters as a model of MLflow's."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's, about itself
            import mlflow

            with mlflow.start_run():
                found = mlflow.pyfunc.log_model(
                    name="boosters",
                    python_model=str(Path(__file__).parent / "peer_mlflow.py"),
                    artifacts={str(place): str(file) for place, file in enumerate(self.files)},
                    pip_requirements=["lightgbm"],
                )
            return Path(mlflow.artifacts.download_artifacts(found.model_uri))


@pytest.fixture(scope="module")
def served(home: Path, appraiser: Appraiser) -> list[Served]:
    """The trees of the champion, and three boosters for a tenth, the middle and nine tenths, on the same features."""
    import mlflow

    mlflow.set_tracking_uri(store(home))
    mlflow.set_experiment(EXPERIMENT)
    trees, row = bare_trees(appraiser)
    table = appraiser.features(devices=appraiser.past).drop("day")
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    matrix = table.with_columns(pl.col(texts).rank("dense").cast(pl.Float64)).to_numpy()
    prices = np.log(appraiser.past["price"].to_numpy())
    learned = [
        lgb.train(
            {"objective": "quantile", "alpha": alpha, "num_leaves": 63, "min_data_in_leaf": 5, "verbose": -1},
            lgb.Dataset(matrix, prices, feature_name=table.columns, categorical_feature=texts),
            num_boost_round=500,
        )
        for alpha in (0.1, 0.5, 0.9)
    ]
    return [
        _saved(TREES, [trees], np.nan_to_num(row[0]), home),
        _saved(BOOSTERS, learned, np.nan_to_num(matrix[0]), home),
    ]


def _saved(name: str, boosters: Sequence[lgb.Booster], row: NDArray[np.float64], home: Path) -> Served:
    files = [home / f"{name} {place}.txt" for place in range(len(boosters))]
    for booster, file in zip(boosters, files, strict=True):
        booster.save_model(file)
    return Served(name=name, files=files, columns=boosters[0].feature_name(), row=row.tolist())


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


def targets(
    open_peers: ExitStack, home: Path, served: Sequence[Served], appraiser: Appraiser
) -> list[Target]:
    """Start the servers, each when the one before is at rest (ours has a busy courier), and say what they are asked."""

    def start(command: Sequence[str], ready: str, env: Mapping[str, str], python: Path = OURS) -> Peer:
        port, log = peers.free_port(), home / f"{command[0]}.log"
        whole = [str(python), "-m", *(word.format(port=port) for word in command)]
        return open_peers.enter_context(
            peers.serve(whole, ready=ready, port=port, core=SERVER_CORE, log=log, env=env)
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
    return [
        target("quote, the same device", ours, "serving", quotes, one_quote),
        *with_postgres,
        target("quote, many devices", ours, "serving", quotes, many_quotes(appraiser)),
        target("valuation, many devices", ours, "serving", valuations, many_valuations(appraiser)),
        *(each for boosters in served for each in others(boosters, home, start)),
        target(NOOP, nothing, "uvicorn", "/", one_quote),
    ]


def others(served: Served, home: Path, start: Callable[..., Peer]) -> list[Target]:
    """Servers of models with one process each that predicts."""
    called = ["mlflow", "models", "serve", "-m", str(served.logged()), "--env-manager", "local"]
    mlflow = start([*called, "--workers", "1", *PORT], "/ping", {"MLFLOW_DISABLE_TELEMETRY": "true"})
    table = json.dumps({"dataframe_split": {"columns": served.columns, "data": [served.row]}})
    found = [target(f"{MLFLOW}, {served.name}", mlflow, "scoring_server", "/invocations", lambda _: [table])]
    if not PEERS.exists():
        return found
    boosters = {"BOOSTERS": os.pathsep.join(map(str, served.files))}
    folder = home / f"mlserver {served.name}"
    folder.mkdir()
    told = {"name": "boosters", "implementation": "tests.benchmarks.peer_mlserver.Boosters"}
    (folder / "model-settings.json").write_text(json.dumps(told))
    ports = {f"MLSERVER_{name}_PORT": str(peers.free_port()) for name in ("GRPC", "METRICS")}
    settings = {**boosters, **ports, "MLSERVER_PARALLEL_WORKERS": "0"}
    runtime = ["tests.benchmarks.peer_mlserver", str(folder), *PORT]
    mlserver = start(runtime, "/v2/health/ready", settings, PEERS)
    row = {"name": "row", "shape": [1, len(served.row)], "datatype": "FP64", "data": served.row}
    inputs, rows = json.dumps({"inputs": [row]}), json.dumps({"row": [served.row]})
    service = ["bentoml", "serve", "tests.benchmarks.peer_bentoml:Boosters", "--api-workers", "1", *PORT]
    quiet = {**boosters, "BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(home / "bentoml")}
    bentoml = start(service, "/readyz", quiet, PEERS)
    return [
        *found,
        target(
            f"{MLSERVER}, {served.name}",
            mlserver,
            "mlserver",
            "/v2/models/boosters/infer",
            lambda _: [inputs],
        ),
        target(f"{BENTOML}, {served.name}", bentoml, "", "/predict", lambda _: [rows]),
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
            lines.append(f"  {one.name:<37}{figures(one, clients, by_name)}")
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
        lines.append(f"  {one.name:<37}{one.peer.ready_seconds:6.1f} s   {told}")
    return "\n".join(lines)


@pytest.mark.bench
@pytest.mark.skipif(sys.platform != "linux", reason="pins to cores and reads /proc")
def test_a_quote_is_measured_beside_mlflow_and_a_no_op(
    home: Path, served: list[Served], packed: Path, appraiser: Appraiser
) -> None:
    with beside(SERVER_CORE) as pool:
        whole, bare = pool.submit(one_device, packed).result(timeout=120)
    with ExitStack() as open_peers, beside(LOAD_CORE) as pool:
        asked = targets(open_peers, home, served, appraiser)
        measure(asked, pool)
        memory = processes(asked)
    print(f"\n{report(asked)}\n\n{memory}")
    print(
        f"\none device in process, one thread, p50 of {TIMES}: appraise_one {whole:.2f} ms, "
        f"the bare trees on the same row {bare:.2f} ms (x {whole / bare:.1f})"
    )
