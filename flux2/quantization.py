"""Quantized Linears: the modes, how a weight is quantized, and which multiplication is fastest on this backend.

The format is MLX's affine one: 64 neighbouring inputs share a scale and a bias (bfloat16), every weight is
round((w − bias) / scale) in 8 or 4 bits, so that a weight takes 8.5 / 8 or 4.5 / 8 bytes.
https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html
"""

from __future__ import annotations

from dataclasses import dataclass

from flux2.errors import CheckpointError, RequestError
from flux2.mlx_backend import mx, nn, on_cpu
from flux2.request import unknown_quantization

_HALF_TYPES = (mx.bfloat16, mx.float16)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the weights of a Linear are stored."""

    name: str
    bits: int
    group_size: int = 64

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises CheckpointError if a Linear's weight of this shape, [outputs, inputs], can't be stored so."""
        if shape[-1] % self.group_size:
            raise CheckpointError(
                f"{name} has {shape[-1]} inputs, not a multiple of {self.group_size}, so it can't be quantized to "
                f"{self.name}; choose bf16."
            )


MODES: dict[str, Quantization | None] = {
    "bf16": None,  # weights as the checkpoint has them
    "qint8": Quantization("qint8", bits=8),
    "int4": Quantization("int4", bits=4),
}


def find_mode(name: str) -> Quantization | None:
    """Raises RequestError if there is no mode of this name."""
    if name not in MODES:
        raise RequestError(unknown_quantization(name))
    return MODES[name]


class QuantizedLinear(nn.Module):
    """A Linear without bias whose weight [outputs, inputs] is stored in groups of few bits."""

    def __init__(self, weight: mx.array, mode: Quantization) -> None:
        """Quantize `weight`; nothing is computed until the parameters are evaluated."""
        super().__init__()
        self.bits, self.group_size = mode.bits, mode.group_size
        source = weight if weight.dtype in _HALF_TYPES else weight.astype(mx.bfloat16)
        self.weight, self.scales, self.biases = mx.quantize(source, group_size=mode.group_size, bits=mode.bits)
        self.freeze()

    @classmethod
    def from_arrays(cls, weight: mx.array, scales: mx.array, biases: mx.array, mode: Quantization) -> QuantizedLinear:
        """One of what was quantized before: packed integers [outputs, inputs · bits / 32], and two per group."""
        linear = cls.__new__(cls)
        nn.Module.__init__(linear)
        linear.bits, linear.group_size = mode.bits, mode.group_size
        linear.weight, linear.scales, linear.biases = weight, scales, biases
        linear.freeze()
        return linear

    def __call__(self, x: mx.array) -> mx.array:
        return (_dequantize_and_multiply if on_cpu() else _quantized_matmul)(x, self)


def _quantized_matmul(x: mx.array, linear: QuantizedLinear) -> mx.array:
    return mx.quantized_matmul(
        x, linear.weight, *_scales(linear, x.dtype), transpose=True, group_size=linear.group_size, bits=linear.bits
    )


def _dequantize_and_multiply(x: mx.array, linear: QuantizedLinear) -> mx.array:
    """For backends whose `quantized_matmul` is slow: on the CPU 2 GFLOP/s, where this reaches 60 to 100."""
    weight = mx.dequantize(linear.weight, *_scales(linear, x.dtype), group_size=linear.group_size, bits=linear.bits)
    return x @ weight.T


def _scales(linear: QuantizedLinear, dtype: mx.Dtype) -> tuple[mx.array, mx.array]:
    return linear.scales.astype(dtype), linear.biases.astype(dtype)
