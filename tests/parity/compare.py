"""Distances between what the engine computed and what the reference recorded, and the limits they are held to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flux2.backend.mlx import on_cpu

# float32 against float32: what is left is the order of summation. The largest error measured on the CPU backend, over
# all recordings, is 3.2e-5 (latents of Dev). GPUs sum in other orders, which was not measured.
RELATIVE_LIMIT = 1e-4 if on_cpu() else 1e-3
SIGMA_LIMIT = 1e-6
IMAGE_PSNR_DB = 60.0


def relative_error(ours: Any, reference: np.ndarray) -> float:
    """The largest absolute difference, in units of the reference's root mean square: one wrong element is enough.

    It is never smaller than `relative_distance`, so holding this limit holds that one too.
    """
    ours, reference = _as_doubles(ours, reference)
    if not np.isfinite(ours).all():
        return math.inf
    return float(np.abs(ours - reference).max() / np.sqrt(np.mean(reference**2)))


def relative_distance(ours: Any, reference: np.ndarray) -> float:
    """The norm of the difference in units of the reference's norm: the error of the whole, not of the worst element."""
    ours, reference = _as_doubles(ours, reference)
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))


def psnr(ours: Any, reference: np.ndarray, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, infinite for equal arrays; `peak`: the range of the values (255 for uint8)."""
    ours, reference = _as_doubles(ours, reference)
    mean_square = float(np.mean((ours - reference) ** 2))
    return 10.0 * math.log10(peak**2 / mean_square) if mean_square > 0 else math.inf


def _as_doubles(ours: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64; raises ValueError where the shapes differ, for broadcasting must not hide an error."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if ours.shape != reference.shape:
        raise ValueError(f"shapes differ: ours {ours.shape}, reference {reference.shape}")
    return ours, reference
