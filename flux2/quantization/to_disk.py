"""A transformer quantized once and kept on the disk, so that later runs read a quarter to half as much.

Tensor by tensor, from the checkpoint into shards in a folder beside the one they are for, which takes its name when
all is written and flushed. What was there before is there until then, and what is given up leaves nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from flux2 import __version__
from flux2.backend.mlx import mx
from flux2.checkpoint.loading import KEEP_IN_CACHE, OnBytes, WeightPlan, layer_of, quantized_layer
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.checkpoint.safetensors_file import check_tensor, read_metadata, read_tensor
from flux2.checkpoint.safetensors_writer import Stored, header, nbytes, write
from flux2.disk.atomic import flush_folder, write_atomically
from flux2.disk.private import make_private
from flux2.errors import CheckpointError, Flux2Error, RequestError
from flux2.humanize import size
from flux2.paths import quantized_folder, quantized_root
from flux2.quantization.from_disk import LINEAR_PARTS, STEM, cause, describe, find_prequantized, layout
from flux2.quantization.linear import MODES, Quantization, find_mode
from flux2.store.resolved import resolve_model

MAX_SHARD = 4 * 2**30
"""Bytes of tensors in a file: what every file system and every copying tool takes."""

Shard = dict[str, Stored]


@dataclass(frozen=True, slots=True)
class QuantizedFiles:
    """What `quantize_transformer` made or found."""

    folder: Path
    nbytes: int
    """Bytes of its files."""
    made: bool
    """False where they were there already and fit the checkpoint."""


def quantize_transformer(
    model: str,
    quantization: str,
    output: Path | None = None,
    *,
    base: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_start: Callable[[int], None] = lambda _: None,
    on_bytes: OnBytes | None = None,
) -> QuantizedFiles:
    """Quantize a model's transformer into files that `Flux2Pipeline` finds from then on.

    Args:
        model: a catalog name, a Hub repository id, a folder, or a single file.
        base: the model that a single file is of, where that can't be told.
        output: a new or empty folder, or one made so before; None is where they were before, or the cache.
        say: told in a sentence of what takes long (a download), and why files that were there are made anew.
        on_start: told how many bytes will be read.
        on_bytes: told how many bytes were read since the last call; may raise to give it up.

    Raises:
        RequestError: if there is no such model or level, or the output folder holds something else.
        CheckpointError: if the checkpoint is incomplete or damaged.
        Flux2Error: if the disk is too small or can't be written.
    """
    mode = find_mode(quantization)
    if mode is None:
        others = ", ".join(name for name, other in MODES.items() if other)
        raise RequestError(f"{quantization} is how checkpoints come, with nothing to quantize; choose one of {others}.")
    source = NetworkSource.check(resolve_model(model, say=say, base=base).checkpoint, TRANSFORMER)
    source.plan.check_quantization(mode)
    known = quantized_folder(source.component.place, quantization)
    folder = output.absolute() if output else known.readlink() if known.is_symlink() and known.exists() else known
    if _is_current(source, mode, known, folder, say, on_start, on_bytes):
        return QuantizedFiles(folder, _size(folder), made=False)

    if folder != known:
        _check_replaceable(folder)
    metadata = {**describe(source.component, mode), "program": f"flux2-tui {__version__}"}
    shards = list(_shards(dict(layout(source.plan, mode)), MAX_SHARD))
    try:
        make_private(quantized_root())
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_abandoned(folder)
        _check_room(folder, sum(len(header(shard, metadata)) + _data_bytes(shard) for shard in shards))
        on_start(source.plan.nbytes)
        _write(folder, shards, metadata, quantized_tensors(source.plan, mode, on_bytes))
        if folder.resolve() != known.resolve():
            _link(known, folder)
    except OSError as error:
        raise Flux2Error(
            f"{folder} can't be written ({error.strerror or error}); free some room, or name another --output."
        ) from error
    return QuantizedFiles(folder, _size(folder), made=True)


def quantized_tensors(
    plan: WeightPlan, mode: Quantization, on_bytes: OnBytes | None = None
) -> Iterator[tuple[str, mx.array]]:
    """The tensors of `layout`, evaluated; only one of the checkpoint's and what becomes of it is held at a time."""
    for info in plan.tensors:
        layer = layer_of(info.name)
        if layer in plan.linears:
            linear = quantized_layer(info, [read_tensor(part, on_bytes) for part in info.parts], mode)
            mx.eval(linear.parameters())
            for part in LINEAR_PARTS:
                yield f"{layer}.{part}", linear[part]
            del linear
        else:
            tensor = info.read(on_bytes)
            mx.eval(tensor)
            yield info.name, tensor
            del tensor
        if info.decoded_bytes > KEEP_IN_CACHE:
            mx.clear_cache()


def _is_current(
    source: NetworkSource,
    mode: Quantization,
    known: Path,
    folder: Path,
    say: Callable[[str], None],
    on_start: Callable[[int], None],
    on_bytes: OnBytes | None,
) -> bool:
    """Whether the pipeline would find in `folder` what is about to be made, to the last byte."""
    try:
        found = find_prequantized(source, mode)
        if found is None or known.resolve() != folder.resolve():
            return False
        on_start(found.nbytes)
        for info in found.tensors.values():
            check_tensor(info, on_bytes)
        return True
    except CheckpointError as error:
        say(f"{cause(error)}; quantizing it again.")
        return False


def _shards(tensors: Shard, limit: int) -> Iterator[Shard]:
    """The tensors in their order, in as few files as the limit allows."""
    shard: Shard = {}
    used = 0
    for name, stored in tensors.items():
        if shard and used + nbytes(stored) > limit:
            yield shard
            shard, used = {}, 0
        shard[name] = stored
        used += nbytes(stored)
    yield shard


def _write(folder: Path, shards: list[Shard], metadata: dict[str, str], arrays: Iterator[tuple[str, mx.array]]) -> None:
    """Write all shards into a folder of its own, then give it its name."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(mode=0o700)
    try:
        if len(shards) == 1:
            write(partial / f"{STEM}.safetensors", shards[0], metadata, arrays)
        else:
            weight_map: dict[str, str] = {}
            for number, shard in enumerate(shards, start=1):
                name = f"{STEM}-{number:05}-of-{len(shards):05}.safetensors"
                write(partial / name, shard, metadata, arrays)
                weight_map |= dict.fromkeys(shard, name)
            index = {"metadata": {"total_size": sum(map(_data_bytes, shards))}, "weight_map": weight_map}
            write_atomically(partial / f"{STEM}.safetensors.index.json", json.dumps(index, indent=2).encode() + b"\n")
        flush_folder(partial)
        _replace(folder, partial)
        flush_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, partial: Path) -> None:
    """Put `partial` in the place of `folder`; what was there goes when that is done."""
    if folder.is_symlink():
        folder.unlink()
    old = partial.with_name(f".{folder.name}.{os.getpid()}.old.partial")
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _link(known: Path, folder: Path) -> None:
    """Make files that lie elsewhere known to the pipeline."""
    link = known.with_name(f".{known.name}.{os.getpid()}.link")
    link.unlink(missing_ok=True)
    link.symlink_to(folder, target_is_directory=True)
    if known.is_dir() and not known.is_symlink():
        shutil.rmtree(known)
    link.replace(known)


def _check_replaceable(folder: Path) -> None:
    """Raises RequestError if there is anything but files of ours; those are replaced."""
    if not folder.exists():
        return
    ours = folder.is_dir() and all(
        path.name.startswith(STEM) and (path.suffix == ".json" or _made_here(path)) for path in folder.iterdir()
    )
    if not ours:
        raise RequestError(f"{folder} holds something else than quantized weights; name a new or an empty folder.")


def _made_here(path: Path) -> bool:
    """Whether a file's header says that this program made it."""
    try:
        return str(read_metadata(path).get("program", "")).startswith("flux2-tui")
    except CheckpointError:
        return False


def _check_room(folder: Path, needed: int) -> None:
    """Raises Flux2Error if the disk has not enough room beside what is there already."""
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise Flux2Error(
            f"{folder} would take {size(needed)}, but its disk has {size(free)} left; free some, or name another "
            "--output."
        )


def _forget_abandoned(folder: Path) -> None:
    """Remove what processes left behind that were killed while they wrote."""
    ours = re.compile(rf"\.{re.escape(folder.name)}\.(\d+)\.(old\.)?partial")
    for path in folder.parent.iterdir():
        found = ours.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _data_bytes(shard: Shard) -> int:
    return sum(map(nbytes, shard.values()))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
