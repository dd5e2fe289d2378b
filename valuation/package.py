"""The appraiser directory: native text trees, JSON and parquet tables, and a manifest with the digest of each file.

Nothing is pickled. Every byte is checked against the manifest before LightGBM or polars sees it; the digest of the
manifest is the address of the whole.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl

from valuation import features, ledger, resale
from valuation.acceptance import Acceptance
from valuation.anchor import Anchor
from valuation.appraiser import Appraiser, AppraiserError
from valuation.block import Block
from valuation.grades import Grade
from valuation.hedonic import Hedonic
from valuation.inspection import Inspection
from valuation.ledger import Attribute
from valuation.owners import Owners
from valuation.spread import Spread

FORMAT = 5
MANIFEST = "manifest.json"
TREES, MODEL, EQUATION, MET, STRANGE, GRIDS, DEVICES, PAST, OWNERS, GOLDEN = (
    "trees.json",
    "model.json",
    "equation.parquet",
    "met.parquet",
    "strange.parquet",
    "grids.parquet",
    "devices.parquet",
    "past.parquet",
    "owners.json",
    "golden.parquet",
)
FILES = (TREES, MODEL, EQUATION, MET, STRANGE, GRIDS, DEVICES, PAST, OWNERS, GOLDEN)
GOLDEN_ROWS = 60
LARGEST_FILE_BYTES = 256 * 2**20


def save(*, appraiser: Appraiser, directory: Path) -> str:
    """Write the appraiser into an empty or new directory, and tell its digest."""
    directory.mkdir(parents=True, exist_ok=True)
    location, spread = appraiser.model.location, appraiser.model.spread
    grids = [{"group": group, "values": values.tolist()} for group, values in sorted(spread.grids.items())]
    contents = {
        TREES: _json([trees.model_to_string() for trees in location.anchor.trees]),
        MODEL: _json(_model(appraiser)),
        EQUATION: _parquet(_coefficients(location.equation)),
        MET: _parquet(_coefficients(spread.scales[0])),
        STRANGE: _parquet(_coefficients(spread.scales[1])),
        GRIDS: _parquet(pl.DataFrame(grids)),
        DEVICES: _parquet(appraiser.devices),
        PAST: _parquet(appraiser.past),
        OWNERS: _json(_written(appraiser.owners)),
        GOLDEN: _parquet(_golden(appraiser)),
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    manifest = _json(
        {
            "format": FORMAT,
            "name": appraiser.name,
            "as_of": appraiser.as_of.isoformat(),
            "simulated": appraiser.simulated,
            "features": [f.name for f in location.listed],
            "attributes": {name: asdict(a) for name, a in appraiser.attributes.items()},
            "card": dict(appraiser.card),
            "files": {name: {"sha256": _sha256(c), "bytes": len(c)} for name, c in contents.items()},
        }
    )
    (directory / MANIFEST).write_bytes(manifest)
    return _sha256(manifest)


def _model(appraiser: Appraiser) -> dict[str, Any]:
    location, spread = appraiser.model.location, appraiser.model.spread
    return {
        "equation": _blocks(location.equation),
        "until": location.equation.until,
        "scales": [_blocks(scale) for scale in spread.scales],
        "sales": dict(sorted(location.sales.items())),
        "folds": dict(sorted(location.anchor.folds.items())),
        "centres": dict(appraiser.centres),
    }


def _written(owners: Owners | None) -> dict[str, Any] | None:
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


def _owners(told: dict[str, Any] | None) -> Owners | None:
    """The inverse of _written."""
    if told is None:
        return None
    chances = {category: np.array(table) for category, table in told["inspection"]["chances"].items()}
    tables = {"chances": chances, "kept": np.array(told["inspection"]["kept"])}
    return Owners(
        acceptance=Acceptance(**told["acceptance"]),
        inspection=Inspection(**told["inspection"] | tables),
        resold_in=told["resold_in"],
    )


def _blocks(equation: Hedonic) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(block).items() if k != "members"} for block in equation.blocks]


def _coefficients(equation: Hedonic) -> pl.DataFrame:
    """Write the coefficients as a table: one row per block and member, with its values."""
    rows = [
        {"block": place, "member": list(member), "values": row.tolist()}
        for place, (block, values) in enumerate(zip(equation.blocks, equation.coefficients, strict=True))
        for member, row in zip(block.members, values, strict=True)
    ]
    schema: dict[str, Any] = {"block": pl.Int64, "member": pl.List(pl.String), "values": pl.List(pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def _equation(blocks: list[dict[str, Any]], content: bytes) -> Hedonic:
    """Read an equation: the inverse of _blocks and _coefficients."""
    parts = pl.read_parquet(content).partition_by("block", as_dict=True, include_key=False)
    rows = [parts[(place,)] for place in range(len(blocks))]
    return Hedonic(
        blocks=tuple(
            Block(
                **{name: _tuple(told) for name, told in fact.items()},
                members=_tuple(part["member"].to_list()),
            )
            for fact, part in zip(blocks, rows, strict=True)
        ),
        coefficients=tuple(np.array(part["values"].to_list(), dtype=np.float64) for part in rows),
    )


def _tuple(told: Any) -> Any:
    """Lists, and lists in them, as the tuples that they were."""
    return tuple(map(_tuple, told)) if isinstance(told, list) else told


def _golden(appraiser: Appraiser) -> pl.DataFrame:
    """Value some devices of the vocabulary, so that whoever opens the directory can see that it values alike."""
    markets = [m.split(" ") for m in appraiser.model.location.equation.members["market"]]
    homes = pl.DataFrame({"market": [m for m, _ in markets], "currency": [c for _, c in markets]})
    devices = (
        appraiser.devices.drop("sales").join(homes, on="currency", maintain_order="left").head(GOLDEN_ROWS)
    )
    grades = [Grade(row % len(Grade)).name for row in range(devices.height)]
    absent = {
        c.name: pl.lit(None, ledger.DTYPES[c.kind])
        for c in ledger.DEVICES.columns
        if c.name not in devices.columns
    }
    told = devices.with_columns(**absent).with_columns(grade=pl.Series(grades), on=pl.lit(appraiser.as_of))
    return pl.concat([told, appraiser.appraise(devices=told)], how="horizontal")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1).encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load(*, directory: Path) -> Appraiser:
    """Open an appraiser directory.

    Raises AppraiserError, naming the file, where one is absent, is not what the manifest says, or cannot be read.
    """
    manifest, digest = read_manifest(directory=directory)
    contents = {name: _verified(directory, name, manifest) for name in FILES}
    try:
        return replace(_opened(manifest, contents), digest=digest)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        pl.exceptions.PolarsError,
        lgb.basic.LightGBMError,
    ) as e:
        raise AppraiserError(
            f"{directory} is not an appraiser of format {FORMAT}: {e!r}. Pack it again."
        ) from e


def read_manifest(*, directory: Path) -> tuple[dict[str, Any], str]:
    """Read the manifest of an appraiser directory, and tell its digest; AppraiserError where there is none."""
    content = _bytes(directory, MANIFEST)
    try:
        manifest = json.loads(content)
        manifest["files"] = {name: dict(file) for name, file in manifest["files"].items()}
        if manifest["format"] != FORMAT:
            raise AppraiserError(
                f"{directory / MANIFEST} has format {manifest['format']!r}; this version reads format {FORMAT}. "
                "Retrain, or use the version of Reprise that packed it."
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, AppraiserError):
            raise
        raise AppraiserError(
            f"{directory / MANIFEST} is not a manifest: {error!r}. Fetch it again."
        ) from error
    return manifest, _sha256(content)


def _bytes(directory: Path, name: str) -> bytes:
    path = directory / name
    if not path.is_file() or path.is_symlink():
        raise AppraiserError(
            f"{directory} holds no file {name}: it is not an appraiser, or was not copied whole."
        )
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise AppraiserError(
            f"{path} has {path.stat().st_size} bytes; at most {LARGEST_FILE_BYTES} are read."
        )
    return path.read_bytes()


def _verified(directory: Path, name: str, manifest: dict[str, Any]) -> bytes:
    content = _bytes(directory, name)
    stated = manifest["files"].get(name, {})
    if len(content) != stated.get("bytes") or _sha256(content) != stated.get("sha256"):
        raise AppraiserError(
            f"{directory / name} is not the file that was packed: {len(content)} bytes with sha256 "
            f"{_sha256(content)[:12]}, the manifest says {stated.get('bytes')} with "
            f"{str(stated.get('sha256'))[:12]}. Fetch the appraiser again."
        )
    return content


def _opened(manifest: dict[str, Any], contents: Mapping[str, bytes]) -> Appraiser:
    model = json.loads(contents[MODEL])
    attributes = {name: Attribute(**a) for name, a in manifest["attributes"].items()}
    listed = {f.name: f for f in features.declared(attributes=attributes)}
    chosen = tuple(listed[name] for name in manifest["features"])
    location = resale.Location(
        listed=chosen,
        equation=replace(_equation(model["equation"], contents[EQUATION]), until=float(model["until"])),
        anchor=Anchor(
            seen=tuple(feature for feature in chosen if feature.trees),
            trees=tuple(lgb.Booster(model_str=trees) for trees in json.loads(contents[TREES])),
            folds=model["folds"],
        ),
        sales=model["sales"],
    )
    grids = {g: np.array(values) for g, values in pl.read_parquet(contents[GRIDS]).iter_rows()}
    met, strange = (
        _equation(told, contents[name]) for told, name in zip(model["scales"], (MET, STRANGE), strict=True)
    )
    spread = Spread(scales=(met, strange), grids=grids)
    return Appraiser(
        model=resale.ResaleModel(location=location, spread=spread),
        attributes=attributes,
        devices=pl.read_parquet(contents[DEVICES]),
        past=pl.read_parquet(contents[PAST]),
        centres=model["centres"],
        owners=_owners(json.loads(contents[OWNERS])),
        as_of=date.fromisoformat(manifest["as_of"]),
        simulated=bool(manifest["simulated"]),
        card=manifest["card"],
        name=manifest["name"],
    )
