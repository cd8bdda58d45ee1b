"""Where NaN came from: the weights, looked through once a run has met one.

They are not looked through while they are loaded: on a CPU that would cost about as much again as reading them, and
every step is checked anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from flux2.checkpoint.layout import Checkpoint
from flux2.checkpoint.safetensors_file import TensorInfo, read_tensor
from flux2.errors import CheckpointError, NumericalError
from flux2.mlx_backend import mx

_FLOATS = ("BF16", "F16", "F32")


def with_its_cause(error: NumericalError, checkpoint: Checkpoint, go_on: Callable[[], None]) -> NumericalError:
    """The error itself, or a better one that names the tensor of the checkpoint that is not finite.

    Args:
        go_on: called for each tensor; raises where the user wants to wait no longer.
    """
    try:
        found = _first_not_finite(checkpoint, go_on)
    except CheckpointError:  # the file is gone or shrank; what was met first is what is said
        found = None
    if found is None:
        return error
    return NumericalError(
        f"{found.path}: tensor {found.name} holds NaN or infinity; download it again, or choose another checkpoint. "
        f"What came of it: {error}"
    )


def _first_not_finite(checkpoint: Checkpoint, go_on: Callable[[], None]) -> TensorInfo | None:
    for part in (checkpoint.text_encoder, checkpoint.transformer, checkpoint.vae):
        for info in part.tensors.values():
            go_on()
            if info.dtype in _FLOATS and not mx.isfinite(read_tensor(info)).all().item():
                return info
    return None
