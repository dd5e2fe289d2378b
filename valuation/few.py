"""A few devices, told by their columns: their features as lists, where a table costs more than all the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from valuation import features, ledger, told, vocabulary
from valuation.ledger import Attribute
from valuation.rows import Whole

Asked = tuple[Mapping[str, object], date]  # a device on a day


def features_of(
    *, devices: Sequence[told.Device], attributes: Mapping[str, Attribute]
) -> dict[str, list[Any]]:
    """Compute what features.table does, one list for each feature, and for `day`.

    `devices` are as vocabulary.complete_one tells them; a number that cannot be is NaN here.
    """
    listed = features.declared(attributes=attributes)
    if any(feature.one is None for feature in listed):
        table = features.table(devices=_table(devices, attributes), attributes=attributes)
        return table.to_dict(as_series=False)
    columns: dict[str, list[Any]] = {f.name: list(map(f.one, devices)) for f in listed if f.one is not None}
    return {**columns, "day": [told.day(device) for device in devices]}


def _table(devices: Sequence[told.Device], attributes: Mapping[str, Attribute]) -> pl.DataFrame:
    schema = {column.name: ledger.DTYPES[column.kind] for column in ledger.DEVICES.columns}
    schema |= {name: ledger.DTYPES[attribute.kind] for name, attribute in attributes.items()}
    return pl.DataFrame(devices, schema={**schema, **vocabulary.ADDED}, orient="row")


def once(asked: Sequence[Asked]) -> tuple[list[Asked], Whole]:
    """Every device on a day that there is, once; and which of them each one is: (n,)."""
    met: dict[object, int] = {}
    places = [met.setdefault((tuple(device.items()), on), len(met)) for device, on in asked]
    return [asked[places.index(place)] for place in range(len(met))], np.array(places)


def some(table: Mapping[str, list[Any]], rows: Whole) -> dict[str, list[Any]]:
    """Some rows of lists."""
    return {name: [values[row] for row in rows] for name, values in table.items()}
