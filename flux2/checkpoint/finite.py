"""Where NaN came from: the weights, looked through once a run has met one.

They are not looked through while they are loaded, for every step is checked anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import Checkpoint
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.safetensors_file import TensorInfo, read_tensor
from flux2.errors import CheckpointError, NumericalError

_EXPONENTS: dict[str, tuple[mx.Dtype, int]] = {
    "BF16": (mx.uint16, 0x7F80),
    "F16": (mx.uint16, 0x7C00),
    "F32": (mx.uint32, 0x7F800000),
}
"""What to look at a type's bits as, and the exponent's, by type. All of them set are infinity or NaN (IEEE 754)."""
_PIECE = 1 << 20
"""Numbers looked at together."""


def with_its_cause(
    error: NumericalError, checkpoint: Checkpoint, check_cancelled: Callable[[], None]
) -> NumericalError:
    """The error itself, or a better one that names the tensor of the checkpoint that is not finite.

    Args:
        check_cancelled: called for each tensor; raises where the user wants to wait no longer.
    """
    try:
        found = _first_not_finite(checkpoint, check_cancelled)
    except CheckpointError:  # the file is gone or shrank; what was met first is what is said
        found = None
    if found is None:
        return error
    return NumericalError(
        f"{found.path}: tensor {found.name} holds NaN or infinity; {fetch_anew(found.path)}, or choose "
        "another checkpoint. "
        f"What came of it: {error}"
    )


def _first_not_finite(checkpoint: Checkpoint, check_cancelled: Callable[[], None]) -> TensorInfo | None:
    for part in (checkpoint.text_encoder, checkpoint.transformer, checkpoint.vae):
        for info in part.tensors.values():
            check_cancelled()
            if info.dtype in _EXPONENTS and not _is_finite(info):
                return info
    return None


def _is_finite(info: TensorInfo) -> bool:
    """NumPy looks at the bits about as fast as they are read; MLX's `isfinite` takes ten times as long on a CPU."""
    dtype, exponent = _EXPONENTS[info.dtype]
    bits = np.asarray(read_tensor(info).view(dtype)).reshape(-1)
    pieces = (bits[start : start + _PIECE] & exponent for start in range(0, bits.size, _PIECE))
    return not any((piece == exponent).any() for piece in pieces)
