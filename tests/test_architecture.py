"""Who may import whom: the ladder of valuation, the two houses, the frameworks, and what a wheel holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import valuation
from training import simulator

ROOT = Path(__file__).parents[1]
HOUSES = ("valuation", "training", "serving")
MODULES = sorted(path for house in HOUSES for path in (ROOT / house).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


LADDERS = {"valuation": valuation, "training.simulator": simulator}
RUNGS = [
    (package, path)
    for package in LADDERS
    for path in sorted((ROOT / package.replace(".", "/")).glob("[!_]*.py"))
]


def ladder(package: str) -> list[list[str]]:
    """The rungs of a package, highest first, as its docstring draws them: the indented lines."""
    drawn = (LADDERS[package].__doc__ or "").splitlines()
    return [line.split() for line in drawn if line.startswith("    ")]


@pytest.mark.parametrize("package", LADDERS)
def test_a_ladder_names_every_module_of_its_package_once(package: str) -> None:
    drawn = [module for rung in ladder(package) for module in rung]
    assert sorted(drawn) == sorted(path.stem for of, path in RUNGS if of == package)


@pytest.mark.parametrize(("package", "path"), RUNGS, ids=lambda of: getattr(of, "stem", of))
def test_a_module_imports_only_from_lower_rungs_of_its_ladder(package: str, path: Path) -> None:
    rungs = ladder(package)
    height = {module: len(rungs) - rung for rung, modules in enumerate(rungs) for module in modules}
    named = {
        name.removeprefix(f"{package}.").split(".")[0]
        for name in imported(path)
        if name.startswith(f"{package}.")
    }
    assert {module for module in named & set(height) if height[module] >= height[path.stem]} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_valuation_knows_no_house_and_the_houses_do_not_know_each_other(path: Path) -> None:
    house = path.relative_to(ROOT).parts[0]
    strangers = {"valuation": {"training", "serving"}, "training": {"serving"}, "serving": {"training"}}
    assert {name.split(".")[0] for name in imported(path)} & strangers[house] == set()


@pytest.mark.parametrize("path", sorted((ROOT / "valuation").glob("*.py")), ids=lambda p: p.stem)
def test_valuation_imports_no_framework_and_reads_no_clock(path: Path) -> None:
    banned = {
        "fastapi",
        "starlette",
        "uvicorn",
        "mlflow",
        "sqlalchemy",
        "typer",
        "os",
        "time",
        "socket",
        "httpx2",
    }
    assert {name.split(".")[0] for name in imported(path)} & banned == set()
    assert not re.search(r"\b(today|now|utcnow)\(", path.read_text("utf-8"))


def test_mlflow_is_imported_in_one_module_of_each_house() -> None:
    users = {str(p.relative_to(ROOT)) for p in MODULES if any(n.startswith("mlflow") for n in imported(p))}
    assert users == {"training/registry.py", "serving/courier.py"}


def test_nothing_unpickles_or_lets_mlflow_load_a_model() -> None:
    for path in MODULES:
        assert {n.split(".")[0] for n in imported(path)} & {
            "pickle",
            "cloudpickle",
            "joblib",
            "dill",
        } == set()
        assert "load_model" not in path.read_text("utf-8"), path


def test_the_folder_mlflow_holds_no_python() -> None:
    assert list((ROOT / "mlflow").rglob("*.py")) == []


def test_no_tracked_file_names_a_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    hosts = re.compile(r"(pypi|pythonhosted|npmjs)\.(org|com)")
    guilty = [
        name
        for name in listed.stdout.splitlines()
        if name != "tests/test_architecture.py" and hosts.search((ROOT / name).read_bytes().decode("latin-1"))
    ]
    assert guilty == []


def test_the_wheel_holds_the_three_houses_with_their_data_and_no_mlflow(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(HOUSES)
    data = [
        p
        for house in HOUSES
        for p in (ROOT / house).rglob("*")
        if p.suffix in {".toml", ".csv", ".j2", ".css", ".html"}
    ]
    assert data
    assert {str(p.relative_to(ROOT)) for p in data} <= names
