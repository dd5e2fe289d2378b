"""The data scientist's commands. Exit 0: done; 1: refused, with reasons; 2: wrong use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training import backtest, devices, fitting, intake, mapping, ratio_study, report, retrain, simulator
from training.registry import Registry
from training.version import RegistryError
from valuation import ledger, package
from valuation.appraiser import AppraiserError

app = typer.Typer(
    help="Learn what refurbished devices sell for, judge it honestly, and put it into office.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
WIDE = 120  # columns at least, so that no table is cut where the output is no terminal
out = Console(soft_wrap=True, width=max(WIDE, Console().width))
err = Console(stderr=True, soft_wrap=True)

REFUSALS = (
    AppraiserError,
    RegistryError,
    backtest.BacktestError,
    fitting.TooFewSalesError,
    intake.IntakeError,
    ledger.LedgerError,
    ratio_study.StudyError,
    mapping.MappingError,
    simulator.SimulatorError,
)

Home = Annotated[Path, typer.Option(envvar="REPRISE_HOME", help="Where registry and artefacts live.")]
Uri = Annotated[
    str,
    typer.Option("--tracking-uri", envvar="REPRISE_TRACKING_URI", help="MLflow store; default in the home."),
]
Sales = Annotated[Path, typer.Option(help="SALES: csv, csv.gz or parquet.")]
Map = Annotated[Path | None, typer.Option("--map", help="Mapping file that turns your table into SALES.")]
AsOf = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day that may occur; default today.")
]
WindowDays = Annotated[int, typer.Option(min=1, help="Length of a window that is predicted.")]
Origins = Annotated[
    int | None, typer.Option(min=1, help="Number of windows; default as many as fit, at most 6.")
]
Embargo = Annotated[int, typer.Option(min=0, help="Days before a window that were not yet known.")]
MaxFaults = Annotated[
    float, typer.Option(min=0, max=1, help="Share of faulty rows above which nothing is trained.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
HERE = Path(".reprise")


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a refusal into its reasons and exit code 1."""
    try:
        yield
    except REFUSALS as error:
        err.print(f"Refused: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done, and how long it took."""
    with err.status("starting") as status:

        def say(step: str) -> None:
            status.update(step)
            err.log(step, highlight=False)

        yield say


def _registry(home: Path, uri: str) -> Registry:
    home.mkdir(parents=True, exist_ok=True)
    return Registry(
        tracking_uri=uri or f"sqlite:///{home.absolute() / 'mlflow.db'}",
        artifacts=home.absolute() / "artifacts",
    )


def _day(as_of: datetime | None) -> date:
    return as_of.date() if as_of else datetime.now(UTC).date()


def _read(path: Path, kind: str, map_path: Path | None, as_of: datetime | None) -> intake.Intake:
    chosen = mapping.load(map_path) if map_path else None
    return intake.read(path=path, contract=ledger.CONTRACTS[kind], mapping=chosen, as_of=_day(as_of))


def _print(frame: Any, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(name, no_wrap=True)
    for row in frame.iter_rows():
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
    out.print(table, markup=False)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Tables to audit.")],
    kind: Annotated[str, typer.Option(help="sales, listings, quotes or devices.")] = "sales",
    map_path: Map = None,
    as_of: AsOf = None,
    faults: Annotated[
        Path | None, typer.Option(help="Where to write the faults; default beside each file.")
    ] = None,
) -> None:
    """Audit tables: print the rules broken, and write every fault with row, rule and value."""
    if kind not in ledger.CONTRACTS:
        raise typer.BadParameter(f"{kind!r} is no table; there are {', '.join(ledger.CONTRACTS)}.")
    broken = False
    for path in files:
        with refusing():
            read = _read(path, kind, map_path, as_of)
        out.print(
            f"{path}: {read.read:,} rows, {read.good.height:,} good, {read.faults['row'].n_unique():,} faulty, "
            f"{read.aside.height:,} set aside",
            highlight=False,
        )
        if read.faults.height:
            broken = True
            _print(intake.broken_rules(read.faults), "Rules broken")
            target = faults or path.with_name(f"{path.name}.faults.csv")
            devices.write(table=read.faults, path=target)
            out.print(f"Faults written to {target}", highlight=False)
        if read.aside.height:
            _print(read.aside.group_by("rule").len().sort("len", descending=True), "Set aside by the mapping")
    raise typer.Exit(int(broken))


@app.command(name="backtest")
def backtest_(
    sales: Sales,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for predictions, study and report.")],
    map_path: Map = None,
    as_of: AsOf = None,
    window_days: WindowDays = 28,
    origins: Origins = None,
    embargo_days: Embargo = 0,
    max_faults: MaxFaults = 0.02,
    seed: Seed = 1,
) -> None:
    """Predict past sales from those before them, and study the errors beside the baselines'."""
    with refusing(), progress() as say:
        say("reading")
        plan = retrain.Plan(
            paths=(sales,),
            read=_read(sales, "sales", map_path, as_of),
            window_days=window_days,
            origins=origins,
            embargo_days=embargo_days,
            max_fault_share=max_faults,
            seed=seed,
        )
        intake.refuse_above(plan.read, max_faults)
        predictions = retrain.rehearse(plan=plan, say=say)
        study = ratio_study.study(predictions)
        out_dir.mkdir(parents=True, exist_ok=True)
        predictions.write_parquet(out_dir / "predictions.parquet")
        report.write(
            study=study, verdict=None, directory=out_dir, title=f"Backtest of {sales.name}", simulated=False
        )
    _print(study.table(), "Out of time")
    out.print(f"Written to {out_dir}: predictions.parquet, study.json, report.html", highlight=False)


@app.command(name="retrain")
def retrain_(
    sales: Sales,
    map_path: Map = None,
    as_of: AsOf = None,
    promote: Annotated[bool, typer.Option("--promote", help="Put it into office if it passed.")] = False,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Promote in spite of the verdict; it is recorded.")
    ] = False,
    window_days: WindowDays = 28,
    origins: Origins = None,
    embargo_days: Embargo = 0,
    max_faults: MaxFaults = 0.02,
    seed: Seed = 1,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Audit, judge, fit, register; promote only what passed."""
    with refusing(), progress() as say:
        say("reading")
        plan = retrain.Plan(
            paths=(sales,),
            read=_read(sales, "sales", map_path, as_of),
            window_days=window_days,
            origins=origins,
            embargo_days=embargo_days,
            max_fault_share=max_faults,
            seed=seed,
            gated=not no_gate,
        )
        outcome = retrain.retrain(plan=plan, registry=_registry(home, tracking_uri), promote=promote, say=say)
    _tell(outcome)
    raise typer.Exit(0 if outcome.verdict.passed or no_gate else 1)


def _tell(outcome: retrain.Outcome) -> None:
    learned = " on a SIMULATED market" if outcome.version.simulated else ""
    _print(outcome.study.table(), f"Out of time{learned}")
    out.print(f"Verdict: {'passed' if outcome.verdict.passed else 'FAILED'}", style="bold")
    for reason in outcome.verdict.reasons:
        out.print(f"  {'ok ' if reason.passed else 'NO '} {reason.sentence}", markup=False, highlight=False)
    out.print(f"Registered as version {outcome.version.version}", highlight=False)


@app.command()
def demo(home: Home = HERE, tracking_uri: Uri = "", seed: Seed = 1) -> None:
    """Train on a small simulated market and put the result into office, unless there is a champion."""
    with refusing():
        registry = _registry(home, tracking_uri)
        champion = registry.champion()
        if champion is not None:
            out.print(f"Version {champion.version} is in office; nothing to do.", highlight=False)
            return
        out.print("No champion yet: training on a SIMULATED market, so that there is something to look at.")
        with tempfile.TemporaryDirectory() as folder, progress() as say:
            say("simulating a market")
            path = simulator.write(simulator.simulate(sales=DEMO_SALES, seed=seed), Path(folder))
            read = intake.read(path=path, contract=ledger.SALES, mapping=None, as_of=None)
            plan = retrain.Plan(paths=(path,), read=read, origins=2, seed=seed, simulated=True)
            outcome = retrain.retrain(plan=plan, registry=registry, promote=True, say=say)
    _tell(outcome)
    raise typer.Exit(0 if outcome.verdict.passed else 1)


DEMO_SALES = 12_000


@app.command()
def models(home: Home = HERE, tracking_uri: Uri = "") -> None:
    """List the registered appraisers, newest first, and which is in office."""
    with refusing():
        versions = _registry(home, tracking_uri).versions()
    table = Table()
    for name in ("version", "office", "verdict", "as of", "sales", "n", "MdAPE", "cover 90", "data"):
        table.add_column(name, no_wrap=True)
    for version in versions:
        table.add_row(*version.row())
    out.print(
        table if versions else "No appraiser is registered yet. Run: reprise retrain --sales FILE --promote"
    )


@app.command()
def promote(
    version: str,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="In spite of a failed verdict; it is recorded.")
    ] = False,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Put a registered version into office."""
    with refusing():
        _registry(home, tracking_uri).promote(version, despite_verdict=no_gate)
    out.print(f"Version {version} is in office.", highlight=False)


@app.command()
def rollback(home: Home = HERE, tracking_uri: Uri = "") -> None:
    """Put the champion before this one back into office."""
    with refusing():
        version = _registry(home, tracking_uri).rollback()
    out.print(f"Version {version.version} is in office again.", highlight=False)


@app.command()
def appraise(
    devices_path: Annotated[Path, typer.Option("--devices", help="The SALES columns without price.")],
    on: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Day of the value; a column `on` overrides it.")
    ],
    out_path: Annotated[Path, typer.Option("--out", help="csv or parquet; one row per row, in order.")],
    appraiser: Annotated[str, typer.Option(help="A directory, a version, or nothing for the champion.")] = "",
    map_path: Map = None,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Value a file of devices; exit 1 if a row could not be valued (it says why in `fault`)."""
    with refusing(), tempfile.TemporaryDirectory() as folder:
        directory = Path(appraiser) if appraiser and Path(appraiser).is_dir() else None
        if directory is None:
            directory = _registry(home, tracking_uri).fetch(appraiser or None, Path(folder))
        found = package.load(directory=directory)
        chosen = mapping.load(map_path) if map_path else None
        table = devices.appraise(path=devices_path, on=on.date(), appraiser=found, mapping=chosen)
        devices.write(table=table, path=out_path)
    missed = table["fault"].is_not_null().sum()
    told = " with a SIMULATED market's prices" if found.simulated else ""
    out.print(
        f"{table.height - missed:,} of {table.height:,} devices valued{told}: {out_path}", highlight=False
    )
    raise typer.Exit(int(missed > 0))


if __name__ == "__main__":
    app()
