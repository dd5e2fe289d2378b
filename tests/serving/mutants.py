"""Damaged and doctored appraisers: every way known in which files end, hang, or mislead whoever reads them."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tests.serving.copies import seal
from valuation import package

Change = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A change of a copy of an appraiser; `sealed` ones have a manifest that agrees with it.

    A `whole` one is an appraiser, though another than its golden rows say: only a trial tells. A `spared` one may be as
    good as it was, such as one with a flipped digit of a gain.
    """

    name: str
    change: Change
    sealed: bool = True
    whole: bool = False
    spared: bool = False

    def make(self, directory: Path) -> None:
        """Change a copy."""
        self.change(directory)
        if self.sealed:
            seal(directory)


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/reprise-evil",)  # nobody ever unpickles it


def text(change: Callable[[str], str], *, every: bool = False) -> Change:
    """Change the text of the largest forest, or of every one."""

    def do(directory: Path) -> None:
        forests = json.loads((directory / package.TREES).read_text("utf-8"))
        largest = max(range(len(forests)), key=lambda place: len(forests[place]))
        told = [change(t) if every or place == largest else t for place, t in enumerate(forests)]
        (directory / package.TREES).write_text(json.dumps(told), "utf-8")

    return do


def number(name: str, value: str) -> Change:
    """The first number of the first line of a name becomes another, and tree_sizes agree."""
    return text(lambda t: resized(re.sub(rf"\n{name}=\S+", f"\n{name}={value}", t, count=1)))


def resized(forest: str) -> str:
    """The same forest with the tree_sizes that its trees have."""
    head, _, rest = forest.partition("\n\n")
    sizes = " ".join(str(len(tree)) for tree in re.findall(r"Tree=.*?\n\n\n", rest, re.DOTALL))
    return re.sub("tree_sizes=.*", f"tree_sizes={sizes}", head) + "\n\n" + rest


def swapped(one: str, other: str) -> Change:
    """Two lines of every tree change their names."""
    return text(
        lambda t: resized(
            re.sub(rf"\n({one}|{other})=", lambda found: f"\n{other if found[1] == one else one}=", t)
        )
    )


def manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change the manifest."""

    def do(directory: Path) -> None:
        path = directory / package.MANIFEST
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")

    return do


def model(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change model.json."""

    def do(directory: Path) -> None:
        path = directory / package.MODEL
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")

    return do


def table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Change:
    """Change a table."""

    def do(directory: Path) -> None:
        buffer = io.BytesIO()
        change(pl.read_parquet(directory / name)).write_parquet(buffer)
        (directory / name).write_bytes(buffer.getvalue())

    return do


def written(name: str, content: bytes) -> Change:
    """Another file in place of one."""
    return lambda directory: (directory / name).write_bytes(content)


def replaced(name: str, make: Callable[[Path], object]) -> Change:
    """Something else in place of a file."""

    def do(directory: Path) -> None:
        (directory / name).unlink()
        make(directory / name)

    return do


def code(directory: Path) -> None:
    """What MLflow's loaders would run."""
    (directory / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: evil\n    code: code\n"
    )
    (directory / "code").mkdir()
    for name in ("evil", "lightgbm", "sitecustomize"):
        (directory / "code" / f"{name}.py").write_text("import os\nos.system('touch /tmp/reprise-evil')\n")
    (directory / "python_model.pkl").write_bytes(pickle.dumps(Evil()))


DELIBERATE = (
    Mutant(name="MLmodel with code", change=code),
    *(
        Mutant(
            name=f"{name} is a pickle",
            change=written(name, pickle.dumps(Evil())),
            whole=name == package.GOLDEN,
        )
        for name in (package.TREES, package.MODEL, package.GRIDS, package.GOLDEN)
    ),
    Mutant(name="a thousand classes", change=text(lambda t: t.replace("num_class=1", "num_class=1000"))),
    Mutant(
        name="a thousand trees a round", change=text(lambda t: t.replace("iteration=1", "iteration=1000", 1))
    ),
    Mutant(name="wrong tree_sizes", change=text(lambda t: re.sub(r"tree_sizes=\d+", "tree_sizes=7", t))),
    Mutant(
        name="tree_sizes of elsewhere",
        change=text(lambda t: re.sub(r"tree_sizes=\d+", "tree_sizes=99999999", t)),
    ),
    Mutant(name="a loop", change=number("left_child", "0")),
    Mutant(
        name="loops everywhere",
        change=text(lambda t: re.sub(r"left_child=-?\d+", "left_child=0", t), every=True),
    ),
    Mutant(name="a child of elsewhere", change=number("right_child", "31000")),
    Mutant(name="a leaf of elsewhere", change=number("right_child", "-31000")),
    Mutant(name="a feature of elsewhere", change=number("split_feature", "99999")),
    Mutant(name="a feature below zero", change=number("split_feature", "-1")),
    Mutant(name="a feature beyond", change=number("split_feature", "7")),
    Mutant(name="a huge leaf", change=number("leaf_value", "1e308")),
    Mutant(name="a leaf of NaN", change=number("leaf_value", "nan")),
    Mutant(name="a leaf of infinity", change=number("leaf_value", "inf")),
    Mutant(name="a leaf of -500", change=number("leaf_value", "-500")),
    Mutant(
        name="leaves of -5",
        change=text(lambda t: resized(re.sub(r"leaf_value=\S+", "leaf_value=-5", t))),
        whole=True,
    ),
    Mutant(name="categories of elsewhere", change=number("cat_boundaries", "70000")),
    Mutant(name="a decision that is none", change=number("decision_type", "255")),
    Mutant(name="no counts", change=number("internal_count", "0")),
    Mutant(name="many leaves", change=number("num_leaves", "2147483647")),
    Mutant(name="linear", change=number("is_linear", "1")),
    Mutant(name="left is right", change=swapped("left_child", "right_child"), whole=True),
    Mutant(name="leaves are thresholds", change=swapped("leaf_value", "threshold")),
    Mutant(name="counts are weights", change=swapped("leaf_count", "leaf_weight")),
    Mutant(name="no forest", change=written(package.TREES, b"[]"), whole=True),
    Mutant(name="a forest of numbers", change=written(package.TREES, b"[3]")),
    Mutant(name="lists in lists", change=written(package.MODEL, b"[" * 200_000)),
    Mutant(name="NaN in JSON", change=written(package.MODEL, b'{"until": NaN}')),
    Mutant(
        name="folds of elsewhere",
        change=model(lambda m: {**m, "folds": dict.fromkeys(m["folds"], 99)}),
        whole=True,
    ),
    Mutant(
        name="folds of words",
        change=model(lambda m: {**m, "folds": dict.fromkeys(m["folds"], "a")}),
        whole=True,
    ),
    Mutant(name="one scale", change=model(lambda m: {**m, "scales": m["scales"][:1]})),
    Mutant(
        name="an equation of NaN",
        change=table(
            package.EQUATION,
            lambda t: t.with_columns(pl.col("values").list.eval(pl.element() * float("nan"))),
        ),
        whole=True,
    ),
    Mutant(
        name="an equation too high",
        change=table(
            package.EQUATION, lambda t: t.with_columns(pl.col("values").list.eval(pl.element() + 0.05))
        ),
        whole=True,
    ),
    Mutant(name="an equation that is empty", change=table(package.EQUATION, lambda t: t.clear())),
    Mutant(name="grids of another shape", change=table(package.GRIDS, lambda t: t.head(0)), whole=True),
    Mutant(name="no golden rows", change=table(package.GOLDEN, lambda t: t.head(0)), whole=True),
    Mutant(name="devices of nothing", change=table(package.DEVICES, lambda t: t.select("brand")), whole=True),
    Mutant(
        name="features turned round",
        change=manifest(lambda m: {**m, "features": m["features"][::-1]}),
        whole=True,
    ),
    Mutant(name="another format", change=manifest(lambda m: {**m, "format": 99})),
    Mutant(
        name="a file outside",
        change=manifest(lambda m: {**m, "files": {"../../x": m["files"]}}),
        sealed=False,
    ),
    Mutant(name="no manifest", change=written(package.MANIFEST, b"[]"), sealed=False),
    Mutant(
        name="a link", change=replaced(package.OWNERS, lambda p: p.symlink_to("/etc/hostname")), sealed=False
    ),
    Mutant(name="a folder", change=replaced(package.OWNERS, Path.mkdir), sealed=False),
    Mutant(name="too large", change=lambda d: os.truncate(d / package.PAST, 2**30), sealed=False),
    Mutant(name="absent", change=replaced(package.MET, lambda _: None), sealed=False),
)


def cuts() -> Iterator[Mutant]:
    """Files, and the largest forest in a file that is sealed, cut at every hundredth."""
    for percent in range(1, 100):
        yield Mutant(
            name=f"forest cut at {percent} %", change=text(lambda t, p=percent: t[: body(t) * p // 100])
        )
    for percent in range(100):
        name = package.FILES[percent % len(package.FILES)]
        sealed = percent % 2 == 0
        told = f"{name} cut at {percent} %"
        yield Mutant(
            name=told, change=cut(name, percent), sealed=sealed, whole=sealed and name == package.GOLDEN
        )


def body(forest: str) -> int:
    """Where the trees of a forest end; what stands behind them values nothing."""
    return forest.index("end of trees")


def cut(name: str, percent: int) -> Change:
    """A file is cut."""

    def do(directory: Path) -> None:
        os.truncate(directory / name, (directory / name).stat().st_size * percent // 100)

    return do


def flipped(random_: random.Random) -> Iterator[Mutant]:
    """Bits of files, and characters of a sealed forest, turned without end."""
    while True:
        name, place, bit = random_.choice(package.FILES), random_.random(), random_.randrange(8)
        yield Mutant(name=f"{name}, bit {bit} at {place:.4f}", change=flip(name, place, bit), sealed=False)
        yield Mutant(
            name=f"{name}, sealed, bit {bit} at {place:.4f}", change=flip(name, place, bit), spared=True
        )
        word = random_.choice("0123456789 -=.\nae")
        yield Mutant(name=f"forest, {word!r} at {place:.4f}", change=text(turned(place, word)), spared=True)


def flip(name: str, place: float, bit: int) -> Change:
    """One bit of a file turns."""

    def do(directory: Path) -> None:
        content = bytearray((directory / name).read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        (directory / name).write_bytes(content)

    return do


def turned(place: float, word: str) -> Callable[[str], str]:
    """One character of the trees becomes another."""

    def do(forest: str) -> str:
        at = int(place * body(forest))
        return forest[:at] + word + forest[at + 1 :]

    return do


def drawn(*, many: int, seed: int) -> list[Mutant]:
    """So many mutants: the deliberate ones, cuts at every hundredth, and flips."""
    random_ = random.Random(seed)
    found, others = [*DELIBERATE], list(cuts())
    if many < len(found) + len(others):
        others = random_.sample(others, 6)
    flips = flipped(random_)
    found += others
    return [*found[:many], *(next(flips) for _ in range(many - len(found)))]
