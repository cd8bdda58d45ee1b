"""Real-size checkpoints that take no disk: true names, shapes, types and byte counts, and zeros for weights.

    python -m flux2.bench.synthetic klein-4b FOLDER

Every file is a safetensors header followed by a hole of the data's length (`truncate`), which file systems store as
nothing. Zeros load, quantize and run like any weights, so that memory and, but for the disk, time can be measured on
a machine that never downloaded the model. The picture is grey noise, and finite.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES, Architecture, scaled_down
from flux2.architecture.shapes import Shapes
from flux2.checkpoint.files import CHECKPOINT_PARTS, SYNTHETIC_MARKER
from flux2.errors import Flux2Error
from flux2.humanize import size
from flux2.paths import pocket_checkpoint

MAX_SHARD = 10_000_000_000  # bytes; diffusers' own default
_ALIGNMENT = 8  # bytes; of a safetensors header's end
_BYTES = {"BF16": 2, "I64": 8}


def write_synthetic(model: str, folder: Path, divisor: int = 1) -> Path:
    """Write the checkpoint of a catalog model; one that is there already is left as it is.

    Args:
        model: a name in `flux2.architecture.published`.
        folder: where it goes; must be new, empty, or hold this very checkpoint.
        divisor: makes every width and count that many times smaller, for quick tests.

    Raises:
        Flux2Error: if the model is unknown, the folder holds something else, or it can't be written.
    """
    if model not in ARCHITECTURES:
        raise Flux2Error(f"There is no synthetic {model!r}; choose one of {', '.join(ARCHITECTURES)}.")
    if divisor < 1:
        raise Flux2Error(f"The divisor {divisor} is out of range; choose 1 for the real size, or more.")
    marker = {"model": model, "divisor": divisor}
    if read_marker(folder) == marker:
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Flux2Error(f"{folder} is there already and is not a synthetic {model}; name another folder.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(scaled_down(ARCHITECTURES[model], divisor), partial)
        _write_json(partial / SYNTHETIC_MARKER, marker)
        partial.replace(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise Flux2Error(f"{folder} can't be written ({error.strerror or error}); name another folder.") from error
    return folder


def read_marker(folder: Path) -> dict[str, Any] | None:
    """{"model": …, "divisor": …} of a synthetic checkpoint; None for any other folder."""
    try:
        marker = json.loads((folder / SYNTHETIC_MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) else None


def _write(architecture: Architecture, folder: Path) -> None:
    _write_json(folder / "model_index.json", architecture.index)
    _write_json(folder / "scheduler" / "scheduler_config.json", architecture.scheduler)
    for name, shapes in architecture.shapes().items():
        _write_json(folder / name / "config.json", getattr(architecture, name))
        _write_weights(folder / name, CHECKPOINT_PARTS[name].weights, shapes)
    _write_tokenizer(folder / "tokenizer")


def _write_weights(folder: Path, stem: str, shapes: Shapes) -> None:
    """One file, or, where it would be too large, shards and the index that says which tensor is in which."""
    shards = list(_sharded(shapes))
    if len(shards) == 1:
        _write_sparse(folder / f"{stem}.safetensors", shards[0])
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        _write_sparse(folder / name, shard)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(_nbytes(name, shape) for name, shape in shapes.items())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / f"{stem}.safetensors.index.json", index)


def _sharded(shapes: Shapes) -> Iterator[Shapes]:
    shard: Shapes = {}
    used = 0
    for name, shape in sorted(shapes.items()):
        nbytes = _nbytes(name, shape)
        if shard and used + nbytes > MAX_SHARD:
            yield shard
            shard, used = {}, 0
        shard[name] = shape
        used += nbytes
    yield shard


def _write_sparse(path: Path, shapes: Shapes) -> None:
    """A safetensors file whose data is a hole. https://github.com/huggingface/safetensors#format"""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "synthetic": "true"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + _nbytes(name, shape)
        header[name] = {"dtype": _dtype(name), "shape": shape, "data_offsets": (begin, end)}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + end)


def _dtype(name: str) -> str:
    return "I64" if name.endswith("num_batches_tracked") else "BF16"


def _nbytes(name: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * _BYTES[_dtype(name)]


def _write_tokenizer(folder: Path) -> None:
    """The embedded model's, padding to as many tokens as the real ones do."""
    shutil.copytree(pocket_checkpoint() / "tokenizer", folder)
    config = folder / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    _write_json(config, {**values, "model_max_length": MAX_TEXT_TOKENS, "max_length": MAX_TEXT_TOKENS})


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.synthetic", description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=ARCHITECTURES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--divisor", type=int, default=1, help="make it that many times smaller (default: 1)")
    args = parser.parse_args(arguments)
    try:
        folder = write_synthetic(args.model, args.folder, args.divisor)
    except Flux2Error as error:
        print(error, file=sys.stderr)
        return 1
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    length, on_disk = sum(file.st_size for file in files), sum(file.st_blocks * 512 for file in files)
    print(f"{folder}: {size(length)}, of which {size(on_disk)} on the disk")
    return 0


if __name__ == "__main__":
    sys.exit(main())
