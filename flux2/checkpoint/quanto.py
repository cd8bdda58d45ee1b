"""The int8 layout of Quanto: a weight as two tensors, int8 numbers and a scale for each row.

    NAME._data   int8  [outputs, inputs]
    NAME._scale  float [outputs, 1]

A layer stored so also has `input_scale` and `output_scale`, which are for quantized activations and not needed here.
https://github.com/huggingface/optimum-quanto
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import TensorInfo
from flux2.errors import CheckpointError

_DATA, _SCALE = "._data", "._scale"
_ACTIVATION_SCALES = ("input_scale", "output_scale")


def split_scales(tensors: Mapping[str, TensorInfo]) -> tuple[dict[str, TensorInfo], dict[str, TensorInfo]]:
    """The tensors under the names that networks know, and the scale of each that is stored as int8.

    Raises:
        CheckpointError: if one of them is of Quanto's other types, or has no scale per row.
    """
    named, scales = dict(tensors), {}
    for stored, data in tensors.items():
        if not stored.endswith(_DATA):
            continue
        name = stored.removesuffix(_DATA)
        scale = tensors.get(name + _SCALE)
        if data.dtype != "I8" or len(data.shape) != 2 or scale is None or scale.shape != (data.shape[0], 1):
            raise CheckpointError(
                f"{data.path}: tensor {stored} is {data.dtype} {list(data.shape)} and not an int8 matrix with a scale "
                "per row, the one layout of Quanto's that is read; use a qint8 or bfloat16 checkpoint."
            )
        layer = name.rpartition(".")[0]
        for taken in (stored, scale.name, *(f"{layer}.{extra}" for extra in _ACTIVATION_SCALES)):
            named.pop(taken, None)
        named[name], scales[name] = replace(data, name=name), scale
    return named, scales


def dequantize(data: mx.array, scale: mx.array) -> mx.array:
    """The weight [outputs, inputs] in the scale's type, as Quanto computes it: int8 · scale, rounded once."""
    return data.astype(scale.dtype) * scale
