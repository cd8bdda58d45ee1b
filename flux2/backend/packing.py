"""Codes of few bits, packed as MLX packs them: the first in the lowest bits, each next one above it, across bytes too.

Neighbours are joined in pairs, pairs in fours and these in eights, until a whole number of bytes is full: 2 codes of
4 bits are a byte, 4 of 6 bits three, 8 of 5 bits five. A few passes over integers that become wider and fewer, which
NumPy's arrays and MLX's take alike. https://github.com/ml-explore/mlx, `mlx/backend/cpu/quantized.cpp`
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.backend.mlx import mx

_WIDTHS = (8, 16, 32, 64)
"""Bits of the integers that one, two, four and eight codes are held in while they are joined."""


def pack(codes: Any, bits: int) -> Any:
    """Bytes [..., numbers · bits / 8] of codes [..., numbers], a byte each, in an array of the same library.

    Args:
        codes: uint8, NumPy's or MLX's; each below 2^bits, and a multiple of eight in a row.
    """
    library: Any = mx if isinstance(codes, mx.array) else np
    filled = bits
    for half, whole in pairwise(_WIDTHS):
        if filled % 8 == 0:
            break
        pairs = codes.view(getattr(library, f"uint{whole}"))
        codes = pairs - (pairs >> half) * (2**half - 2**filled)
        filled *= 2
    held = codes.view(library.uint8).reshape(*codes.shape, -1)
    return held[..., : filled // 8].reshape(*codes.shape[:-1], -1)


def unpack_pairs(packed: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[Any]:
    """Two neighbouring codes in each integer, the first in its lower `bits`: [..., numbers / 2].

    Args:
        packed: [..., numbers · bits / 8], of 4, 5 or 6 bits.
    """
    filled, places = 2 * bits, 1
    while filled % 8:
        filled, places = filled * 2, places + 1
    if filled == _WIDTHS[0]:
        return packed
    held = np.zeros((*packed.shape[:-1], packed.shape[-1] * 8 // filled, _WIDTHS[places] // 8), np.uint8)
    held[..., : filled // 8] = packed.reshape(*held.shape[:-1], -1)
    codes: npt.NDArray[Any] = held.reshape(*packed.shape[:-1], -1)
    for half, whole in reversed(list(pairwise(_WIDTHS[1 : places + 1]))):
        filled //= 2
        joined = codes.view(f"uint{whole}")
        codes = joined + (joined >> filled) * (2**half - 2**filled)
    return codes.view(np.uint16)
