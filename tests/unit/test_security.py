"""What must never be in this program's code, and what must never reach a terminal raw."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("flux2", "tui") for path in (ROOT / package).rglob("*.py"))
EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\rfox"


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Whatever is imported, called or asked for, dotted, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            case ast.Attribute():
                yield node.lineno, ast.unparse(node)
            case ast.Call(func=ast.Name(id=name)):
                yield node.lineno, f"{name}()"
            case ast.keyword(arg=str(name)):
                yield node.value.lineno, f"{name}="


@cache
def names_in(path: Path) -> list[tuple[int, str]]:
    return list(names(ast.parse(path.read_text("utf-8"))))


FORBIDDEN = {
    r"pickle|cPickle|dill|cloudpickle|shelve|marshal|joblib": "runs code out of files",
    r"mx\.load": "returns garbage where a file is cut short",
    r"^(eval|exec|compile)\(\)$": "runs text as code",
    r"trust_remote_code=": "runs code out of repositories",
    r"AF_INET6?|start_server|create_server|http\.server|socketserver": "opens a port",
    r"os\.system|os\.popen|shell=": "lets a shell read a name",
    r"yaml\.load|xml\.etree": "is not safe with files of others",
}


def whole_names(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern if pattern.startswith("^") else rf"(^|\.)({pattern})(\.|$)|^({pattern})$")


ALLOWED = {
    "flux2/backend/cpu/blank_memory.py": {"mx.load"},  # of no file, but of what takes memory
    "flux2/worker/server.py": {"asyncio.start_unix_server", "self._loop.create_unix_server"},
}


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=list(FORBIDDEN.values()))
def test_nothing_in_the_program(pattern: str) -> None:
    forbidden = whole_names(pattern)
    found = []
    for path in SOURCES:
        where = path.relative_to(ROOT).as_posix()
        found += [
            f"{where}:{line} {name}"
            for line, name in names_in(path)
            if forbidden.search(name) and name not in ALLOWED.get(where, ())
        ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    code = "import pickle\nmodel = mx.load('x')\neval('1')\nf(trust_remote_code=True)\nsocket.socket(socket.AF_INET)"
    told = [name for _, name in names(ast.parse(code))]
    assert {"pickle", "mx.load", "eval()", "trust_remote_code=", "socket.AF_INET"} <= set(told)
    samples = ("pickle", "mx.load", "eval()", "trust_remote_code=", "socket.AF_INET", "os.system", "xml.etree.ET")
    for pattern, sample in zip(FORBIDDEN, samples, strict=True):
        assert whole_names(pattern).search(sample)


SAFELY = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "numpy.load": "allow_pickle=False"}


def test_what_could_unpickle_is_told_not_to() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and (said := SAFELY.get(ast.unparse(call.func))) and said not in ast.unparse(call)
    ]
    assert found == []


def raw_control(output: bytes) -> bytes | None:
    """The first that a terminal would obey, line ends left aside."""
    found = re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", output)
    return found and found[0]


def flux2(*arguments: str, home: Path) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "flux2", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "", "HOME": str(home), "FLUX2_HOME": str(home / "flux2"), "LC_ALL": "C.UTF-8"},
    )
    return done.stdout + done.stderr


def test_the_command_line_prints_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    metadata = ImageMetadata(
        request=GenerationRequest(prompt=EVIL, negative_prompt=EVIL, model=EVIL, width=64, height=64, seed=1)
    )
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    picture = save_png(Image.new("RGB", (8, 8)), folder / "fox\x1b[2J.png", metadata)
    for arguments in (
        ["info", str(picture)],
        ["info", str(folder)],
        ["t2i", "a fox", "--model", str(folder), "-o", str(tmp_path) + "/"],
        ["t2i", "a fox", "--model", EVIL, "-o", str(tmp_path) + "/"],
        ["plan", "--model", str(folder)],
        ["worker", "discard", EVIL],
        ["worker", "stop"],  # which the line before has started
        ["models", EVIL],
    ):
        output = flux2(*arguments, home=tmp_path)
        assert output
        assert raw_control(output) is None, (arguments, output)


@pytest.mark.parametrize("prompt", ["../../etc/passwd", "/etc/passwd", "..", ".", "a/../../b", "\0", "~root/x", EVIL])
def test_a_prompt_names_no_file_outside(tmp_path: Path, prompt: str) -> None:
    from flux2.pictures.images import output_path

    request = GenerationRequest(prompt=prompt, model=prompt, width=64, height=64, seed=1)
    for pattern in ("{prompt}", "{model}/{prompt}", "{prompt}/{seed}"):
        path = output_path(None, tmp_path, replace(request, seed=1), 1, pattern)
        assert path.resolve().is_relative_to(tmp_path)
        assert str(path).isprintable()
