"""make judge-offers: in every scenario, what the offers of each policy would have earned, beside the truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[_pool] = "1"  # before they are loaded, here and in the processes to come

import polars as pl  # noqa: E402
import typer  # noqa: E402

from tests.judge import real  # noqa: E402
from tests.judge.parts import write  # noqa: E402
from training import offers_figures, offers_known, offers_study  # noqa: E402
from training.offers_figures import Figures, Interval  # noqa: E402
from training.offers_study import HISTORY, POLICIES  # noqa: E402
from training.simulator import market, scenario  # noqa: E402
from valuation import ledger  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "reprise-judge-offers"
PAGE = real.ROOT / "docs" / "offers.md"
WINDOW_DAYS, ORIGINS = 28, 3
HEAD = """# Offers, beside the truth

Made by `make judge-offers` on {on}; do not edit. SIMULATED markets: {scope}

Before each of {origins} windows of {days} days an appraiser learns from the sales until then, and who takes which offer
and what is found from the quotes of which that was known; then every policy offers for the quotes of the window. A
tenth of the quotes were drawn; "a fifth drawn" learns from a fifth of those, 2 % of all. "From all quotes" takes
people's offers for drawn ones; cost-plus is what the house does where nothing was drawn. Amounts are in hundredths of
what a flawless device usually brings. All offers keep the terms: payable steps, least offers and margins, reserves that
the truth does not know.

Regret is the share of the margins of the best offers that is missed, with the 95 % interval of a bootstrap of cells of
model and day; all seeds of a scenario are together.
"""


@dataclass(frozen=True)
class Case:
    """A market to rehearse."""

    scenario: str
    seed: int
    sales: int

    @property
    def path(self) -> str:
        """The file of its rows."""
        return f"{self.scenario}-{self.sales}-{self.seed}.parquet"


def rehearsed(case: Case, folder: Path) -> pl.DataFrame:
    """The rows of the rehearsal of a market, with the truth; kept in a file."""
    path = folder / case.path
    if not path.exists():
        invented = market.simulate(scenario=case.scenario, sales=case.sales, seed=case.seed)
        sales, quotes = (
            ledger.audit(frame=frame, contract=contract, as_of=None).good
            for frame, contract in ((invented.sales, ledger.SALES), (invented.quotes, ledger.QUOTES))
        )
        history = offers_study.History(sales=sales, quotes=quotes, attributes={}, seed=case.seed)
        judged = offers_study.rehearse(
            history=history, window_days=WINDOW_DAYS, origins=ORIGINS, progress=lambda _: None
        )
        write(offers_known.with_truth(judged=judged, truth=invented.truth), path)
    return pl.read_parquet(path)


def _keep(case: Case, folder: Path) -> str:
    rehearsed(case, folder)
    return case.path


def main(
    scenarios: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(scenario.names()),
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "1,2,3",
    sales: Annotated[int, typer.Option(min=5000, help="Of each market; half as many quotes.")] = 60_000,
    folder: Annotated[Path, typer.Option(help="Where the rows are kept.")] = CACHE,
    out: Annotated[Path, typer.Option(help="The page.")] = PAGE,
    processes: Annotated[int, typer.Option(min=1, max=2)] = 2,
) -> None:
    """Rehearse offers in invented markets and write the page; what was rehearsed before is not rehearsed again."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [Case(name, int(seed), sales) for name in _split(scenarios) for seed in _split(seeds)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(_keep, case, folder) for case in cases]
        for count, one in enumerate(as_completed(done), start=1):
            print(f"{count} of {len(cases)}: {one.result()}", flush=True)
    scope = (
        f"{len(_split(scenarios))} scenarios, seeds {seeds}, {sales:,} sales and half as many quotes each."
    )
    written = page(cases, folder, scope)
    out.write_text(written, encoding="utf-8")
    print(written)


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def page(cases: Sequence[Case], folder: Path, scope: str) -> str:
    """The page of these cases."""
    rows = {case: rehearsed(case, folder) for case in cases}
    names = list(dict.fromkeys(case.scenario for case in cases))
    pooled = {
        name: offers_figures.figures(pl.concat(_told_apart(rows, name), how="diagonal")) for name in names
    }
    single = {case: offers_figures.figures(table) for case, table in rows.items()}
    head = HEAD.format(on=datetime.now(UTC).date(), scope=scope, origins=ORIGINS, days=WINDOW_DAYS)
    return "\n".join(
        [
            head,
            "## Regret, %\n",
            *_table(["scenario", "n", *POLICIES], (_regrets(name, pooled[name]) for name in names)),
            "\n## The model's words, held against what happened and against the truth\n",
            *_table(WORDS, (_words(name, pooled[name]) for name in names)),
            "\n## Off-policy intervals of 95 %: how many hold the truth\n",
            *_table(
                ["policy", "held", "of", "half width, % of the value", "within reach, %", "direct off by, %"],
                (_held(name, list(single.values())) for name in POLICIES if name != HISTORY),
            ),
            "",
        ]
    )


def _told_apart(rows: dict[Case, pl.DataFrame], name: str) -> Iterator[pl.DataFrame]:
    """The rows of all seeds, whose cells are not the same."""
    for case, table in rows.items():
        if case.scenario == name:
            yield table.with_columns(cell=pl.format("{}|{}", pl.lit(case.seed), "cell"))


WORDS = [
    "scenario",
    "chance taken: error, own offers, truth (.02)",
    "slope, told / true (.9 to 1.1)",
    "drawn n",
    "chance taken: error, drawn offers, answers",
    "inspected n",
    "paid in full: told, was, error (.03)",
    "sold n",
    "price realised / told (.98 to 1.02)",
    "takers bring, told / true",
]


def _regrets(name: str, found: Figures) -> list[str]:
    by_name = {policy.name: policy for policy in found.policies}
    return [name, f"{found.n:,}", *(_percent(by_name[policy].regret) for policy in POLICIES)]


def _percent(found: Interval | None) -> str:
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})" if found else "–"


def _words(name: str, found: Figures) -> list[str]:
    words = found.words
    full = ", ".join(_plain(one) for one in (words.in_full_told, words.in_full, words.firmness_error))
    real = words.realised
    return [
        name,
        _plain(words.true_acceptance_error),
        _plain(words.slope),
        f"{words.drawn:,}",
        _plain(words.acceptance_error),
        f"{words.inspected:,}",
        full,
        f"{words.sold:,}",
        f"{real.value:.3f} ({real.low:.3f} to {real.high:.3f})" if real else "–",
        _plain(words.cohort),
    ]


def _plain(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"


def _held(name: str, found: Sequence[Figures]) -> list[str]:
    told = [next(policy for policy in one.policies if policy.name == name) for one in found]
    widths = [(one.estimate.high - one.estimate.low) / 2 / abs(one.truth or 1) for one in told]
    off = [abs(one.estimate.direct / (one.truth or 1) - 1) for one in told]
    reach = [one.estimate.within_reach for one in told]
    return [name, str(sum(bool(one.held) for one in told)), str(len(told)), *map(_mean, (widths, reach, off))]


def _mean(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    typer.run(main)
