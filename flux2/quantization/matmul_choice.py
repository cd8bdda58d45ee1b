"""Which way of multiplying with a quantized weight is fastest here: measured for the shapes at hand, and remembered.

No rule tells: on an H200 `mx.quantized_matmul` wins for a few rows and takes three times as long for thousands; Apple's
chips differ among themselves.

Two things are not tried. On CUDA MLX compiles `quantized_matmul` when it is first called, 16 to 34 seconds for each of
its forms (H200, MLX 0.32.4), and for the rows of a step it is the slowest (4,608 rows, 8 bits, 9,216×3,072: 1.81 ms,
dequantized 0.61). On the CPU one way is the fastest for all but the smallest weights (`backend.cpu.banded_matmul`)
and takes the least memory, so that a run there takes what was planned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from flux2.architecture.limits import GROUP
from flux2.backend.chip import MLXBackend
from flux2.backend.cpu.banded_matmul import multiply_by_bands
from flux2.backend.cuda_kernels import dequantize
from flux2.backend.mlx import mx, this_chip
from flux2.disk.atomic import write_atomically
from flux2.disk.private import make_private, read_own
from flux2.models.layers import fused
from flux2.paths import cache_dir

SECONDS = 1.0
"""Seconds that all measuring of a run may take; what was not reached is multiplied in the first way."""

_SMALLEST, _GROWTH = 64, 4  # rows and outputs of the first trial, and how many times more each next one has
_SLOW = 0.1  # seconds; a way that is to take longer is left behind by a faster one
_REPETITIONS = 3
_WORTH = 0.9  # of the first way's time, above which another one is not worth a difference in rounding


class Multiplication(NamedTuple):
    """x [rows, inputs] by a weight [outputs, inputs]."""

    bits: int
    outputs: int
    inputs: int
    magnitude: int
    """Power of two at or above the number of rows: there are 2^magnitude or up to half as many."""
    dtype: str

    @classmethod
    def of(cls, bits: int, outputs: int, inputs: int, rows: int, dtype: mx.Dtype) -> Multiplication:
        return cls(bits, outputs, inputs, max(0, rows - 1).bit_length(), str(dtype).rpartition(".")[2])


Weight = tuple[mx.array, mx.array, mx.array]
"""Codes, scales and biases; the last two in the type that is computed in."""
Way = Callable[[mx.array, Weight, int], mx.array]


def _dequantized(x: mx.array, weight: Weight, bits: int) -> mx.array:
    return x @ mx.dequantize(*weight, group_size=GROUP, bits=bits).T


def _unpacked(x: mx.array, weight: Weight, bits: int) -> mx.array:
    """Dequantized by a kernel of our own, twice as fast as MLX's on CUDA; at 8 bits, where a code is a byte."""
    assert bits == 8
    codes, scales, biases = weight
    groups = codes.view(mx.uint8).reshape(*scales.shape, GROUP)
    return x @ _scale_codes(groups, scales[..., None], biases[..., None]).reshape(codes.shape[0], -1).T


@fused
def _scale_codes(codes: mx.array, scales: mx.array, biases: mx.array) -> mx.array:
    return codes.astype(scales.dtype) * scales + biases


def _by_our_kernel(x: mx.array, weight: Weight, bits: int) -> mx.array:
    return x @ dequantize(*weight, bits).T


def _quantized(x: mx.array, weight: Weight, bits: int) -> mx.array:
    return mx.quantized_matmul(x, *weight, transpose=True, group_size=GROUP, bits=bits)


WAYS: dict[str, Way] = {
    "banded": multiply_by_bands,
    "kernel": _by_our_kernel,
    "dequantized": _dequantized,
    "unpacked": _unpacked,
    "quantized": _quantized,
}
_BACKENDS: dict[str, tuple[MLXBackend, ...]] = {
    "banded": ("cpu",),
    "kernel": ("cuda",),
    "dequantized": ("metal", "cuda"),
    "unpacked": ("metal",),
    "quantized": ("metal",),
}
"""Where a way is tried."""
_BITS = {"unpacked": (8,)}
"""Codes that a way can be used with, where not with all."""

_known: dict[Multiplication, str] = {}
_known_from: Path | None = None


def multiply(x: mx.array, weight: Weight, bits: int) -> mx.array:
    """x [..., inputs] · weightᵀ, in the way that was found to be the fastest, or else in the first."""
    codes, inputs = weight[0], x.shape[-1]
    return WAYS[_way(Multiplication.of(bits, codes.shape[0], inputs, x.size // inputs, x.dtype))](x, weight, bits)


def _way(wanted: Multiplication) -> str:
    return _known.get(wanted) or candidates(wanted.bits)[0]


@cache
def candidates(bits: int) -> list[str]:
    """The ways that are tried on this machine; the first is taken where none was."""
    backend = this_chip().backend
    return [name for name in WAYS if backend in _BACKENDS[name] and bits in _BITS.get(name, (bits,))]


def choose(
    multiplications: Iterable[Multiplication], clock: Callable[[], float] = time.perf_counter
) -> dict[Multiplication, str]:
    """Have `multiply` know the fastest way of each of these; what is not known of this machine yet is measured.

    Returns:
        the way that each will be done in.
    """
    global _known_from
    file = _file()
    if file != _known_from:
        _known.update(_read(file) | _known)  # what this process has used stays, so that its pictures can be repeated
        _known_from = file
    asked = sorted(set(multiplications))
    new = [wanted for wanted in asked if wanted not in _known and len(candidates(wanted.bits)) > 1]
    for first in {(wanted.bits, wanted.dtype): wanted for wanted in new}.values():
        _compile(first)
    deadline = clock() + SECONDS
    for wanted in new:
        if clock() < deadline:
            _known[wanted] = _fastest(wanted, clock)
    if new:
        mx.clear_cache()
        _write(file)
    return {wanted: _way(wanted) for wanted in asked}


def _compile(wanted: Multiplication) -> None:
    """Use each way once, which on a GPU may compile a kernel: seconds, once per machine, that tell nothing of it."""
    for name in candidates(wanted.bits):
        _trial(WAYS[name], wanted, _SMALLEST, _SMALLEST)()


def _fastest(wanted: Multiplication, clock: Callable[[], float]) -> str:
    """The fastest way at the largest size that is not slow, found by trials of growing size."""
    rows, outputs = 2**wanted.magnitude, wanted.outputs
    ways = candidates(wanted.bits)
    side = _SMALLEST
    while True:
        trial_rows, trial_outputs = min(rows, side), min(outputs, side)
        seconds = {name: _time(_trial(WAYS[name], wanted, trial_rows, trial_outputs), clock) for name in ways}
        best = min(seconds, key=seconds.__getitem__)
        if seconds[ways[0]] * _WORTH <= seconds[best]:
            best = ways[0]
        larger_rows, larger_outputs = min(rows, side * _GROWTH), min(outputs, side * _GROWTH)
        growth = larger_rows * larger_outputs / (trial_rows * trial_outputs)
        ways = [name for name in ways if name == best or seconds[name] * growth < _SLOW]
        if growth == 1 or len(ways) == 1:
            return best
        side *= _GROWTH


def _trial(way: Way, wanted: Multiplication, rows: int, outputs: int) -> Callable[[], None]:
    """To be called to multiply once."""
    dtype = getattr(mx, wanted.dtype)
    x = mx.zeros((rows, wanted.inputs), dtype=dtype)
    codes = mx.zeros((outputs, wanted.inputs * wanted.bits // 32), dtype=mx.uint32)
    scales, biases = (mx.zeros((outputs, wanted.inputs // GROUP), dtype=dtype) for _ in range(2))
    mx.eval(x, codes, scales, biases)
    return lambda: mx.eval(way(x, (codes, scales, biases), wanted.bits))


def _time(trial: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds, the least of a few runs after a first one."""
    trial()
    measured = []
    for _ in range(_REPETITIONS):
        began = clock()
        trial()
        measured.append(clock() - began)
    return min(measured)


def _file() -> Path:
    """File of what was measured on this device, with this MLX and these ways."""
    device = f"{mx.default_device()} {mx.device_info().get('device_name')} {version('mlx')} {' '.join(WAYS)}"
    return cache_dir() / "matmul" / f"{hashlib.sha256(device.encode()).hexdigest()[:16]}.json"


def _read(file: Path) -> dict[Multiplication, str]:
    """What was measured before; nothing where the file is not there, or is damaged."""
    try:
        entries = json.loads(read_own(file))
        return {Multiplication(*entry): way for *entry, way in entries if way in WAYS}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _write(file: Path) -> None:
    """Keep it for later runs; a cache folder that can't be written costs a second the next time, no more."""
    with contextlib.suppress(OSError):
        make_private(file.parent)
        write_atomically(file, json.dumps([[*found, way] for found, way in _known.items()]).encode())
