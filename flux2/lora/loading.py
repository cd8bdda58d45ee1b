"""A LoRA that fits a model, read into the branches that a run computes with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint.loading import stored_dtype
from flux2.checkpoint.remedies import fetch_again
from flux2.checkpoint.safetensors_file import OnBytes, TensorInfo, read_header, read_tensor
from flux2.errors import LoraError
from flux2.humanize import printable
from flux2.lora.branches import Branch, Dense, InParts, Kronecker, LowRank
from flux2.lora.fit import Change, FittedLora
from flux2.lora.kept import in_factors
from flux2.lora.lora_file import Factor
from flux2.lora.rows import Rows

Arrays = Mapping[str, mx.array]


def load_branches(lora: FittedLora, dtype: mx.Dtype, on_bytes: OnBytes | None = None) -> dict[str, Branch]:
    """The branch of every matrix that a LoRA changes, by its path, for a network that computes in `dtype`.

    Raises:
        LoraError: if it holds NaN or infinity, or all of its changes are zero.
        CheckpointError: if the file can't be read to its end.
    """
    infos = read_header(lora.file.path)
    parts: list[tuple[Rows, Branch]] = []
    moves = False
    for change in lora.changes:
        factors = {role: _read(infos[factor.name], factor, on_bytes) for role, factor in change.module.factors.items()}
        largest = [_largest(lora, change, factor) for factor in factors.values()]
        moves = all(largest) or moves
        arrays = _kept(change, factors, dtype)
        mx.eval(list(arrays.values()))
        parts += [(rows, _branch(change, arrays, rows)) for rows in change.rows]
    if not moves:
        name = printable(lora.file.path.name)
        raise LoraError(f"{name} changes nothing: all of it is zero, as before training; use the one that was trained.")
    parts.sort(key=lambda part: part[0])
    return {path: _joined(list(group)) for path, group in groupby(parts, key=lambda part: part[0].path)}


def _read(info: TensorInfo, factor: Factor, on_bytes: OnBytes | None) -> mx.array:
    """A factor as a matrix; of 8-bit numbers as bfloat16 or float16, which hold them exactly."""
    if info.dtype == "F8_E4M3":
        array = mx.from_fp8(read_tensor(replace(info, dtype="U8"), on_bytes), mx.bfloat16)
    elif info.dtype == "F8_E5M2":  # the upper half of a float16
        array = (read_tensor(replace(info, dtype="U8"), on_bytes).astype(mx.uint16) << 8).view(mx.float16)
    else:
        array = read_tensor(info, on_bytes)
    return array.reshape(factor.shape)


def _largest(lora: FittedLora, change: Change, factor: mx.array) -> float:
    """The largest of a factor's numbers, without signs. Raises LoraError if one of them is not finite."""
    largest = float(np.asarray(mx.abs(factor).max().astype(mx.float32)))
    if not math.isfinite(largest):
        path, name = lora.file.path, printable(change.module.name)
        raise LoraError(f"{path}: {name} holds NaN or infinity; {fetch_again(path)}, or choose another LoRA.")
    return largest


def _kept(change: Change, factors: Arrays, dtype: mx.Dtype) -> dict[str, mx.array]:
    """What of a change stays in memory (`flux2.lora.kept` counts it)."""
    if change.module.kind == "loha":
        return {role: array.astype(dtype) for role, array in _multiplied(change, factors).items()}
    if {"lokr_w1_a", "lokr_w1_b"} <= factors.keys():
        product = factors["lokr_w1_a"].astype(mx.float32) @ factors["lokr_w1_b"].astype(mx.float32)
        factors = {**factors, "lokr_w1": product}
    return {role: array.astype(stored_dtype(array, dtype)) for role, array in factors.items()}


def _multiplied(change: Change, factors: Arrays) -> dict[str, mx.array]:
    """A LoHa as one product of two matrices, or written out, where that is less."""
    a1, b1, a2, b2 = (factors[f"hada_{name}"].astype(mx.float32) for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    if not in_factors(change):
        return {"diff": (a1 @ b1) * (a2 @ b2)}
    up = (a1[:, :, None] * a2[:, None, :]).reshape(len(a1), -1)
    down = (b1[:, None, :] * b2[None, :, :]).reshape(-1, b1.shape[1])
    return {"up": up, "down": down}


def _branch(change: Change, arrays: Arrays, rows: Rows) -> Branch:
    """The rows of a change that go to one place."""
    some = slice(rows.start, rows.start + rows.length)
    if "up" in arrays:
        return LowRank(arrays["down"], arrays["up"][some], change.strength)
    if "diff" in arrays:
        return Dense(arrays["diff"][some], change.strength)
    roles = ("lokr_w2",) if "lokr_w2" in arrays else ("lokr_w2_a", "lokr_w2_b")
    return Kronecker(arrays["lokr_w1"], tuple(arrays[role] for role in roles), rows.start, change.strength)


def _joined(parts: list[tuple[Rows, Branch]]) -> Branch:
    """All that one LoRA does to a matrix."""
    (rows, branch), *others = parts
    if not others and rows.length == rows.of:
        return branch
    return InParts(tuple((rows.first, rows.first + rows.length, branch) for rows, branch in parts))
