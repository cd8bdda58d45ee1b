"""Measurements of an older engine than this one, by the history: `python -m flux2.bench.research.older`.

A definition of the engine is any statement at the top of a module but an import, without docstrings and comments: what
was only moved, or told otherwise, makes nothing older.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from flux2.bench.research.recorded import kind_of, read_files

ROOT = Path(__file__).parents[3]
_COMPUTES = (
    "flux2/models/",
    "flux2/quantization/linear.py",
    "flux2/quantization/matmul_choice.py",
    "flux2/quantization/on_cpu.py",
    "flux2/backend/",
    "flux2/architecture/levels.py",
    "flux2/architecture/limits.py",
)
_LOADS = (*_COMPUTES, "flux2/quantization/", "flux2/checkpoint/")
ENGINE = {
    "peers": _COMPUTES,
    "scaling": _COMPUTES,
    "bounds": (*_LOADS, "flux2/encode/"),
    "bench": (*_LOADS, "flux2/encode/", "flux2/denoise/", "flux2/engine.py", "flux2/pipeline.py"),
}
"""Files that decide the figures of each kind of measurement, by the beginnings of their paths today."""

_NEVER_ENGINE = tuple(
    f"flux2/{folder}/" for folder in ("bench", "commands", "doctor", "hub", "pictures", "pocket", "worker")
)
"""Folders whose files were never any of the engine's, which saves reading them."""


def all_older() -> dict[str, str]:
    """Names of the files that an older engine measured, each with its commit.

    A commit with a "+" had changes that were not committed, so that nobody can tell which engine it was.

    Raises:
        LookupError: if there is no history here that knows a commit.
    """
    commits = {name: (report["conditions"]["commit"], kind_of(report)) for name, report in read_files().items()}
    return {
        name: commit for name, (commit, kind) in commits.items() if commit[-1] == "+" or changed_since(commit, kind)
    }


def changed_since(commit: str, kind: str) -> list[str]:
    """Files of today's engine with definitions that the commit's source does not have, in order.

    Raises:
        LookupError: if there is no history here that knows the commit.
    """
    then = _files(commit, "flux2/")
    suspects = {path: blob for path, blob in _files("HEAD", *ENGINE[kind]).items() if blob not in then.values()}
    if not suspects:
        return []
    _read(blob for path, blob in then.items() if not path.startswith(_NEVER_ENGINE))
    _read(suspects.values())
    had = set().union(*(_definitions[blob] for blob in then.values() if blob in _definitions))
    return [path for path, blob in suspects.items() if not _definitions[blob] <= had]


@cache
def _files(commit: str, *beginnings: str) -> dict[str, str]:
    """Git's name of the content of each Python file under any of the beginnings."""
    entries = (line.split(maxsplit=3) for line in _git("ls-tree", "-r", commit).decode().splitlines())
    return {path: blob for _, _, blob, path in entries if path.startswith(beginnings) and path.endswith(".py")}


_definitions: dict[str, frozenset[bytes]] = {}
"""Digests of the definitions in each content that was read."""


def _read(blobs: Iterable[str]) -> None:
    """Take in the definitions of contents by git's names, of those that were not read yet."""
    new = [blob for blob in dict.fromkeys(blobs) if blob not in _definitions]
    rest = _git("cat-file", "--batch", asked="".join(f"{blob}\n" for blob in new)) if new else b""
    for blob in new:
        head, _, rest = rest.partition(b"\n")
        size = int(head.split()[-1])
        _definitions[blob] = frozenset(_define(rest[:size].decode()))
        rest = rest[size + 1 :]


def _define(source: str) -> Iterator[bytes]:
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_text(statement):
            text = ast.dump(_without_docstrings(statement))
            yield hashlib.blake2b(text.encode(), digest_size=16).digest()


def _without_docstrings(statement: ast.stmt) -> ast.stmt:
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return statement


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _git(*arguments: str, asked: str = "") -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, input=asked.encode(), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LookupError(f"git {' '.join(arguments)}: {getattr(error, 'stderr', b'').decode() or error}") from None
    return done.stdout


def main() -> None:
    """Print each older file with its commit and what of the engine has changed since."""
    reports = read_files()
    for name, commit in all_older().items():
        changed = changed_since(commit.rstrip("+"), kind_of(reports[name]))
        print(name, commit, "changed since:", *changed or ("what was not committed",))


if __name__ == "__main__":
    main()
