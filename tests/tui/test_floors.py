"""The screen's floors, as pyproject.toml has them in a contract, for imports of types alone as well."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = next(
    contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers" and "tui.app" in contract["layers"]
)
FLOORS: list[str] = CONTRACT["layers"][::-1]
"""The lowest first."""


def floor(module: str) -> int:
    return next(place for place, name in enumerate(FLOORS) if f"{module}.".startswith(f"{name}."))


def imported(path: Path) -> list[str]:
    """Every module of the screen that a file imports, wherever in it and for whatever."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
    names = [f"{node.module}.{name.name}" for node in nodes for name in node.names]
    return [name for name in names if name.startswith("tui.")]


@pytest.mark.parametrize("path", sorted(ROOT.glob("tui/**/[!_]*.py")), ids=lambda path: path.stem)
def test_nothing_looks_up(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imported(path):
        assert floor(name) <= floor(module), f"{module} imports {name}"


def test_the_program_itself_is_imported_by_its_start_alone() -> None:
    files = [path for path in ROOT.glob("tui/**/*.py") if any(name.startswith("tui.app.") for name in imported(path))]
    assert files == [ROOT / "tui" / "__main__.py"]


def test_what_models_and_workers_are_looked_at_with_waits_until_the_first_frame_is_out() -> None:
    later = ("flux2.worker", "flux2.store", "flux2.checkpoint")
    program = f"import sys, tui.app; print([name for name in sys.modules if name.startswith({later})])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT).stdout.strip() == b"[]"
