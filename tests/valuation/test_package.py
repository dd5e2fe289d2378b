"""A packed appraiser comes back as it went, and a directory that is not what it says is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from valuation import package
from valuation.appraiser import Appraiser, AppraiserError


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "copy"))


def test_it_values_after_the_journey_as_before(
    appraiser: Appraiser, packed: Path, sales: pl.DataFrame
) -> None:
    devices = sales.head(300).with_columns(on=pl.lit(appraiser.as_of))
    back = package.load(directory=packed)
    assert back.appraise(devices=devices).equals(appraiser.appraise(devices=devices))
    assert (back.as_of, back.simulated, back.card) == (appraiser.as_of, True, appraiser.card)
    assert back.devices.equals(appraiser.devices)


def test_its_digest_is_that_of_the_manifest(appraiser: Appraiser, packed: Path, tmp_path: Path) -> None:
    assert package.load(directory=packed).digest == package.save(
        appraiser=appraiser, directory=tmp_path / "again"
    )


def test_nothing_in_it_is_pickled_and_the_trees_are_text(packed: Path) -> None:
    names = {path.name for path in packed.iterdir()}
    assert names == {*package.FILES, package.MANIFEST}
    trees = json.loads((packed / package.TREES).read_text("utf-8"))
    assert trees
    assert all(text.startswith("tree\nversion=") for text in trees)


@pytest.mark.parametrize("name", package.FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(copy: Path, name: str, share: float) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AppraiserError, match=f"{name} is not the file that was packed"):
        package.load(directory=copy)


@pytest.mark.parametrize("name", package.FILES)
def test_a_file_with_one_byte_changed_is_refused_by_name(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(AppraiserError, match=f"{name} is not the file that was packed"):
        package.load(directory=copy)


@pytest.mark.parametrize("name", [*package.FILES, package.MANIFEST])
def test_an_absent_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(AppraiserError, match=f"holds no file {name}"):
        package.load(directory=copy)


def test_a_link_is_not_followed(copy: Path, packed: Path) -> None:
    (copy / package.TREES).unlink()
    (copy / package.TREES).symlink_to(packed / package.TREES)
    with pytest.raises(AppraiserError, match="holds no file"):
        package.load(directory=copy)


def without(key: str) -> Callable[[dict], dict]:
    return lambda manifest: {k: v for k, v in manifest.items() if k != key}


WRONG: dict[str, Callable[[dict], object]] = {
    "another format": lambda m: {**m, "format": 99},
    "no format": without("format"),
    "no files": without("files"),
    "no features": without("features"),
    "an unknown feature": lambda m: {**m, "features": [*m["features"], "phase_of_the_moon"]},
    "a list": lambda m: [m],
    "files that are no table": lambda m: {**m, "files": 3},
    "attributes that are none": lambda m: {**m, "attributes": {"ram": 7}},
    "a day that is none": lambda m: {**m, "as_of": "yesterday"},
    "a file outside": lambda m: {
        **m,
        "files": {**m["files"], "../../etc/passwd": {"sha256": "0", "bytes": 1}},
    },
    "an absolute file": lambda m: {**m, "files": {**m["files"], "/etc/passwd": {"sha256": "0", "bytes": 1}}},
    "a file less": lambda m: {**m, "files": {n: f for n, f in m["files"].items() if n != package.OWNERS}},
}


@pytest.mark.parametrize("change", WRONG)
def test_a_manifest_that_is_none_is_refused(copy: Path, change: str) -> None:
    manifest = json.loads((copy / package.MANIFEST).read_text("utf-8"))
    (copy / package.MANIFEST).write_text(json.dumps(WRONG[change](manifest)), "utf-8")
    with pytest.raises(AppraiserError):
        package.load(directory=copy)


@pytest.mark.parametrize("text", ["", "{", "\x00\x01", "[" * 100_000, "null", "3"])
def test_a_manifest_that_is_no_json_is_refused(copy: Path, text: str) -> None:
    (copy / package.MANIFEST).write_text(text, "utf-8")
    with pytest.raises(AppraiserError, match="manifest"):
        package.load(directory=copy)


def test_an_enormous_file_is_refused_before_it_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(AppraiserError, match="at most 100"):
        package.load(directory=copy)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a file more": lambda d: (d / "MLmodel").write_text("loader_module: evil"),
    "a folder more": lambda d: (d / "code").mkdir(),
    "a link more": lambda d: (d / "more").symlink_to(d / package.TREES),
}


@pytest.mark.parametrize("change", STRANGE)
def test_what_else_lies_there_is_refused(copy: Path, change: str) -> None:
    STRANGE[change](copy)
    with pytest.raises(AppraiserError, match="not of an appraiser"):
        package.load(directory=copy)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", [package.OWNERS, package.MANIFEST])
def test_what_is_no_plain_file_is_not_opened(copy: Path, name: str, make: Callable[[Path], None]) -> None:
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(AppraiserError, match=f"holds no file {name}"):
        package.load(directory=copy)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused_in_json(copy: Path, word: str) -> None:
    manifest = (copy / package.MANIFEST).read_text("utf-8")
    (copy / package.MANIFEST).write_text(manifest.replace('"sales": 4000', f'"sales": {word}'), "utf-8")
    assert word in (copy / package.MANIFEST).read_text("utf-8")
    with pytest.raises(AppraiserError, match="not a manifest"):
        package.load(directory=copy)
