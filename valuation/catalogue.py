"""The catalogue: which devices can be traded in, when they were launched and at what price; finding one.

The facts are in catalogue.csv, one row per variant and currency, each with its source and a confidence:
A in a cited source, B a source and general knowledge agree, C unconfirmed. In the other currencies of the
markets the launch price is derived (D).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from valuation import catalogue_file, derivation, names
from valuation.catalogue_file import CatalogueError, Entry
from valuation.money import Money

FACTS = Path(__file__).parent / "catalogue.csv"
CATEGORIES = catalogue_file.CATEGORIES


class UnknownDevice(LookupError):  # noqa: N818 - the asker is not always at fault
    """No device has this id; `suggestions` are the nearest that exist."""

    def __init__(self, device_id: str, suggestions: tuple[Variant, ...]) -> None:
        near = ", ".join(variant.device_id for variant in suggestions) or "none"
        super().__init__(f"No device {device_id!r:.100} is known. Nearest: {near}. Search for it by name.")
        self.suggestions = suggestions


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a variant cost when it was launched, in one currency; `derived` where no source tells it."""

    price: Money
    source: str
    confidence: str

    @property
    def derived(self) -> bool:
        """Whether the price follows from one in another currency, as its source says."""
        return derivation.is_derived(self.confidence)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One device with one storage; launch facts are empty where only sales made it known."""

    device_id: str
    brand: str
    model: str
    category: str
    storage_gb: float | None
    family: str | None = None
    launched_on: date | None = None
    launches: tuple[Launch, ...] = ()

    @property
    def name(self) -> str:
        """How people call it: "Apple iPhone 13 128 GB"."""
        storage = "" if self.storage_gb is None else f" {_number(self.storage_gb)} GB"
        return f"{_full_name(self.brand, self.model)}{storage}"


def key(text: str) -> str:
    """The form in which names are compared: NFKC, lower case, single spaces.

    Lower case and not casefold: polars has no casefold, and `key_expr` must give the same.
    """
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def key_expr(column: pl.Expr) -> pl.Expr:
    """The same as `key`, on a column of texts."""
    lower = column.str.normalize("NFKC").str.to_lowercase()
    return lower.str.replace_all(r"[\s\x1c-\x1f]+", " ").str.strip_chars(" ")


def model_key(*, brand: str, model: str) -> str:
    """The form in which models of a brand are compared: the key of the name, without the brand in front."""
    return key(model).removeprefix(key(brand)).strip(" -")


def model_key_expr() -> pl.Expr:
    """The same as `model_key`, on the columns brand and model."""
    return key_expr(pl.col("model")).str.strip_prefix(key_expr(pl.col("brand"))).str.strip_chars(" -")


def slug(*, brand: str, model: str, storage_gb: float | None) -> str:
    """A device id from the names: ASCII words and numbers joined by hyphens, a plus written out.

    Apple, iPhone 13, 128 -> apple-iphone-13-128gb; Samsung, Galaxy S10+, None -> samsung-galaxy-s10-plus.
    """
    storage = "" if storage_gb is None else f" {_number(storage_gb)}gb"
    spelled = f"{_full_name(brand, model)}{storage}".replace("+", " plus ")
    plain = unicodedata.normalize("NFKD", spelled.lower()).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain)) or "device"


@dataclass(frozen=True)
class Catalogue:
    """The devices that are known, with unique ids."""

    variants: tuple[Variant, ...]

    def __post_init__(self) -> None:
        if len(self._by_id) < len(self.variants):
            raise CatalogueError("Two variants share a device id: ids are unique.")

    @classmethod
    def embedded(cls) -> Catalogue:
        """The catalogue of catalogue.csv, with the launch prices that are derived from its facts."""
        return _embedded()

    def with_devices(self, frame: pl.DataFrame) -> Catalogue:
        """This catalogue and the devices of a frame (brand, model, category, storage_gb) that it lacks.

        Names that have one `key` are one device. Where two devices have one slug, those of the frame get a
        digest of their names after it, whatever the order of the rows.
        """
        known = {_identity(variant) for variant in self.variants}
        added: dict[tuple[str, str, float | None], Variant] = {}
        columns = ("brand", "model", "category", "storage_gb")
        for row in frame.select(columns).unique().sort(pl.all()).to_dicts():
            variant = Variant(device_id=_device_id(row), **row)
            if _identity(variant) not in known:
                added.setdefault(_identity(variant), variant)
        uses = Counter(variant.device_id for variant in (*self.variants, *added.values()))
        new = (v if uses[v.device_id] == 1 else _with_digest(v) for v in added.values())
        return Catalogue((*self.variants, *new))

    def get(self, device_id: str) -> Variant:
        """The variant with this id; UnknownDevice, with suggestions, where there is none."""
        if device_id not in self._by_id:
            raise UnknownDevice(device_id, self.search(device_id.replace("-", " "), 5))
        return self._by_id[device_id]

    def search(self, text: str, limit: int = 10) -> tuple[Variant, ...]:
        """The variants nearest to what somebody typed, best first; empty where nothing is near.

        Model after model; a storage in the text puts that variant of each model first.
        """
        storages = {variant.storage_gb for variant in self.variants}
        typed, storage_gb = names.storage_apart(text[:200], storages)
        found = (
            variant
            for name in self._index.nearest(names.words(typed))
            for variant in sorted(self._by_name[name], key=lambda v: v.storage_gb != storage_gb)
        )
        return tuple(islice(found, limit))

    @cached_property
    def _by_id(self) -> Mapping[str, Variant]:
        return {variant.device_id: variant for variant in self.variants}

    @cached_property
    def _by_name(self) -> Mapping[str, list[Variant]]:
        """The variants of each model by the key of its full name, least storage first."""
        by_name = defaultdict(list)
        for variant in sorted(self.variants, key=lambda v: v.storage_gb or 0):
            by_name[key(_full_name(variant.brand, variant.model))].append(variant)
        return by_name

    @cached_property
    def _index(self) -> names.Index:
        """Every model with and without its brand."""
        return names.Index({name: (name, variants[0].model) for name, variants in self._by_name.items()})


@cache
def launch_facts() -> pl.DataFrame:
    """The launches of the embedded catalogue, one row per variant and currency.

    brand_key and model_key, storage_gb, currency, launched_on, launch_price (major units), derived.
    """
    return pl.DataFrame(
        [
            {
                "brand_key": key(variant.brand),
                "model_key": model_key(brand=variant.brand, model=variant.model),
                "storage_gb": variant.storage_gb,
                "currency": launch.price.currency,
                "launched_on": variant.launched_on,
                "launch_price": float(launch.price.amount),
                "derived": launch.derived,
            }
            for variant in Catalogue.embedded().variants
            for launch in variant.launches
        ]
    )


def load(*, path: Path) -> Catalogue:
    """Read and check a catalogue file, with its facts only; CatalogueError lists every problem with its line."""
    return _of(catalogue_file.read(path=path, device_id=_device_id))


def _of(entries: Iterable[Entry]) -> Catalogue:
    devices = defaultdict(list)
    for entry in entries:
        devices[entry.device_id].append(entry)
    return Catalogue(tuple(_variant(of_it) for of_it in devices.values()))


def _device_id(row: Mapping[str, Any]) -> str:
    storage_gb = None if row["storage_gb"] is None else float(row["storage_gb"])
    return slug(brand=row["brand"], model=row["model"], storage_gb=storage_gb)


def _variant(entries: Sequence[Entry]) -> Variant:
    first = entries[0]
    return Variant(
        device_id=first.device_id,
        brand=first.brand,
        model=first.model,
        category=first.category,
        storage_gb=first.storage_gb,
        family=first.family,
        launched_on=first.launched_on,
        launches=tuple(Launch(price=e.price, source=e.source, confidence=e.confidence) for e in entries),
    )


@cache
def _embedded() -> Catalogue:
    facts = catalogue_file.read(path=FACTS, device_id=_device_id)
    return _of((*facts, *derivation.derived(entries=facts)))


def _full_name(brand: str, model: str) -> str:
    """The model with its brand before it, unless it begins with it: Apple iPhone 13, Huawei P30."""
    return model if f"{key(model)} ".startswith(f"{key(brand)} ") else f"{brand} {model}"


def _number(storage_gb: float) -> str:
    return f"{storage_gb:.10g}"


def _identity(variant: Variant) -> tuple[str, str, float | None]:
    return key(variant.brand), key(variant.model), variant.storage_gb


def _with_digest(variant: Variant) -> Variant:
    digest = hashlib.sha256(repr(_identity(variant)).encode()).hexdigest()[:8]
    return replace(variant, device_id=f"{variant.device_id}-{digest}")
