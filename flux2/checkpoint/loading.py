"""Tensors into a network: everything checked before any memory is spent, then one tensor at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlx.utils import tree_flatten

from flux2.backend.mlx import mx, nn
from flux2.checkpoint.arrangements import renamed
from flux2.checkpoint.encodings import decodable
from flux2.checkpoint.foreign_formats import foreign_format, refuse_foreign
from flux2.checkpoint.layout import Component
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.safetensors_file import TensorInfo
from flux2.checkpoint.stored import StoredTensor
from flux2.checkpoint.streaming import reading_ahead
from flux2.errors import CheckpointError

OnBytes = Callable[[int], None]
"""Told how many bytes were read since the last call; may raise, to stop the loading."""

_READ_TYPES = ("BF16", "F16", "F32")
KEEP_IN_CACHE = 16 * 1024**2  # bytes; freed buffers of larger tensors fit no later one and go back to the system


class LinearQuantizer(Protocol):
    """What Linears without a bias are kept as in place of their weights; `flux2.quantization.linear` has them."""

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises CheckpointError if a weight of this shape, [outputs, inputs], can't be kept so."""

    def quantized(self, layer: str, weight: mx.array) -> nn.Module:
        """The layer in place of a Linear at this path with this weight, [outputs, inputs]."""

    def taken_over(self, layer: str, parts: Sequence[mx.array], bits: int) -> nn.Module | None:
        """The layer of codes, scales and biases made before; None where they have other bits than it would keep."""


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """Which tensor of which file becomes which parameter; the promise that all of them fit."""

    tensors: tuple[StoredTensor, ...]
    """The largest first: once much is resident, what is still to be quantized is small, which lowers the peak."""
    linears: frozenset[str]
    """Paths of the Linears without a bias, which quantization replaces."""

    @property
    def nbytes(self) -> int:
        """To be read."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def check_quantization(self, quantizer: LinearQuantizer) -> None:
        """Raises CheckpointError if one of the Linears can't be stored so."""
        for info in self.tensors:
            if layer_of(info.name) in self.linears:
                quantizer.check(f"{info.path}: {info.name}", info.shape)


def plan_weights(
    network: nn.Module, component: Component, unused: str = "", prefixes: tuple[tuple[str, str], ...] = ()
) -> WeightPlan:
    """Match the component's tensors with the network's parameters by name and shape; reads and allocates nothing.

    Args:
        network: its flattened parameter names are the tensors' names, once they are arranged.
        unused: a regular expression for whole names of tensors that may be there and are not needed.
        prefixes: (in the files, in the network) of names that begin otherwise.

    Raises:
        CheckpointError: if one is missing, has another shape, is not of floating point, or nobody knows it.
    """
    shapes = {name: tuple(array.shape) for name, array in tree_flatten(network.parameters())}
    refuse_foreign(component.place, component.config, component.tensors)
    tensors = component.arrangement(renamed(prefixes, decodable(component.tensors)), shapes)
    _check_names(component, shapes, tensors, re.compile(unused))
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.dtype not in _READ_TYPES:
            raise CheckpointError(
                f"{tensor.path}: tensor {tensor.parts[-1].name} is {tensor.dtype}; use a bfloat16, float16 or float32 "
                "checkpoint."
            )
        if tensor.shape != shape:
            raise CheckpointError(
                f"{tensor.path}: tensor {name} has the shape {list(tensor.shape)} where {_told_by(component)} implies "
                f"{list(shape)}; {fetch_anew(tensor.path)}."
            )
    linears = frozenset(
        path for path, module in network.named_modules() if isinstance(module, nn.Linear) and "bias" not in module
    )
    ordered = sorted(
        (tensors[name] for name in shapes), key=lambda tensor: (-tensor.decoded_bytes, tensor.path, tensor.offset)
    )
    return WeightPlan(tuple(ordered), linears)


def _check_names(
    component: Component, shapes: Collection[str], tensors: Mapping[str, StoredTensor], unused: re.Pattern[str]
) -> None:
    """Raises CheckpointError if the files lack a tensor or hold an unknown one: in whose format, if that is seen."""
    missing = [name for name in shapes if name not in tensors]
    others = [name for name in tensors if name not in shapes]
    unknown = [name for name in others if not unused.fullmatch(name)]
    types = sorted({tensors[name].dtype for name in shapes if name in tensors} - {*_READ_TYPES})
    if missing or unknown or types:
        foreign = foreign_format(component.place, component.config, others, types)
        if foreign:
            raise CheckpointError(foreign)
    if missing:
        raise CheckpointError(f"{component.place} lacks {_some(missing)}; {fetch_anew(component.files[0])}.")
    if unknown:
        raise CheckpointError(
            f"{component.place} holds {_some(unknown)}, which {component.class_name} does not have; use a checkpoint "
            "that was made for it."
        )


class WeightSource(Protocol):
    """Where a network's weights come from: the checkpoint, or files made of it. Each is named by the checkpoint's."""

    @property
    def plan(self) -> WeightPlan:
        """Plan of the checkpoint's weights."""

    def stored(self, info: StoredTensor) -> tuple[TensorInfo, ...]:
        """The tensors to be read for one of the plan's."""

    def convert(self, info: StoredTensor, tensors: list[mx.array], dtype: mx.Dtype) -> tuple[str, mx.array | nn.Module]:
        """What a network that computes in `dtype` holds for them, and at which of its paths."""


@dataclass(frozen=True, slots=True)
class CheckpointWeights:
    """A checkpoint's own tensors, quantized on the way where a mode is given."""

    plan: WeightPlan
    quantization: LinearQuantizer | None = None

    def stored(self, info: StoredTensor) -> tuple[TensorInfo, ...]:
        return info.parts

    def convert(self, info: StoredTensor, tensors: list[mx.array], dtype: mx.Dtype) -> tuple[str, mx.array | nn.Module]:
        layer = layer_of(info.name)
        if self.quantization and layer in self.plan.linears:
            return layer, quantized_layer(info, tensors, self.quantization)
        tensor = info.decoded(tensors)
        return info.name, tensor.astype(stored_dtype(tensor, dtype))


def quantized_layer(info: StoredTensor, tensors: list[mx.array], quantizer: LinearQuantizer) -> nn.Module:
    """The quantized layer of a Linear's stored weight, whose list of parts is emptied.

    Codes of the wanted kind are taken as they are: decoding and quantizing them again would cost 4 bits 7 % more error.
    """
    layer = layer_of(info.name)
    if info.affine_bits and (taken := quantizer.taken_over(layer, tensors, info.affine_bits)):
        tensors.clear()
        return taken
    return quantizer.quantized(layer, info.decoded(tensors))


def load_weights(
    network: nn.Module,
    plan: WeightPlan,
    *,
    dtype: mx.Dtype,
    quantization: LinearQuantizer | None = None,
    on_bytes: OnBytes | None = None,
) -> None:
    """Read every tensor of the plan into the network, quantizing Linears on the way.

    At no time is more held than what is finished, one tensor in work, and the next one as the file has it.

    Args:
        dtype: what the network computes in. Matrices of a narrower type stay as they are in the file and are widened
            when they are used, which loses nothing and halves them; everything else is cast.

    Raises:
        CheckpointError: if a file can't be read to the end; the network is then unusable.
    """
    read_into(network, CheckpointWeights(plan, quantization), dtype, on_bytes)


def read_into(network: nn.Module, weights: WeightSource, dtype: mx.Dtype, on_bytes: OnBytes | None = None) -> None:
    """Read every weight into the network, each while the one before is converted; see `load_weights`."""
    tell = on_bytes or (lambda _: None)
    groups = [list(weights.stored(info)) for info in weights.plan.tensors]
    with reading_ahead(groups, while_waiting=lambda: tell(0)) as ahead:
        for info, group in zip(weights.plan.tensors, groups, strict=True):
            tensors = ahead.take()
            tell(sum(stored.nbytes for stored in group))
            install(network, weights, info, tensors, dtype)
            if info.decoded_bytes > KEEP_IN_CACHE:
                mx.clear_cache()


def install(
    network: nn.Module, weights: WeightSource, info: StoredTensor, tensors: list[mx.array], dtype: mx.Dtype
) -> None:
    """Put one weight into the network, made and evaluated from the tensors it is stored as; empties their list."""
    path, value = weights.convert(info, tensors, dtype)
    mx.eval(value if isinstance(value, mx.array) else value.parameters())
    tensors.clear()
    set_at(network, path, value)


def stored_dtype(tensor: mx.array, dtype: mx.Dtype) -> mx.Dtype:
    """What a tensor is kept in by a network that computes in `dtype`."""
    widened = tensor.dtype.size < dtype.size
    return tensor.dtype if tensor.ndim == 2 and widened else dtype


def layer_of(name: str) -> str:
    """Path of the layer that a tensor belongs to."""
    return name.rpartition(".")[0]


def set_at(network: nn.Module, path: str, value: Any) -> None:
    """Set a parameter or a layer of the network by its path in the checkpoint's names."""
    *parents, last = path.split(".")
    node: Any = network
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value


def _told_by(component: Component) -> str:
    return "the config.json beside it" if component.place.is_dir() else "the model's config"


def _some(names: list[str]) -> str:
    others = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
    return f"tensor {names[0]}{others}"
