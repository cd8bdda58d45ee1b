"""Writes the maps in `flux2/README.md` and `tui/README.md`: `python -m tests.maps`.

What a row says is the first sentence of the folder's or module's docstring; the order of the rows, that of a run, is
kept as somebody put it, and what is new comes last. The walls are the import contracts of pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
HALVES = ("flux2", "tui")


def render(half: str) -> str:
    """The page of one half, its marked parts made anew."""
    text = page(half).read_text(encoding="utf-8")
    for name, rows in (("folders", folders(half)), ("modules", modules(half)), ("walls", walls(half))):
        part = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)
        (old,) = part.finditer(text)
        made = "".join(f"{line}\n" for line in in_order_of(old[2], rows))
        text = text[: old.start(2)] + made + text[old.end(2) :]
    return text


def page(half: str) -> Path:
    return ROOT / half / "README.md"


def folders(half: str) -> dict[str, str]:
    """A line per folder with Python in it, by its name."""
    found = sorted((ROOT / half).glob("*/__init__.py"))
    return {path.parent.name: f"- `{path.parent.name}/`: {sentence(path)}" for path in found}


def modules(half: str) -> dict[str, str]:
    """A line per module at the top, by its name."""
    found = sorted(path for path in (ROOT / half).glob("*.py") if path.name != "__init__.py")
    return {path.name: f"- `{path.name}`: {sentence(path)}" for path in found}


def walls(half: str) -> dict[str, str]:
    """A line per import contract that speaks of this half, by its name."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    lines = {each["name"]: f"- {each['name'][0].upper()}{each['name'][1:]}: {rule(each)}." for each in contracts}
    return {name: line for name, line in lines.items() if re.search(rf"`{half}\b", line)}


def rule(contract: dict[str, object]) -> str:
    """What a contract forbids, in its modules' names."""
    match contract:
        case {"type": "layers", "layers": [*layers], **rest}:
            within = named(rest.get("containers", ()))  # type: ignore[call-overload]
            return f"{f'in {within}, ' if within else ''}each imports only what comes after it: {named(layers, ' › ')}"
        case {"source_modules": [*sources], "forbidden_modules": [*forbidden]}:
            return f"{named(sources)} imports none of {named(forbidden)}"
        case {"protected_modules": [*protected], "allowed_importers": [*allowed]}:
            return f"only {named(allowed)} import {named(protected)}"
    raise ValueError(f"a contract of a kind that the maps can't tell: {contract}")


def named(modules: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{name}`" for name in modules)


def in_order_of(old: str, rows: dict[str, str]) -> list[str]:
    """The lines, in the order in which their names stand in the old text; the new ones last."""
    places = {name: old.find(line.partition(":")[0]) for name, line in rows.items()}
    return [rows[name] for name in sorted(rows, key=lambda name: (places[name] < 0, places[name]))]


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0]


if __name__ == "__main__":
    for half in HALVES:
        page(half).write_text(render(half), encoding="utf-8")
