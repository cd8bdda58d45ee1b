"""What is installed: all that a run needs, and neither the training of pocket nor the races of the bench."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_namespace_packages

ROOT = Path(__file__).parents[2]
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
STAYS_HERE = ("flux2/bench/research/", "flux2/bench/results/", "flux2/pocket/training/")


@pytest.fixture(scope="module")
def wheel() -> set[str]:
    """The files of the wheel, relative to the repository: modules of the packages found, and the data named."""
    packages = find_namespace_packages(str(ROOT), **SETUPTOOLS["packages"]["find"])
    folders = [ROOT.joinpath(*package.split(".")) for package in packages]
    modules = {path for folder in folders for path in folder.glob("*.py")}
    data = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
        if path.is_file()
    }
    return {path.relative_to(ROOT).as_posix() for path in modules | data}


def test_what_a_run_reads_is_installed(wheel: set[str]) -> None:
    pocket = [path for folder in ("checkpoint", "previews") for path in (ROOT / "flux2/pocket" / folder).rglob("*")]
    read = [*pocket, *ROOT.glob("flux2/doctor/*.png"), *ROOT.glob("tui/**/*.tcss"), *ROOT.glob("themes/*.toml")]
    files = {path.relative_to(ROOT).as_posix() for path in read if path.is_file()}
    assert {Path(path).suffix for path in files} >= {".safetensors", ".json", ".npy", ".png", ".tcss", ".toml"}
    assert files - wheel == set()


def test_research_stays_in_the_repository(wheel: set[str]) -> None:
    assert all((ROOT / folder).is_dir() for folder in STAYS_HERE)
    assert [path for path in wheel if path.startswith(STAYS_HERE)] == []
    assert {Path(path).suffix for path in wheel if path.startswith("flux2/bench/")} == {".py"}


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_nothing_installed_imports_what_is_not(wheel: set[str]) -> None:
    """Imports inside functions count, too: those that a checker of the module level passes over."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in wheel}
    missing = set()
    for path in wheel:
        if path.endswith(".py"):
            for node in ast.walk(ast.parse((ROOT / path).read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
                    here = {name for name in names if is_module(name)}
                    missing |= {(path, name) for name in here - modules}
    assert missing == set()
