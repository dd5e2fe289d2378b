"""The data scientist's commands. Exit 0: done; 1: refused, with reasons; 2: wrong use."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from training import (
    devices,
    intake,
    inventing,
    mapping,
    offers,
    ratio_study,
    rehearsing,
    report,
    retrain,
    screen,
    settings,
)
from training.registry import Registry
from training.settings import DEFAULTS, Settings
from training.simulator import market
from training.version import RegistryError
from valuation import ledger, package, signature, trial
from valuation.appraiser import NAME, Appraiser

app = typer.Typer(
    help="Learn what refurbished devices sell for, judge it honestly, and put it into office.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(inventing.simulate)
app.command()(inventing.scenarios)
app.command(name="offers-study")(rehearsing.offers_study_)

HERE = Path(".reprise")
DEMO_SALES = 12_000
SIGNING_KEY = "REPRISE_SIGNING_KEY"  # no option: whoever lists the processes would read it

Home = Annotated[Path, typer.Option(envvar="REPRISE_HOME", help="Where registry and artefacts live.")]
Uri = Annotated[
    str,
    typer.Option("--tracking-uri", envvar="REPRISE_TRACKING_URI", help="MLflow store; default in the home."),
]
Sales = Annotated[Path, typer.Option(help="SALES: csv, csv.gz or parquet.")]
Listings = Annotated[Path | None, typer.Option(help="LISTINGS: audited; not learned from yet.")]
Quotes = Annotated[Path | None, typer.Option(help="QUOTES: who takes which offer, and what is found.")]
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
Tuned = Annotated[Path | None, typer.Option(help="Settings that reprise tune wrote.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


def _registry(home: Path, uri: str) -> Registry:
    home.mkdir(parents=True, exist_ok=True)
    store = uri or f"sqlite:///{home.absolute() / 'mlflow.db'}"
    try:
        key = signature.checked(os.environ.get(SIGNING_KEY, ""))
    except ValueError as error:
        raise RegistryError(f"{SIGNING_KEY}: {error}.") from None
    return Registry(tracking_uri=store, artifacts=home.absolute() / "artifacts", signing_key=key)


def _read(path: Path, kind: str, map_path: Path | None, as_of: datetime | None) -> intake.Intake:
    chosen = mapping.load(map_path) if map_path else None
    day: date = as_of.date() if as_of else datetime.now(UTC).date()
    return intake.read(path=path, contract=ledger.CONTRACTS[kind], mapping=chosen, as_of=day)


def _audit_listings(path: Path | None, as_of: datetime | None, max_faults: float) -> None:
    """Refuse what is wrong with the listings that come with the sales."""
    if path is not None:
        listings = _beside(path, "listings", as_of, max_faults)
        screen.say(f"{path}: {listings.height:,} good listings; nothing is learned from them yet")


def _beside(path: Path, kind: str, as_of: datetime | None, max_faults: float) -> pl.DataFrame:
    """The good rows of a table that comes with the sales; refused where too many are faulty."""
    read = _read(path, kind, None, as_of)
    intake.refuse_above(read, max_faults)
    return read.good


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Tables to audit.")],
    kind: Annotated[str, typer.Option(help="sales, listings, quotes or devices.")] = "sales",
    map_path: Map = None,
    as_of: AsOf = None,
    faults: Annotated[
        Path | None, typer.Option(help="Where to write the faults; default beside the file.")
    ] = None,
) -> None:
    """Audit tables: print the rules broken, and write every fault with row, rule and value."""
    if kind not in ledger.CONTRACTS:
        raise typer.BadParameter(f"{kind!r} is no table; there are {', '.join(ledger.CONTRACTS)}.")
    if faults and len(files) > 1:
        raise typer.BadParameter("--faults names one file; audit one table at a time, or leave it out.")
    with screen.refusing():
        clean = [_checked(path, _read(path, kind, map_path, as_of), faults) for path in files]
    raise typer.Exit(0 if all(clean) else 1)


def _checked(path: Path, read: intake.Intake, faults: Path | None) -> bool:
    screen.say(
        f"{path}: {read.read:,} rows, {read.good.height:,} good, {read.faults['row'].n_unique():,} faulty, "
        f"{read.aside.height:,} set aside"
    )
    if read.aside.height:
        counted = (
            read.aside.group_by("rule").agg(rows=pl.len()).sort("rows", "rule", descending=[True, False])
        )
        screen.table(counted, "Set aside by the mapping")
    if read.faults.is_empty():
        return True
    screen.faults(read.faults)
    target = faults or path.with_name(f"{path.name}.faults.csv")
    devices.write(table=read.faults, path=target)
    screen.say(f"Faults written to {target}")
    return False


@app.command(name="backtest")
def backtest_(
    sales: Sales,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for predictions, study and report.")],
    listings: Listings = None,
    quotes: Quotes = None,
    map_path: Map = None,
    as_of: AsOf = None,
    window_days: WindowDays = 28,
    origins: Origins = None,
    embargo_days: Embargo = 0,
    max_faults: MaxFaults = 0.02,
    seed: Seed = 1,
    tuned: Tuned = None,
) -> None:
    """Predict past sales from those before them, and study the errors beside the baselines'."""
    with screen.refusing(), screen.progress() as step:
        step("reading")
        _audit_listings(listings, as_of, max_faults)
        if quotes is not None:
            _beside(quotes, "quotes", as_of, max_faults)
        plan = retrain.Plan(
            paths=(sales,),
            read=_read(sales, "sales", map_path, as_of),
            window_days=window_days,
            origins=origins,
            embargo_days=embargo_days,
            max_fault_share=max_faults,
            seed=seed,
            settings=_settings(tuned),
        )
        predictions = retrain.rehearse(plan=plan, say=step)
        study = ratio_study.study(predictions)
        out_dir.mkdir(parents=True, exist_ok=True)
        predictions.write_parquet(out_dir / "predictions.parquet")
        title = f"Backtest of {sales.name}"
        report.write(study=study, verdict=None, directory=out_dir, title=title, simulated=plan.is_simulated)
    screen.table(study.table(), f"Out of time{plan.where}")
    screen.say(f"Written to {out_dir}: predictions.parquet, study.json, report.html")


@app.command(name="retrain")
def retrain_(
    sales: Sales,
    listings: Listings = None,
    quotes: Quotes = None,
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
    tuned: Tuned = None,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Audit, judge, fit, register; promote only what passed."""
    with screen.refusing(), screen.progress() as step:
        step("reading")
        _audit_listings(listings, as_of, max_faults)
        plan = retrain.Plan(
            paths=(sales,) if quotes is None else (sales, quotes),
            read=_read(sales, "sales", map_path, as_of),
            window_days=window_days,
            origins=origins,
            embargo_days=embargo_days,
            max_fault_share=max_faults,
            seed=seed,
            settings=_settings(tuned),
            gated=not no_gate,
            quotes=None if quotes is None else _beside(quotes, "quotes", as_of, max_faults),
        )
        outcome = retrain.retrain(
            plan=plan, registry=_registry(home, tracking_uri), promote=promote, say=step
        )
    _tell(plan, outcome)
    raise typer.Exit(0 if outcome.verdict.passed or no_gate else 1)


@app.command()
def tune(
    sales: Sales,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to search.")] = 10,
    out_path: Annotated[Path, typer.Option("--out", help="A small file for --tuned.")] = Path("tuned.toml"),
    map_path: Map = None,
    as_of: AsOf = None,
    window_days: WindowDays = 28,
    max_faults: MaxFaults = 0.02,
    seed: Seed = 1,
) -> None:
    """Search for better settings on past windows; the newest one, which it does not see, judges what it found."""
    from training import tuning  # optuna takes half a second to import

    with screen.refusing(), screen.progress() as step:
        read = _read(sales, "sales", map_path, as_of)
        intake.refuse_above(read, max_faults)
        found = tuning.search(read=read, window_days=window_days, minutes=minutes, seed=seed, say=step)
        tuning.write(found=found, path=out_path, title=f"Settings for {sales.name}, found with seed {seed}.")
    screen.say(f"Pinball loss in log price on {found.n:,} sales that the search did not see:")
    screen.say(f"  {found.loss:.5f} with what {found.trials} trials found, {found.usual_loss:.5f} as usual")
    screen.say(
        f"Written to {out_path}." + ("" if found.better else " The usual settings did as well: leave it out.")
    )


def _settings(tuned: Path | None) -> Settings:
    return settings.load(tuned) if tuned else DEFAULTS


def _tell(plan: retrain.Plan, outcome: retrain.Outcome) -> None:
    screen.table(outcome.study.table(), f"Out of time{plan.where}")
    screen.verdict(outcome.verdict)
    if outcome.lesson is not None:
        screen.lesson(outcome.lesson)
    office = ", in office" if outcome.promoted else ", not in office"
    screen.say(f"Registered as version {outcome.version.version}{office}")


@app.command()
def demo(home: Home = HERE, tracking_uri: Uri = "", seed: Seed = 1) -> None:
    """Train on a small simulated market and put the result into office, unless there is a champion."""
    with screen.refusing():
        registry = _registry(home, tracking_uri)
        champion = registry.champion()
        if champion is not None:
            screen.say(f"Version {champion.version} is in office; nothing to do.")
            return
        screen.say("No champion yet: training on a SIMULATED market, so that there is something to look at.")
        with tempfile.TemporaryDirectory() as folder, screen.progress() as step:
            step("simulating a market")
            market.write(sales=DEMO_SALES, seed=seed, directory=Path(folder))
            path = Path(folder) / "sales.parquet"
            read = intake.read(path=path, contract=ledger.SALES, mapping=None, as_of=None)
            quotes = _beside(Path(folder) / "quotes.parquet", "quotes", None, 0.0)
            plan = retrain.Plan(paths=(path,), read=read, origins=2, seed=seed, quotes=quotes)
            outcome = retrain.retrain(plan=plan, registry=registry, promote=True, say=step)
    _tell(plan, outcome)
    raise typer.Exit(0 if outcome.verdict.passed else 1)


@app.command()
def models(home: Home = HERE, tracking_uri: Uri = "") -> None:
    """List the registered appraisers, newest first, and which is in office."""
    with screen.refusing():
        found = _registry(home, tracking_uri).versions()
    if found:
        screen.versions(found)
    else:
        screen.say("No appraiser is registered yet. Run: reprise retrain --sales FILE --promote")


@app.command()
def promote(
    version: str,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="In spite of a failed verdict, or unsigned; it is recorded.")
    ] = False,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Put a registered version into office."""
    with screen.refusing():
        _registry(home, tracking_uri).promote(version, despite_verdict=no_gate)
    screen.say(f"Version {version} is in office.")


@app.command()
def rollback(home: Home = HERE, tracking_uri: Uri = "") -> None:
    """Put the champion before this one back into office."""
    with screen.refusing():
        version = _registry(home, tracking_uri).rollback()
    screen.say(f"Version {version.version} is in office again.")


Devices = Annotated[Path, typer.Option("--devices", help="The SALES columns without price.")]
On = Annotated[
    datetime, typer.Option(formats=["%Y-%m-%d"], help="Day of the value; a column `on` overrides it.")
]
Answers = Annotated[Path, typer.Option("--out", help="csv or parquet; one row per row, in order.")]
Office = Annotated[
    str,
    typer.Option("--appraiser", help="A directory, a version, models:/NAME/VERSION; default the champion."),
]


@app.command()
def appraise(
    devices_path: Devices,
    on: On,
    out_path: Answers,
    office: Office = "",
    map_path: Map = None,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Value a file of devices; exit 1 if a row could not be valued (it says why in `fault`)."""
    with screen.refusing():
        found, chosen = _opened(office, home, tracking_uri), mapping.load(map_path) if map_path else None
        table = devices.appraise(path=devices_path, on=on.date(), appraiser=found, mapping=chosen)
    _answer(table, out_path, "valued", found)


@app.command()
def offer(
    devices_path: Devices,
    on: On,
    out_path: Answers,
    office: Office = "",
    map_path: Map = None,
    home: Home = HERE,
    tracking_uri: Uri = "",
) -> None:
    """Make buyback offers for devices in their `condition`; exit 1 if there is none for a row (see `fault`)."""
    with screen.refusing():
        found, chosen = _opened(office, home, tracking_uri), mapping.load(map_path) if map_path else None
        table = offers.offer_for(path=devices_path, on=on.date(), appraiser=found, mapping=chosen)
    _answer(table, out_path, "decided on", found)


def _opened(office: str, home: Path, uri: str) -> Appraiser:
    """The appraiser of a directory or of the registry, tried out first."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(office)
        if not office or not directory.is_dir():
            version = office.removeprefix(f"models:/{NAME}").strip("/").replace("@champion", "")
            directory = _registry(home, uri).fetch(version or None, Path(folder))
        trial.try_out(directory=directory, timeout_seconds=retrain.TRIAL_SECONDS)
        return package.load(directory=directory)


def _answer(table: pl.DataFrame, path: Path, done: str, appraiser: Appraiser) -> None:
    with screen.refusing():
        devices.write(table=table, path=path)
    missed = table["fault"].is_not_null().sum()
    told = ", from a SIMULATED market's prices" if appraiser.simulated else ""
    screen.say(f"{table.height - missed:,} of {table.height:,} devices {done}{told}: {path}")
    raise typer.Exit(int(missed > 0))


if __name__ == "__main__":
    app(prog_name="reprise")
