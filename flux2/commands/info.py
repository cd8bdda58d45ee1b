"""`flux2 info`: how a picture was made, read from its PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from flux2.humanize import printable, seconds, size


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="show how a picture was made", allow_abbrev=False)
    parser.add_argument("png", type=Path, nargs="+", metavar="PNG", help="a picture made by flux2")
    parser.add_argument("--json", action="store_true", help="print one line of JSON per picture")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    for path in args.png:
        print(_as_json(path) if args.json else _as_text(path))
    return 0


def _as_json(path: Path) -> str:
    from flux2.pictures.images import read_metadata

    return json.dumps({"path": str(path), **read_metadata(path).to_dict()})


def _as_text(path: Path) -> str:
    from flux2.pictures.images import read_metadata

    metadata = read_metadata(path)
    request = metadata.request
    facts = {
        "prompt": request.prompt,
        "negative": request.negative_prompt,
        "model": f"{request.model}, {request.quantization}",
        "size": f"{request.width}×{request.height}",
        "steps": request.steps,
        "guidance": request.guidance,
        "seed": request.seed,
        "seconds": ", ".join(f"{phase} {seconds(value)}" for phase, value in metadata.timings.items()),
        "peaks": ", ".join(f"{phase} {size(value)}" for phase, value in metadata.peaks.items()),
        "made with": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
        "created": f"{metadata.created}, AI-generated",
    }
    shown = [f"  {name:<10}{value}" for name, value in facts.items() if value not in (None, "")]
    return printable("\n".join([str(path), *shown]))
