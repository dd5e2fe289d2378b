"""The commands that invent markets and tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from training import screen
from training.simulator import market, scenario

_Name = Annotated[
    str, typer.Option("--scenario", help=f"One of {', '.join(scenario.names())}, or a .toml of your own.")
]


def simulate(
    sales: Annotated[
        int, typer.Option(help="How many sales to invent; quotes and listings come beside them.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder to write sales, listings, quotes and truth .parquet into.")
    ],
    name: _Name = market.DEFAULT,
    seed: Annotated[int, typer.Option(help="Seed of everything random: the same gives the same bytes.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in the folder.")] = False,
) -> None:
    """Invent a market: sales, listings, quotes, and the truth about every row."""
    with screen.refusing(), screen.progress() as step:
        step(f"inventing {sales:,} sales of the scenario {name}")
        rows = market.write(scenario=name, sales=sales, seed=seed, directory=out, force=force, say=step)
    screen.say(f"A SIMULATED market, scenario {name}, seed {seed}, in {out}:")
    for table, count in rows.items():
        screen.say(f"  {table}.parquet  {count:,} rows")


def scenarios(
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Tell every number of the market with its source, as Markdown.")
    ] = False,
) -> None:
    """List the scenarios, or the numbers that they begin from."""
    if numbers:
        screen.say(_table())
        return
    for name in scenario.names():
        with screen.refusing():
            screen.say(f"{name:<14} {scenario.load(scenario.find(name)).says}")


def _table() -> str:
    """market.toml as it stands in docs/market-numbers.md."""
    lines = [
        "# The numbers of the invented market",
        "",
        "Written by `reprise scenarios --numbers` from `training/simulator/market.toml`. What begins with (m) is",
        "assumed: plausible, and found nowhere. Levels are logs; weights need not sum to anything.",
        "",
        "| number | value | source; (m): assumed |",
        "|---|---|---|",
    ]
    lines += [f"| `{key}` | {_written(value)} | {source} |" for key, value, source in scenario.sources()]
    return "\n".join(lines)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
