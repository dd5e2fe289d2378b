"""The appraiser directory: native text trees, JSON and parquet tables, and a manifest with the digest of each file.

Nothing is pickled. Every byte is checked against the manifest before LightGBM or polars sees it, and trees are read
by forest.py first; the digest of the manifest is the address of the whole. What else lies there is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl

from valuation import features, forest, ledger, resale, script
from valuation.anchor import Anchor
from valuation.appraiser import Appraiser, AppraiserError
from valuation.features import Feature
from valuation.grades import Grade
from valuation.ledger import Attribute
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
GOLDEN_ROWS = 100  # and once more as devices of a model that nobody has met
LARGEST_FILE_BYTES = 256 * 2**20
LARGEST_MANIFEST_BYTES = 4 * 2**20


def save(*, appraiser: Appraiser, directory: Path) -> str:
    """Write the appraiser into an empty or new directory, and tell its digest."""
    directory.mkdir(parents=True, exist_ok=True)
    location, spread = appraiser.model.location, appraiser.model.spread
    grids = [{"group": group, "values": values.tolist()} for group, values in sorted(spread.grids.items())]
    contents = {
        TREES: _json([trees.model_to_string() for trees in location.anchor.trees]),
        MODEL: _json(_model(appraiser)),
        EQUATION: _parquet(script.coefficients(equation=location.equation)),
        MET: _parquet(script.coefficients(equation=spread.scales[0])),
        STRANGE: _parquet(script.coefficients(equation=spread.scales[1])),
        GRIDS: _parquet(pl.DataFrame(grids)),
        DEVICES: _parquet(appraiser.devices),
        PAST: _parquet(appraiser.past),
        OWNERS: _json(script.owners_told(owners=appraiser.owners)),
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
        "equation": script.blocks(equation=location.equation),
        "until": location.equation.until,
        "scales": [script.blocks(equation=scale) for scale in spread.scales],
        "sales": dict(sorted(location.sales.items())),
        "folds": dict(sorted(location.anchor.folds.items())),
        "centres": dict(appraiser.centres),
    }


def _golden(appraiser: Appraiser) -> pl.DataFrame:
    """Value some devices of the vocabulary, so that whoever opens the directory can see that it values alike.

    Each stands there twice, as itself and as a stranger: those that have met a model do not value it.
    """
    markets = [m.split(" ") for m in appraiser.model.location.equation.members["market"]]
    homes = pl.DataFrame({"market": [m for m, _ in markets], "currency": [c for _, c in markets]})
    known = appraiser.devices.drop("sales").join(homes, on="currency", maintain_order="left")
    devices = known.gather_every(max(1, known.height // GOLDEN_ROWS)).head(GOLDEN_ROWS)
    grades = [Grade(row % len(Grade)).name for row in range(devices.height)]
    absent = {
        c.name: pl.lit(None, ledger.DTYPES[c.kind])
        for c in ledger.DEVICES.columns
        if c.name not in devices.columns
    }
    told = devices.with_columns(**absent).with_columns(grade=pl.Series(grades), on=pl.lit(appraiser.as_of))
    told = pl.concat([told, told.with_columns(model=pl.lit("nobody has met it"))])
    return pl.concat([told, appraiser.appraise(devices=told)], how="horizontal")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1).encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What an appraiser directory holds, as it was checked: bytes by name, and the texts of its `forests`.

    `digest` is that of the manifest.
    """

    manifest: Mapping[str, Any]
    digest: str
    contents: Mapping[str, bytes]
    forests: tuple[str, ...]


def load(*, directory: Path) -> Appraiser:
    """Open an appraiser directory.

    Raises AppraiserError, naming the file, where one is absent or too many, is not what the manifest says, or cannot
    be read.
    """
    return opened(packed=read(directory=directory))


def read(*, directory: Path) -> Packed:
    """Read a directory, and hold it against its manifest; neither LightGBM nor polars sees a byte.

    Raises AppraiserError as `load` does.
    """
    manifest, digest = read_manifest(directory=directory)
    found = {path.name for path in directory.iterdir()} - {MANIFEST}
    if strange := {*manifest["files"]} ^ {*FILES} | found - {*FILES}:
        raise AppraiserError(
            f"{directory} holds or tells of what is not of an appraiser, or lacks it: {_few(strange)}. Fetch it again."
        )
    contents = {name: _verified(directory, name, manifest) for name in FILES}
    with _refusing(digest):
        forests = tuple(
            forest.checked(text=text, features=len(_seen(manifest))) for text in _told(contents[TREES])
        )
    return Packed(manifest=manifest, digest=digest, contents=contents, forests=forests)


def _few(names: set[str]) -> str:
    return ", ".join(repr(name[:40]) for name in sorted(names)[:5])


def opened(*, packed: Packed) -> Appraiser:
    """Open what was read; AppraiserError where it is no appraiser."""
    with _refusing(packed.digest):
        return _opened(packed)


@contextmanager
def _refusing(digest: str) -> Iterator[None]:
    """Turn whatever a doctored file brings about into an AppraiserError; a panic of polars is no Exception."""
    try:
        yield
    except (Exception, pl.exceptions.PanicException) as error:
        raise AppraiserError(
            f"The directory {digest[:12]} is no appraiser of format {FORMAT}: {error!r:.500}. Pack it again."
        ) from error


def read_manifest(*, directory: Path) -> tuple[dict[str, Any], str]:
    """Read the manifest of an appraiser directory, and tell its digest; AppraiserError where there is none."""
    content = _bytes(directory, MANIFEST, LARGEST_MANIFEST_BYTES)
    try:
        manifest = _told(content)
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


def _bytes(directory: Path, name: str, most: int) -> bytes:
    path = directory / name
    try:
        found = path.lstat()
    except FileNotFoundError:
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        raise AppraiserError(
            f"{directory} holds no file {name}: it is not an appraiser, or was not copied whole."
        )
    with path.open("rb") as file:
        content = file.read(min(found.st_size, most) + 1)
    if len(content) > most:
        raise AppraiserError(f"{path} has {found.st_size} bytes; at most {most} are read.")
    return content


def _told(content: bytes) -> Any:
    """What JSON tells; ValueError for a number that is none, too."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    return json.loads(content, parse_constant=refuse)


def _verified(directory: Path, name: str, manifest: dict[str, Any]) -> bytes:
    content = _bytes(directory, name, LARGEST_FILE_BYTES)
    stated = manifest["files"][name]
    if len(content) != stated.get("bytes") or _sha256(content) != stated.get("sha256"):
        raise AppraiserError(
            f"{directory / name} is not the file that was packed: {len(content)} bytes with sha256 "
            f"{_sha256(content)[:12]}, the manifest says {stated.get('bytes')} with "
            f"{str(stated.get('sha256'))[:12]}. Fetch the appraiser again."
        )
    return content


def _listed(manifest: Mapping[str, Any]) -> tuple[Feature, ...]:
    """The features that an appraiser was fitted with."""
    known = {feature.name: feature for feature in features.declared(attributes=_attributes(manifest))}
    return tuple(known[name] for name in manifest["features"])


def _seen(manifest: Mapping[str, Any]) -> tuple[Feature, ...]:
    return tuple(feature for feature in _listed(manifest) if feature.trees)


def _attributes(manifest: Mapping[str, Any]) -> dict[str, Attribute]:
    return {name: Attribute(**told) for name, told in manifest["attributes"].items()}


def _opened(packed: Packed) -> Appraiser:
    manifest, contents = packed.manifest, packed.contents
    model = _told(contents[MODEL])
    equation = script.equation(facts=model["equation"], content=contents[EQUATION])
    location = resale.Location(
        listed=_listed(manifest),
        equation=replace(equation, until=float(model["until"])),
        anchor=Anchor(
            seen=_seen(manifest),
            trees=tuple(lgb.Booster(model_str=text) for text in packed.forests),
            folds=model["folds"],
        ),
        sales=model["sales"],
    )
    grids = {g: np.array(values) for g, values in pl.read_parquet(contents[GRIDS]).iter_rows()}
    met, strange = (
        script.equation(facts=told, content=contents[name])
        for told, name in zip(model["scales"], (MET, STRANGE), strict=True)
    )
    spread = Spread(scales=(met, strange), grids=grids)
    return Appraiser(
        model=resale.ResaleModel(location=location, spread=spread),
        attributes=_attributes(manifest),
        devices=pl.read_parquet(contents[DEVICES]),
        past=pl.read_parquet(contents[PAST]),
        centres=model["centres"],
        owners=script.owners(told=_told(contents[OWNERS])),
        as_of=date.fromisoformat(manifest["as_of"]),
        simulated=bool(manifest["simulated"]),
        card=manifest["card"],
        digest=packed.digest,
        name=manifest["name"],
    )
