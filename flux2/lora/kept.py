"""How a LoRA's changes are kept in memory: in factors, as the file has them, wherever that is the smaller.

Needs no MLX. The planner counts by this what the engine keeps by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from flux2.architecture.limits import DTYPE_BYTES
from flux2.lora.fit import Change, FittedLora

_FILE_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 2, "F8_E5M2": 2}
"""Bytes of a number once it is read, by the file's type: 8-bit ones become bfloat16, which loses nothing."""


def kept_bytes(loras: Iterable[FittedLora], dtype: str) -> int:
    """Bytes of these LoRAs in a run that computes in `dtype`."""
    return sum(_bytes(change, DTYPE_BYTES[dtype]) for lora in loras for change in lora.changes)


def in_factors(change: Change) -> bool:
    """Whether a LoHa is kept as a product of two matrices.

    Two products of ranks r and s, multiplied number by number, are one product of rank r·s. Above a certain rank that
    is larger than the matrix itself.
    """
    outputs, inputs = change.shape
    return _loha_rank(change) * (outputs + inputs) < outputs * inputs


def _loha_rank(change: Change) -> int:
    factors = change.module.factors
    return factors["hada_w1_b"].shape[0] * factors["hada_w2_b"].shape[0]


def _bytes(change: Change, compute_bytes: int) -> int:
    outputs, inputs = change.shape
    if change.module.kind == "loha":
        numbers = _loha_rank(change) * (outputs + inputs) if in_factors(change) else outputs * inputs
        return numbers * compute_bytes
    factors = change.module.factors.values()
    return sum(math.prod(factor.shape) * min(_FILE_BYTES[factor.dtype], compute_bytes) for factor in factors)
