"""Tensors into a network: everything checked before any memory is spent, then one tensor at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlx.utils import tree_flatten

from flux2.backend.mlx import mx, nn
from flux2.checkpoint.foreign_formats import foreign_format
from flux2.checkpoint.layout import Component
from flux2.checkpoint.quanto import dequantize, split_scales
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.safetensors_file import TensorInfo, read_tensor
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

    def quantized(self, weight: mx.array) -> nn.Module:
        """The layer in place of a Linear with this weight, [outputs, inputs]."""


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """Which tensor of which file becomes which parameter; the promise that all of them fit."""

    tensors: tuple[TensorInfo, ...]
    """The largest first: once much is resident, what is still to be quantized is small, which lowers the peak."""
    linears: frozenset[str]
    """Paths of the Linears without a bias, which quantization replaces."""
    scales: Mapping[str, TensorInfo] = field(default_factory=dict)
    """Scales of the tensors stored as int8 (`flux2.checkpoint.quanto`), by the tensor's name."""

    @property
    def nbytes(self) -> int:
        """To be read."""
        return sum(info.nbytes for info in (*self.tensors, *self.scales.values()))

    def dtype(self, info: TensorInfo) -> str:
        """The type that `read` gives a tensor, by the format's name of it."""
        return self.scales.get(info.name, info).dtype

    def stored(self, info: TensorInfo) -> tuple[TensorInfo, ...]:
        """The tensor and, where it is int8, its scale."""
        scale = self.scales.get(info.name)
        return (info, scale) if scale else (info,)

    def read(self, info: TensorInfo, on_bytes: OnBytes | None = None) -> mx.array:
        """One tensor as numbers, whatever it is stored as.

        Raises:
            CheckpointError: if the file can't be read or ends early.
        """
        tensors = [read_tensor(stored, on_bytes) for stored in self.stored(info)]
        return dequantize(*tensors) if len(tensors) > 1 else tensors[0]

    def check_quantization(self, quantizer: LinearQuantizer) -> None:
        """Raises CheckpointError if one of the Linears can't be stored so."""
        for info in self.tensors:
            if layer_of(info.name) in self.linears:
                quantizer.check(f"{info.path}: {info.name}", info.shape)


def plan_weights(network: nn.Module, component: Component, unused: str = "") -> WeightPlan:
    """Match the component's tensors with the network's parameters by name and shape; reads and allocates nothing.

    Args:
        network: its flattened parameter names are the checkpoint's tensor names.
        unused: a regular expression for whole names of tensors that may be there and are not needed.

    Raises:
        CheckpointError: if one is missing, has another shape, is not of floating point, or nobody knows it.
    """
    shapes = {name: tuple(array.shape) for name, array in tree_flatten(network.parameters())}
    tensors, scales = split_scales(component.tensors)
    _check_names(component, shapes, {**tensors, **scales}, re.compile(unused))
    for name, shape in shapes.items():
        info = tensors[name]
        numbers = scales.get(name, info)
        if numbers.dtype not in _READ_TYPES:
            raise CheckpointError(
                f"{info.path}: tensor {numbers.name} is {numbers.dtype}; use a bfloat16, float16 or float32 checkpoint."
            )
        if info.shape != shape:
            raise CheckpointError(
                f"{info.path}: tensor {name} has the shape {list(info.shape)} where the config.json beside it implies "
                f"{list(shape)}; {fetch_anew(info.path)}."
            )
    linears = frozenset(
        path for path, module in network.named_modules() if isinstance(module, nn.Linear) and "bias" not in module
    )
    ordered = sorted((tensors[name] for name in shapes), key=lambda info: (-info.nbytes, info.path, info.offset))
    return WeightPlan(tuple(ordered), linears, {name: info for name, info in scales.items() if name in shapes})


def _check_names(
    component: Component, shapes: Collection[str], tensors: Mapping[str, TensorInfo], unused: re.Pattern[str]
) -> None:
    """Raises CheckpointError if the files lack a tensor or hold an unknown one: in whose format, if that is seen."""
    missing = [name for name in shapes if name not in tensors]
    others = [name for name in tensors if name not in shapes]
    unknown = [name for name in others if not unused.fullmatch(name)]
    types = sorted({tensors[name].dtype for name in shapes if name in tensors} - {*_READ_TYPES})
    if missing or unknown or types:
        foreign = foreign_format(component.folder, component.config, others, types)
        if foreign:
            raise CheckpointError(foreign)
    if missing:
        raise CheckpointError(f"{component.folder} lacks {_some(missing)}; {fetch_anew(component.files[0])}.")
    if unknown:
        raise CheckpointError(
            f"{component.folder} holds {_some(unknown)}, which {component.class_name} does not have; use a checkpoint "
            "that was made for it."
        )


class WeightSource(Protocol):
    """Where a network's weights come from: the checkpoint, or files made of it. Each is named by the checkpoint's."""

    @property
    def plan(self) -> WeightPlan:
        """Plan of the checkpoint's weights."""

    def stored(self, info: TensorInfo) -> tuple[TensorInfo, ...]:
        """The tensors to be read for one of the plan's."""

    def convert(self, info: TensorInfo, tensors: list[mx.array], dtype: mx.Dtype) -> tuple[str, mx.array | nn.Module]:
        """What a network that computes in `dtype` holds for them, and at which of its paths."""


@dataclass(frozen=True, slots=True)
class CheckpointWeights:
    """A checkpoint's own tensors, quantized on the way where a mode is given."""

    plan: WeightPlan
    quantization: LinearQuantizer | None = None

    def stored(self, info: TensorInfo) -> tuple[TensorInfo, ...]:
        return self.plan.stored(info)

    def convert(self, info: TensorInfo, tensors: list[mx.array], dtype: mx.Dtype) -> tuple[str, mx.array | nn.Module]:
        tensor = dequantize(*tensors) if len(tensors) > 1 else tensors[0]
        layer = layer_of(info.name)
        if self.quantization and layer in self.plan.linears:
            return layer, self.quantization.quantized(tensor)
        return info.name, tensor.astype(stored_dtype(tensor, dtype))


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
            if info.nbytes > KEEP_IN_CACHE:
                mx.clear_cache()


def install(
    network: nn.Module, weights: WeightSource, info: TensorInfo, tensors: list[mx.array], dtype: mx.Dtype
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


def _some(names: list[str]) -> str:
    others = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
    return f"tensor {names[0]}{others}"
