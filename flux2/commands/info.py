"""`flux2 info`: how a picture was made, read from the picture, whoever made it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.errors import Flux2Error
from flux2.humanize import printable, seconds, size
from flux2.request_fields import lines

if TYPE_CHECKING:
    from flux2.inputs.attachment import Attachment
    from flux2.pictures.foreign.found import FoundSettings
    from flux2.pictures.image_metadata import ImageMetadata

_OURS = "flux2-tui"
_WIDTH = 10
"""Cells of a name."""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", type=Path, nargs="+", metavar="PICTURE", help="a PNG, JPEG or WebP of any program's")
    parser.add_argument("--json", action="store_true", help="print one line of JSON per picture")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each picture's settings; one that can't be read does not keep the others from being shown."""
    failed = False
    for path in args.picture:
        try:
            print(_as_json(path) if args.json else _as_text(path))
        except Flux2Error as error:
            if len(args.picture) == 1:
                raise
            print(printable(str(error)), file=sys.stderr)
            failed = True
    return int(failed)


def _read(path: Path) -> tuple[ImageMetadata | None, FoundSettings]:
    """All that a picture of ours says, and what is understood of any program's."""
    from flux2.pictures.foreign.reading import read_settings_of
    from flux2.pictures.images import read_metadata

    found = read_settings_of(path)
    with contextlib.suppress(Flux2Error):  # one of ours whose own text is damaged has told by another
        return (read_metadata(path) if found.program == _OURS else None), found
    return None, found


def _as_json(path: Path) -> str:
    ours, found = _read(path)
    if ours is not None:
        return json.dumps({"path": str(path), **ours.to_dict()})
    left_out = [{"what": item.what, "why": item.why} for item in found.left_out]
    told = {"program": found.program, **found.values, "left_out": left_out, "not_understood": found.not_understood}
    return json.dumps({"path": str(path), **told}, default=asdict)


def _as_text(path: Path) -> str:
    ours, found = _read(path)
    facts = _facts_of_ours(ours, path) if ours is not None else _facts_of_others(found)
    shown = [f"  {name:<{_WIDTH}}{value}" for name, value in facts if value not in (None, "")]
    return printable("\n".join([str(path), *shown]))


def _facts_of_ours(metadata: ImageMetadata, path: Path) -> list[tuple[str, object]]:
    return [
        *lines(metadata.request).items(),
        *(("", f"{each}: {_told(each, path)}") for each in metadata.request.attachments),
        ("seconds", ", ".join(f"{phase} {seconds(value)}" for phase, value in metadata.timings.items())),
        ("peaks", ", ".join(f"{phase} {size(value)}" for phase, value in metadata.peaks.items())),
        ("made with", ", ".join(f"{name} {version}" for name, version in metadata.versions.items())),
        ("created", f"{metadata.created}, AI-generated"),
    ]


def _told(attachment: Attachment, path: Path) -> str:
    """Size, digest and whereabouts of a picture that was handed in for the one at `path`."""
    from flux2.pictures.found_again import whereabouts

    size_of_it = f"{attachment.width}×{attachment.height}"
    return f"{size_of_it}, SHA-256 {attachment.digest[:16]}…, {whereabouts(attachment, path)}"


def _facts_of_others(found: FoundSettings) -> list[tuple[str, object]]:
    values = found.values
    return [
        ("prompt", values.get("prompt")),
        ("negative", values.get("negative_prompt")),
        ("model", ", ".join(str(values[name]) for name in ("model", "quantization") if name in values)),
        ("size", "×".join(str(values[name]) for name in ("width", "height") if name in values)),
        *((name, values.get(name)) for name in ("steps", "guidance", "seed")),
        ("loras", ", ".join(map(str, values.get("loras", ())))),
        ("made with", found.program),
        *(("not taken", item) for item in found.left_out),
        *(("unread", text) for text in found.not_understood),
    ]
