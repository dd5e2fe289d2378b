"""Files of past trade, read, mapped and audited: the good rows, the faults, and the rows set aside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from training import mapping as mappings
from valuation import ledger


class IntakeError(ValueError):
    """A file that cannot be read as a table of the contract."""


class TooManyFaults(IntakeError):  # noqa: N818 - it says what happened, as a verdict does
    """A table with a larger share of faulty rows than is allowed; nothing may be learnt from it."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What a file gave: `good` and `faults` as in ledger.Audit, `aside` the rows set aside.

    `aside` holds `row`, the `rule` that set it aside, and the mapped columns; those rows are neither good nor
    faults. `read` counts all rows.
    """

    good: pl.DataFrame
    faults: pl.DataFrame
    aside: pl.DataFrame
    read: int
    attributes: dict[str, ledger.Attribute]

    @property
    def fault_share(self) -> float:
        """The share of all rows that have a fault, 0..1."""
        return self.faults["row"].n_unique() / self.read


def read(
    *, path: Path, contract: ledger.Contract, mapping: mappings.Mapping | None, as_of: date | None
) -> Intake:
    """Read a csv (also gzipped) or parquet file, map its columns and audit its rows.

    Only the columns that are needed are read, in one pass. Every cell of a csv is text to begin with: it is
    read by the rules of the ledger, never by a guess.

    Raises IntakeError, naming the file, where it holds no such table or the mapping does not fit it.
    """
    chosen = mapping or mappings.IDENTITY
    try:
        table = mappings.apply(table=scan(path), mapping=chosen, contract=contract).collect(
            engine="streaming"
        )
        audit = ledger.audit(frame=table, contract=contract, as_of=as_of, attributes=chosen.attributes)
    except (ledger.LedgerError, mappings.MappingError) as error:
        raise IntakeError(f"{path} does not fit.\n{error}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from None
    aside = _set_aside(table)
    return Intake(
        good=_without(audit.good, aside),
        faults=_without(audit.faults, aside),
        aside=aside,
        read=table.height,
        attributes=chosen.attributes,
    )


def _unreadable(path: Path, error: Exception) -> IntakeError:
    return IntakeError(
        f"{path} cannot be read as a table: {str(error).splitlines()[0]}. It is damaged, or no {_SUFFIXES} file in "
        "UTF-8 with one header and commas between the cells: write it again."
    )


def refuse_above(intake: Intake, max_fault_share: float) -> None:
    """Raise TooManyFaults, with the rules broken, where the faults exceed the share (0..1) or no row is good."""
    if intake.fault_share <= max_fault_share and intake.good.height:
        return
    if not intake.faults.height:
        raise IntakeError(
            f"All {intake.read:,} rows are set aside by the mapping; none is left to learn from."
        )
    raise TooManyFaults(
        f"{intake.faults['row'].n_unique():,} of {intake.read:,} rows ({intake.fault_share:.1%}) are faulty, "
        f"more than the {max_fault_share:.1%} allowed. Mend the table or its mapping, or allow more with "
        "--max-faults.\n" + "\n".join(told(intake.faults))
    )


def told(faults: pl.DataFrame) -> list[str]:
    """Say which rules are broken, one line each: how often, where first, with which value, and what to do."""
    return [
        f"  {line['rows']:>8,} x {line['rule']} in {line['column']}, first in row {line['first']:,}: "
        f"{line['value']!r} ({line['remedy']})"
        for line in broken_rules(faults).iter_rows(named=True)
    ]


def broken_rules(faults: pl.DataFrame) -> pl.DataFrame:
    """The faults by rule and column, most frequent first: rows, the first row with its value, the remedy."""
    return (
        faults.group_by("rule", "column", maintain_order=True)
        .agg(
            rows=pl.len(),
            first=pl.col("row").first(),
            value=pl.col("value").first(),
            remedy=pl.col("remedy").first(),
        )
        .sort("rows", descending=True, maintain_order=True)
    )


def _set_aside(table: pl.DataFrame) -> pl.DataFrame:
    numbered = table.with_columns(row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    kept = pl.exclude("row", mappings.ASIDE)
    return numbered.filter(pl.col(mappings.ASIDE).is_not_null()).select(
        "row", pl.col(mappings.ASIDE).alias("rule"), kept
    )


def _without(frame: pl.DataFrame, aside: pl.DataFrame) -> pl.DataFrame:
    """The rows that are not set aside; where there is nothing to drop, the frame itself and no copy of it."""
    return frame.join(aside, on="row", how="anti", maintain_order="left") if aside.height else frame


def scan(path: Path) -> pl.LazyFrame:
    """The file as a table. Raises IntakeError where it is none."""
    if not path.exists():
        raise IntakeError(f"{path} does not exist. Give the path of a {_SUFFIXES} file.")
    if not path.is_file():
        raise IntakeError(f"{path} is no file. Give the path of one {_SUFFIXES} file.")
    opening, reader = _reader(path)
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise IntakeError(f"{path} is empty. Give a file with a line of column names and at least one row.")
    if not start.startswith(opening):
        raise IntakeError(
            f"{path} is not what its name says: it begins with {start!r}. Rename or rewrite it."
        )
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise IntakeError(f"{path} is in UTF-16. Save it as csv in UTF-8.")
    try:
        table = reader(path)
        _refuse_other_separators(path, table.collect_schema().names())
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error) from None
    return table


def _refuse_other_separators(path: Path, names: list[str]) -> None:
    """A header in one piece is no header with commas."""
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            raise IntakeError(f"The columns of {path} are separated by {separator!r}. Write it with commas.")


def _refuse_named_twice(path: Path) -> None:
    """Which of two columns of one name is meant, nobody can tell; columns without a name are not read."""
    header = pl.read_csv(
        path, has_header=False, n_rows=1, infer_schema=False, truncate_ragged_lines=True
    ).row(0)
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise IntakeError(
            f"{path} has more than one column {', '.join(map(repr, twice))}. Rename or drop all but one of each."
        )


def _reader(path: Path) -> tuple[bytes, Callable[[Path], pl.LazyFrame]]:
    """The bytes that such a file begins with, and how to read it."""
    for suffix, reader in _READERS.items():
        if path.name.lower().endswith(suffix):
            return reader
    raise IntakeError(f"{path} is of no known kind. Give a {_SUFFIXES} file.")


def _scan_csv(path: Path) -> pl.LazyFrame:
    _refuse_named_twice(path)
    return pl.scan_csv(path, infer_schema=False)


_READERS: dict[str, tuple[bytes, Callable[[Path], pl.LazyFrame]]] = {
    ".csv": (b"", _scan_csv),
    ".csv.gz": (b"\x1f\x8b", _scan_csv),
    ".parquet": (b"PAR1", pl.scan_parquet),
}
_SUFFIXES = " or ".join(_READERS)
