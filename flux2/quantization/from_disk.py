"""A transformer quantized before: what its files hold, whether they are of this checkpoint, and loading them.

`flux2 quantize` (`flux2.quantization.to_disk`) writes them. A Linear's weight lies there as MLX's affine `weight`,
`scales` and `biases`, every other tensor as in the checkpoint, so that a network loaded from them is, bit for bit, the
one that is quantized while loading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import Component, open_weights
from flux2.checkpoint.loading import OnBytes, WeightPlan, layer_of, read_into, stored_dtype
from flux2.checkpoint.networks import NetworkSource
from flux2.checkpoint.safetensors_file import TensorInfo, read_metadata
from flux2.checkpoint.safetensors_writer import Stored
from flux2.checkpoint.stored import StoredTensor
from flux2.disk.private import check_file, check_own, check_private
from flux2.errors import CheckpointError
from flux2.paths import quantized_folder, quantized_root
from flux2.quantization.linear import Quantization, QuantizedLinear

STEM = "diffusion_pytorch_model"
"""Beginning of the files' names, as in a checkpoint."""
FORMAT = "4"
"""Counted up when the same checkpoint would be quantized to other numbers or stored in another way."""
LINEAR_PARTS = ("weight", "scales", "biases")
_SAMPLES, _SAMPLE_BYTES = 64, 4096


@dataclass(frozen=True, slots=True)
class Prequantized:
    """Files that were checked against the network, and can be loaded in place of the checkpoint's."""

    source: NetworkSource
    mode: Quantization
    tensors: dict[str, TensorInfo]

    @property
    def plan(self) -> WeightPlan:
        """The checkpoint's, in whose order the files were written."""
        return self.source.plan

    @property
    def nbytes(self) -> int:
        """To be read."""
        return sum(info.nbytes for info in self.tensors.values())

    def stored(self, info: StoredTensor) -> tuple[TensorInfo, ...]:
        """The tensors in place of one of the checkpoint's."""
        layer = layer_of(info.name)
        if layer in self.plan.linears:
            return tuple(self.tensors[f"{layer}.{part}"] for part in LINEAR_PARTS)
        return (self.tensors[info.name],)

    def convert(
        self, info: StoredTensor, tensors: list[mx.array], dtype: mx.Dtype
    ) -> tuple[str, mx.array | QuantizedLinear]:
        """What `load` puts into a network, and at which of its paths."""
        layer = layer_of(info.name)
        if layer in self.plan.linears:
            weight, scales, biases = tensors
            return layer, QuantizedLinear.from_arrays(weight, scales, biases, self.mode.of_layer(layer))
        return info.name, tensors[0].astype(stored_dtype(tensors[0], dtype))

    def load(self, dtype: mx.Dtype, on_bytes: OnBytes | None = None) -> Any:
        """A new network with its weights; no more is held at any time than the result.

        Raises:
            CheckpointError: if a file can't be read to the end.
        """
        network = self.source.build()
        read_into(network, self, dtype, on_bytes)
        return network


def find_prequantized(source: NetworkSource, mode: Quantization) -> Prequantized | None:
    """The files `flux2 quantize` made of this checkpoint; None if it made none. Reads headers, and little more.

    Raises:
        CheckpointError: if they are there and are damaged, or the checkpoint has changed since.
    """
    folder = quantized_folder(source.component.place, mode.name)
    if not folder.exists() and not folder.is_symlink():
        return None
    tensors = open_weights(folder, STEM)
    expected = describe(source.component, mode)
    for path in {info.path for info in tensors.values()}:
        _check_own(path)
        found = read_metadata(path)
        if found.get("fingerprint") != expected["fingerprint"]:
            raise CheckpointError(f"{path} is of another state of {source.component.place}; quantize it again.")
        if any(found.get(key) != value for key, value in expected.items()):
            raise CheckpointError(f"{path} was made by another version of this program; quantize it again.")
    if not all(info.digest for info in tensors.values()):
        raise CheckpointError(f"{folder} does not say how its tensors are to be checked; quantize it again.")
    if {name: (info.dtype, info.shape) for name, info in tensors.items()} != dict(layout(source.plan, mode)):
        raise CheckpointError(f"{folder} holds other tensors than the transformer has; quantize it again.")
    return Prequantized(source, mode, tensors)


def _check_own(path: Path) -> None:
    """Raises CheckpointError if the file, or its way out of the cache folder, is another user's or open to others."""
    try:
        check_private(quantized_root())
        if path.parent.is_symlink():  # to a folder of the user's choice
            check_file(path)
        else:
            check_own(path)
    except OSError as error:
        raise CheckpointError(f"{str(error).rstrip('.')}; quantize it again.") from error


def layout(plan: WeightPlan, mode: Quantization) -> Iterator[tuple[str, Stored]]:
    """Name, type and shape of every tensor that quantizing this plan gives, in the plan's order."""
    for info in plan.tensors:
        layer, dtype = layer_of(info.name), info.dtype
        if layer not in plan.linears:
            yield info.name, (dtype, info.shape)
            continue
        outputs, inputs = info.shape
        group = ("F16" if dtype == "F16" else "BF16", (outputs, inputs // mode.group_size))
        stored: tuple[Stored, ...] = (("U32", (outputs, inputs * mode.of_layer(layer).bits // 32)), group, group)
        yield from zip((f"{layer}.{part}" for part in LINEAR_PARTS), stored, strict=True)


def describe(component: Component, mode: Quantization) -> dict[str, str]:
    """What decides whether files are of this checkpoint and level; goes into their metadata.

    Raises:
        CheckpointError: if the checkpoint can't be read.
    """
    return {
        "layout": FORMAT,
        "quantization": mode.name,
        "mode": "affine",
        "bits": str(mode.bits),
        "group_size": str(mode.group_size),
        "fingerprint": fingerprint(component),
    }


def cause(error: CheckpointError) -> str:
    """The sentence without its remedy, which is for checkpoints: such files are just made again."""
    return str(error).rpartition("; ")[0] or str(error)


def fingerprint(component: Component) -> str:
    """Digest of the checkpoint's files: names, sizes and times of change, headers, and samples of their data.

    Headers tell no fine-tuned model from its base, and times say nothing where an archive set them all alike: 64
    samples of 4 KiB tell, within milliseconds. Times tell of a change between the samples; the price is that a copy
    of the checkpoint that did not keep them counts as changed. Where the folder lies does not matter.

    Raises:
        CheckpointError: if one of the files can't be read.
    """
    headers = sorted((info.name, info.dtype, info.shape, info.offset) for info in component.tensors.values())
    digest = hashlib.sha256(json.dumps(headers).encode())
    for path in component.files:
        try:
            stat = path.stat()
            digest.update(json.dumps([path.name, stat.st_size, stat.st_mtime_ns]).encode())
            with path.open("rb", buffering=0) as file:
                for number in range(_SAMPLES):
                    file.seek(max(0, stat.st_size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                    digest.update(file.read(_SAMPLE_BYTES))
        except OSError as error:
            raise CheckpointError(
                f"{path} can't be read ({error.strerror or error}); check the disk and the path."
            ) from error
    return digest.hexdigest()[:32]
