"""The page of a judgement: its figures as tables in Markdown, and how it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata

import polars as pl

from tests.judge import figures, ladders
from tests.judge.figures import Figure
from tests.judge.learners import ORACLE, OURS, PEERS

JUDGED_BY = ("lightgbm", "xgboost-cpu", "catboost", "scikit-learn", "polars", "numpy")
NONE = "–"
TITLES = {name: name.replace("_", " ") for name in PEERS}
HEAD = """# Judgement

Made by `make judge` on {on}, {commands}; do not edit. {scope}
Versions: {versions}.

Everyone values the same sales, of which he has seen no price, after learning from the same sales before them: ours
(`training.fitting`), the oracle (the truth of the invented market), and the peers. These see the appraiser's own
features, but for the count of newer generations, which a row does not tell by itself, and the day, on one thread;
boosters choose their loss (CatBoost has one) and their rounds on the last tenth of the days before the latest four
weeks, and are then fitted to everything. A peer has the fairest simple interval, split conformal: a fit before the
latest four weeks, and the .05 and .95 quantiles of what it missed their log prices by (by grade where there are 200
sales). Rows of dirt are learnt from by all, and scored for nobody. All seeds of a scenario are scored together.
"""

OURS_TOLD = """As multiples of the oracle's figure on the same sales, in per cent where there is no oracle. Seen: the
value rests on 30 sales of its model and more; thin: on fewer; unseen: on its family, brand or category. The worst of
segments is worse than the target by chance too: the oracle's is told beside it.
"""
GAPS_TOLD = """In brackets 95 of 100 draws of (model, week) blocks, the same for both; below 0, ours is better.
"""
STEP_TOLD = """Refitted before each week of 7 days after the step, on every sale up to the day before. Share of the
sales of the week within the 90 % interval, %, and how many weeks were learnt from before one was covered to 88 %.
"""
LADDERS_TOLD = """Devices drawn from the vocabulary, some with an invented model or brand, valued at every grade while
one thing about them goes from worse to better: neighbouring pairs that cross or fall. The last line looks up another
launch price at each storage.
"""


@dataclass(frozen=True)
class Page:
    """Figures to look up by table, learner and measure."""

    figures: Sequence[Figure]

    def find(self, table: str, learner: str, measure: str) -> Figure | None:
        """The figure, or None where it was not taken."""
        keys = (table, learner, measure)
        return next((f for f in self.figures if (f.table, f.learner, f.measure) == keys), None)

    def value(self, table: str, learner: str, measure: str) -> float | None:
        """The same as a number."""
        found = self.find(table, learner, measure)
        return found.value if found else None

    def over_oracle(self, table: str, learner: str, measure: str) -> float | None:
        """The figure as a multiple of the oracle's."""
        mine, perfect = self.value(table, learner, measure), self.value(table, ORACLE, measure)
        return None if mine is None or not perfect else mine / perfect

    def tables(self) -> list[str]:
        """The tables in their order."""
        return list(dict.fromkeys(f.table for f in self.figures if f.measure == "mdape"))


def percent(value: float | None) -> str:
    """12.3 for .123."""
    return NONE if value is None else f"{100 * value:.1f}"


def number(value: float | None, digits: int = 3) -> str:
    """The number as it is."""
    return NONE if value is None else f"{value:.{digits}f}"


def lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its first column to the left."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def _near(page: Page, tables: Sequence[str]) -> str:
    everyone = (OURS, ORACLE, *PEERS)
    head = ["MdAPE, %", "n", *(TITLES.get(name, name) for name in everyone)]
    rows = ([t, _n(page, t), *(percent(page.value(t, name, "mdape")) for name in everyone)] for t in tables)
    return lines(head, rows)


def _n(page: Page, table: str) -> str:
    return next(f"{f.n:,}" for f in page.figures if f.table == table and f.measure == "mdape")


def _ours(page: Page, tables: Sequence[str]) -> str:
    head = ["ours", *(f"MdAPE {g} (n)" for g in ("all", *figures.KNOWN)), "COD", "slope (oracle)"]
    head += ["over-valued by 20 %, % (oracle)", "worst median ratio of a segment (n)"]
    beside_truth = ["", "*1.06*", "", "*1.40*", "*1.10*", "*.010*", "*oracle + 1*"]
    alone = ["", "", "", "", "", "*.030*", ""]
    target = ["*target*", *(beside_truth if _is_known(page, tables) else alone), "*.98-1.02*"]
    return lines(head, [*(_of_ours(page, t) for t in tables), target])


def _is_known(page: Page, tables: Sequence[str]) -> bool:
    """Whether the truth of these tables is known."""
    return any(page.find(table, ORACLE, "mdape") for table in tables)


def _of_ours(page: Page, table: str) -> list[str]:
    def beside(measure: str, told: Callable[[float | None], str]) -> str:
        return f"{told(page.value(table, OURS, measure))} ({told(page.value(table, ORACLE, measure))})"

    known = ("mdape", *(f"mdape {group}" for group in figures.KNOWN))
    return [
        table,
        *(_multiple(page, table, measure, counted=True) for measure in known),
        _multiple(page, table, "cod"),
        beside("slope", number),
        beside("rt20", percent),
        _worst(page, table, "worst ratio", number),
    ]


def _multiple(page: Page, table: str, measure: str, *, counted: bool = False) -> str:
    """A multiple of the oracle's, where there is none per cent."""
    found, times = page.find(table, OURS, measure), page.over_oracle(table, OURS, measure)
    if found is None:
        return NONE
    told = number(times, 2) if times is not None else f"{percent(found.value)} %"
    return f"{told} ({found.n:,})" if counted else told


def _worst(page: Page, table: str, measure: str, told: Callable[[float | None], str]) -> str:
    """The worst of ours with its segment and sales, and that of the oracle, which chance alone makes."""
    found, perfect = page.find(table, OURS, measure), page.value(table, ORACLE, measure)
    if found is None:
        return NONE
    beside = "" if perfect is None else f"; oracle {told(perfect)}"
    return f"{told(found.value)} {found.note} ({found.n:,}){beside}"


def _intervals(page: Page, tables: Sequence[str]) -> str:
    peers, known = [TITLES[name] for name in PEERS], _is_known(page, tables)
    head = [
        "90 % interval",
        "covers, %",
        "worst segment",
        "worst week",
        f"Winkler{' over oracle' if known else ''}: ours",
        *peers,
    ]
    target = ["*target*", "*89-91*", "*86*", "*80*", "*1.05*" if known else "", *("" for _ in peers)]
    return lines(head, [*(_of_intervals(page, t) for t in tables), target])


def _of_intervals(page: Page, table: str) -> list[str]:
    def score(name: str) -> str:
        times = page.over_oracle(table, name, "winkler")
        return number(times, 2) if times is not None else number(page.value(table, name, "winkler"), 2)

    worst = (_worst(page, table, measure, percent) for measure in ("worst cover", "worst week"))
    return [table, percent(page.value(table, OURS, "cover")), *worst, *(score(n) for n in (OURS, *PEERS))]


def _gaps(page: Page, tables: Sequence[str], measure: str, scale: float, title: str) -> str:
    def told(found: Figure | None) -> str:
        if found is None or found.low is None or found.high is None:
            return NONE
        low, value, high = (scale * x for x in (found.low, found.value, found.high))
        return f"**{found.note}** {value:+.2f} [{low:+.2f}, {high:+.2f}]"

    head = [title, *(TITLES[name] for name in PEERS)]
    return lines(head, ([t, *(told(page.find(t, name, measure)) for name in PEERS)] for t in tables))


def _steps(page: Page) -> str:
    found = [f for f in page.figures if f.measure == "weeks to recover"]
    weeks = [f"week {n}" for n in range(1, 1 + max((_weeks(page, f) for f in found), default=0))]
    rows = [
        [f"{f.table}, {f.learner}", f"{f.value:.0f}"]
        + [percent(page.value(f.table, f.learner, f"cover of {week}")) for week in weeks]
        for f in found
    ]
    return lines(["", "weeks until 88 %", *weeks], rows)


def _weeks(page: Page, found: Figure) -> int:
    mine = [f for f in page.figures if (f.table, f.learner) == (found.table, found.learner)]
    return sum(f.measure.startswith("cover of week") for f in mine)


def _ladders(counts: pl.DataFrame) -> str:
    looked_at = ("crossing", "grade", *ladders.WALKS, ladders.LOOKED_UP)
    outcomes = ("quantiles", "p05", "p50", "p95", "mean")
    broken = {(k, o): f"{b:,} of {n:,}" for k, o, n, b, _ in counts.iter_rows()}
    rows = ([kind, *(broken.get((kind, outcome), NONE) for outcome in outcomes)] for kind in looked_at)
    return lines(["fall or cross", *outcomes], rows)


def _seconds(page: Page, tables: Sequence[str]) -> str:
    everyone = (OURS, *PEERS)
    head = ["seconds a case", *(TITLES.get(name, name) for name in everyone)]
    return lines(head, ([t, *(number(page.value(t, n, "seconds"), 1) for n in everyone)] for t in tables))


def write(
    *,
    found: Sequence[Figure],
    counts: pl.DataFrame | None,
    invented: Sequence[str],
    failed: Sequence[str],
    scope: str,
    command: str,
    on: date,
) -> str:
    """Write the page; `invented` names the tables of invented markets, `failed` tells who broke down."""
    page = Page(found)
    simulated = [t for t in page.tables() if t in invented]
    real = [t for t in page.tables() if t not in invented]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in JUDGED_BY)
    parts = [HEAD.format(on=on, commands=f"`{command}`", scope=scope, versions=versions)]
    for title, tables in (("Invented markets: SIMULATED sales", simulated), ("Real tables", real)):
        if tables:
            parts += [f"## {title}", *_section(page, tables)]
    if any(f.measure == "weeks to recover" for f in found):
        parts += ["## After a step of all prices", STEP_TOLD, _steps(page)]
    if counts is not None:
        parts += ["## Ladders", LADDERS_TOLD, _ladders(counts)]
    if failed:
        parts += ["## Broke down", "\n".join(f"- {line}" for line in failed) + "\n"]
    return "\n".join(parts)


def _section(page: Page, tables: Sequence[str]) -> list[str]:
    return [
        _near(page, tables),
        OURS_TOLD,
        _ours(page, tables),
        _intervals(page, tables),
        GAPS_TOLD,
        _gaps(page, tables, "mdape gap", 100, "MdAPE, points: ours less"),
        _gaps(page, tables, "winkler gap", 1, "Winkler: ours less"),
        _seconds(page, tables),
    ]
