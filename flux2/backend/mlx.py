"""MLX, ready to use: the one door through which the engine imports it, and what depends on its backend.

>>> from flux2.backend.mlx import mx, nn

Importing MLX through this module puts a fast BLAS in place first (`flux2.backend.blas`), which can't be done later.
"""

from __future__ import annotations

import os
import sys

import psutil

from flux2.architecture.limits import DTYPE_BYTES, DeviceType
from flux2.backend import blas
from flux2.backend.chip import Chip, read_chip

# Float32 means float32: on CUDA and on Apple's M5 MLX multiplies it in TF32 otherwise, about 3e-4 off
# (https://github.com/ml-explore/mlx/issues/3860). Read once, at MLX's first operation.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# A command buffer holds its operations' arrays until all of it is done. CUDA's default fills one with gigabytes before
# it is sent off: a step of klein-4b then takes 2.7 GB above its weights, and at 100 MiB 0.8, at the same speed (H200).
# Metal's defaults are 40 to 50 already. Read once, at MLX's first operation.
if sys.platform == "linux":
    os.environ.setdefault("MLX_MAX_MB_PER_BUFFER", "100")

# Metal convolves wide pictures by Winograd's F(6×6, 3×3), whose intermediates are as narrow as the picture: in bfloat16
# it is off by 5.9 % of normal numbers where the direct way is off by 0.17 %, each measured by repeating its arithmetic
# in NumPy (as is told in https://github.com/ml-explore/mlx/pull/4242), and holds 4.6 times the picture beside it.
# Read at every convolution, from MLX 0.32.4 on.
os.environ.setdefault("MLX_CONV_WINOGRAD", "0")

BLAS_COMPLAINT = blas.preload()
"""None, or why matrix products are slow in this process; a run tells its user."""

import mlx.core as mx  # noqa: E402 — after the BLAS it is to find
from mlx import nn  # noqa: E402

__all__ = ["BLAS_COMPLAINT", "DTYPES", "default_dtype", "device_type", "mx", "nn", "on_cpu", "on_cuda", "this_chip"]

DTYPES: dict[str, mx.Dtype] = {name: getattr(mx, name) for name in DTYPE_BYTES}


def on_cpu() -> bool:
    """Whether MLX computes on the CPU backend here."""
    return bool(mx.default_device().type == mx.DeviceType.cpu)


def device_type() -> DeviceType:
    """What MLX computes on here, as far as limits depend on it."""
    return "cpu" if on_cpu() else "gpu"


def on_cuda() -> bool:
    """Whether MLX computes on its CUDA backend here."""
    return not on_cpu() and not mx.metal.is_available()


def this_chip() -> Chip:
    """What computes here."""
    return read_chip(mx.device_info(), on_cpu=on_cpu(), physical=psutil.virtual_memory().total)


def default_dtype() -> str:
    """The dtype to compute in where nobody says otherwise."""
    return this_chip().dtype
