"""`flux2 models`: what can be chosen, under which licence, and what is on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from flux2.catalog import MODELS, ModelCard
from flux2.checkpoint.local import default_model, find_local
from flux2.paths import quantized_folder
from flux2.request import QUANTIZATIONS


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("models", help="list the known models and where they are", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    rows = [_row(card) for card in MODELS.values()]
    print(json.dumps(rows) if args.json else _table(rows))
    return 0


def _row(card: ModelCard) -> dict[str, Any]:
    folder = find_local(card.name)
    return {
        "name": card.name,
        "title": card.title,
        "parameters": round(card.parameters * 1e9),
        "licence": card.licence,
        "gated": card.gated,
        "repo": card.repo,
        "folder": str(folder) if folder else None,
        "prepared": _prepared(folder),
        "default": card.name == default_model(),
    }


def _prepared(folder: Path | None) -> list[str]:
    """The levels that `flux2 quantize` was run for."""
    return [level for level in QUANTIZATIONS if folder and quantized_folder(folder / "transformer", level).exists()]


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [("NAME", "SIZE", "LICENCE", "WHERE")]
    for row in rows:
        name = f"{row['name']}{' *' if row['default'] else ''}"
        licence = f"{row['licence']}{', gated' if row['gated'] else ''}"
        lines.append((name, _parameters(row["parameters"]), licence, _where(row)))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    table = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]) for line in lines
    ]
    return "\n".join([*table, "", "* used where no --model is given. SIZE counts the transformer's parameters."])


def _parameters(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


def _where(row: dict[str, Any]) -> str:
    prepared = f" ({' and '.join(row['prepared'])} prepared)" if row["prepared"] else ""
    return _place(row) + prepared


def _place(row: dict[str, Any]) -> str:
    if not row["repo"]:
        return "in this package"
    if row["folder"]:
        folder = Path(row["folder"])
        return f"~/{folder.relative_to(Path.home())}" if folder.is_relative_to(Path.home()) else str(folder)
    return f"not here; on the Hub as {row['repo']}"
