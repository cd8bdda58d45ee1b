"""The walls of the house, tried out in fresh interpreters and on the tracked files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from grimp import build_graph

from flux2.cli import COMMANDS

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "tui", "flux2", "themes", "tests"}
HEAVY = {"mlx", "transformers", "torch", "diffusers"}
SCREEN = {"textual", "textual_image", "tui"}
MIB = 2**20


@cache
def tracked() -> tuple[Path, ...]:
    """The files of the repository, relative to its root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in listed.split("\0") if name and (ROOT / (path := Path(name))).is_file())


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    program = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import tui.app", HEAVY),
        ("import flux2", HEAVY | SCREEN | {"numpy", "PIL"}),
        ("import flux2.worker.client", HEAVY | SCREEN),
        ("import flux2.worker.process", SCREEN),
        ("import flux2.cli", HEAVY | SCREEN | {"numpy", "PIL", "rich"}),
        ("from flux2.cli import main; main(['models'])", HEAVY | SCREEN),
        ("from flux2.cli import main; assert main(['t2i', 'fox', '--steps', '0']) == 2", HEAVY | SCREEN),
        ("from flux2.cli import main; assert main(['worker', 'status']) == 0", HEAVY | SCREEN),
        ("from flux2.cli import main; assert main(['info', 'gone.png']) == 1", HEAVY | SCREEN),
        ("try:\n from flux2.cli import main; main(['--help'])\nexcept SystemExit: pass", HEAVY | SCREEN),
        ("from flux2 import Flux2Pipeline", SCREEN),
    ],
)
def test_imports_stay_on_their_side(code: str, forbidden: set[str]) -> None:
    assert not loaded_by(code) & forbidden


@pytest.mark.parametrize(
    ("arguments", "needed"), [(["--help"], set()), (["info", "gone.png"], {"info"}), (["worker", "-h"], {"worker"})]
)
def test_a_command_waits_for_no_other_to_be_imported(arguments: list[str], needed: set[str]) -> None:
    program = (
        f"import sys; from flux2.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
        "print(*[name.removeprefix('flux2.commands.') for name in sys.modules if name.startswith('flux2.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) & COMMANDS.keys() == needed


def test_every_command_has_its_line_in_the_help() -> None:
    modules = (ROOT / "flux2" / "commands").glob("*.py")
    assert COMMANDS.keys() == {path.stem for path in modules if "\ndef fill(" in path.read_text("utf-8")}


@pytest.mark.parametrize(("folder", "most"), [("flux2", 20), ("tui", 6)])
def test_few_modules_lie_at_the_top(folder: str, most: int) -> None:
    assert len([path for path in tracked() if path.suffix == ".py" and path.parent == Path(folder)]) <= most


def circles(arrows: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The folders of a circle among arrows from who imports to what is imported; () where there is none."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in arrows:
        order.add(importer, imported)
    try:
        order.prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def folder_of(module: str, packages: set[str]) -> str:
    """The innermost folder that a module lies in; a module at the top counts as a folder of its own."""
    outer = module.rpartition(".")[0]
    return module if module in packages or "." not in outer else outer


def test_no_folder_asks_one_that_asks_it() -> None:
    graph = build_graph("flux2", exclude_type_checking_imports=True, cache_dir=None)
    packages = {module for module in graph.modules if graph.find_children(module)}
    lines = [(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a) if "flux2" not in (a, b)]
    arrows = {(folder_of(a, packages), folder_of(b, packages)) for a, b in lines}
    assert circles((a, b) for a, b in arrows if a != b) == ()


def test_a_circle_would_be_seen() -> None:
    assert set(circles([("store", "paths"), ("paths", "settings"), ("settings", "store")])) >= {"store", "paths"}


def test_every_test_module_has_a_name_of_its_own() -> None:
    """pytest imports test modules by their base name alone, and stops at the second of the same name."""
    names = [path.name for path in tracked() if path.match("tests/**/test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_the_probe_can_fail() -> None:
    assert loaded_by("import PIL.Image") & {"PIL"}


def test_top_level() -> None:
    names = {path.parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_files_are_small() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked()}
    assert {path: size for path, size in sizes.items() if size > 16 * MIB} == {}
    checkpoint = sum(size for path, size in sizes.items() if Path("flux2/pocket/checkpoint") in path.parents)
    assert checkpoint <= 32 * MIB


def test_modules_are_short_and_say_what_they_are_for() -> None:
    ours = [path for path in tracked() if path.suffix == ".py" and path.parts[0] in ("flux2", "tui")]
    modules = {path: (ROOT / path).read_text() for path in ours}
    assert [path for path, text in modules.items() if text.count("\n") > 400] == []
    assert [path for path, text in modules.items() if not text.startswith(('"""', 'r"""'))] == []


def test_nothing_names_the_machine_it_was_written_on() -> None:
    private = re.compile(rb"(?<![\w.~/-])/(?:work|root|opt)/\w|\blocalhost:\d")
    text = {".py", ".md", ".toml", ".json", ".jinja", ".tcss", ".yml", ".yaml", ".sh", ""}
    for path in tracked():
        if path.suffix in text and path.name != Path(__file__).name:
            found = private.search((ROOT / path).read_bytes())
            assert found is None, f"{path}: {found}"


def test_the_readme_s_test_command_is_what_is_checked() -> None:
    checked = re.search(r"^check tests '(.+)'$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert checked and checked[1] in (ROOT / "README.md").read_text()
