"""Figures of an older engine are found by the history, and the page of figures lists them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flux2.bench.research import older, readme


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository in place of this one."""
    git(tmp_path, "init", "--quiet")
    monkeypatch.setattr(older, "ROOT", tmp_path)
    monkeypatch.setattr(older, "_files", older._files.__wrapped__)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=none")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str]) -> str:
    """Commit exactly these files; the commit's name."""
    for old in folder.glob("flux2/**/*.py"):
        old.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "A step")
    return git(folder, "rev-parse", "--short", "HEAD")


THEN = {"flux2/old.py": '"""Adds."""\nimport math\ndef add(a):\n    """Sum."""\n    return a + 1\nONE = 1\n'}


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (THEN, []),
        ({"flux2/models/add.py": THEN["flux2/old.py"]}, []),
        ({"flux2/models/add.py": '"""New."""\nimport os\n\ndef add(a):\n    # why\n    return a + 1\n'}, []),
        ({"flux2/models/add.py": "def add(a):\n    return a + 1\n", "flux2/backend/one.py": "ONE = 1\n"}, []),
        ({"flux2/models/add.py": "def add(a):\n    return a + 2\n"}, ["flux2/models/add.py"]),
        ({"flux2/backend/one.py": "ONE = 2\n"}, ["flux2/backend/one.py"]),
        ({"flux2/worker/one.py": "ONE = 2\n"}, []),
    ],
    ids=["nothing", "renamed", "imports and texts", "moved apart", "changed", "a number", "no engine"],
)
def test_only_what_computes_makes_a_figure_older(history: Path, now: dict[str, str], changed: list[str]) -> None:
    then = commit(history, THEN)
    commit(history, now)
    assert older.changed_since(then, "peers") == changed


def test_each_kind_of_measurement_has_its_files(history: Path) -> None:
    then = commit(history, {})
    commit(history, {"flux2/denoise/steps.py": "STEPS = 2\n"})
    assert older.changed_since(then, "bench") == ["flux2/denoise/steps.py"]
    assert older.changed_since(then, "peers") == []


def test_the_files_that_decide_figures_are_there() -> None:
    named = {path for paths in older.ENGINE.values() for path in paths}
    assert [path for path in named if not (readme.README.parent / path).exists()] == []


def test_a_commit_that_is_not_known_here_is_said(history: Path) -> None:
    commit(history, THEN)
    with pytest.raises(LookupError, match="0123abc"):
        older.changed_since("0123abc", "peers")


def test_the_page_lists_every_file_that_is_older() -> None:
    try:
        found = older.all_older()
    except LookupError as error:
        pytest.skip(f"no history here: {error}")
    rows = [line for line in readme.RESULTS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [
        name for name, at in found.items() if not any(f"`{at}`" in row and f"`{name}`" in row for row in rows)
    ] == []


def test_without_history_the_page_keeps_its_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(older, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    older._files.cache_clear()
    text = readme.RESULTS.read_text(encoding="utf-8")
    assert readme.render(readme.RESULTS, text) == text
    older._files.cache_clear()
