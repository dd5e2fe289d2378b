"""Equations and owners as JSON and tables have them, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from valuation.acceptance import Acceptance
from valuation.block import Block
from valuation.hedonic import Hedonic
from valuation.inspection import Inspection
from valuation.owners import Owners


def owners_told(*, owners: Owners | None) -> dict[str, Any] | None:
    """What is known of owners, in what JSON has."""
    if owners is None:
        return None
    inspection = owners.inspection
    chances = {category: table.tolist() for category, table in sorted(inspection.chances.items())}
    return {
        "acceptance": asdict(owners.acceptance),
        "resold_in": owners.resold_in,
        "inspection": {**asdict(inspection), "chances": chances, "kept": inspection.kept.tolist()},
    }


def owners(*, told: dict[str, Any] | None) -> Owners | None:
    """Read them: the inverse of owners_told."""
    if told is None:
        return None
    chances = {category: np.array(table) for category, table in told["inspection"]["chances"].items()}
    tables = {"chances": chances, "kept": np.array(told["inspection"]["kept"])}
    return Owners(
        acceptance=Acceptance(**told["acceptance"]),
        inspection=Inspection(**told["inspection"] | tables),
        resold_in=told["resold_in"],
    )


def blocks(*, equation: Hedonic) -> list[dict[str, Any]]:
    """What each block is, but for its members."""
    return [{k: v for k, v in asdict(block).items() if k != "members"} for block in equation.blocks]


def coefficients(*, equation: Hedonic) -> pl.DataFrame:
    """Write the coefficients as a table: one row per block and member, with its values."""
    rows = [
        {"block": place, "member": list(member), "values": row.tolist()}
        for place, (block, values) in enumerate(zip(equation.blocks, equation.coefficients, strict=True))
        for member, row in zip(block.members, values, strict=True)
    ]
    schema: dict[str, Any] = {"block": pl.Int64, "member": pl.List(pl.String), "values": pl.List(pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def equation(*, facts: list[dict[str, Any]], content: bytes) -> Hedonic:
    """Read an equation: the inverse of blocks and coefficients."""
    parts = pl.read_parquet(content).partition_by("block", as_dict=True, include_key=False)
    rows = [parts[(place,)] for place in range(len(facts))]
    return Hedonic(
        blocks=tuple(
            Block(
                **{name: _tuple(told) for name, told in fact.items()},
                members=_tuple(part["member"].to_list()),
            )
            for fact, part in zip(facts, rows, strict=True)
        ),
        coefficients=tuple(np.array(part["values"].to_list(), dtype=np.float64) for part in rows),
    )


def _tuple(told: Any) -> Any:
    """Lists, and lists in them, as the tuples that they were."""
    return tuple(map(_tuple, told)) if isinstance(told, list) else told
