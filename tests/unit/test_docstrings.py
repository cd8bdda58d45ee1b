"""Docstrings, and the strings under fields and constants, begin with the noun that they describe."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAGMENT = re.compile(r"(Of|The same|As|Whose|By|With|To whom|In which|In place of|That|From|For|At|On what)\b")
FOLDERS = ("flux2", "tui", "themes", "tests")


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring, and of each string that follows an assignment."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        described = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for before, statement in pairwise([None, *body]):
            if (described and before is None) or isinstance(before, ast.Assign | ast.AnnAssign):
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield statement.lineno, text


def fragments(source: str) -> list[int]:
    """Lines of the texts that leave the reader to find out what they speak of."""
    return [line for line, text in texts(ast.parse(source)) if FRAGMENT.match(text.strip())]


@pytest.mark.parametrize(
    "source",
    [
        '"""Of what Textual repaints, the cells."""',
        'def f():\n    """As the transformer does."""',
        'class A:\n    step: int = 0\n    """Of the run."""',
        'X = 1\n"""The same for Y."""',
        'class A:\n    async def f(self):\n        """\n        Whose words these are."""',
    ],
)
def test_a_fragment_is_found(source: str) -> None:
    assert len(fragments(source)) == 1


@pytest.mark.parametrize(
    "source",
    ['"""Offers of the worker."""', 'def f():\n    """Assets."""', 'f("""Of a text.""")', 'X = """As text"""'],
)
def test_what_begins_with_a_noun_is_none(source: str) -> None:
    assert fragments(source) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_begin_with_a_noun(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in fragments(path.read_text("utf-8"))]
    assert found == []
