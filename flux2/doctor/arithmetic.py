"""The operations that the networks are made of, each against NumPy in double precision, on this machine's backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from flux2.backend.chip import macos_version
from flux2.backend.gpu_errors import explain
from flux2.backend.mlx import BLAS_COMPLAINT, DTYPES, mx, on_cpu, this_chip
from flux2.doctor.finding import Finding, note, ok, wrong
from flux2.humanize import size
from flux2.models.attention import attend
from flux2.models.conv import convolve
from flux2.models.rope import Rotation, rotate_pairs
from flux2.quantization.linear import MODES, quantize
from flux2.quantization.matmul_choice import WAYS, candidates

Floats = npt.NDArray[np.float64]

TOLERANCES = {"float32": 2e-5, "bfloat16": 2e-2, "float16": 3e-3}
"""Largest relative error that an operation may make, by dtype: a few roundings of the dtype's last bit."""
QUANTIZED_TOLERANCES = {8: 7e-3, 6: 3e-2, 5: 6e-2, 4: 1.2e-1}
"""Relative error that a product with a quantized weight of normal numbers may have, by the bits of its codes, made in
the worst of the ways that are tried here. Right ones have 0.0058, 0.023, 0.045 and 0.091, ones whose codes were rounded
down about twice as much."""
TIMED = (4608, 3072, 3072)
"""Rows, inputs and outputs of the product that is timed: one projection of klein-4b at 1024×1024."""
_TIMES = 5


def check_device() -> Iterator[Finding]:
    """What MLX computes on."""
    chip = this_chip()
    text = f"MLX {version('mlx')} on {chip.name} ({chip.backend}), to stay below {size(chip.memory_limit)}"
    if chip.backend == "cpu" and macos_version() != (0, 0):
        yield wrong(f"{text}: the GPU is not used", "Run it in a session that may use the GPU, and reinstall MLX.")
    elif BLAS_COMPLAINT:
        yield note(text, BLAS_COMPLAINT)
    else:
        yield ok(text)
    if chip.backend == "metal" and not chip.wired_limit(macos_version()):
        yield note(
            "this macOS may page weights out during a run", "Update to macOS 15 or later if large models are slow."
        )


def check_operations() -> Iterator[Finding]:
    """Every operation in every dtype that a run may use."""
    for dtype in ("float32",) if on_cpu() else tuple(TOLERANCES):
        errors = {name: _error(check, dtype) for name, check in _OPERATIONS.items()}
        off = {name: error for name, error in errors.items() if not error <= TOLERANCES[dtype]}
        if off:
            told = ", ".join(f"{name} {error:.2g}" for name, error in off.items())
            yield wrong(
                f"{dtype} arithmetic is off: {told} (relative error, at most {TOLERANCES[dtype]:g} expected)",
                "Update MLX and the system; report this if it stays.",
            )
        else:
            yield ok(f"{dtype} arithmetic agrees with NumPy's to {max(errors.values()):.1g}")
    yield from _check_quantized()


def check_speed() -> Iterator[Finding]:
    """How fast a projection of klein-4b is, and where bfloat16 is emulated whether float16 would be faster."""
    rows, inputs, outputs = TIMED
    chip = this_chip()
    dtypes = ("bfloat16", "float16") if chip.emulates_bfloat16 else (chip.dtype,)
    speeds = {dtype: 2 * rows * inputs * outputs / _seconds(DTYPES[dtype]) / 1e12 for dtype in dtypes}
    yield ok(", ".join(f"{dtype} multiplies at {speed:.2f} TFLOP/s" for dtype, speed in speeds.items()))
    if chip.emulates_bfloat16 and speeds["float16"] > 1.1 * speeds["bfloat16"]:
        yield note(
            f"float16 is {speeds['float16'] / speeds['bfloat16']:.2f} times as fast as the emulated bfloat16",
            "Try `--dtype float16`, and compare the pictures: it overflows where bfloat16 does not.",
        )


def _error(check: Callable[[mx.Dtype], tuple[mx.array, Floats]], dtype: str) -> float:
    """Relative error of the whole result; infinite where the operation fails."""
    try:
        return _distance(*check(DTYPES[dtype]))
    except RuntimeError as error:
        if explain(str(error)):
            raise
        return float("inf")


def _distance(result: mx.array, exact: Floats) -> float:
    """Relative error of the whole."""
    found = np.array(result.astype(mx.float32), dtype=np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _check_quantized() -> Iterator[Finding]:
    x, weight = _normal(64, 512), _normal(256, 512)
    for name, mode in MODES.items():
        if mode is None:
            continue
        stored = quantize(_mlx(weight, mx.bfloat16), mode)
        error = max(
            _distance(WAYS[way](_mlx(x, mx.bfloat16), stored, mode.bits), x @ weight.T) for way in candidates(mode.bits)
        )
        if error <= QUANTIZED_TOLERANCES[mode.bits]:
            yield ok(f"{name} products are within {error:.2g} of exact ones")
        else:
            yield wrong(f"{name} products are off by {error:.2g}", "Update MLX; report this if it stays.")


def _seconds(dtype: mx.Dtype) -> float:
    """Median of a few products after a warm-up."""
    rows, inputs, outputs = TIMED
    x, weight = mx.ones((rows, inputs), dtype=dtype), mx.ones((outputs, inputs), dtype=dtype)
    mx.eval(x, weight, x @ weight.T)
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        mx.eval(x @ weight.T)
        times.append(time.perf_counter() - began)
    return sorted(times)[_TIMES // 2]


def _normal(*shape: int) -> Floats:
    """Numbers that every dtype holds exactly, so that only the operation's own error is seen."""
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return np.round(values * 32) / 32


def _mlx(values: Floats, dtype: mx.Dtype) -> mx.array:
    return mx.array(values.astype(np.float32)).astype(dtype)


def _multiply(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    x, weight = _normal(64, 256), _normal(128, 256)
    return _mlx(x, dtype) @ _mlx(weight, dtype).T, x @ weight.T


def _attend(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    """Attention as in the transformer, whose heads have 128 features: ours, and the exact one."""
    q, k, v = (_normal(1, tokens, 2, 128) for tokens in (96, 97, 97))
    return attend(*(_mlx(part, dtype) for part in (q, k, v))), _attended(q, k, v, np.ones((96, 97), bool))


def _attend_masked(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    """Attention as in the text encoder: keys shared by two heads, and none of a later token."""
    q, k, v = _normal(1, 96, 4, 128), _normal(1, 96, 2, 128), _normal(2, 96, 2, 128)[:1]
    mask = np.tri(96, dtype=bool)
    exact = _attended(q, np.repeat(k, 2, axis=2), np.repeat(v, 2, axis=2), mask)
    return attend(_mlx(q, dtype), _mlx(k, dtype), _mlx(v, dtype), mx.array(mask)[None, None]), exact


def _attend_widely(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    """Attention as in the autoencoder, whose head of 512 features is too wide for a fused kernel."""
    q, k, v = (_normal(1, tokens, 1, 512) for tokens in (64, 65, 65))
    return attend(*(_mlx(part, dtype) for part in (q, k, v))), _attended(q, k, v, np.ones((64, 65), bool))


def _attended(q: Floats, k: Floats, v: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    scores = np.where(mask, np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1]), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    exact: Floats = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)
    return exact.reshape(*q.shape[:2], -1)


def _convolve(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    """Convolution as in the decoder; at this size Metal would take Winograd's way, which is off by 0.06 in bfloat16."""
    x, weight = _normal(1, 64, 64, 128), _normal(128, 128, 3, 3)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    exact = windows.reshape(64 * 64, -1) @ weight.reshape(128, -1).T
    rows = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    kernel, bias = _mlx(weight.transpose(0, 2, 3, 1), dtype), mx.zeros((128,), dtype)
    made = convolve(_mlx(rows, dtype), kernel, bias, 1, (1, 1))
    return made, exact.reshape(made.shape)


def _normalise(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    x = _normal(8, 192)
    exact = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return mx.fast.layer_norm(_mlx(x, dtype), None, None, 1e-6), exact


def _rotate(dtype: mx.Dtype) -> tuple[mx.array, Floats]:
    """Rotation of queries as in the transformer, where the halves of each pair change places as bits."""
    x, angles = _normal(1, 96, 2, 128), _normal(96, 64)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    exact = np.empty_like(x)
    exact[..., ::2] = x[..., ::2] * cos - x[..., 1::2] * sin
    exact[..., 1::2] = x[..., 1::2] * cos + x[..., ::2] * sin
    rotation = Rotation(_mlx(np.cos(angles), mx.float32), _mlx(np.sin(angles), mx.float32))
    return rotate_pairs(_mlx(x, dtype), rotation.of_pairs()), exact


_OPERATIONS: dict[str, Callable[[mx.Dtype], tuple[mx.array, Floats]]] = {
    "matrix product": _multiply,
    "attention": _attend,
    "masked attention": _attend_masked,
    "wide attention": _attend_widely,
    "convolution": _convolve,
    "normalisation": _normalise,
    "rotation": _rotate,
}
